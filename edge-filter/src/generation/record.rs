//! The state directory: the names of what the kernel only numbers.
//!
//! `generations/N.json` is written before generation N is attached, and never
//! changed. `tally.json` holds what earlier generations counted. `history/N.json` is
//! written when generation N enforces everywhere and is no trial: the newest one holds
//! the last good policy. Every file is replaced whole, so that a crash leaves the old one
//! or the new one. `last-hits.json` is what the daemon has seen, and may be lost.
//!
//! While the state directory cannot be used, all of this lies in memory
//! ([`super::emergency`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) mod words;

use super::emergency;
use super::files::{self, Staged};
use super::history::Committed;
use super::last_hits::LastHits;
use super::plan::Absent;
use super::sites::Sites;
use crate::compile::CounterSlot;
use crate::kernel::KernelError;
use crate::kernel::boot::boot_id;
use crate::kernel::counters::Count;
use crate::kernel::trial::SinceBoot;
use crate::policy::{self, Action, Direction, Policy};

/// The version of the files' form.
pub(super) const VERSION: u32 = 1;

/// Where the state of an instance lies.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// The place on the disk.
    pub(super) durable: PathBuf,
    /// The place in memory, which is there in an emergency alone.
    pub(super) emergency: Option<PathBuf>,
}

/// One generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub(super) version: u32,
    /// Its number, counted from 1.
    pub generation: u64,
    /// The policy that it enforces.
    pub policy: PolicyRecord,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// The boot of the machine that it was applied in; none in a file of a version that did
    /// not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// Where its pins are; none in a file of a version that did not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pin_root: Option<PathBuf>,
    /// Its hooks, in the order of the policy.
    pub hooks: Vec<HookRecord>,
    /// The generation that made its flow table; none if it remembers nothing.
    #[serde(default)]
    pub flows: Option<u64>,
    /// Where its programs may run.
    #[serde(default)]
    pub sites: Sites,
    /// Its trial; none if it holds until further notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialRecord>,
    /// The generation whose policy was taken up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    /// The devices of each role that were not there when it was applied, and are to be
    /// filtered when they are.
    #[serde(default, skip_serializing_if = "Absent::is_empty")]
    pub absent: Absent,
    /// The generation that it is in the place of: the same policy, because a device was not
    /// filtered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repairs: Option<u64>,
    /// Whether its programs say what becomes of frames.
    #[serde(default, skip_serializing_if = "is_false")]
    pub diagnostics: bool,
}

/// The trial of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// When it is over, by the calendar as it was when the trial began.
    pub deadline: Timestamp,
    /// The same by the clock that decides.
    since_boot: Duration,
}

/// A policy, as reports need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
}

/// A hook of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HookRecord {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    #[serde(with = "words::direction")]
    pub direction: Direction,
    /// The kernel's number of the program, which names this record.
    pub program_id: u32,
    /// What its counters mean, by index.
    pub counters: Vec<SlotRecord>,
    /// Whether it lets everything pass and counts nothing: a trial, where the generation
    /// before has a hook and this one has none.
    #[serde(default, skip_serializing_if = "is_false")]
    pub passes: bool,
}

/// What a counter means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Its name.
    pub id: String,
    /// `rule`, `reply`, `essential`, `default`, `audit` or `drop`.
    pub kind: String,
    /// What became of the packets that it counts.
    #[serde(with = "words::action")]
    pub action: Action,
}

/// What earlier generations counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tally {
    pub(super) version: u32,
    /// The newest generation whose counters are part of it; so are all older
    /// ones that are still pinned.
    pub folded: u64,
    /// The counters.
    pub counters: Vec<TallyEntry>,
}

/// A counter of earlier generations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TallyEntry {
    /// The device.
    pub device: String,
    /// The side.
    #[serde(with = "words::direction")]
    pub direction: Direction,
    /// What it means.
    #[serde(flatten)]
    pub slot: SlotRecord,
    /// What it counted.
    #[serde(flatten)]
    pub count: Count,
}

