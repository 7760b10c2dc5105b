//! Back to a policy that was enforced before.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::applied::Applied;
use super::apply::{Manner, Source, enforce, locked};
use super::attached::{Afterwards, Attached, OnTrial, attached, newest, on_trial, present_names};
use super::detach::{check_forgetting, release_all};
use super::history::{self, Committed};
use super::lost_trial::LostTrial;
use super::plan::{Overrides, add};
use super::record::{PolicyRecord, Record};
use super::recorded::{plan_on_those_there, warn_of};
use crate::kernel::KernelError;

/// Where to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// So many committed generations back; while a trial is in place, or an `apply` was
    /// ended before it was done, one step leads to what was enforced before that.
    Steps(usize),
    /// The generation of this number.
    Generation(u64),
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RolledBack {
    /// A policy is enforced again.
    Applied(Box<Applied>),
    /// These devices are not filtered any more: they were not before the trial.
    Released {
        /// Their names.
        released: Vec<String>,
    },
}

/// A committed generation, as `rollback --list` shows it.
#[derive(Debug, Serialize)]
pub struct HistoryEntry {
    /// Its number.
    pub generation: u64,
    /// How many steps back it is; 0 if it is the newest, null if no steps lead there.
    pub steps: Option<usize>,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// The name of its policy.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// The generation whose policy it took up again.
    pub restores: Option<u64>,
}

/// A committed generation with its policy, as `rollback --show --json` prints it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub generation: u64,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// The devices of each role, by the names that they had.
    pub devices: BTreeMap<String, Vec<String>>,
    /// The policy, with its text.
    pub policy: PolicyRecord,
}

/// Enforces the policy of an earlier generation again.
///
/// # Errors
/// There is no such generation; or what [`super::apply::apply`] says.
pub fn rollback(instance: &Instance, goal: Goal) -> Result<RolledBack, KernelError> {
    if !instance.pins.exists() {
        // Nothing is enforced: whoever asks for too much need not be root to learn it.
        target(&instance.state.history()?, goal, 0)?;
    }
    locked(instance, || {
        history::catch_up(instance)?;
        let records = instance.state.records()?;
        let attached = attached(instance, &records)?;
        let trial = on_trial(&attached);
        let history = instance.state.history()?;
        if goal == Goal::Steps(1) && was_open(trial, &attached, &history) {
            check_forgetting(instance, "nothing was changed")?;
            let released = release_all(instance)?;
            instance.pins.remove()?;
            return Ok(RolledBack::Released { released });
        }
        let target = target(&history, goal, ahead(&records, &attached, &history))?;
        let policy = target.policy.read(target.generation)?;
        let record = records
            .iter()
            .find(|record| record.generation == target.generation);
        let held = record.map_or_else(BTreeMap::new, |record| held_by(&attached, record));
        let devices = devices(target, &present_names(instance, &records)?, &held);
        let (plans, absent) = plan_on_those_there(&policy, &devices, &attached)?;
        let source = Source {
            policy: &policy,
            text: &target.policy.text,
        };
        let manner = Manner {
            sites: target.sites,
            restores: Some(target.generation),
            absent: absent.clone(),
            last_resort: target.last_resort,
            ..Manner::default()
        };
        let applied = enforce(instance, source, plans, manner)?;
        Ok(RolledBack::Applied(warn_of(&absent, applied).into()))
    })
}

/// How many steps lead from what is enforced to what was committed last: one, where a trial
/// is in place, or a generation that does not enforce everywhere, because its `apply` was
/// ended. A rollback that was ended is finished by the next one, and a repair is no step.
fn ahead(records: &[Record], attached: &[Attached], history: &[Committed]) -> usize {
    let committed = history.first().map_or(0, |last| last.generation);
    let is_unfinished = newest(records, attached).is_some_and(|newest| {
        let is_apply = newest.restores.is_none() && newest.repairs.is_none();
        newest.generation > committed && is_apply
    });
    let is_tried_out = on_trial(attached).is_some() || attached.iter().any(Attached::is_lost_trial);
    usize::from(is_unfinished || is_tried_out)
}

