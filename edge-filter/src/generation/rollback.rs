//! Back to a policy that was enforced before.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::applied::Applied;
use super::apply::{Manner, Source, enforce, locked};
use super::attached::{Attached, OnTrial, attached, on_trial, present_names};
use super::detach::release_all;
use super::history::{self, Committed};
use super::plan::{Overrides, plan};
use crate::compile::budget::Budget;
use crate::kernel::KernelError;

/// Where to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// So many committed generations back; while a trial is in place, one step leads to
    /// what was enforced before the trial.
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

/// Enforces the policy of an earlier generation again.
///
/// # Errors
/// There is no such generation; or what [`super::apply::apply`] says.
pub fn rollback(instance: &Instance, goal: Goal) -> Result<RolledBack, KernelError> {
    if !instance.pins.exists() {
        // Nothing is enforced: whoever asks for too much need not be root to learn it.
        target(&instance.state.history()?, goal, false)?;
    }
    locked(instance, || {
        history::catch_up(instance)?;
        let records = instance.state.records()?;
        let attached = attached(instance, &records)?;
        let trial = on_trial(&attached);
        let history = instance.state.history()?;
        if goal == Goal::Steps(1) && was_open(trial, &attached, &history) {
            let released = release_all(instance)?;
            return Ok(RolledBack::Released { released });
        }
        let target = target(&history, goal, trial.is_some())?;
        let policy = target.policy.read(target.generation)?;
        let devices = devices(target, &present_names(instance, &records)?);
        // It had room when it was applied.
        let plans = plan(&policy, &devices, Budget::UNLIMITED)?;
        let source = Source {
            policy: &policy,
            text: &target.policy.text,
        };
        let manner = Manner {
            sites: target.sites,
            restores: Some(target.generation),
            ..Manner::default()
        };
        enforce(instance, source, plans, manner).map(|applied| RolledBack::Applied(applied.into()))
    })
}

/// Whether nothing was filtered before the trial: nobody decides after it, everything that
/// is attached belongs to it, and what was committed last is no policy without hooks, whose
/// counts go on.
fn was_open(trial: Option<OnTrial>, attached: &[Attached], history: &[Committed]) -> bool {
    trial.is_some_and(|trial| trial.afterwards.is_none())
        && attached.iter().all(|link| link.trial.is_some())
        && history
            .first()
            .is_none_or(|newest| !newest.devices.is_empty())
}

/// The devices of each role, by the names that they have now.
fn devices(target: &Committed, names: &HashMap<String, String>) -> Overrides {
    let now = |name: &String| names.get(name).unwrap_or(name).clone();
    let roles = target.devices.iter();
    roles
        .map(|(role, devices)| (role.clone(), devices.iter().map(now).collect()))
        .collect()
}

/// What one can go back to, the newest first.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn list(instance: &Instance) -> Result<Vec<HistoryEntry>, KernelError> {
    let history = instance.state.history()?;
    let offset = usize::from(trial_in_place(instance)?.is_some());
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

/// A trial that nobody has confirmed or ended, running or over.
fn trial_in_place(instance: &Instance) -> Result<Option<OnTrial>, KernelError> {
    let records = instance.state.records()?;
    Ok(on_trial(&attached(instance, &records)?))
}

fn target(history: &[Committed], goal: Goal, on_trial: bool) -> Result<&Committed, KernelError> {
    let (found, doing) = match goal {
        // A trial is one step ahead of the newest.
        Goal::Steps(steps) => (
            history::walk(history).nth(steps - usize::from(on_trial)),
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
    found.ok_or_else(|| {
        KernelError::new(doing)
            .because("none was committed, or it is not kept any more")
            .try_this("`edge-filter rollback --list` shows those that are kept")
    })
}
