//! What was counted: by the generations that enforce, and by those before them.
//!
//! A counter belongs to a device, a direction and an id; an id that stays keeps
//! its count. A total is what the tally holds plus every map that is pinned and
//! not part of it yet. A map becomes part of the tally once its last program has
//! ended; the tally says so before the map's pin goes, so that a crash between
//! the two counts nothing twice.

use std::collections::HashMap;

use super::Instance;
use super::record::{Record, SlotRecord, Tally, TallyEntry};
use crate::kernel::KernelError;
use crate::kernel::counters::{Count, read_pinned};
use crate::kernel::pins::Pin;
use crate::kernel::{unpin, wait_for_programs};
use crate::policy::Direction;

/// A counter's name within an instance.
type Key = (String, Direction, String);

/// Sums, in the order in which their counters first appeared.
#[derive(Debug, Default)]
struct Sums {
    entries: Vec<TallyEntry>,
    places: HashMap<Key, usize>,
}

impl Sums {
    fn add(&mut self, device: &str, direction: Direction, slot: &SlotRecord, count: Count) {
        let key = (device.to_owned(), direction, slot.id.clone());
        let place = *self.places.entry(key).or_insert_with(|| {
            self.entries.push(TallyEntry {
                device: device.to_owned(),
                direction,
                slot: slot.clone(),
                count: Count::default(),
            });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[place];
        // An id may have changed from allow to drop; the newest meaning stands.
        entry.slot = slot.clone();
        entry.count += count;
    }

    fn add_tally(&mut self, tally: &Tally) {
        for TallyEntry {
            device,
            direction,
            slot,
            count,
        } in &tally.counters
        {
            self.add(device, *direction, slot, *count);
        }
    }

    /// Adds the counters that one generation has pinned.
    fn add_pinned(
        &mut self,
        instance: &Instance,
        record: &Record,
        device: &str,
        direction: Direction,
    ) -> Result<(), KernelError> {
        let hook = record
            .hooks
            .iter()
            .find(|hook| hook.device == device && hook.direction == direction);
        let Some(hook) = hook else {
            return Ok(());
        };
        let counts = read_pinned(&instance.pins.counters(record.generation, device, direction))?;
        for (slot, count) in hook.counters.iter().zip(counts) {
            self.add(device, direction, slot, count);
        }
        Ok(())
    }
}

/// Everything that was counted and that something was counted under, whether or
/// not the present generation knows the id.
///
/// # Errors
/// The state or the counters cannot be read.
pub fn totals(instance: &Instance) -> Result<Vec<TallyEntry>, KernelError> {
    let records = instance.state.records()?;
    let pinned = instance.pins.pinned_counters()?;
    gather(
        instance,
        &instance.state.tally()?,
        records.iter().rev(),
        &pinned,
    )
}

/// The sums of the tally, and of what `records` (oldest first) have among the
/// `pinned` counters and not in the tally.
fn gather<'r>(
    instance: &Instance,
    tally: &Tally,
    records: impl Iterator<Item = &'r Record>,
    pinned: &[Pin],
) -> Result<Vec<TallyEntry>, KernelError> {
    let mut sums = Sums::default();
    sums.add_tally(tally);
    for record in records.filter(|record| record.generation > tally.folded) {
        let own = pinned
            .iter()
            .filter(|(generation, ..)| *generation == record.generation);
        for (_, device, direction) in own {
            sums.add_pinned(instance, record, device, *direction)?;
        }
    }
    Ok(sums.entries)
}

/// Waits until no program runs any more that was replaced before.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn await_programs() -> Result<(), KernelError> {
    wait_for_programs().map_err(|error| {
        KernelError::new("wait for the programs that were replaced").because(error)
    })
}

/// Adds what all generations before `current` counted to the tally, and forgets
/// them. No program of theirs is attached any more.
///
/// # Errors
/// The kernel does not tell when the last of them has ended, or something cannot
/// be read or written: then they stay, and count as before.
pub(super) fn fold(instance: &Instance, current: u64) -> Result<(), KernelError> {
    let records = instance.state.records()?;
    let old: Vec<&Record> = records
        .iter()
        .rev()
        .filter(|record| record.generation < current)
        .collect();
    let pinned: Vec<Pin> = instance
        .pins
        .pinned_counters()?
        .into_iter()
        .filter(|(generation, ..)| *generation < current)
        .collect();
    // Without a record, pins may still be left of an `apply` that was killed.
    if old.is_empty() && pinned.is_empty() {
        return Ok(());
    }
    await_programs()?;
    let mut tally = instance.state.tally()?;
    let counters = gather(instance, &tally, old.iter().copied(), &pinned)?;
    tally.folded = current - 1;
    tally.counters = counters;
    tally
        .counters
        .retain(|entry| entry.count != Count::default());
    instance.state.write_tally(&tally)?;
    for (generation, device, direction) in &pinned {
        unpin(&instance.pins.counters(*generation, device, *direction))?;
    }
    for record in old {
        instance.state.remove_record(record.generation)?;
    }
    Ok(())
}
