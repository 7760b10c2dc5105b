//! What is attached: read from the kernel, with the names that the records give.

use std::collections::HashMap;
use std::os::fd::AsFd;

use serde::Serialize;

use super::Instance;
use super::lost_trial::LostTrial;
use super::record::{HookRecord, Record};
use crate::kernel::KernelError;
use crate::kernel::attachment::{Attachment, Whereabouts};
use crate::kernel::device;
use crate::kernel::pins::Kind;
use crate::kernel::site::Site;
use crate::kernel::trial::{SinceBoot, Successor, successor_of};
use crate::policy::Direction;

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
    /// The policy on trial has nothing for this side, which is filtered again afterwards.
    OpenOnTrial,
    /// The trial that filtered this side is over, and nothing filtered it before.
    TrialOver,
}

impl Trouble {
    /// That of a device that has this name now, and no filter.
    pub(super) fn of_unfiltered(name: &str) -> Self {
        match device::find(name) {
            Ok(_) => Self::FilterGone,
            Err(_) => Self::DeviceGone,
        }
    }
}

/// A hook of a generation.
pub(super) type Place = (u64, HookRecord);

/// A pinned attachment, and what the records know of it.
pub(super) struct Attached {
    /// Its name now, or the one that it was known by last.
    pub(super) device: String,
    pub(super) direction: Direction,
    pub(super) program_id: u32,
    pub(super) hook: &'static str,
    pub(super) running: Result<Site, Trouble>,
    pub(super) ahead: Vec<u32>,
    /// The generation that decides there, and its hook; where nobody does, the trial
    /// that did or does not.
    pub(super) place: Option<Place>,
    /// The trial that its program belongs to.
    pub(super) trial: Option<OnTrial>,
    /// The same where no record names the program.
    pub(super) lost_trial: Option<LostTrial>,
    /// The program that takes over after a trial.
    pub(super) successor: Option<Successor>,
}

impl Attached {
    /// Whether its program is on trial and no record tells of it.
    pub(super) fn is_lost_trial(&self) -> bool {
        self.lost_trial.is_some()
    }

    /// The program that is attached, and the one that takes over after a trial.
    pub(super) fn programs(&self) -> impl Iterator<Item = u32> {
        let next = self.successor.map(|next| next.id);
        next.into_iter().chain([self.program_id])
    }

    /// The generation that decides there.
    pub(super) fn generation(&self) -> Option<u64> {
        let (generation, _) = self.place.as_ref()?;
        Some(*generation)
    }

    /// Why this side is not filtered, or not where this can be seen.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let is_over = self.trial.is_some_and(|trial| trial.is_over);
        let passes = self.place.as_ref().is_some_and(|(_, hook)| hook.passes);
        let lost = self.lost_trial.as_ref().and_then(LostTrial::trouble);
        self.running.err().or(lost).or(match (passes, is_over) {
            (false, _) => None,
            (true, false) => Some(Trouble::OpenOnTrial),
            (true, true) => Some(Trouble::TrialOver),
        })
    }
}

/// What is known of the trial of a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnTrial {
    pub(super) generation: u64,
    pub(super) is_over: bool,
    /// What decides afterwards.
    pub(super) afterwards: Afterwards,
}

/// What decides where a trial is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Afterwards {
    /// Nothing was filtered before, and everything passes.
    Nobody,
    /// A program of which no record tells.
    Unknown,
    /// This generation.
    Generation(u64),
}

impl Afterwards {
    /// What `next` is, which decides at `place` if a record tells.
    fn of(next: Option<Successor>, place: Option<&Place>) -> Self {
        match (place, next) {
            (Some((generation, _)), _) => Self::Generation(*generation),
            (None, Some(next)) if next.passes => Self::Nobody,
            (None, _) => Self::Unknown,
        }
    }

    /// The same as a clause.
    pub(super) fn in_words(self) -> String {
        match self {
            Self::Nobody => "nothing is filtered any more".to_owned(),
            Self::Unknown => "a policy that no record names decides again".to_owned(),
            Self::Generation(generation) => format!("generation {generation} decides again"),
        }
    }

    /// The generation, where it is known.
    pub(super) fn generation(self) -> Option<u64> {
        match self {
            Self::Nobody | Self::Unknown => None,
            Self::Generation(generation) => Some(generation),
        }
    }
}

/// The hook that a program belongs to, with its generation.
fn place_of(records: &[Record], program_id: u32) -> Option<(&Record, &HookRecord)> {
    records
        .iter()
        .find_map(|record| Some((record, record.hook(program_id)?)))
}

/// The hook of the program that takes over.
fn place_after(records: &[Record], next: Successor) -> Option<Place> {
    let (record, hook) = place_of(records, next.id)?;
    Some((record.generation, hook.clone()))
}

