//! The small questions that every mapping asks of its fields: is it there, is
//! it of the right kind, is it one of the known words, is it a proper name.

use serde::de::DeserializeOwned;

use super::super::diagnostic::{Findings, Mark, alternatives, nearest, suggest};
use super::super::document::{self, Entries, Field, Kind, OneOrMany, Scalar, keys_of};
use super::super::outline::Node;
use super::super::ports::decimal;
use super::super::rule::{Action, Direction};
use super::super::{Mode, Outbound, Trust};

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// What a field holds, in the words of a message.
pub(super) trait Expected {
    const EXPECTED: &str;
}

/// An enumeration that policies spell in words.
pub(in crate::policy) trait Word: Copy + 'static {
    const WORDS: &[(&str, Self)];
}

macro_rules! expected {
    ($($type:ty => $expected:literal),+ $(,)?) => {
        $(impl Expected for $type { const EXPECTED: &str = $expected; })+
    };
}

expected! {
    String => "text",
    bool => "true or false",
    Scalar => "a number or a word",
    OneOrMany => "a name or a list of names",
    document::Interface => "a mapping",
    document::Service => "a mapping such as { protocol: tcp, ports: [443] }",
    document::Essentials => "a mapping",
    document::Flows => "a mapping",
    document::Group => "a mapping",
    document::Rule => "a mapping",
    document::Endpoint => "a mapping such as { networks: [any] }",
    document::Test => "a mapping",
    document::Packet => "a mapping",
    document::Expect => "a mapping such as { action: allow }",
}

impl<T> Expected for Vec<T> {
    const EXPECTED: &str = "a list";
}

impl<T> Expected for Entries<T> {
    const EXPECTED: &str = "a mapping";
}

impl Word for Action {
    const WORDS: &[(&str, Self)] = &[("allow", Self::Allow), ("drop", Self::Drop)];
}

impl Word for Direction {
    const WORDS: &[(&str, Self)] = &[("inbound", Self::Inbound), ("outbound", Self::Outbound)];
}

impl Word for Outbound {
    const WORDS: &[(&str, Self)] = &[
        ("enforce", Self::Enforce),
        ("track", Self::Track),
        ("ignore", Self::Ignore),
    ];
}

impl Word for Trust {
    const WORDS: &[(&str, Self)] = &[("untrusted", Self::Untrusted), ("trusted", Self::Trusted)];
}

impl Word for Mode {
    const WORDS: &[(&str, Self)] = &[("enforce", Self::Enforce), ("audit", Self::Audit)];
}