impl Record {
    /// A record of now, of a generation without hooks yet.
    #[must_use]
    pub fn new(generation: u64, policy: PolicyRecord, sites: Sites) -> Self {
        Self {
            version: VERSION,
            generation,
            policy,
            applied_at: Timestamp::now(),
            boot: boot_id().map(str::to_owned),
            pin_root: None,
            hooks: Vec::new(),
            flows: None,
            sites,
            trial: None,
            restores: None,
            absent: Absent::new(),
            repairs: None,
            diagnostics: false,
        }
    }

    /// Whether it is of this boot of the machine, as far as it says. The kernel numbers
    /// programs anew in each: the numbers of another one name nothing.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        match (&self.boot, boot_id()) {
            (Some(boot), Some(now)) => boot == now,
            _ => true,
        }
    }

    /// The hook whose program has the number `program_id`.
    #[must_use]
    pub fn hook(&self, program_id: u32) -> Option<&HookRecord> {
        let mut hooks = self.hooks.iter().filter(|_| self.is_of_this_boot());
        hooks.find(|hook| hook.program_id == program_id)
    }
}

impl PolicyRecord {
    /// The policy, as it was valid on the day when `generation` was applied.
    ///
    /// # Errors
    /// It is not valid for this version of the program.
    pub fn read(&self, generation: u64, applied_at: Timestamp) -> Result<Policy, KernelError> {
        let day = Zoned::new(applied_at, TimeZone::system()).date();
        let name = format!("the policy of generation {generation}");
        match policy::read(&name, &self.text, day) {
            Ok(checked) => Ok(checked.policy),
            Err(errors) => Err(KernelError::new(format!("read {name}"))
                .because(errors)
                .try_this(
                    "the filter itself goes on; `edge-filter apply` with the policy's file \
                     records it anew",
                )),
        }
    }
}

impl TrialRecord {
    /// One that ends in `duration` from now.
    ///
    /// # Errors
    /// The kernel does not tell the time, or no calendar goes that far.
    pub fn of(duration: Duration) -> Result<Self, KernelError> {
        let SinceBoot(now) = SinceBoot::now()?;
        let beyond = || KernelError::new("set a deadline that far away");
        let deadline = Timestamp::now()
            .checked_add(duration)
            .map_err(|error| beyond().because(error))?;
        Ok(Self {
            deadline: deadline.round(jiff::Unit::Second).unwrap_or(deadline),
            since_boot: now.checked_add(duration).ok_or_else(beyond)?,
        })
    }

    /// When it is over, by the clock that decides.
    #[must_use]
    pub fn since_boot(&self) -> SinceBoot {
        SinceBoot(self.since_boot)
    }

    /// Whether it is over.
    ///
    /// # Errors
    /// The kernel does not tell the time.
    pub fn is_over(&self) -> Result<bool, KernelError> {
        Ok(SinceBoot::now()? >= self.since_boot())
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            version: VERSION,
            folded: 0,
            counters: Vec::new(),
        }
    }
}

impl From<&CounterSlot> for SlotRecord {
    fn from(slot: &CounterSlot) -> Self {
        Self {
            id: slot.id.to_string(),
            kind: slot.kind().as_str().to_owned(),
            action: slot.action,
        }
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

pub(super) const GENERATIONS: &str = "generations";
pub(super) const HISTORY: &str = "history";
pub(super) const TALLY: &str = "tally.json";
const LAST_HITS: &str = "last-hits.json";

impl StateDir {
    /// The state directory at `path`, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            durable: path,
            emergency: None,
        }
    }

    /// The same, with a directory below `run_dir`, which is in memory, for emergencies.
    #[must_use]
    pub fn with_run_dir(self, run_dir: &Path) -> Self {
        Self {
            emergency: Some(emergency::place_in(run_dir)),
            ..self
        }
    }

    /// The directory in which the state lies now.
    pub(super) fn place(&self) -> &Path {
        match &self.emergency {
            Some(emergency) if emergency.exists() => emergency,
            _ => &self.durable,
        }
    }

