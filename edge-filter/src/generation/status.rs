//! What is enforced now, and what it counted: read from the kernel, with the
//! names that the records give.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::reading::steadily;
use super::record::{HookRecord, PolicyRecord, Record, SlotRecord, TallyEntry};
use super::tally;
use crate::kernel::KernelError;
use crate::kernel::attachment::{Attachment, Whereabouts};
use crate::kernel::counters::Count;
use crate::kernel::device::{self, XdpMode};
use crate::kernel::flow_table::FlowTable;
use crate::kernel::pins::Kind;
use crate::kernel::site::Site;
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
    /// `xdp`, `tcx` or `clsact`.
    pub hook: &'static str,
    /// Where the program runs; null outbound, and once the device is gone.
    pub mode: Option<XdpMode>,
    /// The kernel's number of the program.
    pub program_id: u32,
    /// Whether the link stays when every process has ended.
    pub link_pinned: bool,
    /// The generation that this hook enforces.
    pub generation: u64,
    /// Whether the device is filtered on this side.
    pub filtered: bool,
    /// Why it is not, or not where this can be seen.
    pub trouble: Option<Trouble>,
    /// The programs that see packets before this one does (see
    /// [`crate::kernel::attachment::Attachment::ahead`]).
    #[serde(rename = "runs_before")]
    pub ahead: Vec<u32>,
}

/// The flow table's size and fill; both 0 if the policy has nothing remembered.
#[derive(Debug, Default, Serialize)]
pub struct FlowStatus {
    /// The number of conversations that it can hold.
    pub entries_max: u32,
    /// The number that it holds.
    pub entries_used: u32,
    /// Whether somebody removed its pin, or another version made it: nobody can look.
    #[serde(skip)]
    pub lost: bool,
}

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

/// Why a hook's mode is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The device was deleted.
    DeviceGone,
    /// The device was moved to another network namespace, where it is filtered.
    DeviceElsewhere,
    /// There is a device of that name, without the filter: somebody took it off, or made
    /// the device anew.
    FilterGone,
}

impl Trouble {
    /// That of a device that has this name now, and no filter.
    fn of_unfiltered(name: &str) -> Self {
        match device::find(name) {
            Ok(_) => Self::FilterGone,
            Err(_) => Self::DeviceGone,
        }
    }
}

/// A pinned link, and what the records know of it.
struct Attached {
    /// Its name now, or the one that it was known by last.
    device: String,
    direction: Direction,
    program_id: u32,
    hook: &'static str,
    running: Result<Site, Trouble>,
    ahead: Vec<u32>,
    place: Option<(u64, HookRecord)>,
}

/// What is attached.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn status(instance: &Instance) -> Result<Status, KernelError> {
    steadily(instance, || status_now(instance))
}

fn status_now(instance: &Instance) -> Result<Status, KernelError> {
    let records = instance.state.records()?;
    let attached = attached(instance, &records)?;
    let newest = newest(&records, &attached);
    let filters = instance.pins.attachments()?.into_iter();
    let filters: Vec<String> = filters
        .filter(|pin| pin.kind == Kind::Filter)
        .map(|pin| pin.device)
        .collect();
    let lost = newest.map_or_else(Vec::new, |record| lost(record, &attached, &filters));
    let policy = newest.map(|record| EnforcedPolicy {
        name: record.policy.name.clone(),
        hash: record.policy.hash.clone(),
        generation: record.generation,
        applied_at: record.applied_at,
        confirm_deadline: None,
    });
    let hooks = attached.into_iter().map(|link| HookStatus {
        interface: link
            .place
            .as_ref()
            .map_or_else(String::new, |(_, hook)| hook.interface.clone()),
        device: link.device,
        direction: link.direction,
        hook: link.hook,
        mode: link.running.ok().and_then(Site::mode),
        program_id: link.program_id,
        link_pinned: true,
        generation: link.place.map_or(0, |(generation, _)| generation),
        filtered: !matches!(link.running, Err(Trouble::DeviceGone | Trouble::FilterGone)),
        trouble: link.running.err(),
        ahead: link.ahead,
    });
    let flows = newest.map_or_else(
        || Ok(FlowStatus::default()),
        |record| flows(instance, record),
    )?;
    Ok(Status {
        policy,
        hooks: hooks.chain(lost).collect(),
        flows,
    })
}

