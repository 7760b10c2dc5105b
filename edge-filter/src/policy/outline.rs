//! Where everything in a policy stands. serde keeps no positions, so a second
//! parser lays out the same text as a tree of places, for messages and for
//! scalars as they were typed. It also refuses the parts of YAML that make a
//! policy ambiguous (YAML 1.2.2): anchors, aliases, tags, repeated keys, and
//! a second document.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use serde_yaml::Value;

use super::diagnostic::{Findings, Mark};

/// How deep collections may nest. The language itself needs eight levels.
const MAX_DEPTH: usize = 24;

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The text as YAML unescapes it, before it is taken for a number.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug)]
struct Entry {
    key: String,
    mark: Mark,
    value: Node,
}

/// A collection whose end has not been seen.
struct Open {
    mark: Mark,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: HashMap<String, Mark>,
        key: Option<(String, Mark)>,
    },
}

impl Node {
    /// The value of `key`, or the mapping itself where it has none.
    pub(super) fn get(&self, key: &str) -> &Self {
        self.entry(key).map_or(self, |entry| &entry.value)
    }

    /// Where `key` itself stands, or else the mapping.
    pub(super) fn key(&self, key: &str) -> Mark {
        self.entry(key).map_or(self.mark, |entry| entry.mark)
    }

    /// The item of a list, or the value of a mapping's entry, by its place.
    pub(super) fn at(&self, index: usize) -> &Self {
        match &self.content {
            Content::List(items) => items.get(index),
            Content::Map(entries) => entries.get(index).map(|entry| &entry.value),
            Content::Scalar(_) => None,
        }
        .unwrap_or(self)
    }

    /// Where the key of a mapping's entry stands, by its place.
    pub(super) fn key_at(&self, index: usize) -> Mark {
        match &self.content {
            Content::Map(entries) => entries.get(index).map_or(self.mark, |entry| entry.mark),
            _ => self.mark,
        }
    }

    /// The keys of a mapping, each with its place.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, Mark)> {
        let entries = match &self.content {
            Content::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| (entry.key.as_str(), entry.mark))
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// A scalar as it was typed, without its quotes.
    pub(super) fn typed(&self) -> &str {
        match &self.content {
            Content::Scalar(text) => text,
            _ => "",
        }
    }

