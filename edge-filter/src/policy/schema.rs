//! The JSON Schema of the language, for editors. It is kept by hand, since it
//! says more than the document's types do, and held to those types by the
//! tests below.

/// The schema (JSON Schema 2020-12) as it is shipped.
pub const SCHEMA: &str = include_str!("../../../config/edge-filter.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::Value;

    use super::*;
    use crate::policy::check::words_of;
    use crate::policy::document::{self, Document, keys_of};
    use crate::policy::{Action, Direction, Mode, Outbound, Trust};

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    fn strings(value: &Value) -> BTreeSet<&str> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect()
    }

    fn keys<T: DeserializeOwned>(schema: &Value, name: &str) {
        let mapping = &schema["$defs"][name];
        let written: BTreeSet<&str> = mapping["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(written, keys_of::<T>().iter().copied().collect(), "{name}");
        assert_eq!(
            mapping["additionalProperties"],
            Value::Bool(false),
            "{name}"
        );
    }

    #[test]
    fn the_schema_has_the_keys_of_the_document() {
        let schema = schema();
        keys::<Document>(&schema, "Policy");
        keys::<document::Interface>(&schema, "Interface");
        keys::<document::Service>(&schema, "Service");
        keys::<document::Essentials>(&schema, "Essentials");
        keys::<document::Flows>(&schema, "Flows");
        keys::<document::Group>(&schema, "Group");
        keys::<document::Rule>(&schema, "Rule");
        keys::<document::Endpoint>(&schema, "Endpoint");
        keys::<document::Test>(&schema, "Test");
        keys::<document::Packet>(&schema, "Packet");
        keys::<document::Expect>(&schema, "Expect");
    }

    #[test]
    fn the_schema_has_the_words_of_the_language() {
        let schema = schema();
        let words = |pointer: &str| {
            strings(schema.pointer(pointer).unwrap())
                .into_iter()
                .collect()
        };
        let actions: Vec<&str> = words("/$defs/Rule/properties/action/enum");
        assert_eq!(actions, words_of::<Action>());
        assert_eq!(words_of::<Direction>(), words("/$defs/Direction/enum"));
        assert_eq!(
            words_of::<Mode>(),
            words("/$defs/Policy/properties/mode/enum")
        );
        assert_eq!(
            words_of::<Mode>(),
            words("/$defs/Group/properties/mode/enum")
        );
        assert_eq!(
            words_of::<Outbound>(),
            words("/$defs/Interface/properties/outbound/enum")
        );
        assert_eq!(
            words_of::<Trust>(),
            words("/$defs/Interface/properties/trust/enum")
        );
    }

    #[test]
    fn the_shipped_policies_fit_the_schema() {
        let schema = schema();
        let shipped = [
            include_str!("../../../config/lync-2013-port-summary.yaml"),
            include_str!("../../../config/lync-2013-edge.yaml"),
        ];
        for text in shipped {
            assert!(text.starts_with("# yaml-language-server: $schema=edge-filter.schema.json\n"));
            let policy: Value = serde_yaml::from_str(text).unwrap();
            fits(&schema, &schema, &policy).unwrap();
        }
    }

    #[test]
    fn what_the_schema_forbids_does_not_fit() {
        let schema = schema();
        let policy: Value =
            serde_yaml::from_str(include_str!("../../../config/lync-2013-edge.yaml")).unwrap();
        let mutations: [(&str, Value); 6] = [
            ("/version", 2.into()),
            ("/groups/0/rules/0/action", "accept".into()),
            ("/groups/0/rules/0/to", "any".into()),
            ("/groups/0/rules/0", serde_json::json!({ "id": "x" })),
            ("/services/dns/0/ports/0", 65_536.into()),
            ("/networks/front-ends", serde_json::json!([])),
        ];
        for (pointer, value) in mutations {
            let mut broken = policy.clone();
            *broken.pointer_mut(pointer).unwrap() = value;
            assert!(fits(&schema, &schema, &broken).is_err(), "{pointer}");
        }
    }

    /// A key that the schema requires, the reader misses; no other key.
    #[test]
    fn the_schema_requires_what_the_reader_requires() {
        let schema = schema();
        let policy: Value =
            serde_yaml::from_str(include_str!("../../../config/lync-2013-edge.yaml")).unwrap();
        let mappings = [
            ("", "Policy"),
            ("/interfaces/external", "Interface"),
            ("/services/dns/0", "Service"),
            ("/groups/0", "Group"),
            ("/groups/0/rules/0", "Rule"),
            ("/groups/0/rules/0/to", "Endpoint"),
            ("/tests/0", "Test"),
            ("/tests/0/packet", "Packet"),
            ("/tests/0/expect", "Expect"),
        ];
        for (pointer, name) in mappings {
            let required = schema["$defs"][name]
                .get("required")
                .map(strings)
                .unwrap_or_default();
            let keys: Vec<String> = policy
                .pointer(pointer)
                .unwrap()
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect();
            assert!(
                required
                    .iter()
                    .all(|key| keys.iter().any(|written| written == key))
            );
            for key in keys {
                let mut without = policy.clone();
                without
                    .pointer_mut(pointer)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(&key);
                let text = serde_yaml::to_string(&without).unwrap();
                let read = crate::policy::read("p.yaml", &text, jiff::civil::date(2027, 6, 30));
                let missed = read.err().is_some_and(|found| {
                    found
                        .iter()
                        .any(|one| one.message.contains(&format!("has no '{key}', and")))
                });
                assert_eq!(missed, required.contains(key.as_str()), "{name}: {key}");
            }
        }
    }

    /// A validator of what the schema uses of JSON Schema, patterns excepted.
    fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {value}"));
        for (keyword, rule) in schema.as_object().unwrap() {
            match keyword.as_str() {
                "$ref" => {
                    let target = rule.as_str().unwrap().trim_start_matches('#');
                    fits(root, root.pointer(target).unwrap(), value)?;
                }
                "anyOf" => {
                    let branches = rule.as_array().unwrap();
                    if !branches
                        .iter()
                        .any(|branch| fits(root, branch, value).is_ok())
                    {
                        return wrong("fits none of several forms");
                    }
                }
                "type" => {
                    let types = rule
                        .as_array()
                        .map_or(vec![rule], |types| types.iter().collect());
                    if !types.iter().any(|kind| is_a(kind.as_str().unwrap(), value)) {
                        return wrong("is of another type");
                    }
                }
                "const" if rule != value => return wrong("is another value"),
                "enum" if !rule.as_array().unwrap().contains(value) => {
                    return wrong("is none of the words");
                }
                "minimum" if value.as_i64().is_some_and(|n| n < rule.as_i64().unwrap()) => {
                    return wrong("is too small");
                }
                "maximum" if value.as_i64().is_some_and(|n| n > rule.as_i64().unwrap()) => {
                    return wrong("is too large");
                }
                "minItems" if value.as_array().is_some_and(Vec::is_empty) => {
                    return wrong("is empty");
                }
                "required" => {
                    if let Some(map) = value.as_object()
                        && let Some(key) = strings(rule).iter().find(|key| !map.contains_key(**key))
                    {
                        return wrong(&format!("lacks '{key}'"));
                    }
                }
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        fits(root, rule, item)?;
                    }
                }
                "properties" | "additionalProperties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        match (
                            schema["properties"].get(key),
                            &schema["additionalProperties"],
                        ) {
                            (Some(property), _) => fits(root, property, value)?,
                            (None, Value::Bool(false)) => return wrong(&format!("has '{key}'")),
                            (None, additional) => fits(root, additional, value)?,
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_a(kind: &str, value: &Value) -> bool {
        match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("the schema uses the type {other}"),
        }
    }
}
