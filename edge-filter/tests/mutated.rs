//! The shipped policies with bytes changed at random: whatever comes out, the
//! reader answers, and what it answers with stands in the file.

use edge_filter::policy::{Severity, read};
use proptest::prelude::*;
use proptest::sample::Index;

const SHIPPED: [&str; 2] = [
    include_str!("../../config/lync-2013-port-summary.yaml"),
    include_str!("../../config/lync-2013-edge.yaml"),
];

const TODAY: jiff::civil::Date = jiff::civil::date(2027, 6, 30);

/// One change to a text.
#[derive(Debug, Clone)]
enum Edit {
    /// Another byte in this place.
    Replace(Index, u8),
    /// Nothing from this place on, for so many bytes.
    Remove(Index, usize),
    /// A piece of YAML in this place.
    Insert(Index, &'static str),
    /// Two lines exchanged.
    Swap(Index, Index),
}

/// Pieces that mean something to YAML or to the language.
const PIECES: [&str; 24] = [
    "\n",
    "\t",
    "  ",
    ":",
    "- ",
    "&a ",
    "*a",
    "!x ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "|\n",
    "#",
    "---\n",
    "\u{feff}",
    "\0",
    "~",
    "0x1bb",
    "any",
    "::ffff:1.2.3.4",
    "-1",
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<Index>(), 1..200_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), prop::sample::select(PIECES.as_slice()))
            .prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Edit::Swap(one, other)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for edit in edits {
        let length = bytes.len();
        match edit {
            _ if length == 0 => break,
            Edit::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Edit::Remove(at, count) => {
                let from = at.index(length);
                bytes.drain(from..length.min(from + count));
            }
            Edit::Insert(at, piece) => {
                let at = at.index(length);
                bytes.splice(at..at, piece.bytes());
            }
            Edit::Swap(one, other) => {
                let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
                let count = lines.len();
                lines.swap(one.index(count), other.index(count));
                bytes = lines.join(&b'\n');
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_policy_is_read_or_refused_and_never_more_than_that(
        which in 0..SHIPPED.len(),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let text = apply(SHIPPED[which], &edits);
        match read("mutated.yaml", &text, TODAY) {
            Ok(checked) => {
                for warning in &checked.warnings {
                    prop_assert_eq!(warning.severity, Severity::Warning);
                }
                let ids: std::collections::BTreeSet<_> =
                    checked.policy.rules.iter().map(|rule| &rule.id).collect();
                prop_assert_eq!(ids.len(), checked.policy.rules.len());
            }
            Err(found) => {
                let places: Vec<_> = found.iter().map(|one| (one.line, one.column)).collect();
                prop_assert!(!places.is_empty());
                prop_assert!(places.is_sorted());
                // Every break that YAML 1.1 or 1.2 knows ends a line.
                let breaks = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
                let lines = text.matches(breaks).count() + 2;
                for (line, column) in places {
                    prop_assert!((1..=lines).contains(&line) && column >= 1, "{}:{}", line, column);
                }
                prop_assert!(found.iter().all(|one| one.severity == Severity::Error));
            }
        }
    }

    #[test]
    fn any_text_at_all_is_answered(text in "\\PC{0,80}|[-\\[\\]{}:,&*!#|>'\"%@ \n\ta-c0-1]{0,120}") {
        prop_assert!(read("text.yaml", &text, TODAY).is_err());
    }
}

/// The search for shadowed rules compares rules in pairs: it must stay small
/// beside the policies that people have.
#[test]
fn a_policy_of_ten_thousand_rules_is_read_in_a_moment() {
    use std::fmt::Write;

    let mut text = "version: 1\nname: large\ninterfaces: { external: { vlans: [untagged] } }\n\
                    default_action: drop\ngroups:\n  - name: all\n    rules:\n"
        .to_owned();
    for rule in 0..10_000_u32 {
        let [_, _, high, low] = rule.to_be_bytes();
        writeln!(
            text,
            "      - {{ id: r{rule}, interface: external, direction: inbound, protocol: udp, \
             to: {{ networks: [198.18.{high}.{low}], ports: [{}] }}, action: allow }}",
            1 + rule
        )
        .unwrap();
    }
    let begin = std::time::Instant::now();
    let checked = read("large.yaml", &text, TODAY).unwrap();
    let took = begin.elapsed();
    assert_eq!(checked.policy.rules.len(), 10_000);
    assert_eq!(checked.warnings, []);
    assert!(took.as_secs() < 30, "{took:?}");
}