    /// The first place where serde read something else than stands here. Both
    /// parsers are believed, the one for values and the other for places, so
    /// they must have read the same.
    pub(super) fn differs(&self, value: &Value) -> Option<Mark> {
        let differs = match (&self.content, value) {
            (Content::List(items), Value::Sequence(values)) if items.len() == values.len() => {
                return items
                    .iter()
                    .zip(values)
                    .find_map(|(item, value)| item.differs(value));
            }
            (Content::Map(entries), Value::Mapping(values)) if entries.len() == values.len() => {
                return entries
                    .iter()
                    .zip(values)
                    .find_map(|(entry, (key, value))| {
                        let other = key.as_str() != Some(entry.key.as_str());
                        if other {
                            Some(entry.mark)
                        } else {
                            entry.value.differs(value)
                        }
                    });
            }
            (Content::Scalar(typed), Value::String(text)) => typed != text,
            (Content::Scalar(typed), Value::Null) => {
                !matches!(typed.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            (Content::Scalar(typed), Value::Bool(_) | Value::Number(_)) => {
                serde_yaml::from_str::<Value>(typed).ok().as_ref() != Some(value)
            }
            _ => true,
        };
        differs.then_some(self.mark)
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// Lays out a policy's text. `None` if it holds nothing but comments, or if
/// something was found that makes reading on pointless.
pub(super) fn outline(text: &str, findings: &mut Findings<'_>) -> Option<Node> {
    let mut builder = Builder {
        findings,
        open: Vec::new(),
        root: None,
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.syntax_error(&error);
                return None;
            }
        };
        let mark = place(span.start);
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    builder.findings.help(
                        mark,
                        "a second YAML document begins here; a policy is one document",
                        "remove the '---' line, or put the second policy into a file of its own",
                    );
                    return None;
                }
            }
            Event::Alias(_) => {
                builder.findings.help(
                    mark,
                    "an alias ('*') is not taken in a policy",
                    "give what is used twice a name under 'networks' or 'services'",
                );
                builder.value(
                    Node {
                        mark,
                        content: Content::Scalar(String::new()),
                    },
                    true,
                );
            }
            Event::Scalar(text, style, anchor, tag) => {
                builder.no_anchor_or_tag(mark, anchor, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                builder.value(
                    Node {
                        mark,
                        content: Content::Scalar(text.into_owned()),
                    },
                    plain,
                );
            }
            Event::SequenceStart(anchor, tag) => {
                builder.no_anchor_or_tag(mark, anchor, tag.is_some());
                builder.begin(mark, OpenContent::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                builder.no_anchor_or_tag(mark, anchor, tag.is_some());
                let (entries, seen) = (Vec::new(), HashMap::new());
                builder.begin(
                    mark,
                    OpenContent::Map {
                        entries,
                        seen,
                        key: None,
                    },
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    builder.root
}

struct Builder<'f, 'a> {
    findings: &'f mut Findings<'a>,
    open: Vec<Open>,
    root: Option<Node>,
}

impl Builder<'_, '_> {
    fn begin(&mut self, mark: Mark, content: OpenContent) -> Option<()> {
        if let Some(Open {
            content: OpenContent::Map { key: None, .. },
            ..
        }) = self.open.last()
        {
            self.findings.help(
                mark,
                "a list or a mapping stands where the name of a key is expected",
                "a key is a plain word followed by a colon",
            );
            return None;
        }
        if self.open.len() == MAX_DEPTH {
            self.findings.say(
                mark,
                format!("more than {MAX_DEPTH} lists and mappings inside each other"),
            );
            return None;
        }
        self.open.push(Open { mark, content });
        Some(())
    }

    fn end(&mut self) {
        let Some(Open { mark, content }) = self.open.pop() else {
            return;
        };
        let content = match content {
            OpenContent::List(items) => Content::List(items),
            OpenContent::Map { entries, .. } => Content::Map(entries),
        };
        self.value(Node { mark, content }, false);
    }

    /// Takes a finished node: as a key, as a value, as an item, or as the root.
    fn value(&mut self, node: Node, plain: bool) {
        let Some(Open { content, .. }) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match content {
            OpenContent::List(items) => items.push(node),
            OpenContent::Map { entries, seen, key } => {
                if let Some((key, mark)) = key.take() {
                    entries.push(Entry {
                        key,
                        mark,
                        value: node,
                    });
                    return;
                }
                let (name, mark) = (node.typed().to_owned(), node.mark);
                if let Some(first) = seen.insert(name.clone(), mark) {
                    self.findings.help(
                        mark,
                        format!("the key '{name}' stands here a second time"),
                        format!("the first is on line {}; keep one of them", first.line),
                    );
                }
                if plain && !is_text(&name) {
                    self.findings.help(
                        mark,
                        format!("the key '{name}' is not text to YAML"),
                        format!("write it in quotes: \"{name}\""),
                    );
                }
                *key = Some((name, mark));
            }
        }
    }

    fn no_anchor_or_tag(&mut self, mark: Mark, anchor: usize, tag: bool) {
        if anchor != 0 {
            self.findings.help(
                mark,
                "an anchor ('&') is not taken in a policy",
                "give what is used twice a name under 'networks' or 'services'",
            );
        }
        if tag {
            self.findings.help(
                mark,
                "a tag ('!') is not taken in a policy",
                "remove it, or write the value in quotes if it begins with '!'",
            );
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        self.findings.help(
            place(*error.marker()),
            format!("this is not YAML: {}", error.info()),
            "look at the indentation (spaces only), quotes, brackets and colons here and \
             on the line before",
        );
    }
}

/// Whether YAML takes an unquoted word for text rather than for a number, a
/// truth value or nothing.
fn is_text(word: &str) -> bool {
    matches!(serde_yaml::from_str(word), Ok(Value::String(_)))
}

fn place(marker: Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Severity;
    use super::*;

    fn outlined(text: &str) -> Node {
        let mut findings = Findings::new("p.yaml", Severity::Error);
        let node = outline(text, &mut findings).unwrap();
        assert_eq!(findings.into_sorted(), []);
        node
    }

    #[test]
    fn places_are_counted_from_one_and_in_characters() {
        let root = outlined("a: 1\nb:\n  - \u{e4}\u{20ac}\n  - { c: \u{e4}, d: x }\n");
        assert_eq!(root.get("a").mark, Mark { line: 1, column: 4 });
        assert_eq!(root.get("b").at(0).mark, Mark { line: 3, column: 5 });
        let map = root.get("b").at(1);
        assert_eq!(map.mark, Mark { line: 4, column: 5 });
        assert_eq!(
            map.key("d"),
            Mark {
                line: 4,
                column: 13
            }
        );
        assert_eq!(map.get("d").typed(), "x");
        assert_eq!(map.get("absent").mark, map.mark);
    }

    #[test]
    fn both_parsers_read_what_policies_are_made_of_alike() {
        let text = "a: [0x1bb, \"443\", 050, 1e3, ~, true, no, 1_000, '', .5, 2027-06-30]\n\
                    b: >-\n  one\n  two\nc:\nd: { \"e\\u0041\": x }\nf: 'it''s'\n";
        let value: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(outlined(text).differs(&value), None);
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        let root = outlined("a: 1\nb: [x, y]\n");
        for (other, line) in [
            ("a: 2\nb: [x, y]", 1),
            ("a: 1\nb: [x, z]", 2),
            ("a: 1\nc: []", 2),
        ] {
            let value = serde_yaml::from_str(other).unwrap();
            assert_eq!(root.differs(&value).unwrap().line, line, "{other}");
        }
    }
}
