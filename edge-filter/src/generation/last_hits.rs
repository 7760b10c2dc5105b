//! When counters moved last, as far as somebody looked.
//!
//! The data path keeps no time for a counter: that would cost every packet a clock and a
//! store. Who looks at the sums now and then knows between which two looks each one moved
//! last. The daemon does so and keeps it in a file; any command that reads the file and the
//! counters is one more look. Since sums never get lower, nothing is missed while nobody
//! looks: a sum that is the same then has not moved, and one that is not moved in between.
//!
//! It is an observation, and no part of what is enforced: a file that is lost, damaged, of
//! another version or from before the machine was started means that nothing is known.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use super::Instance;
use super::counted::{Counters, HookCounters};
use crate::kernel::KernelError;
use crate::kernel::boot::boot_id;
use crate::kernel::trial::SinceBoot;
use crate::policy::Direction;

/// The version of the file's form.
const VERSION: u32 = 1;

/// By so much the calendar must differ from what it should be before it counts as set, and
/// not as being slewed.
const SET: SignedDuration = SignedDuration::from_secs(1);

/// A look: when it was, by the calendar and by a clock that nobody sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// By the calendar.
    pub at: Timestamp,
    /// Since the machine was started.
    since_boot: Duration,
    /// Which start that was, if it is known.
    boot: Option<String>,
}

/// When a counter moved last: after one look, and before or at the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// The look that had not seen it yet.
    pub after: Timestamp,
    /// The look that saw it.
    pub until: Timestamp,
}

/// What is known of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, Option<Hit>)", from = "(u64, Option<Hit>)")]
struct Seen {
    packets: u64,
    last: Option<Hit>,
}

/// What is known of the counters of one side of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Side {
    device: String,
    #[serde(with = "super::record::words::direction")]
    direction: Direction,
    /// The first look at it.
    since: Timestamp,
    /// Those that have counted something by the last look, by id.
    counters: BTreeMap<String, Seen>,
}

/// What is known of all counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHits {
    version: u32,
    /// The newest generation at the last look; after it comes no older one.
    generation: u64,
    looked: Moment,
    sides: Vec<Side>,
}

/// What is known of when something was counted last. `since` and `last` are null where nobody
/// looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LastHit {
    /// The look that saw that the last packet had come; null if none has come since the
    /// first look.
    #[serde(rename = "last_hit")]
    pub until: Option<Timestamp>,
    /// The look before that.
    #[serde(rename = "last_hit_after")]
    pub after: Option<Timestamp>,
    /// The first look.
    #[serde(rename = "watched_since")]
    pub since: Option<Timestamp>,
}

impl Moment {
    /// Now.
    ///
    /// # Errors
    /// The kernel does not tell the time.
    pub fn now() -> Result<Self, KernelError> {
        let SinceBoot(since_boot) = SinceBoot::now()?;
        Ok(Self {
            at: whole(Timestamp::now()),
            since_boot,
            boot: boot_id().map(str::to_owned),
        })
    }

    /// Whether both are of the same start of the machine, and known to be.
    fn is_of_the_boot_of(&self, other: &Self) -> bool {
        self.boot.is_some() && self.boot == other.boot
    }

    /// By how much the calendar was set since `earlier`, of the same start of the machine.
    fn set_since(&self, earlier: &Self) -> SignedDuration {
        let passed = self.since_boot.saturating_sub(earlier.since_boot);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let set = self.at.duration_since(earlier.at).saturating_sub(passed);
        // Both are rounded.
        if set.abs() > SET {
            set
        } else {
            SignedDuration::ZERO
        }
    }
}

impl LastHits {
    /// A first look.
    #[must_use]
    pub fn new(counters: &Counters, now: Moment) -> Self {
        let mut hits = Self {
            version: VERSION,
            generation: 0,
            looked: now.clone(),
            sides: Vec::new(),
        };
        hits.look(counters, now);
        hits
    }

    /// What the file of `instance` knows, and `counters`, which were read `now`; nothing but
    /// that if there is no file, or one that is of no use.
    #[must_use]
    pub fn known(instance: &Instance, counters: &Counters, now: Moment) -> Option<Self> {
        let mut hits: Self = instance.state.last_hits()?;
        if hits.version != VERSION || !hits.looked.is_of_the_boot_of(&now) {
            return None;
        }
        hits.look(counters, now);
        Some(hits)
    }

