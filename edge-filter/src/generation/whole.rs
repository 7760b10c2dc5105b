//! Whether everything that should be filtered is, now and after any deadline, where the history
//! does not say what that is: as far as the records that can be read tell.

use std::collections::BTreeSet;

use super::Instance;
use super::attached::{Attached, Trouble, attached};
use super::history::Committed;
use super::record::Record;
use crate::kernel::KernelError;
use crate::kernel::device;
use crate::policy::Direction;

/// A device, and the side that is to be filtered; any where none is known.
type Side<'r> = (&'r str, Option<Direction>);

/// Whether something is attached, nothing that is attached lets everything pass or will, and
/// every device is filtered that is there and named by what was committed `last`, as far as that
/// can be read, or by a record whose programs are attached or follow after a trial. Then what is
/// attached may stay.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn is_whole(
    instance: &Instance,
    records: &[Record],
    last: Option<&Committed>,
) -> Result<bool, KernelError> {
    let attached = attached(instance, records)?;
    if attached.is_empty() || attached.iter().any(|link| !lasts(link)) {
        return Ok(false);
    }
    let recorded = in_force(records, &attached).flat_map(sides);
    let devices = last.into_iter().flat_map(|last| last.devices.values());
    let committed = devices.flatten().map(|device| (&**device, None));
    let is_open = |(name, side): Side<'_>| {
        let is_on = |link: &Attached| {
            link.running.is_ok()
                && link.device == name
                && side.is_none_or(|side| link.direction == side)
        };
        device::find(name).is_ok() && !attached.iter().any(is_on)
    };
    Ok(!recorded.chain(committed).any(is_open))
}

/// Whether anything is attached, or follows after a trial, that a record tells of.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn is_recorded(instance: &Instance, records: &[Record]) -> Result<bool, KernelError> {
    let attached = attached(instance, records)?;
    Ok(in_force(records, &attached).next().is_some())
}

/// The records of programs that are attached, or follow after a trial.
fn in_force<'r>(records: &'r [Record], attached: &[Attached]) -> impl Iterator<Item = &'r Record> {
    let programs: BTreeSet<u32> = attached.iter().flat_map(Attached::programs).collect();
    let is_one = move |record: &&Record| programs.iter().any(|&id| record.hook(id).is_some());
    records.iter().filter(is_one)
}

/// Whether it filters, or will when a trial is over that leaves this side open, and goes on.
fn lasts(link: &Attached) -> bool {
    let is_unfiltered = |trouble| matches!(trouble, Trouble::FilterGone | Trouble::TrialOver);
    let will_open = link.running.is_ok() && link.successor.is_some_and(|next| next.passes);
    !will_open && !link.trouble().is_some_and(is_unfiltered)
}

/// The sides that a generation filters, or will when the device is there.
fn sides(record: &Record) -> impl Iterator<Item = Side<'_>> {
    let hooks = || record.hooks.iter().filter(|hook| !hook.passes);
    let absent = record.absent.iter().flat_map(move |(role, names)| {
        let of_role = hooks().filter(move |hook| hook.interface == *role);
        let sides: BTreeSet<Direction> = of_role.map(|hook| hook.direction).collect();
        let mut sides: Vec<_> = sides.into_iter().map(Some).collect();
        if sides.is_empty() {
            sides.push(None);
        }
        let names = names.iter();
        names.flat_map(move |name| sides.clone().into_iter().map(move |side| (&**name, side)))
    });
    let present = hooks().map(|hook| (&*hook.device, Some(hook.direction)));
    present.chain(absent)
}
