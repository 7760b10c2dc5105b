//! From one policy to another: what is added, removed, changed and moved. Pure.
//!
//! A rule is known by its id, which is the name of its counter: under another id it is
//! another rule. Names of networks and services are resolved before policies are compared, so
//! that a change of a definition shows at the rules that use it.

mod fields;
mod order;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use crate::policy::{Action, Direction, Policy, Rule};

/// What another policy changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What does not belong to a rule.
    pub settings: Vec<FieldChange>,
    /// Rules that are new, in the order of the new policy.
    pub added: Vec<RuleName>,
    /// Rules that are gone, in the order of the former policy.
    pub removed: Vec<RuleName>,
    /// Rules that say something else, in the order of the new policy.
    pub changed: Vec<ChangedRule>,
    /// Rules that have another place among those of their hook: as few as explain the new
    /// order.
    pub moved: Vec<MovedRule>,
}

/// A rule, and where it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleName {
    /// Its id.
    pub id: String,
    /// Its role.
    pub interface: String,
    /// The side.
    #[serde(serialize_with = "direction_as_word")]
    pub direction: Direction,
    /// Its verdict.
    #[serde(serialize_with = "action_as_word")]
    pub action: Action,
    /// The line on which it begins in the policy that has it (the new one if both do),
    /// counted from 1.
    pub line: usize,
}

/// A rule that says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedRule {
    /// The rule, as it will be.
    #[serde(flatten)]
    pub rule: RuleName,
    /// What differs; at least one field.
    pub fields: Vec<FieldChange>,
}

/// A rule that has another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MovedRule {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleName,
    /// The rule that it stood behind; none if it was the first of its hook.
    pub was_behind: Option<String>,
    /// The rule that it will stand behind; none if it will be the first.
    pub behind: Option<String>,
}

/// A field that has another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its name in the policy, as `to.networks`.
    pub field: String,
    /// Its value before; null if it had none.
    pub before: Option<Value>,
    /// Its value afterwards.
    pub after: Option<Value>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// One word, or text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Difference {
    /// What `next` changes about `former`; everything is new where there is none.
    #[must_use]
    pub fn between(former: Option<&Policy>, next: &Policy) -> Self {
        let former_rules = former.map_or(&[][..], |policy| &policy.rules);
        let before = by_id(former_rules);
        let after = by_id(&next.rules);
        let modes_differ = former.is_some_and(|former| former.mode != next.mode);
        let changed = next.rules.iter().filter_map(|rule| {
            let fields = fields::changes(before.get(&*rule.id)?, rule, modes_differ);
            (!fields.is_empty()).then(|| ChangedRule {
                rule: rule.into(),
                fields,
            })
        });
        let only = |rules: &[Rule], others: &HashMap<&str, &Rule>| -> Vec<RuleName> {
            let rules = rules.iter();
            rules
                .filter(|rule| !others.contains_key(&*rule.id))
                .map(RuleName::from)
                .collect()
        };
        Self {
            settings: former
                .map(|former| settings::changes(former, next))
                .unwrap_or_default(),
            added: only(&next.rules, &before),
            removed: only(former_rules, &after),
            changed: changed.collect(),
            moved: order::moves(former_rules, &next.rules),
        }
    }

    /// Whether both policies say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&Rule> for RuleName {
    fn from(rule: &Rule) -> Self {
        Self {
            id: rule.id.clone(),
            interface: rule.interface.clone(),
            direction: rule.direction,
            action: rule.action,
            line: rule.line,
        }
    }
}

fn by_id(rules: &[Rule]) -> HashMap<&str, &Rule> {
    rules.iter().map(|rule| (&*rule.id, rule)).collect()
}

/// The change of one field; none if both values are the same.
fn change(field: &str, before: Option<Value>, after: Option<Value>) -> Option<FieldChange> {
    (before != after).then(|| FieldChange {
        field: field.to_owned(),
        before,
        after,
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn direction_as_word<S: Serializer>(
    direction: &Direction,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.as_str())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn action_as_word<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(action.as_str())
}