    /// Looks at `counters`, which were read `now`. Whether anything is known that was not.
    pub fn look(&mut self, counters: &Counters, now: Moment) -> bool {
        let set = now.set_since(&self.looked);
        if !set.is_zero() {
            self.shift(set);
        }
        let generation = counters.policy.as_ref().map(|policy| policy.generation);
        // Only what was begun anew counts its generations anew.
        let is_anew = generation.is_some_and(|generation| generation < self.generation);
        let former = std::mem::take(&mut self.sides);
        let mut is_news = !set.is_zero() || is_anew || former.len() != counters.hooks.len();
        for hook in &counters.hooks {
            let known = former
                .iter()
                .find(|side| side.is(hook) && !is_anew && !side.is_more_than(hook));
            let side = Side::seen(hook, known, self.looked.at, now.at);
            is_news |= known != Some(&side);
            self.sides.push(side);
        }
        self.generation = generation.unwrap_or(self.generation);
        self.looked = now;
        is_news
    }

    /// What is known of the counter `id` of a side of a device.
    #[must_use]
    pub fn of(&self, device: &str, direction: Direction, id: &str) -> LastHit {
        let side = self.side(device, direction);
        let last = side.and_then(|side| side.counters.get(id)?.last);
        LastHit {
            until: last.map(|hit| hit.until),
            after: last.map(|hit| hit.after),
            since: side.map(|side| side.since),
        }
    }

    /// The first look at a side of a device.
    #[must_use]
    pub fn since(&self, device: &str, direction: Direction) -> Option<Timestamp> {
        let side = self.side(device, direction);
        side.map(|side| side.since)
    }

    fn side(&self, device: &str, direction: Direction) -> Option<&Side> {
        let mut sides = self.sides.iter();
        sides.find(|side| side.device == device && side.direction == direction)
    }

    /// The calendar was set: what was known is as long ago as it was.
    fn shift(&mut self, by: SignedDuration) {
        let shift = |time: &mut Timestamp| *time = whole(time.saturating_add(by).unwrap_or(*time));
        shift(&mut self.looked.at);
        for side in &mut self.sides {
            shift(&mut side.since);
            for hit in side
                .counters
                .values_mut()
                .filter_map(|seen| seen.last.as_mut())
            {
                shift(&mut hit.after);
                shift(&mut hit.until);
            }
        }
    }
}

impl LastHit {
    /// What is known of both together: of two sides, or of a rule and its replies. Nothing is
    /// known of what nobody watched on one of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let later = if self.until >= other.until {
            self
        } else {
            other
        };
        Self {
            since: self
                .since
                .zip(other.since)
                .map(|(one, other)| one.max(other)),
            ..later
        }
    }
}

impl Side {
    fn is(&self, hook: &HookCounters) -> bool {
        self.device == hook.device && self.direction == hook.direction
    }

    /// Whether a counter was higher than now: then counting began anew.
    fn is_more_than(&self, hook: &HookCounters) -> bool {
        let now: BTreeMap<&str, u64> = hook
            .counters
            .iter()
            .map(|counter| (&*counter.slot.id, counter.count.packets))
            .collect();
        self.counters
            .iter()
            .any(|(id, seen)| now.get(&**id).copied().unwrap_or(0) < seen.packets)
    }

    /// What is known of `hook` now, with what was `known` at the look before.
    fn seen(hook: &HookCounters, known: Option<&Self>, before: Timestamp, now: Timestamp) -> Self {
        let counters = hook.counters.iter().map(|counter| {
            let (id, packets) = (&counter.slot.id, counter.count.packets);
            let last = known.and_then(|side| match side.counters.get(id) {
                Some(seen) if seen.packets == packets => seen.last,
                _ => Some(Hit {
                    after: before,
                    until: now,
                }),
            });
            (id.clone(), Seen { packets, last })
        });
        Self {
            device: hook.device.clone(),
            direction: hook.direction,
            since: known.map_or(now, |side| side.since),
            counters: counters.filter(|(_, seen)| seen.packets > 0).collect(),
        }
    }
}

impl From<Seen> for (u64, Option<Hit>) {
    fn from(Seen { packets, last }: Seen) -> Self {
        (packets, last)
    }
}

impl From<(u64, Option<Hit>)> for Seen {
    fn from((packets, last): (u64, Option<Hit>)) -> Self {
        Self { packets, last }
    }
}

/// To the second: nobody looks more often.
fn whole(time: Timestamp) -> Timestamp {
    let to_second = TimestampRound::new().smallest(Unit::Second);
    time.round(to_second.mode(RoundMode::Trunc)).unwrap_or(time)
}
