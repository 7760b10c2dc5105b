//! What a trial needs besides its own programs: at each hook the program that decides
//! when it is over, and at hooks that it leaves open a program that hands over, too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::Instance;
use super::attached::any_unknown;
use super::change::Former;
use super::record::{HookRecord, Record};
use crate::kernel::KernelError;
use crate::kernel::attachment::{Attachment, Whereabouts};
use crate::kernel::object::{self, LoadedProgram};
use crate::kernel::pins::{AttachmentPin, Kind};
use crate::kernel::trial::{SinceBoot, pin_successor, successor};
use crate::kernel::unpin;
use crate::policy::Direction;

/// Pins the program that decides at a hook when the trial of `generation` is over: the
/// one that decides there if `present` is on trial itself, else `present`, else one that
/// lets everything pass.
///
/// # Errors
/// The kernel refuses.
pub(super) fn prepare(
    instance: &Instance,
    generation: u64,
    device: &str,
    direction: Direction,
    present: Option<BorrowedFd<'_>>,
) -> Result<PathBuf, KernelError> {
    let path = instance.pins.successor(generation, device, direction);
    // One that a process left that was killed before it had any effect.
    unpin(&path)?;
    if let Some(present) = present {
        let decides = successor(present)?;
        pin_successor(&path, decides.as_ref().map_or(present, AsFd::as_fd))?;
    } else {
        let pass = object::load_passing(direction, None)?;
        pin_successor(&path, pass.descriptor())?;
    }
    Ok(path)
}

/// Removes what `prepare` pinned for the generations that `gone` names.
///
/// # Errors
/// The BPF file system refuses.
pub(super) fn remove_successors(
    instance: &Instance,
    gone: impl Fn(u64, &str, Direction) -> bool,
) -> Result<(), KernelError> {
    for (generation, device, direction) in instance.pins.successors()? {
        if gone(generation, &device, direction) {
            unpin(&instance.pins.successor(generation, &device, direction))?;
        }
    }
    Ok(())
}

/// Removes those of programs that are attached nowhere any more. A device that a trial
/// does not see (it is in another network namespace) keeps its program, which asks for the
/// one in there when its own trial is over; and where no record tells of a program, none is
/// known to be unused.
///
/// # Errors
/// The kernel or the state directory cannot be read; all of them stay.
pub(super) fn remove_unused_successors(instance: &Instance) -> Result<(), KernelError> {
    let records = instance.state.records()?;
    if any_unknown(instance, &records)? {
        return Ok(());
    }
    let mut used = Vec::new();
    for pin in instance.pins.attachments()? {
        let id = Attachment::open(&instance.pins, &pin)?.program_id()?;
        let place = records.iter().find_map(|record| {
            let hook = record.hook(id)?;
            Some((record.generation, hook.device.clone(), hook.direction))
        });
        used.extend(place);
    }
    remove_successors(instance, |generation, device, direction| {
        !used
            .iter()
            .any(|place| (place.0, &*place.1, place.2) == (generation, device, direction))
    })
}

/// A hook of the generation before that the trial has not.
#[derive(Debug)]
pub(super) struct Opened {
    former: Former,
    device: String,
    interface: String,
    program: LoadedProgram,
    old: OwnedFd,
    pinned_at: PathBuf,
}

impl Opened {
    /// Loads the program for it. A device that is gone, or is in another network
    /// namespace, stays as it is.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn load(
        instance: &Instance,
        generation: u64,
        former: Former,
        records: &[Record],
    ) -> Result<Option<Self>, KernelError> {
        let Whereabouts::On(device) = &former.whereabouts else {
            return Ok(None);
        };
        let device = device.name.clone();
        let direction = former.pin.direction;
        let old = former.attachment.program()?;
        let path = prepare(instance, generation, &device, direction, Some(old.as_fd()))?;
        let id = former.attachment.program_id()?;
        let hook = records.iter().find_map(|record| record.hook(id));
        Ok(Some(Self {
            program: object::load_passing(direction, Some(&path))?,
            interface: hook.map_or_else(String::new, |hook| hook.interface.clone()),
            pinned_at: instance.pins.attachment(&former.pin),
            device,
            former,
            old,
        }))
    }

    /// Sets the deadline.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn set_deadline(&mut self, deadline: SinceBoot) -> Result<(), KernelError> {
        self.program.set_deadline(deadline)
    }

    /// Opens the hook.
    ///
    /// # Errors
    /// Another program is there than before, or the kernel refuses.
    pub(super) fn replace(
        &mut self,
        instance: &Instance,
        generation: u64,
    ) -> Result<(), KernelError> {
        let pin = instance.pins.attachment(&AttachmentPin {
            kind: Kind::Filter,
            generation,
            device: self.device.clone(),
            direction: self.former.pin.direction,
        });
        let (new, old) = (self.program.descriptor(), self.old.as_fd());
        self.former.attachment.replace(&self.device, new, old, &pin)
    }

    /// Gives the hook its former program back.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn put_back(&mut self) -> Result<(), KernelError> {
        let (new, old) = (self.program.descriptor(), self.old.as_fd());
        self.former
            .attachment
            .replace(&self.device, old, new, &self.pinned_at)
    }

    /// What the record of the trial says of it.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(super) fn record(&mut self) -> Result<HookRecord, KernelError> {
        Ok(HookRecord {
            interface: self.interface.clone(),
            device: self.device.clone(),
            direction: self.former.pin.direction,
            program_id: self.program.facts()?.id,
            counters: Vec::new(),
            passes: true,
        })
    }

    /// The device, and the side.
    pub(super) fn side(&self) -> (String, Direction) {
        (self.device.clone(), self.former.pin.direction)
    }
}