fn flows(instance: &Instance, record: &Record) -> Result<FlowStatus, KernelError> {
    let Some(made_by) = record.flows else {
        return Ok(FlowStatus::default());
    };
    let path = instance.pins.flows(made_by);
    if path.try_exists().is_ok_and(|exists| !exists) {
        return Ok(FlowStatus {
            lost: true,
            ..FlowStatus::default()
        });
    }
    let table = FlowTable::open(&path)?;
    let live = table.list()?.live.len();
    Ok(FlowStatus {
        entries_max: table.capacity()?,
        entries_used: u32::try_from(live).unwrap_or(u32::MAX),
        lost: false,
    })
}

/// The hooks of a generation that are not attached any more. Devices with `filters` had
/// one of tc's outbound.
fn lost(record: &Record, attached: &[Attached], filters: &[String]) -> Vec<HookStatus> {
    let is_attached = |hook: &HookRecord| {
        attached.iter().any(|link| {
            let recorded = link.place.as_ref().map(|(_, hook)| &hook.device);
            link.direction == hook.direction
                && (recorded == Some(&hook.device) || link.device == hook.device)
        })
    };
    let lost = record.hooks.iter().filter(|hook| !is_attached(hook));
    lost.map(|hook| HookStatus {
        interface: hook.interface.clone(),
        device: hook.device.clone(),
        direction: hook.direction,
        hook: match hook.direction {
            Direction::Outbound if filters.contains(&hook.device) => "clsact",
            direction => hook_of(direction),
        },
        mode: None,
        program_id: hook.program_id,
        link_pinned: false,
        generation: record.generation,
        filtered: false,
        trouble: Some(Trouble::of_unfiltered(&hook.device)),
        ahead: Vec::new(),
    })
    .collect()
}

/// What `status` and `apply` say of a program that runs before ours; 0 is a filter
/// without one.
#[must_use]
pub fn runs_ahead(device: &str, program_id: u32) -> String {
    let what = match program_id {
        0 => "a filter of tc".to_owned(),
        id => format!("program {id}"),
    };
    format!(
        "{what} runs on what leaves {device} before the filter does: what it passes by itself or \
         redirects is neither filtered nor counted\n  help: `bpftool net show dev {device}` and \
         `tc filter show dev {device} egress` tell what it is"
    )
}

/// What was counted since the instance was first applied.
///
/// # Errors
/// The kernel or the state directory cannot be read.
pub fn counters(instance: &Instance) -> Result<Counters, KernelError> {
    steadily(instance, || counters_now(instance))
}

fn counters_now(instance: &Instance) -> Result<Counters, KernelError> {
    let records = instance.state.records()?;
    let attached = attached(instance, &records)?;
    check_pins(instance, &attached)?;
    let totals = tally::totals(instance)?;
    let policy = newest(&records, &attached).map(|record| {
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
    let mut attached = Vec::new();
    for pin in instance.pins.attachments()? {
        let attachment = Attachment::open(&instance.pins, &pin)?;
        let whereabouts = attachment.whereabouts()?;
        if pin.kind == Kind::Filter && whereabouts == Whereabouts::Nowhere {
            // A filter does not outlive its device, and its pin alone filters nothing.
            continue;
        }
        let program_id = attachment.program_id()?;
        let (running, ahead) = match &whereabouts {
            Whereabouts::On(device) => (
                attachment.site(device).ok_or(Trouble::DeviceElsewhere),
                attachment.ahead(device)?,
            ),
            Whereabouts::Elsewhere => (Err(Trouble::DeviceElsewhere), Vec::new()),
            Whereabouts::Nowhere => (Err(Trouble::of_unfiltered(&pin.device)), Vec::new()),
        };
        let place = records
            .iter()
            .find_map(|record| Some((record.generation, record.hook(program_id)?.clone())));
        attached.push(Attached {
            device: match whereabouts {
                Whereabouts::On(device) => device.name,
                Whereabouts::Elsewhere | Whereabouts::Nowhere => pin.device,
            },
            direction: pin.direction,
            program_id,
            hook: running.map_or_else(|_| hook_of(pin.direction), Site::hook),
            running,
            ahead,
            place,
        });
    }
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

/// The newest record that is enforced anywhere.
pub(super) fn enforced(instance: &Instance) -> Result<Option<Record>, KernelError> {
    let records = instance.state.records()?;
    let attached = attached(instance, &records)?;
    Ok(newest(&records, &attached).cloned())
}

/// What is attached on that side, as long as nobody can look.
fn hook_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "xdp",
        Direction::Outbound => "tcx",
    }
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
pub(super) fn as_word<S: serde::Serializer>(
    direction: &Direction,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(direction.as_str())
}
