//! A trial becomes permanent: the same policy on the same devices, without a deadline. A
//! device that is gone by now keeps no other one from it; one that was gone and has come
//! back is filtered with the others.

use super::Instance;
use super::applied::Applied;
use super::apply::{Manner, Source, enforce, locked};
use super::attached::{Attached, attached, newest, on_trial};
use super::lost_trial::LostTrial;
use super::plan::{Overrides, add};
use super::record::Record;
use super::recorded::{plan_on_those_there, warn_of};
use crate::kernel::KernelError;

/// Confirms the trial that is running.
///
/// # Errors
/// None is, or it is over; or what [`super::apply::apply`] says.
pub fn confirm(instance: &Instance) -> Result<Applied, KernelError> {
    if !instance.pins.exists() {
        return Err(none_running());
    }
    locked(instance, || {
        let records = instance.state.records()?;
        let attached = attached(instance, &records)?;
        let record = running(instance, &records, &attached)?;
        let policy = record.policy.read(record.generation)?;
        let (plans, absent) = plan_on_those_there(&policy, &devices(record, &attached), &attached)?;
        let source = Source {
            policy: &policy,
            text: &record.policy.text,
        };
        let manner = Manner {
            sites: record.sites,
            confirms: record.trial,
            absent: absent.clone(),
            ..Manner::default()
        };
        enforce(instance, source, plans, manner).map(|applied| warn_of(&absent, applied))
    })
}

const CONFIRMING: &str = "confirm a trial";

fn none_running() -> KernelError {
    KernelError::new(CONFIRMING)
        .because("none is running")
        .try_this("`edge-filter apply POLICY --confirm 60s` begins one")
}

/// No record tells of the trial; if it `is_first`, nothing was committed before it.
fn unrecorded(trial: &LostTrial, is_first: bool) -> KernelError {
    let because = if trial.is_over {
        let decides = trial.afterwards.in_words();
        format!("no record tells what was on trial; it is over, and {decides}")
    } else {
        "no record tells what is on trial".to_owned()
    };
    let before = if is_first {
        "takes it off, since nothing was committed before it"
    } else {
        "enforces what was committed last"
    };
    KernelError::new(CONFIRMING)
        .because(because)
        .try_this(format!(
            "`edge-filter apply POLICY` enforces a policy for good, and `edge-filter rollback` \
             {before}"
        ))
}

/// The record of the trial that can be confirmed.
fn running<'r>(
    instance: &Instance,
    records: &'r [Record],
    attached: &[Attached],
) -> Result<&'r Record, KernelError> {
    let confirming = || KernelError::new(CONFIRMING);
    let Some(trial) = on_trial(attached) else {
        return Err(match LostTrial::newest(attached) {
            Some(lost) => unrecorded(&lost, instance.state.history()?.is_empty()),
            None => none_running(),
        });
    };
    let record = records
        .iter()
        .find(|record| record.generation == trial.generation)
        .ok_or_else(none_running)?;
    if trial.is_over {
        let deadline = record
            .trial
            .map_or_else(String::new, |trial| trial.deadline.to_string());
        let decides = trial.afterwards.in_words();
        return Err(confirming()
            .because(format!(
                "that of generation {} was over at {deadline}, and {decides}",
                trial.generation
            ))
            .try_this("apply its policy again, with a longer --confirm"));
    }
    // A newer one of the same policy is a `confirm` that was ended before it was done.
    let newest = newest(records, attached)
        .filter(|newest| newest.generation > record.generation && newest.policy != record.policy);
    match newest {
        Some(newest) => Err(confirming()
            .because(format!(
                "generation {} was begun after it, and its `edge-filter apply` was ended before it \
                 was done",
                newest.generation
            ))
            .try_this("run that `edge-filter apply` again")),
        None => Ok(record),
    }
}

/// The devices of each role, by the names that they have now, with those that the trial was
/// applied without. What bears the name of one of these and plays another role keeps that.
fn devices(record: &Record, attached: &[Attached]) -> Overrides {
    let mut devices = Overrides::new();
    for hook in record.hooks.iter().filter(|hook| !hook.passes) {
        let link = attached
            .iter()
            .find(|link| link.program_id == hook.program_id);
        let name = link.map_or(&hook.device, |link| &link.device);
        add(&mut devices, &hook.interface, name);
    }
    for (role, names) in &record.absent {
        for name in names {
            if !devices.values().any(|of_role| of_role.contains(name)) {
                add(&mut devices, role, name);
            }
        }
    }
    devices
}