    /// The records of all generations that are not gone, the newest first.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub fn records(&self) -> Result<Vec<Record>, KernelError> {
        self.all(GENERATIONS, |record: &Record| record.version)
    }

    /// The generations that have a record, in order, each with something that changes when
    /// the record does.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn stamps(&self) -> Result<Vec<(u64, Option<u64>)>, KernelError> {
        let records = files::numbered(&self.place().join(GENERATIONS))?.into_iter();
        Ok(records
            .map(|(generation, path)| (generation, files::stamp(&path)))
            .collect())
    }

    /// Writes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_record(&self, record: &Record) -> Result<(), KernelError> {
        files::write(&self.numbered(GENERATIONS, record.generation), record)
    }

    /// Removes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_record(&self, generation: u64) -> Result<(), KernelError> {
        files::remove(&self.numbered(GENERATIONS, generation))
    }

    /// The committed generations that are kept, the newest first.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub fn history(&self) -> Result<Vec<Committed>, KernelError> {
        self.all(HISTORY, |committed: &Committed| committed.version)
    }

    /// Keeps a committed generation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, committed: &Committed) -> Result<(), KernelError> {
        self.stage(committed)?.put()
    }

    /// Writes what is kept of a committed generation, beside its place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn stage(&self, committed: &Committed) -> Result<Staged, KernelError> {
        files::stage(&self.numbered(HISTORY, committed.generation), committed)
    }

    /// Keeps a committed generation no longer.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, generation: u64) -> Result<(), KernelError> {
        files::remove(&self.numbered(HISTORY, generation))
    }

    /// What earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be read, or is of another version.
    pub fn tally(&self) -> Result<Tally, KernelError> {
        let path = self.place().join(TALLY);
        let tally = files::read::<Tally>(&path)?.unwrap_or_default();
        files::check_version(&path, tally.version, VERSION)?;
        Ok(tally)
    }

    /// Writes what earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_tally(&self, tally: &Tally) -> Result<(), KernelError> {
        files::write(&self.place().join(TALLY), tally)
    }

    /// When counters moved last; none if nobody watched, or if what is there cannot be read.
    #[must_use]
    pub fn last_hits(&self) -> Option<LastHits> {
        files::read(&self.place().join(LAST_HITS)).ok().flatten()
    }

    /// Whether somebody keeps when counters moved last.
    #[must_use]
    pub fn has_last_hits(&self) -> bool {
        files::stamp(&self.place().join(LAST_HITS)).is_some()
    }

    /// Keeps when counters moved last. A crash of the machine may lose it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_last_hits(&self, hits: &LastHits) -> Result<(), KernelError> {
        files::note(&self.place().join(LAST_HITS), hits)
    }

    /// Forgets when counters moved last.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_last_hits(&self) -> Result<(), KernelError> {
        files::remove(&self.place().join(LAST_HITS))
    }

    /// Removes what a process that was killed has left half written.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn sweep(&self) -> Result<(), KernelError> {
        let place = self.place();
        for directory in [place, &place.join(GENERATIONS), &place.join(HISTORY)] {
            files::sweep(directory)?;
        }
        Ok(())
    }

    /// Removes everything, also what cannot be read any more. The directory itself
    /// stays.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), KernelError> {
        // On the disk first: what cannot be removed there, the next boot finds again.
        files::clear(&self.durable.join(HISTORY))?;
        clear_present(&self.durable)?;
        files::clear(&self.durable.join(emergency::DAMAGED))?;
        match &self.emergency {
            Some(emergency) => files::clear(emergency),
            None => Ok(()),
        }
    }

    /// The same, but for the history.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear_present(&self) -> Result<(), KernelError> {
        clear_present(self.place())
    }

    /// All whole files of a directory, the newest first.
    fn all<T: DeserializeOwned>(
        &self,
        directory: &str,
        version: impl Fn(&T) -> u32,
    ) -> Result<Vec<T>, KernelError> {
        let mut found = Vec::new();
        for (_, path) in files::numbered(&self.place().join(directory))?.iter().rev() {
            if let Some(value) = files::read::<T>(path)? {
                files::check_version(path, version(&value), VERSION)?;
                found.push(value);
            }
        }
        Ok(found)
    }

    fn numbered(&self, directory: &str, generation: u64) -> PathBuf {
        self.place()
            .join(directory)
            .join(format!("{generation}.json"))
    }
}

fn clear_present(place: &Path) -> Result<(), KernelError> {
    files::clear(&place.join(GENERATIONS))?;
    files::clear(&place.join(TALLY))?;
    files::clear(&place.join(LAST_HITS))?;
    files::sweep(place)
}

#[cfg(test)]
mod tests;
