//! What is enforced now: read from the kernel, with the names that the records give.

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::attached::{Afterwards, Attached, as_word, attached, hook_of, newest, on_trial};
use super::emergency::Emergency;
use super::last_good::Ground;
use super::lost_trial::LostTrial;
use super::plan::Absent;
use super::reading::steadily;
use super::record::{HookRecord, Record};
use crate::kernel::KernelError;
use crate::kernel::device::{self, XdpMode};
use crate::kernel::flow_table::FlowTable;
use crate::kernel::pins::Kind;
use crate::kernel::site::Site;
use crate::policy::Direction;

pub use super::attached::Trouble;

/// What is attached, as `status --json` prints it.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The policy of the newest generation; null if nothing is enforced, or no record tells what.
    pub policy: Option<EnforcedPolicy>,
    /// The trial that was begun last and is neither confirmed nor ended; null if there is
    /// none.
    pub trial: Option<TrialStatus>,
    /// A trial of which no record tells; null if there is none.
    pub lost_trial: Option<TrialEnd>,
    /// Every hook.
    pub hooks: Vec<HookStatus>,
    /// The devices that play a role and have no hook.
    pub absent: Vec<AbsentDevice>,
    /// The flow table.
    pub flows: FlowStatus,
    /// What of the state directory cannot be read, and why; nothing while state lies in memory.
    pub damaged: Vec<String>,
    /// Why state lies in memory; null if it lies in the state directory.
    pub emergency: Option<Emergency>,
    /// What that means for what is enforced.
    #[serde(skip)]
    pub ground: Option<Ground>,
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
    /// When it reverts by itself; null if it is not on trial.
    pub confirm_deadline: Option<Timestamp>,
    /// Whether its programs say what becomes of frames.
    pub diagnostics: bool,
}

/// A trial.
#[derive(Debug, Serialize)]
pub struct TrialStatus {
    /// The name of its policy.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// The number of the generation.
    pub generation: u64,
    /// How it ends.
    #[serde(flatten)]
    pub end: TrialEnd,
}

/// How a trial ends.
#[derive(Debug, Serialize)]
pub struct TrialEnd {
    /// When it reverts by itself, or did.
    pub confirm_deadline: Timestamp,
    /// Whether that has passed.
    pub passed: bool,
    /// The generation that decides from then on; null if nothing is filtered then, or no record
    /// tells.
    pub afterwards: Option<u64>,
    /// Whether anything is filtered from then on.
    pub filtered_afterwards: bool,
    /// What is so from then on, as a clause.
    #[serde(skip)]
    pub then: String,
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

/// A device that plays a role and has no hook: the policy was applied without it, or nothing is
/// attached to any since the machine was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbsentDevice {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// Whether it is there by now.
    pub trouble: Trouble,
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
        confirm_deadline: record.trial.map(|trial| trial.deadline),
        diagnostics: record.diagnostics,
    });
    let trial = on_trial(&attached).and_then(|trial| {
        let record = records
            .iter()
            .find(|record| record.generation == trial.generation)?;
        Some(TrialStatus {
            name: record.policy.name.clone(),
            hash: record.policy.hash.clone(),
            generation: record.generation,
            end: TrialEnd::of(record.trial?.deadline, trial.is_over, trial.afterwards),
        })
    });
    let lost_trial = LostTrial::newest(&attached);
    let lost_trial = lost_trial.map(|trial| {
        let deadline = trial.deadline()?;
        Ok::<_, KernelError>(TrialEnd::of(deadline, trial.is_over, trial.afterwards))
    });
    let lost_trial = lost_trial.transpose()?;
    let absent = match newest {
        Some(record) => record.absent.clone(),
        None if attached.is_empty() => committed_devices(instance),
        None => Absent::new(),
    };
    let hooks = attached.into_iter().map(hook_status);
    let hooks: Vec<HookStatus> = hooks.chain(lost).collect();
    let flows = newest.map_or_else(
        || Ok(FlowStatus::default()),
        |record| flows(instance, record),
    )?;
    let emergency = instance.state.emergency();
    let ground = emergency.as_ref();
    let ground = ground.map(|emergency| Ground::of(emergency, &instance.state));
    let emergency = emergency.map(|emergency| Emergency {
        last_resort: matches!(ground, Some(Ground::LastResort(_))),
        provisional: None,
        ..emergency
    });
    Ok(Status {
        policy,
        trial,
        lost_trial,
        absent: without_hook(absent, &hooks),
        hooks,
        flows,
        damaged: match emergency {
            Some(_) => Vec::new(),
            None => instance.state.remains().faults(),
        },
        emergency,
        ground,
    })
}

impl Status {
    /// How the trials end that anything tells of.
    pub fn trial_ends(&self) -> impl Iterator<Item = &TrialEnd> {
        let recorded = self.trial.as_ref().map(|trial| &trial.end);
        recorded.into_iter().chain(&self.lost_trial)
    }
}

impl TrialEnd {
    fn of(confirm_deadline: Timestamp, passed: bool, afterwards: Afterwards) -> Self {
        Self {
            confirm_deadline,
            passed,
            afterwards: afterwards.generation(),
            filtered_afterwards: afterwards != Afterwards::Nobody,
            then: afterwards.in_words(),
        }
    }
}

/// The devices of the generation that was committed last. What cannot be read names none.
fn committed_devices(instance: &Instance) -> Absent {
    let history = instance.state.history().unwrap_or_default();
    let last = history.into_iter().next();
    last.map(|last| last.devices).unwrap_or_default()
}

/// Those of `devices` that have no hook.
fn without_hook(devices: Absent, hooks: &[HookStatus]) -> Vec<AbsentDevice> {
    let devices = devices
        .into_iter()
        .flat_map(|(role, names)| names.into_iter().map(move |name| (role.clone(), name)));
    devices
        .filter(|(_, name)| hooks.iter().all(|hook| hook.device != *name))
        .map(|(interface, device)| AbsentDevice {
            interface,
            trouble: if device::is_there(&device) {
                Trouble::FilterGone
            } else {
                Trouble::DeviceGone
            },
            device,
        })
        .collect()
}

fn hook_status(link: Attached) -> HookStatus {
    let trouble = link.trouble();
    let (generation, interface) = link.place.map_or((0, String::new()), |(generation, hook)| {
        (generation, hook.interface)
    });
    HookStatus {
        interface,
        device: link.device,
        direction: link.direction,
        hook: link.hook,
        mode: link.running.ok().and_then(Site::mode),
        program_id: link.program_id,
        link_pinned: true,
        generation,
        filtered: matches!(trouble, None | Some(Trouble::DeviceElsewhere)),
        trouble,
        ahead: link.ahead,
    }
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
    let lost = record
        .hooks
        .iter()
        .filter(|hook| !hook.passes && !is_attached(hook));
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
