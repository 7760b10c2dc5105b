//! From one generation to the next: everything is loaded first, then the
//! devices change hands one by one, and any failure takes all of it back.

use std::time::Duration;

use super::applied::Applied;
use super::attached::enforced;
use super::change::Former;
use super::flows::Flows;
use super::last_good::without_damage;
use super::next::Next;
use super::plan::{Absent, HookPlan};
use super::planned::Planned;
use super::record::{Record, TrialRecord};
use super::sites::Sites;
use super::{Instance, emergency, history, leftovers, owner};
use crate::kernel::{KernelError, signals};
use crate::policy::Policy;

/// A policy and what it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// Its text.
    pub text: &'p str,
}

/// How a policy takes the place of another.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// Where its programs may run.
    pub(super) sites: Sites,
    /// For how long, unless it is confirmed.
    pub(super) trial: Option<Duration>,
    /// The generation whose policy it is.
    pub(super) restores: Option<u64>,
    /// The trial that it confirms, if that is not over.
    pub(super) confirms: Option<TrialRecord>,
    /// The trial that it goes on with, to the same deadline.
    pub(super) continues: Option<TrialRecord>,
    /// The generation that it repairs. Devices that it cannot see stay filtered.
    pub(super) repairs: Option<u64>,
    /// The devices that are not there.
    pub(super) absent: Absent,
    /// Whether its programs say what becomes of frames.
    pub(super) diagnostics: bool,
    /// Whether it is the policy of last resort, by which no emergency ends, and to which
    /// nobody goes back.
    pub(super) last_resort: bool,
}

impl Manner {
    /// Whether it holds for some time only.
    pub(super) fn is_trial(&self) -> bool {
        self.trial.is_some() || self.continues.is_some()
    }
}

/// Applies `plans`, the hooks of the policy of `source`; with `trial`, only for so long,
/// unless it is confirmed in time; as `planned`, only if that still holds. Files of the state
/// directory that are damaged are set aside, unless it is a trial.
///
/// # Errors
/// Whatever failed; what was enforced before is enforced still.
pub fn apply(
    instance: &Instance,
    source: Source<'_>,
    plans: Vec<HookPlan>,
    sites: Sites,
    trial: Option<Duration>,
    planned: Option<&Planned>,
) -> Result<Applied, KernelError> {
    let is_trial = trial.is_some();
    let manner = Manner {
        sites,
        trial,
        ..Manner::default()
    };
    let apply = || {
        if let Some(planned) = planned {
            planned.must_hold(instance, &plans)?;
        }
        enforce(instance, source, plans, manner)
    };
    locked(instance, || {
        // A trial sets nothing aside: what was committed still counts.
        if is_trial {
            apply()
        } else {
            without_damage(instance, apply)
        }
    })
}

/// Does `work`, which nobody else does at the same time.
pub(super) fn locked<T>(
    instance: &Instance,
    work: impl FnOnce() -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    let fresh = !instance.pins.exists();
    owner::check(instance)?;
    let lock = instance.pins.lock()?;
    let _ = emergency::settle(&instance.state);
    // What it cannot clear away is in nobody's way, and is named by what follows if it is.
    let _ = leftovers::clear(instance);
    let result = work();
    if result.is_err() && fresh {
        // Nothing of this instance was there before.
        let _ = instance.pins.remove();
    }
    drop(lock);
    result
}

/// Enforces a policy. The caller holds the lock.
///
/// # Errors
/// As [`apply`].
pub(super) fn enforce(
    instance: &Instance,
    source: Source<'_>,
    plans: Vec<HookPlan>,
    manner: Manner,
) -> Result<Applied, KernelError> {
    instance.state.sweep()?;
    history::catch_up(instance)?;
    let records = instance.state.records()?;
    let before = enforced(instance)?;
    let generation = next_generation(instance, &records)?;
    let committed = instance.state.history()?.into_iter().next();
    let committed = committed.and_then(|committed| {
        let mut records = records.iter();
        records.find(|record| record.generation == committed.generation)
    });
    let mut former = Former::all(instance)?;
    let on_trial = manner.is_trial();
    let flows = Flows::prepare(
        instance,
        source.policy,
        generation,
        table_before(&records, on_trial),
        on_trial,
    )?;
    let mut next = Next::new(instance, source, generation, manner, flows);
    let loaded = next
        .load(plans, &mut former)
        .and_then(|()| next.load_opened(&mut former, &records));
    next.warn_of_open_sides(committed);
    // In the middle of what follows, one would leave both policies in force.
    let _held = signals::hold();
    match loaded.and_then(|()| next.swap()) {
        Ok(record) => Ok(next.settle(former, &record, before.as_ref())),
        Err(error) => {
            next.take_back();
            Err(error)
        }
    }
}

/// The generation that made the flow table which the next one goes on with. A trial goes
/// on with that of the generation that decides afterwards.
fn table_before(records: &[Record], on_trial: bool) -> Option<u64> {
    let mut committed = records.iter().filter(|record| record.trial.is_none());
    let decides_afterwards = committed.next().filter(|_| on_trial);
    let tables = [decides_afterwards, records.first()];
    tables.into_iter().flatten().find_map(|record| record.flows)
}

/// No generation's number is used twice.
fn next_generation(instance: &Instance, records: &[Record]) -> Result<u64, KernelError> {
    let recorded = records.first().map(|record| record.generation);
    let (counters, attachments, tables) = (
        instance.pins.pinned_counters()?,
        instance.pins.attachments()?,
        instance.pins.flow_tables()?,
    );
    let last = recorded
        .into_iter()
        .chain(counters.iter().map(|(generation, ..)| *generation))
        .chain(attachments.iter().map(|pin| pin.generation))
        .chain(tables.iter().map(|(generation, _)| *generation))
        .chain([
            instance.state.tally()?.folded,
            instance.state.highest_number(),
        ])
        .max();
    let last = last.unwrap_or(0);
    last.checked_add(1).ok_or_else(|| {
        KernelError::new("number the next generation")
            .because(format!(
                "a pin or the tally says that there was one of number {last}"
            ))
            .try_this("nothing was changed; `edge-filter detach` starts afresh")
    })
}
