//! What is enforced is kept: which devices should be filtered and are not, and how they
//! are filtered again.
//!
//! What should be filtered is said by the trial that is running, else by the generation
//! that was committed last: its roles' devices, by the names that they had and by the
//! names that the filtered ones have now. A device that is there and lacks a hook is
//! *missing*; one that is not there is nobody's fault. A repair is the same policy once
//! more, as a generation of its own, by the very code of `apply`: whole or not at all. So is
//! what undoes an `apply` that was ended in the middle. It takes the place of the one that it
//! repairs in the history, and no trial ends by it: a running one goes on, to the same
//! deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::applied::Applied;
use super::apply::{Manner, Source, enforce, locked};
use super::attached::{Attached, OnTrial, attached, on_trial};
use super::closing::is_closed;
use super::plan::{Absent, Overrides, add, plan_but_for};
use super::reading::steadily;
use super::record::{PolicyRecord, Record, TrialRecord};
use super::sites::Sites;
use super::{Instance, history};
use crate::compile::budget::Budget;
use crate::kernel::KernelError;
use crate::kernel::device;
use crate::kernel::trial::SinceBoot;

/// How things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The generation whose policy should decide.
    pub generation: u64,
    /// The name of its policy.
    pub policy: String,
    /// The devices that are filtered as they should be.
    pub filtered: Vec<String>,
    /// Those that are there and not filtered, on one side only, or by another generation.
    pub missing: Vec<Missing>,
    /// Those that are not there.
    pub absent: Vec<String>,
    /// How long its trial lasts, if it is one.
    pub trial_ends_in: Option<Duration>,
    /// When its trial ends, by the calendar.
    pub confirm_deadline: Option<Timestamp>,
    /// Whether its programs say what becomes of frames.
    pub diagnostics: bool,
}

/// In place of a generation's number: no record tells which one it is.
pub const UNKNOWN: u64 = 0;

/// A device that should be filtered and is not, or not by the policy that should decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub device: String,
    /// Its index: another one is another device.
    pub index: u32,
    /// The generation that decides there instead, because an `apply` was ended before it
    /// was done, or [`UNKNOWN`]; none if the device is open.
    pub instead: Option<u64>,
}

/// What is to be followed: a policy, and the choices that belong to it.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'w> {
    /// The policy.
    pub source: Source<'w>,
    /// The devices of roles, in the place of those that it names.
    pub overrides: &'w Overrides,
    /// Where its programs may run.
    pub sites: Sites,
    /// What its tables may take.
    pub budget: Budget,
}

/// What became of a wish.
#[derive(Debug)]
pub enum Followed {
    /// It is enforced now, on the devices that are there.
    Applied(Box<Applied>),
    /// It was committed already, for these devices.
    Unchanged,
    /// Nothing was done: a trial is running until then.
    OnTrial(Timestamp),
}

/// What became of an attempt to filter what was missing.
#[derive(Debug)]
pub struct Repaired {
    /// What was missing.
    pub missing: Vec<Missing>,
    /// What was applied, and how long that took.
    pub applied: Vec<(Applied, Duration)>,
    /// What failed.
    pub failed: Vec<KernelError>,
}

/// What should be enforced, and what is.
struct Intent {
    generation: u64,
    policy: PolicyRecord,
    sites: Sites,
    restores: Option<u64>,
    last_resort: bool,
    devices: BTreeMap<String, Vec<String>>,
    trial: Option<TrialRecord>,
    filtered: Vec<String>,
    missing: Vec<Missing>,
    /// Whether its programs say what becomes of frames; none where it has no record.
    diagnostics: Option<bool>,
    absent: Vec<String>,
}

/// How things stand; none if nothing was committed and no trial is running.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn standing(instance: &Instance) -> Result<Option<Standing>, KernelError> {
    steadily(instance, || {
        let intent = Intent::read(instance)?.map(|mut intent| {
            intent.overlook_a_change(instance);
            intent.standing()
        });
        intent.transpose()
    })
}

/// The same where the caller holds the lock: nobody is changing anything.
///
/// # Errors
/// As [`standing`].
pub(super) fn standing_held(instance: &Instance) -> Result<Option<Standing>, KernelError> {
    let intent = Intent::read(instance)?;
    intent.map(Intent::standing).transpose()
}