impl Findings<'_> {
    /// Refuses the keys of a mapping that its type does not know.
    pub(super) fn unknown_keys<T: DeserializeOwned>(&mut self, node: &Node, of: &str) {
        let known = keys_of::<T>();
        for (key, mark) in node.keys() {
            if !known.contains(&key) {
                self.add(
                    mark,
                    format!("{of} has no key '{key}'"),
                    suggest(key, known.iter().copied()),
                );
            }
        }
    }

    /// A field that must be there.
    pub(super) fn required<'d, T: Expected>(
        &mut self,
        field: &'d Field<T>,
        node: &Node,
        key: &str,
        of: &str,
    ) -> Option<&'d T> {
        if !field.is_written() {
            self.say(node.mark, format!("{of} has no '{key}', and needs one"));
        }
        self.optional(field, node, key)
    }

    /// A field that may be absent, and if not must be of the right kind.
    pub(super) fn optional<'d, T: Expected>(
        &mut self,
        field: &'d Field<T>,
        node: &Node,
        key: &str,
    ) -> Option<&'d T> {
        match field {
            Field::Absent => None,
            Field::Given(value) => Some(value),
            Field::Empty => {
                self.help(
                    node.key(key),
                    format!(
                        "nothing stands behind '{key}', where {} is expected",
                        T::EXPECTED
                    ),
                    format!("write a value, or remove '{key}'"),
                );
                None
            }
            Field::Wrong(kind) => {
                self.wrong::<T>(*kind, node.get(key), &format!("'{key}'"));
                None
            }
        }
    }

    /// An item of a list or an entry of a mapping: it must have a value.
    pub(super) fn item<'d, T: Expected>(
        &mut self,
        field: &'d Field<T>,
        node: &Node,
        what: &str,
    ) -> Option<&'d T> {
        match field {
            Field::Given(value) => Some(value),
            Field::Absent | Field::Empty => {
                self.help(
                    node.mark,
                    format!("{what} is empty, where {} is expected", T::EXPECTED),
                    "write a value, or remove it",
                );
                None
            }
            Field::Wrong(kind) => {
                self.wrong::<T>(*kind, node, what);
                None
            }
        }
    }

    fn wrong<T: Expected>(&mut self, kind: Kind, node: &Node, what: &str) {
        let help = match (kind, T::EXPECTED) {
            (Kind::Number | Kind::Truth, "text") => Some(format!(
                "YAML takes it for {kind}; write it in quotes: \"{}\"",
                node.typed()
            )),
            (Kind::Text | Kind::Number, "a list") => {
                Some(format!("write it in brackets: [{}]", node.typed()))
            }
            (Kind::Text, "true or false") => Some(format!(
                "YAML takes '{}' for text; write true or false",
                node.typed()
            )),
            _ => None,
        };
        self.add(
            node.mark,
            format!("{what} is {kind}, where {} is expected", T::EXPECTED),
            help,
        );
    }

    /// One of the words of an enumeration.
    fn word<E: Word>(&mut self, text: &str, mark: Mark, key: &str) -> Option<E> {
        let found = E::WORDS.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = E::WORDS.iter().map(|(word, _)| *word).collect();
            self.add(
                mark,
                format!(
                    "'{text}' is not a value of '{key}', which is {}",
                    alternatives(&words)
                ),
                nearest(text, words.iter().copied()),
            );
        }
        found.map(|(_, value)| *value)
    }

    /// A word that may be absent.
    pub(super) fn optional_word<E: Word>(
        &mut self,
        field: &Field<String>,
        node: &Node,
        key: &str,
    ) -> Option<E> {
        if let Field::Wrong(kind) = field {
            let words: Vec<&str> = E::WORDS.iter().map(|(word, _)| *word).collect();
            self.say(
                node.get(key).mark,
                format!(
                    "'{key}' is {kind}, where {} is expected",
                    alternatives(&words)
                ),
            );
            return None;
        }
        let text = self.optional(field, node, key)?;
        self.word(text, node.get(key).mark, key)
    }

    /// A word that must be there.
    pub(super) fn required_word<E: Word>(
        &mut self,
        field: &Field<String>,
        node: &Node,
        key: &str,
        of: &str,
    ) -> Option<E> {
        if !field.is_written() {
            self.say(node.mark, format!("{of} has no '{key}', and needs one"));
        }
        self.optional_word(field, node, key)
    }

    /// A whole number in plain decimal digits. Other notations of YAML (0x1f,
    /// 1e3, 010) are refused: people and programs read them differently.
    pub(super) fn number(&mut self, scalar: &Scalar, node: &Node, what: &str) -> Option<u64> {
        let typed = node.typed();
        let value = decimal(typed);
        match (scalar, value) {
            (Scalar::Number(Some(number)), Some(value)) if *number == value => Some(value),
            (Scalar::Text(_), Some(value)) => Some(value),
            _ => {
                self.help(
                    node.mark,
                    format!("{what} is '{typed}', which is not a whole number"),
                    "write it in plain decimal digits, without a sign or leading zeros",
                );
                None
            }
        }
    }

    /// A name: of a rule, a group, a role, a network or a service.
    pub(super) fn name(&mut self, name: &str, mark: Mark, of: &str) -> bool {
        let body = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        };
        let bytes = name.as_bytes();
        let shape = bytes.iter().all(|byte| body(*byte))
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric);
        if !shape {
            self.help(
                mark,
                format!("{} cannot be {of}", quoted(name)),
                "names are lower-case letters, digits, '.', '_' and '-', and begin with a \
                 letter or a digit",
            );
        } else if bytes.len() > MAX_NAME {
            self.help(
                mark,
                format!("{of} is {} bytes long", bytes.len()),
                format!("names are at most {MAX_NAME} bytes"),
            );
        }
        shape && bytes.len() <= MAX_NAME
    }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{text}'")
}
