//! What was counted, with the names that the records give.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use super::attached::{self, Attached, as_word};
use super::last_hits::{LastHits, Moment};
use super::reading::steadily;
use super::record::{HookRecord, PolicyRecord, SlotRecord, TallyEntry};
use super::{Instance, tally};
use crate::kernel::KernelError;
use crate::kernel::counters::Count;
use crate::policy::Direction;

/// What was counted, as `counters --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// The policy of the newest generation; null if nothing is enforced.
    pub policy: Option<CountedPolicy>,
    /// Every hook.
    pub hooks: Vec<HookCounters>,
    /// How many programs are attached that no record gives names to.
    #[serde(skip)]
    pub nameless: usize,
}

/// The policy that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CountedPolicy {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// The number of the generation.
    pub generation: u64,
}

/// The counters of one hook, whose sum is what the hook saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookCounters {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    #[serde(serialize_with = "as_word")]
    pub direction: Direction,
    /// The sum of the counters.
    #[serde(flatten)]
    pub sum: Count,
    /// The first look of a daemon that watches when counters move; null without one.
    pub watched_since: Option<Timestamp>,
    /// The counters: rules in file order, then everything else.
    pub counters: Vec<CounterReport>,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CounterReport {
    /// What it means.
    #[serde(flatten)]
    pub slot: SlotRecord,
    /// What it counted.
    #[serde(flatten)]
    pub count: Count,
    /// The look that saw that the last packet had come; null if none has come since somebody
    /// watches.
    pub last_hit: Option<Timestamp>,
}

/// What was counted since the instance was first applied, and when last, as far as that is
/// known.
///
/// # Errors
/// As [`counters`].
pub fn counters_with_last_hits(instance: &Instance) -> Result<Counters, KernelError> {
    let mut counters = counters(instance)?;
    let Some(known) = LastHits::known(instance, &counters, Moment::now()?) else {
        return Ok(counters);
    };
    for hook in &mut counters.hooks {
        hook.watched_since = known.since(&hook.device, hook.direction);
        for counter in &mut hook.counters {
            let last = known.of(&hook.device, hook.direction, &counter.slot.id);
            counter.last_hit = last.until;
        }
    }
    Ok(counters)
}

/// What was counted since the instance was first applied, and not when.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn counters(instance: &Instance) -> Result<Counters, KernelError> {
    steadily(instance, || counters_now(instance))
}

fn counters_now(instance: &Instance) -> Result<Counters, KernelError> {
    let records = instance.state.records()?;
    let attached = attached::attached(instance, &records)?;
    check_pins(instance, &attached)?;
    let totals = tally::totals(instance)?;
    let policy = attached::newest(&records, &attached).map(|record| {
        let PolicyRecord { name, hash, .. } = record.policy.clone();
        CountedPolicy {
            name,
            hash,
            generation: record.generation,
        }
    });
    let hooks = attached.iter().filter_map(|link| {
        let (_, hook) = link.place.as_ref()?;
        Some(HookCounters {
            device: link.device.clone(),
            ..hook_counters(hook, &totals)
        })
    });
    Ok(Counters {
        policy,
        hooks: hooks.collect(),
        nameless: attached.iter().filter(|link| link.place.is_none()).count(),
    })
}

/// Counters that cannot be read must not be shown as 0.
fn check_pins(instance: &Instance, attached: &[Attached]) -> Result<(), KernelError> {
    let pinned = instance.pins.pinned_counters()?;
    for link in attached {
        let Some((generation, hook)) = &link.place else {
            continue;
        };
        if hook.counters.is_empty() {
            continue;
        }
        let pin = (*generation, hook.device.clone(), hook.direction);
        if !pinned.contains(&pin) {
            let path = instance
                .pins
                .counters(*generation, &hook.device, hook.direction);
            return Err(
                KernelError::new(format!("read the counters of {}", link.device))
                    .because(format!("somebody removed their pin {}", path.display()))
                    .try_this(
                        "the filter itself goes on; `edge-filter apply` makes new counters, and what \
                         the present ones counted is lost",
                    ),
            );
        }
    }
    Ok(())
}

fn hook_counters(hook: &HookRecord, totals: &[TallyEntry]) -> HookCounters {
    let own: Vec<&TallyEntry> = totals
        .iter()
        .filter(|entry| entry.device == hook.device && entry.direction == hook.direction)
        .collect();
    let counted: HashMap<&str, Count> = own
        .iter()
        .map(|entry| (&*entry.slot.id, entry.count))
        .collect();
    let known: HashSet<&str> = hook.counters.iter().map(|slot| &*slot.id).collect();
    let current = hook.counters.iter().map(|slot| CounterReport {
        slot: slot.clone(),
        count: counted.get(&*slot.id).copied().unwrap_or_default(),
        last_hit: None,
    });
    // Ids that only earlier generations had; without them the sum would not hold.
    let former = own
        .iter()
        .filter(|entry| !known.contains(&*entry.slot.id))
        .map(|entry| CounterReport {
            slot: entry.slot.clone(),
            count: entry.count,
            last_hit: None,
        });
    let mut counters: Vec<CounterReport> = current.chain(former).collect();
    counters.sort_by_key(|counter| counter.slot.kind != "rule" && counter.slot.kind != "audit");
    let mut sum = Count::default();
    for counter in &counters {
        sum += counter.count;
    }
    HookCounters {
        interface: hook.interface.clone(),
        device: hook.device.clone(),
        direction: hook.direction,
        sum,
        watched_since: None,
        counters,
    }
}
