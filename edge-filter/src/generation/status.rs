//! What is enforced now, and what it counted: read from the kernel, with the
//! names that the records give.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::record::{HookRecord, PolicyRecord, Record, SlotRecord, TallyEntry};
use super::tally;
use crate::kernel::KernelError;
use crate::kernel::counters::Count;
use crate::kernel::device::{self, XdpMode};
use crate::kernel::link::Link;
use crate::policy::Direction;

/// What is attached, as `status --json` prints it.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The policy of the newest generation; null if nothing is enforced.
    pub policy: Option<EnforcedPolicy>,
    /// Every hook.
    pub hooks: Vec<HookStatus>,
    /// The flow table.
    pub flows: FlowStatus,
}

/// An enforced policy.
#[derive(Debug, Serialize)]
pub struct EnforcedPolicy {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// The number of the generation.
    pub generation: u64,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// When it reverts by itself; null, as this version makes no trials.
    pub confirm_deadline: Option<Timestamp>,
}

/// An attached hook.
#[derive(Debug, Serialize)]
pub struct HookStatus {
    /// The role.
    pub interface: String,
    /// The device, by the name that it has now.
    pub device: String,
    /// The side.
    #[serde(serialize_with = "as_word")]
    pub direction: Direction,
    /// `xdp`: outbound hooks are not attached by this version.
    pub hook: &'static str,
    /// Where the program runs; null once the device is gone.
    pub mode: Option<XdpMode>,
    /// The kernel's number of the program.
    pub program_id: u32,
    /// Whether the link stays when every process has ended.
    pub link_pinned: bool,
    /// The generation that this hook enforces.
    pub generation: u64,
}

/// The flow table's size and fill: this version has none.
#[derive(Debug, Default, Serialize)]
pub struct FlowStatus {
    /// The number of conversations that it can hold.
    pub entries_max: u32,
    /// The number that it holds.
    pub entries_used: u32,
}

/// What was counted, as `counters --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// The policy of the newest generation; null if nothing is enforced.
    pub policy: Option<CountedPolicy>,
    /// Every hook.
    pub hooks: Vec<HookCounters>,
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
}

/// A pinned link, and what the records know of it.
struct Attached {
    device: String,
    direction: Direction,
    program_id: u32,
    index: Option<u32>,
    place: Option<(u64, HookRecord)>,
}

/// What is attached.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn status(instance: &Instance) -> Result<Status, KernelError> {
    let records = instance.state.records()?;
    let attached = attached(instance, &records)?;
    let policy = newest(&records, &attached).map(|record| EnforcedPolicy {
        name: record.policy.name.clone(),
        hash: record.policy.hash.clone(),
        generation: record.generation,
        applied_at: record.applied_at,
        confirm_deadline: None,
    });
    let hooks = attached.into_iter().map(|link| {
        let device = link.index.and_then(|_| device::find(&link.device).ok());
        let mode = device
            .and_then(|device| device.xdp)
            .filter(|xdp| xdp.program_id == link.program_id)
            .map(|xdp| xdp.mode);
        HookStatus {
            interface: link
                .place
                .as_ref()
                .map_or_else(String::new, |(_, hook)| hook.interface.clone()),
            device: link.device,
            direction: link.direction,
            hook: "xdp",
            mode,
            program_id: link.program_id,
            link_pinned: true,
            generation: link.place.map_or(0, |(generation, _)| generation),
        }
    });
    Ok(Status {
        policy,
        hooks: hooks.collect(),
        flows: FlowStatus::default(),
    })
}

/// What was counted since the instance was first applied.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn counters(instance: &Instance) -> Result<Counters, KernelError> {
    let records = instance.state.records()?;
    let attached = attached(instance, &records)?;
    let totals = tally::totals(instance)?;
    let policy = newest(&records, &attached).map(|record| {
        let PolicyRecord { name, hash } = record.policy.clone();
        CountedPolicy {
            name,
            hash,
            generation: record.generation,
        }
    });
    let hooks = attached.iter().filter_map(|link| {
        let (_, hook) = link.place.as_ref()?;
        Some(hook_counters(hook, &totals))
    });
    Ok(Counters {
        policy,
        hooks: hooks.collect(),
    })
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
    });
    // Ids that only earlier generations had; without them the sum would not hold.
    let former = own
        .iter()
        .filter(|entry| !known.contains(&*entry.slot.id))
        .map(|entry| CounterReport {
            slot: entry.slot.clone(),
            count: entry.count,
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
        counters,
    }
}

fn attached(instance: &Instance, records: &[Record]) -> Result<Vec<Attached>, KernelError> {
    let links = instance
        .pins
        .links()?
        .into_iter()
        .map(|(device, direction)| {
            let link = Link::from_pin(instance.pins.link(&device, direction))?;
            let program_id = link.program_id()?;
            let place = records
                .iter()
                .find_map(|record| Some((record.generation, record.hook(program_id)?.clone())));
            Ok(Attached {
                device,
                direction,
                program_id,
                index: link.device_index()?,
                place,
            })
        });
    let mut attached: Vec<Attached> = links.collect::<Result<_, KernelError>>()?;
    // In the order of the policy: as the newest record has them.
    let order = records
        .first()
        .map(|record| &*record.hooks)
        .unwrap_or_default();
    attached.sort_by_key(|link| {
        let place = order.iter().position(|hook| hook.device == link.device);
        (place.unwrap_or(usize::MAX), link.direction)
    });
    Ok(attached)
}

/// The newest record that any attached program belongs to.
fn newest<'r>(records: &'r [Record], attached: &[Attached]) -> Option<&'r Record> {
    let enforced = attached
        .iter()
        .filter_map(|link| Some(link.place.as_ref()?.0))
        .max()?;
    records.iter().find(|record| record.generation == enforced)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn as_word<S: serde::Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.as_str())
}
