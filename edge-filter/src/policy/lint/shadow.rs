//! Rules that an earlier rule leaves nothing for. The comparison is with one
//! rule at a time: several that only together cover a later one go unnoticed,
//! and a warning is never wrong.

use std::collections::HashMap;

use super::super::Direction;
use super::super::diagnostic::Findings;
use super::{Rules, Seen};

/// Warns of each rule, of those that are `alive`, that cannot decide.
pub(super) fn shadowed_rules(rules: &Rules<'_>, alive: &[bool], findings: &mut Findings<'_>) {
    let mut hooks: HashMap<(&str, Direction), Vec<&Seen<'_>>> = HashMap::new();
    for (seen, alive) in rules.rules.iter().zip(alive) {
        let earlier = hooks
            .entry((&seen.rule.interface, seen.rule.direction))
            .or_default();
        if *alive && let Some(by) = earlier.iter().find(|by| by.region.holds(&seen.region)) {
            seen.warn(
                findings,
                format!(
                    "it never decides: '{}' on line {} matches all of its packets before it",
                    by.rule.id, by.rule.line
                ),
                "put it before that rule, or remove it",
            );
        } else {
            earlier.push(seen);
        }
    }
}
