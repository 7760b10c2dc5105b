//! What the state directory holds: the names of what the kernel only numbers.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub(super) mod words;

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
    /// Whether its policy is that of last resort.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last_resort: bool,
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
            last_resort: false,
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
        if !self.is_of_this_boot() {
            return None;
        }
        self.hooks.iter().find(|hook| hook.program_id == program_id)
    }
}

impl PolicyRecord {
    /// The policy that `generation` enforced. A rule that has expired since still holds: it
    /// was judged when somebody asked for the policy, and what is in force stays in force.
    ///
    /// # Errors
    /// It is not valid for this version of the program.
    pub fn read(&self, generation: u64) -> Result<Policy, KernelError> {
        let name = format!("the policy of generation {generation}");
        match policy::read(&name, &self.text, Date::MIN) {
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
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests;