/// Filters what is `missing`: all in one; if that fails each by itself, since a device that
/// cannot be filtered should leave no other one open.
#[must_use]
pub fn repair(instance: &Instance, missing: Vec<Missing>) -> Repaired {
    let mut repaired = Repaired {
        missing,
        applied: Vec::new(),
        failed: Vec::new(),
    };
    repaired.attempt(instance, None);
    if repaired.failed.is_empty() || repaired.missing.len() < 2 {
        return repaired;
    }
    repaired.failed.clear();
    for number in 0..repaired.missing.len() {
        let device = repaired.missing[number].device.clone();
        repaired.attempt(instance, Some(&device));
    }
    repaired
}

impl Repaired {
    fn attempt(&mut self, instance: &Instance, only: Option<&str>) {
        let begun = Instant::now();
        match restore(instance, only) {
            Ok(applied) => self
                .applied
                .extend(applied.map(|applied| (applied, begun.elapsed()))),
            Err(error) => self.failed.push(error),
        }
    }
}

/// Filters again what is missing: all of it, or `only` that device. None if nothing is.
///
/// # Errors
/// Whatever failed; what was enforced before is enforced still.
fn restore(instance: &Instance, only: Option<&str>) -> Result<Option<Applied>, KernelError> {
    locked(instance, || {
        history::catch_up(instance)?;
        let Some(intent) = Intent::read(instance)? else {
            return Ok(None);
        };
        let wanted = |missing: &&Missing| only.is_none_or(|only| only == missing.device);
        let (wanted, others): (Vec<_>, Vec<_>) = intent.missing.iter().partition(wanted);
        if wanted.is_empty() {
            return Ok(None);
        }
        let leaves =
            |name: &str| others.iter().any(|other| other.device == name) || !device::is_there(name);
        intent.enforce_again(instance, leaves, false).map(Some)
    })
}

/// Has the programs say what becomes of frames, or no longer: the same policy once more, as
/// by a repair. None if they do so already, if a trial is running, or if nothing is enforced.
///
/// # Errors
/// As [`restore`].
pub fn diagnose(instance: &Instance, diagnostics: bool) -> Result<Option<Applied>, KernelError> {
    locked(instance, || {
        history::catch_up(instance)?;
        let Some(intent) = Intent::read(instance)? else {
            return Ok(None);
        };
        if intent.trial.is_some() || intent.diagnostics != Some(!diagnostics) {
            return Ok(None);
        }
        let leaves = |name: &str| !device::is_there(name);
        intent
            .enforce_again(instance, leaves, diagnostics)
            .map(Some)
    })
}

/// Enforces a policy on those of its devices that are there, unless it is what was
/// committed last, or a trial is running.
///
/// # Errors
/// As [`super::apply::apply`].
pub fn follow(instance: &Instance, wish: Wish<'_>) -> Result<Followed, KernelError> {
    locked(instance, || follow_held(instance, wish, None, false))
}

/// The same, on `only` that device for a beginning; as the policy of `last_resort`, by which
/// no emergency ends, but a trial over what cannot be read. The caller holds the lock.
///
/// # Errors
/// As [`follow`].
pub(super) fn follow_held(
    instance: &Instance,
    wish: Wish<'_>,
    only: Option<&str>,
    last_resort: bool,
) -> Result<Followed, KernelError> {
    history::catch_up(instance)?;
    let records = instance.state.records()?;
    let history = instance.state.history()?;
    let committed = history.first().map_or(0, |last| last.generation);
    // After a trial what is closed is closed again; what cannot be read may be nothing.
    let may_run = !last_resort || is_closed(&history);
    if may_run
        && let Some(trial) = running(&records, &attached(instance, &records)?, committed)
        && let Some(TrialRecord { deadline, .. }) = trial.trial
    {
        return Ok(Followed::OnTrial(deadline));
    }
    let leaves = |name: &str| only.is_some_and(|only| only != name) || !device::is_there(name);
    let (plans, absent) = plan_but_for(wish.source.policy, wish.overrides, wish.budget, leaves)?;
    let mut devices = absent.clone();
    for plan in &plans {
        add(&mut devices, &plan.interface, &plan.device.name);
    }
    let is_committed = history.first().is_some_and(|last| {
        last.policy.text == wish.source.text
            && last.sites == wish.sites
            && is_same(&last.devices, &devices)
    });
    if is_committed {
        return Ok(Followed::Unchanged);
    }
    let manner = Manner {
        sites: wish.sites,
        absent,
        last_resort,
        ..Manner::default()
    };
    enforce(instance, wish.source, plans, manner).map(|applied| Followed::Applied(applied.into()))
}

