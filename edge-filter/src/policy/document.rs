//! The document as written: one type per mapping of the language, field for
//! key. A value of the wrong kind is kept as [`Field::Wrong`] instead of ending
//! the reading, so that one run reports every mistake.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_yaml::Value;

/// The whole policy.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    pub(super) version: Field<Scalar>,
    pub(super) name: Field<String>,
    pub(super) mode: Field<String>,
    pub(super) interfaces: Field<Entries<Interface>>,
    pub(super) networks: Field<Entries<List<String>>>,
    pub(super) services: Field<Entries<List<Service>>>,
    pub(super) essentials: Field<Essentials>,
    pub(super) ethertypes: Field<List<Scalar>>,
    pub(super) flows: Field<Flows>,
    pub(super) default_action: Field<String>,
    pub(super) groups: Field<List<Group>>,
    pub(super) tests: Field<List<Test>>,
}

/// A role.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    pub(super) devices: Field<List<String>>,
    pub(super) outbound: Field<String>,
    pub(super) trust: Field<String>,
    pub(super) vlans: Field<List<Scalar>>,
    pub(super) protects: Field<List<String>>,
}

/// One line of a service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) protocol: Field<Scalar>,
    pub(super) ports: Field<List<Scalar>>,
}

/// What a host needs to stay on its network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Essentials {
    pub(super) arp: Field<String>,
    pub(super) nd: Field<String>,
    pub(super) mld: Field<String>,
    pub(super) icmp_errors: Field<String>,
    pub(super) link_control: Field<String>,
    pub(super) ping: Field<String>,
    pub(super) dhcp_client: Field<String>,
    pub(super) router_advertisements: Field<List<String>>,
}

/// The flow table.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Flows {
    pub(super) entries: Field<Scalar>,
}

/// A group of rules.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) name: Field<String>,
    pub(super) enabled: Field<bool>,
    pub(super) mode: Field<String>,
    pub(super) rules: Field<List<Rule>>,
}

/// A rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Rule {
    pub(super) id: Field<String>,
    pub(super) interface: Field<String>,
    pub(super) direction: Field<String>,
    pub(super) from: Field<Endpoint>,
    pub(super) to: Field<Endpoint>,
    pub(super) service: Field<OneOrMany>,
    pub(super) protocol: Field<Scalar>,
    pub(super) action: Field<String>,
    pub(super) replies: Field<String>,
    pub(super) comment: Field<String>,
    pub(super) refs: Field<List<String>>,
    pub(super) expires: Field<String>,
}

/// One side of a rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Endpoint {
    pub(super) networks: Field<List<String>>,
    pub(super) except: Field<List<String>>,
    pub(super) ports: Field<List<Scalar>>,
}

/// A packet with the verdict that it must meet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Test {
    pub(super) name: Field<String>,
    pub(super) packet: Field<Packet>,
    pub(super) expect: Field<Expect>,
}

/// A packet as people describe it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Packet {
    pub(super) interface: Field<String>,
    pub(super) direction: Field<String>,
    pub(super) protocol: Field<Scalar>,
    pub(super) from: Field<String>,
    pub(super) to: Field<String>,
    pub(super) tcp_flags: Field<String>,
}

/// What a test expects.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Expect {
    pub(super) action: Field<String>,
    pub(super) rule: Field<String>,
}

/// What stands behind a key.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// The key is there and nothing behind it.
    Empty,
    /// A value of the right kind.
    Given(T),
    /// A value of another kind.
    Wrong(Kind),
}

/// The kinds of values that YAML tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Truth,
    Number,
    Text,
    List,
    Mapping,
    Tagged,
}

/// A number or a word: what ports, protocols, VLANs and ethertypes are
/// written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    /// As YAML understood it; `None` if it is negative or not whole.
    Number(Option<u64>),
    Text(String),
}

/// The items of a list.
pub(super) type List<T> = Vec<Field<T>>;

/// A word, or a list of words.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(List<String>),
}

/// A mapping from names of the policy's own, in file order.
#[derive(Debug, Default)]
pub(super) struct Entries<T>(pub(super) Vec<(String, Field<T>)>);

impl<T> Field<T> {
    /// The value, if it is there and of the right kind.
    pub(super) fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the key is written at all.
    pub(super) fn is_written(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Some(kind) = Kind::of(&value) else {
            return Ok(Self::Empty);
        };
        // serde would fill a struct from a list, too: the first item for the
        // first field. The language has no such form.
        if kind != Kind::Mapping && !keys_of::<T>().is_empty() {
            return Ok(Self::Wrong(kind));
        }
        Ok(serde_yaml::from_value(value).map_or(Self::Wrong(kind), Self::Given))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Number(number) => Ok(Self::Number(number.as_u64())),
            Value::String(text) => Ok(Self::Text(text)),
            _ => Err(de::Error::custom("neither a number nor text")),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}

impl Kind {
    /// `None` for no value at all.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Truth),
            Value::Number(_) => Some(Self::Number),
            Value::String(_) => Some(Self::Text),
            Value::Sequence(_) => Some(Self::List),
            Value::Mapping(_) => Some(Self::Mapping),
            Value::Tagged(_) => Some(Self::Tagged),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truth => "a truth value",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Mapping => "a mapping",
            Self::Tagged => "a tagged value",
        })
    }
}

/// The keys of one of the types above, asked of serde itself so that the list
/// cannot differ from the type.
pub(super) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(AskForKeys) {
        Err(Answer::Keys(keys)) => keys,
        _ => &[],
    }
}

/// A deserializer that answers a struct's request with the struct's own keys.
struct AskForKeys;

#[derive(Debug)]
enum Answer {
    Keys(&'static [&'static str]),
    Other,
}

impl<'de> Deserializer<'de> for AskForKeys {
    type Error = Answer;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Answer> {
        Err(Answer::Keys(fields))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Answer> {
        Err(Answer::Other)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no document was read")
    }
}

impl std::error::Error for Answer {}

impl de::Error for Answer {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::Other
    }
}
