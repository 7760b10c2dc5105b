//! Policy words in JSON.

macro_rules! word {
    ($name:ident, $type:ident: $($value:ident),+) => {
        pub(in crate::generation) mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            use crate::policy::$type;
            pub(in crate::generation) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(value.as_str())
            }

            pub(in crate::generation) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let word = String::deserialize(deserializer)?;
                [$($type::$value),+]
                    .into_iter()
                    .find(|value| value.as_str() == word)
                    .ok_or_else(|| D::Error::custom(format!("unknown word {word}")))
            }
        }
    };
}

word!(direction, Direction: Inbound, Outbound);
word!(action, Action: Allow, Drop);