impl Intent {
    fn read(instance: &Instance) -> Result<Option<Self>, KernelError> {
        let records = instance.state.records()?;
        let attached = attached(instance, &records)?;
        let last = instance.state.history()?.into_iter().next();
        let committed = last.as_ref().map_or(0, |last| last.generation);
        let mut intent = if let Some(record) = running(&records, &attached, committed) {
            Self::of_trial(record)
        } else {
            let Some(last) = last else {
                return Ok(None);
            };
            Self {
                generation: last.generation,
                policy: last.policy,
                sites: last.sites,
                restores: last.restores,
                last_resort: last.last_resort,
                devices: last.devices,
                trial: None,
                filtered: Vec::new(),
                missing: Vec::new(),
                diagnostics: None,
                absent: Vec::new(),
            }
        };
        intent.name_as_now(&attached);
        let record = records
            .iter()
            .find(|record| record.generation == intent.generation);
        intent.diagnostics = record.map(|record| record.diagnostics);
        intent.look(record, &attached);
        Ok(Some(intent))
    }

    fn of_trial(record: &Record) -> Self {
        let mut devices = record.absent.clone();
        for hook in record.hooks.iter().filter(|hook| !hook.passes) {
            add(&mut devices, &hook.interface, &hook.device);
        }
        Self {
            generation: record.generation,
            policy: record.policy.clone(),
            sites: record.sites,
            restores: record.restores,
            last_resort: record.last_resort,
            devices,
            trial: record.trial,
            filtered: Vec::new(),
            missing: Vec::new(),
            diagnostics: None,
            absent: Vec::new(),
        }
    }

    /// Enforces its policy again, but not on the devices that `leaves` names.
    fn enforce_again(
        &self,
        instance: &Instance,
        leaves: impl Fn(&str) -> bool,
        diagnostics: bool,
    ) -> Result<Applied, KernelError> {
        let policy = self.policy.read(self.generation)?;
        // It had room when it was applied.
        let (plans, absent) = plan_but_for(&policy, &self.devices, Budget::UNLIMITED, leaves)?;
        let source = Source {
            policy: &policy,
            text: &self.policy.text,
        };
        let manner = Manner {
            sites: self.sites,
            restores: self.restores,
            continues: self.trial,
            repairs: Some(self.generation),
            absent,
            diagnostics,
            last_resort: self.last_resort,
            ..Manner::default()
        };
        enforce(instance, source, plans, manner)
    }

    /// A device that was renamed stays filtered, in its role; its former name is still one
    /// of the role's, unless a device of another role bears it now.
    fn name_as_now(&mut self, attached: &[Attached]) {
        let held: BTreeMap<&str, &str> = attached
            .iter()
            .filter(|link| link.running.is_ok())
            .filter_map(|link| {
                let (generation, hook) = link.place.as_ref()?;
                let own = *generation == self.generation && !hook.passes;
                own.then_some((&*link.device, &*hook.interface))
            })
            .collect();
        for (role, names) in &mut self.devices {
            names.retain(|name| held.get(&**name).is_none_or(|holder| holder == role));
        }
        for (name, role) in held {
            add(&mut self.devices, role, name);
        }
    }

    fn standing(self) -> Result<Standing, KernelError> {
        let now = SinceBoot::now()?;
        Ok(Standing {
            generation: self.generation,
            policy: self.policy.name,
            filtered: self.filtered,
            missing: self.missing,
            absent: self.absent,
            trial_ends_in: self
                .trial
                .map(|trial| trial.since_boot().0.saturating_sub(now.0)),
            confirm_deadline: self.trial.map(|trial| trial.deadline),
            diagnostics: self.diagnostics.unwrap_or(false),
        })
    }