/// Who decides somewhere, and the trial that the program there belongs to.
type Decision = (Option<Place>, Option<OnTrial>);

/// That of a program after which `next` decides, if it is on trial; nothing if no record tells
/// of it.
fn decides(
    program_id: u32,
    next: Option<Successor>,
    records: &[Record],
    now: SinceBoot,
) -> Decision {
    let Some((record, hook)) = place_of(records, program_id) else {
        return (None, None);
    };
    let own = (record.generation, hook.clone());
    let Some(trial) = record.trial else {
        return (Some(own), None);
    };
    let place = next.and_then(|next| place_after(records, next));
    let on_trial = OnTrial {
        generation: record.generation,
        is_over: now >= trial.since_boot(),
        afterwards: Afterwards::of(next, place.as_ref()),
    };
    let place = match on_trial.afterwards {
        _ if !on_trial.is_over => Some(own),
        Afterwards::Generation(_) | Afterwards::Unknown => place,
        Afterwards::Nobody => {
            let (generation, hook) = own;
            let passes = true;
            Some((generation, HookRecord { passes, ..hook }))
        }
    };
    (place, Some(on_trial))
}

/// Whether a program is attached of which no record tells: then nobody knows what belongs to it.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn any_unknown(instance: &Instance, records: &[Record]) -> Result<bool, KernelError> {
    for pin in instance.pins.attachments()? {
        let attachment = Attachment::open(&instance.pins, &pin)?;
        if place_of(records, attachment.program_id()?).is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The names that devices have now, by those that they had when the programs there, and
/// those that decide after a trial, were attached, and when they were filtered first.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn present_names(
    instance: &Instance,
    records: &[Record],
) -> Result<HashMap<String, String>, KernelError> {
    let mut names = HashMap::new();
    let mut first_names = Vec::new();
    for pin in instance.pins.attachments()? {
        let attachment = Attachment::open(&instance.pins, &pin)?;
        let Whereabouts::On(device) = attachment.whereabouts()? else {
            continue;
        };
        let next = successor_of(attachment.program()?.as_fd())?.map(|next| next.id);
        for id in next.into_iter().chain([attachment.program_id()?]) {
            let Some((_, hook)) = place_of(records, id) else {
                continue;
            };
            // Who still has its name keeps it, though another one had it before.
            if hook.device == device.name {
                names.insert(hook.device.clone(), device.name.clone());
            } else {
                let name = names.entry(hook.device.clone());
                name.or_insert_with(|| device.name.clone());
            }
        }
        first_names.push((pin.device, device.name));
    }
    // What an attachment was pinned as tells no more than that.
    for (first, now) in first_names {
        names.entry(first).or_insert(now);
    }
    Ok(names)
}

/// Every pinned attachment.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn attached(
    instance: &Instance,
    records: &[Record],
) -> Result<Vec<Attached>, KernelError> {
    let now = SinceBoot::now()?;
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
        let program = attachment.program()?;
        let next = successor_of(program.as_fd())?;
        let (mut place, trial) = decides(program_id, next, records, now);
        let mut lost_trial = None;
        if let (Some(next), None, None) = (next, &place, trial) {
            let after = place_after(records, next);
            let afterwards = Afterwards::of(Some(next), after.as_ref());
            let lost = LostTrial::of(program.as_fd(), afterwards, now)?;
            place = after.filter(|_| lost.is_over);
            lost_trial = Some(lost);
        }
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
            trial,
            lost_trial,
            successor: next,
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

/// Whether every hook of `record` has the program of its own.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn enforces_everywhere(
    instance: &Instance,
    record: &Record,
) -> Result<bool, KernelError> {
    let attached = attached(instance, std::slice::from_ref(record))?;
    let runs = |hook: &HookRecord| {
        attached
            .iter()
            .any(|link| link.program_id == hook.program_id)
    };
    Ok(record.is_of_this_boot() && record.hooks.iter().all(runs))
}

/// What is attached on that side, as long as nobody can look.
pub(super) fn hook_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "xdp",
        Direction::Outbound => "tcx",
    }
}

/// The newest record of those that decide anywhere.
pub(super) fn newest<'r>(records: &'r [Record], attached: &[Attached]) -> Option<&'r Record> {
    let enforced = attached
        .iter()
        .filter_map(|link| {
            let (generation, hook) = link.place.as_ref()?;
            let is_over = link.trial.is_some_and(|trial| trial.is_over);
            (!is_over || !hook.passes).then_some(*generation)
        })
        .max()?;
    records.iter().find(|record| record.generation == enforced)
}

/// The newest trial that any attached program belongs to.
pub(super) fn on_trial(attached: &[Attached]) -> Option<OnTrial> {
    let trials = attached.iter().filter_map(|link| link.trial);
    trials.max_by_key(|trial| (trial.generation, trial.afterwards))
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
