//! What a process has left behind that was ended in the middle of its work: pins and a
//! record of a generation that never decided anything.
//!
//! The next commit would clear it away; until one succeeds, every command that takes the
//! lock does, so that commands that are killed again and again leave no more than one of
//! them has.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::Instance;
use super::attached::any_unknown;
use super::record::Record;
use super::tally::await_programs;
use crate::kernel::attachment::Attachment;
use crate::kernel::counters::{Count, read_pinned};
use crate::kernel::trial::successor_of;
use crate::kernel::{KernelError, unpin};

/// Clears it away. The caller holds the lock.
///
/// Not touched is what decides somewhere or will after a trial, what was committed, and
/// what has counted a packet under a name.
///
/// # Errors
/// The kernel or the state directory cannot be read; what is left stays for another time.
pub(super) fn clear(instance: &Instance) -> Result<(), KernelError> {
    instance.state.sweep()?;
    let records = instance.state.records()?;
    if any_unknown(instance, &records)? {
        // State was lost: nothing tells what belongs to a program that is there, and one on trial
        // drops everything in the end if its successor is taken away.
        return Ok(());
    }
    let decide = deciding(instance, &records)?;
    let history = instance.state.history()?;
    let committed = history.iter().map(|committed| committed.generation);
    let mut kept: BTreeSet<u64> = decide.into_iter().chain(committed).collect();
    let counters = instance.pins.pinned_counters()?;
    let is_left = |generation: u64| !kept.contains(&generation);
    if !records.iter().any(|record| is_left(record.generation))
        && !counters.iter().any(|(generation, ..)| is_left(*generation))
        && !instance
            .pins
            .successors()?
            .iter()
            .any(|(generation, ..)| is_left(*generation))
        && !instance
            .pins
            .flow_tables()?
            .iter()
            .any(|(generation, _)| is_left(*generation))
    {
        return Ok(());
    }
    // A program may still run that was attached a moment ago.
    await_programs()?;
    let recorded = |generation: &u64| {
        records
            .iter()
            .any(|record| record.generation == *generation)
    };
    for (generation, device, direction) in counters.iter().filter(|pin| recorded(&pin.0)) {
        let counts = read_pinned(&instance.pins.counters(*generation, device, *direction))?;
        if counts.iter().any(|count| *count != Count::default()) {
            kept.insert(*generation);
        }
    }
    for (generation, device, direction) in counters {
        if !kept.contains(&generation) {
            unpin(&instance.pins.counters(generation, &device, direction))?;
        }
    }
    for (generation, device, direction) in instance.pins.successors()? {
        if !kept.contains(&generation) {
            unpin(&instance.pins.successor(generation, &device, direction))?;
        }
    }
    let (kept, left): (Vec<Record>, Vec<Record>) = records
        .into_iter()
        .partition(|record| kept.contains(&record.generation));
    for record in left {
        instance.state.remove_record(record.generation)?;
    }
    let tables: BTreeSet<u64> = kept.iter().filter_map(|record| record.flows).collect();
    for (made_by, path) in instance.pins.flow_tables()? {
        if !tables.contains(&made_by) {
            unpin(&path)?;
        }
    }
    Ok(())
}

/// The generations whose programs are attached, or take over from those that are.
fn deciding(instance: &Instance, records: &[Record]) -> Result<BTreeSet<u64>, KernelError> {
    let mut generations = BTreeSet::new();
    for pin in instance.pins.attachments()? {
        let attachment = Attachment::open(&instance.pins, &pin)?;
        let next = successor_of(attachment.program()?.as_fd())?.map(|next| next.id);
        for id in next.into_iter().chain([attachment.program_id()?]) {
            let record = records.iter().find(|record| record.hook(id).is_some());
            generations.extend(record.map(|record| record.generation));
        }
    }
    Ok(generations)
}