    /// What somebody is changing right now is not as it should be for that moment.
    fn overlook_a_change(&mut self, instance: &Instance) {
        let is_decided = |missing: &Missing| missing.instead.is_some();
        if self.missing.iter().any(is_decided) && instance.pins.is_locked() {
            let decided = self.missing.extract_if(.., |missing| is_decided(missing));
            self.filtered.extend(decided.map(|missing| missing.device));
        }
    }

    /// Finds the devices that are filtered, and those that should be.
    fn look(&mut self, record: Option<&Record>, attached: &[Attached]) {
        let knows_nothing = attached.iter().all(|link| link.place.is_none());
        for (role, names) in &self.devices {
            // Where no record says so, one hook is what every device has at least.
            let sides: BTreeSet<_> = record
                .into_iter()
                .flat_map(|record| &record.hooks)
                .filter(|hook| hook.interface == *role && !hook.passes)
                .map(|hook| hook.direction)
                .collect();
            for name in names {
                let filtered = attached.iter().filter(|link| {
                    link.device == *name && link.running.is_ok() && link.trouble().is_none()
                });
                let sides = sides.len().max(1);
                let (own, others): (Vec<_>, Vec<_>) = filtered
                    .map(|link| match link.generation() {
                        // It may be of any generation.
                        None if knows_nothing && !link.is_lost_trial() => self.generation,
                        generation => generation.unwrap_or(UNKNOWN),
                    })
                    .partition(|generation| *generation == self.generation);
                if own.len() >= sides {
                    self.filtered.push(name.clone());
                } else if let Some(index) = device::index_of(name) {
                    let is_open = own.len() + others.len() < sides;
                    self.missing.push(Missing {
                        device: name.clone(),
                        index,
                        instead: others.into_iter().max().filter(|_| !is_open),
                    });
                } else {
                    self.absent.push(name.clone());
                }
            }
        }
        self.find_remains(attached);
    }

    /// Finds the devices with hooks that this generation does not have: those of a later one, whose
    /// `apply` was ended, or of an earlier one, where that of this generation was.
    fn find_remains(&mut self, attached: &[Attached]) {
        let is_committed = self.trial.is_none();
        let decided = attached.iter().filter(|link| {
            let is_passed_by = |trial: OnTrial| is_committed && trial.generation < self.generation;
            let is_decided = link.trial.is_none_or(|trial| trial.is_over);
            link.running.is_ok()
                && (link.trial.is_some_and(is_passed_by) || is_decided && link.trouble().is_none())
        });
        for link in decided {
            let is_other = |decides: &u64| {
                *decides > self.generation || is_committed && *decides < self.generation
            };
            let Some(instead) = link.generation().filter(is_other) else {
                continue;
            };
            if self
                .missing
                .iter()
                .any(|missing| missing.device == link.device)
            {
                continue;
            }
            if let Some(index) = device::index_of(&link.device) {
                self.filtered.retain(|name| *name != link.device);
                self.missing.push(Missing {
                    device: link.device.clone(),
                    index,
                    instead: Some(instead),
                });
            }
        }
    }
}

/// The record of the trial that is running, unless what came after it was `committed`: then only
/// hooks of it are left, by a `confirm` that was ended.
fn running<'r>(records: &'r [Record], attached: &[Attached], committed: u64) -> Option<&'r Record> {
    let trial = on_trial(attached).filter(|trial| !trial.is_over)?;
    if trial.generation < committed {
        return None;
    }
    records
        .iter()
        .find(|record| record.generation == trial.generation)
}

/// Whether both name the same devices for each role, in whatever order.
fn is_same(one: &Absent, other: &Absent) -> bool {
    let sets = |devices: &Absent| -> BTreeMap<String, BTreeSet<String>> {
        let roles = devices.iter().map(|(role, names)| {
            let names = names.iter().cloned().collect();
            (role.clone(), names)
        });
        roles.collect()
    };
    sets(one) == sets(other)
}
