//! The generations that were committed: what `rollback` goes back to. The newest of them
//! holds the last good policy.
//!
//! Each names the one before it, which is not always the number before: a rollback takes
//! its policy's place in the history, and what it went back over is not before it. Trials
//! are no part of it.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Instance;
use super::attached::enforces_everywhere;
use super::files::Staged;
use super::plan::add;
use super::record::{PolicyRecord, Record, VERSION, is_false};
use super::sites::Sites;
use crate::kernel::KernelError;

/// How many generations one can go back.
pub const STEPS: usize = 10;

/// A generation that was committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Committed {
    pub(super) version: u32,
    /// Its number.
    pub generation: u64,
    /// The generation that one step back leads to; none from the first.
    pub before: Option<u64>,
    /// The generation whose policy was taken up again; none if it was a policy's file.
    #[serde(default)]
    pub restores: Option<u64>,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Its policy.
    pub policy: PolicyRecord,
    /// Where its programs might run.
    pub sites: Sites,
    /// The devices of each role, by the names that they had.
    pub devices: BTreeMap<String, Vec<String>>,
    /// Whether its policy is that of last resort: it is kept for as long as it is enforced,
    /// and nobody goes back to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last_resort: bool,
}

impl Committed {
    pub(super) fn of(record: &Record, before: Option<u64>) -> Self {
        let mut devices: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for hook in &record.hooks {
            add(&mut devices, &hook.interface, &hook.device);
        }
        for (role, absent) in &record.absent {
            let of_role = devices.entry(role.clone()).or_default();
            of_role.extend(absent.iter().cloned());
        }
        Self {
            version: VERSION,
            generation: record.generation,
            before,
            restores: record.restores,
            applied_at: record.applied_at,
            policy: record.policy.clone(),
            sites: record.sites,
            devices,
            last_resort: record.last_resort,
        }
    }
}

/// Writes what the history will hold of the generation of `record`, before anything
/// changes: it would be too late to find that there is no room.
///
/// # Errors
/// The history cannot be read or written.
pub(super) fn stage(instance: &Instance, record: &Record) -> Result<Staged, KernelError> {
    let history = instance.state.history()?;
    let before = match record.repairs.or(record.restores) {
        Some(other) => find(&history, other).and_then(|other| other.before),
        None => after(&history),
    };
    instance.state.stage(&Committed::of(record, before))
}

/// What one step back from whatever is applied after all of `history` leads to.
fn after(history: &[Committed]) -> Option<u64> {
    let newest = history.first()?;
    if newest.last_resort {
        newest.before
    } else {
        Some(newest.generation)
    }
}

/// What the history held of the generation of `record`, as far as what is left of it tells.
pub(super) fn recover(record: &Record, history: &[Committed]) -> Committed {
    let left: Vec<Committed> = history
        .iter()
        .filter(|committed| committed.generation < record.generation)
        .cloned()
        .collect();
    let mut others = record.repairs.into_iter().chain(record.restores);
    let other = others.find_map(|other| find(&left, other));
    let before = match (other, record.restores) {
        (Some(other), _) => other.before,
        // What a repair took the place of is not kept; nor is it known what was rolled back over.
        (None, Some(_)) => None,
        (None, None) => after(&left),
    };
    Committed::of(record, before)
}

/// Enters the generation of `record`, which enforces everywhere, into the history, and
/// drops what is too old. A repair takes the place of the generation that it repairs, and
/// whatever is enforced next that of the policy of last resort.
///
/// # Errors
/// The history cannot be read or written.
pub(super) fn commit(
    instance: &Instance,
    record: &Record,
    staged: Staged,
) -> Result<(), KernelError> {
    staged.put()?;
    let history = instance.state.history()?;
    let kept = worth_keeping(&history);
    let is_old = |old: &&Committed| {
        let is_replaced = old.last_resort && old.generation != record.generation;
        !kept.contains(&old.generation) || is_replaced || record.repairs == Some(old.generation)
    };
    for old in history.iter().filter(is_old) {
        instance.state.forget(old.generation)?;
    }
    Ok(())
}

/// Enters the newest generation into the history if the process that applied it was ended
/// when it had only that left to do.
///
/// # Errors
/// The kernel or the state directory cannot be read, or the history cannot be written.
pub(super) fn catch_up(instance: &Instance) -> Result<(), KernelError> {
    let records = instance.state.records()?;
    let Some(newest) = records.first().filter(|record| record.trial.is_none()) else {
        return Ok(());
    };
    let history = instance.state.history()?;
    if find(&history, newest.generation).is_some() || !enforces_everywhere(instance, newest)? {
        return Ok(());
    }
    commit(instance, newest, stage(instance, newest)?)
}

