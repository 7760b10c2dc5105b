//! What becomes of rules from one generation to the next, by their ids.

use std::collections::HashSet;

use edge_filter_ebpf::counter::Counter;
use serde::Serialize;

use super::record::Record;

/// The ids of rules, by what became of them, each list in the order of its policy.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleChanges {
    /// Enforced before and now: they keep their counts.
    pub carried: Vec<String>,
    /// Enforced from now on.
    pub new: Vec<String>,
    /// Enforced no more; what they counted is kept.
    pub gone: Vec<String>,
}

impl RuleChanges {
    /// From the generation of `before`, if one was enforced, to that of `after`.
    pub(super) fn between(before: Option<&Record>, after: &Record) -> Self {
        let (former, present) = (before.map_or_else(Vec::new, rules), rules(after));
        let known: HashSet<&str> = former.iter().copied().collect();
        let stays: HashSet<&str> = present.iter().copied().collect();
        let owned = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect();
        let (carried, new) = present.into_iter().partition(|id| known.contains(id));
        let gone = former.into_iter().filter(|id| !stays.contains(id));
        Self {
            carried: owned(carried),
            new: owned(new),
            gone: owned(gone.collect()),
        }
    }
}

/// The ids of the rules that a generation enforces, audited or not, each once.
fn rules(record: &Record) -> Vec<&str> {
    let mut seen = HashSet::new();
    // What is no rule's stands before them.
    let slots = record
        .hooks
        .iter()
        .flat_map(|hook| hook.counters.iter().skip(Counter::FIRST_RULE as usize));
    slots
        .filter_map(|slot| match &*slot.kind {
            "rule" => Some(&*slot.id),
            "audit" => slot.id.strip_prefix("audit:"),
            _ => None,
        })
        .filter(|id| seen.insert(*id))
        .collect()
}