/// Whether nothing was filtered before the trial: everything passes after it, everything that
/// is attached belongs to it, and what was committed last is no policy without hooks, whose
/// counts go on. Where no record tells of the trial, nothing may have been committed at all.
fn was_open(trial: Option<OnTrial>, attached: &[Attached], history: &[Committed]) -> bool {
    let passes = |trial: LostTrial| trial.afterwards == Afterwards::Nobody;
    let mut lost = attached.iter().map(|link| link.lost_trial);
    if !attached.is_empty() && lost.all(|trial| trial.is_some_and(passes)) {
        return history.is_empty();
    }
    trial.is_some_and(|trial| trial.afterwards == Afterwards::Nobody)
        && attached.iter().all(|link| link.trial.is_some())
        && history
            .first()
            .is_none_or(|newest| !newest.devices.is_empty())
}

/// The devices where the generation of `record` decides, or does after a trial, by the names
/// that they have now, each with its role.
fn held_by(attached: &[Attached], record: &Record) -> BTreeMap<String, String> {
    let here = attached.iter().filter(|link| link.running.is_ok());
    here.filter_map(|link| {
        let hook = link.programs().find_map(|id| record.hook(id))?;
        Some((link.device.clone(), hook.interface.clone()))
    })
    .collect()
}

/// The devices of each role, by the names that they have now: a device that was renamed may
/// stand there by several, and is one. Those that are `held` by the generation are among
/// them though another device has taken their name, and none of them plays another role.
fn devices(
    target: &Committed,
    names: &HashMap<String, String>,
    held: &BTreeMap<String, String>,
) -> Overrides {
    let mut roles = Overrides::new();
    for (role, devices) in &target.devices {
        for name in devices {
            let now = names.get(name).unwrap_or(name);
            if held.get(now).is_none_or(|holder| holder == role) {
                add(&mut roles, role, now);
            }
        }
    }
    for (name, role) in held {
        add(&mut roles, role, name);
    }
    roles
}

/// What one can go back to, the newest first.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn list(instance: &Instance) -> Result<Vec<HistoryEntry>, KernelError> {
    let history = instance.state.history()?;
    let records = instance.state.records()?;
    let offset = ahead(&records, &attached(instance, &records)?, &history);
    let steps = |generation| {
        history::walk(&history)
            .position(|committed| committed.generation == generation)
            .map(|steps| steps + offset)
    };
    let entries = history.iter().map(|committed| HistoryEntry {
        generation: committed.generation,
        steps: steps(committed.generation),
        applied_at: committed.applied_at,
        name: committed.policy.name.clone(),
        hash: committed.policy.hash.clone(),
        restores: committed.restores,
    });
    Ok(entries.collect())
}

/// The committed generation of that number.
///
/// # Errors
/// There is no such generation, or the state directory cannot be read.
pub fn show(instance: &Instance, generation: u64) -> Result<Shown, KernelError> {
    let history = instance.state.history()?;
    let found = history::find(&history, generation);
    let found = found.ok_or_else(|| not_kept(&history, format!("show generation {generation}")))?;
    Ok(Shown {
        generation,
        applied_at: found.applied_at,
        devices: found.devices.clone(),
        policy: found.policy.clone(),
    })
}

fn target(history: &[Committed], goal: Goal, ahead: usize) -> Result<&Committed, KernelError> {
    let (found, doing) = match goal {
        Goal::Steps(steps) => (
            history::walk(history).nth(steps - ahead),
            match steps {
                1 => "go back a generation".to_owned(),
                _ => format!("go back {steps} generations"),
            },
        ),
        Goal::Generation(generation) => (
            history::find(history, generation),
            format!("go back to generation {generation}"),
        ),
    };
    found.ok_or_else(|| not_kept(history, doing))
}

fn not_kept(history: &[Committed], doing: String) -> KernelError {
    let error = KernelError::new(doing);
    if history.is_empty() {
        return error.because("none was committed").try_this(
            "`edge-filter apply POLICY` enforces a policy, and `edge-filter detach` takes off \
             what is attached",
        );
    }
    error
        .because("none was committed, or it is not kept any more")
        .try_this("`edge-filter rollback --list` shows those that are kept")
}