/// The generation of that number, if it is kept.
#[must_use]
pub fn find(history: &[Committed], generation: u64) -> Option<&Committed> {
    history
        .iter()
        .find(|committed| committed.generation == generation)
}

/// The newest generation, the one before it, and so on: what rollbacks of 1, 2, … steps
/// lead to is what follows the first.
pub fn walk(history: &[Committed]) -> impl Iterator<Item = &Committed> {
    std::iter::successors(history.first(), |committed| {
        // An older one always, whatever a file may say.
        let before = committed
            .before
            .filter(|&before| before < committed.generation)?;
        find(history, before)
    })
}

/// The last generations by time and by steps.
fn worth_keeping(history: &[Committed]) -> HashSet<u64> {
    let by_time = history.iter().take(STEPS + 1);
    let by_steps = walk(history).take(STEPS + 1);
    by_time
        .chain(by_steps)
        .map(|committed| committed.generation)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(generation: u64, before: Option<u64>) -> Committed {
        let policy = PolicyRecord {
            name: format!("policy {generation}"),
            hash: String::new(),
            text: String::new(),
        };
        let record = Record::new(generation, policy, Sites::default());
        Committed::of(&record, before)
    }

    fn numbers<'h>(history: impl Iterator<Item = &'h Committed>) -> Vec<u64> {
        history.map(|committed| committed.generation).collect()
    }

    #[test]
    fn what_was_rolled_back_over_is_not_before() {
        // 1, 2 and 3 were applied, 4 went back to 2, and 5 was applied then.
        let history = [
            committed(5, Some(4)),
            committed(4, Some(1)),
            committed(3, Some(2)),
            committed(2, Some(1)),
            committed(1, None),
        ];
        assert_eq!(numbers(walk(&history)), [5, 4, 1]);
        assert_eq!(numbers(walk(&history[1..])), [4, 1]);
        assert_eq!(worth_keeping(&history).len(), 5);
    }

    #[test]
    fn what_the_history_has_lost_leads_back_as_far_as_is_known() {
        let history = [committed(2, Some(1)), committed(1, None)];
        let recovered = |repairs, restores| {
            let policy = committed(5, None).policy;
            let mut record = Record::new(5, policy, Sites::default());
            (record.repairs, record.restores) = (repairs, restores);
            recover(&record, &history).before
        };
        assert_eq!(recovered(None, None), Some(2));
        // A repair of one that is not kept any more, and of one that is.
        assert_eq!(recovered(Some(3), None), Some(2));
        assert_eq!(recovered(Some(2), None), Some(1));
        // A rollback, and a repair of it.
        assert_eq!(recovered(None, Some(2)), Some(1));
        assert_eq!(recovered(Some(4), Some(2)), Some(1));
        // What was gone back over is not known.
        assert_eq!(recovered(None, Some(3)), None);
    }

    #[test]
    fn nobody_goes_back_to_the_policy_of_last_resort() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let instance = Instance::new(path.join("pins"), path.join("state"), path);
        let policy = committed(1, None).policy;
        let enforce = |generation, last_resort, repairs| {
            let mut record = Record::new(generation, policy.clone(), Sites::default());
            record.last_resort = last_resort;
            record.repairs = repairs;
            commit(&instance, &record, stage(&instance, &record).unwrap()).unwrap();
            instance.state.history().unwrap()
        };
        enforce(1, false, None);
        enforce(2, false, None);
        let closed = enforce(3, true, None);
        assert_eq!(numbers(closed.iter()), [3, 2, 1]);
        enforce(4, true, Some(3));
        let opened = enforce(5, false, None);
        assert_eq!(numbers(opened.iter()), [5, 2, 1]);
        assert_eq!(numbers(walk(&opened)), [5, 2, 1]);
    }

    #[test]
    fn ten_steps_are_kept_and_no_more() {
        let history: Vec<Committed> = (1..=20)
            .rev()
            .map(|number| committed(number, (number > 1).then(|| number - 1)))
            .collect();
        let mut kept: Vec<u64> = worth_keeping(&history).into_iter().collect();
        kept.sort_unstable();
        assert_eq!(kept, (10..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_history_that_leads_in_a_circle_ends() {
        let history = [committed(2, Some(3)), committed(1, Some(1))];
        assert_eq!(numbers(walk(&history)), [2]);
        assert_eq!(numbers(walk(&history[1..])), [1]);
    }
}
