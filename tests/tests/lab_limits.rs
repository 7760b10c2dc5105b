//! Whatever runs out during `apply`: files, room on the disk, memory. At each limit, from
//! far too little up to just enough, it is applied whole or refused whole; what was enforced
//! decides on, `status` tells no other story, nothing is left behind, and the next ordinary
//! `apply` works.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use edge_filter_tests::lab::boot::small_disk;
use edge_filter_tests::lab::limited::{Outcome, Subject};
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::standing::{Standing, refusal};
use edge_filter_tests::lab::trial::{FIRST, MOVED};
use edge_filter_tests::soak;

/// How many limits of memory are tried, in a soak run.
const LIMITS_OF_MEMORY: usize = 100;
/// From one limit of memory to the next, where the interesting ones are looked for; and
/// where none is any more.
const COARSE: usize = 2 << 20;
const MOST: usize = 1 << 30;
/// The size of the small disk, and of what is freed step by step.
const DISK: usize = 256 << 10;
const PAGE: usize = 4096;

fn count(counts: &mut BTreeMap<Outcome, usize>, outcome: Outcome) {
    *counts.entry(outcome).or_default() += 1;
}

fn too_few_files(egress: &'static str) -> Result<()> {
    let subject = Subject::new(egress)?;
    let mut probe = Probe::new(&subject.lab)?;
    let mut counts = BTreeMap::new();
    let causes = ["Too many open files", "ulimit -n"];
    // Every one, in a soak run.
    let step = if soak::is_on() { 1 } else { 23 };
    let mut limit = 3;
    let enough = loop {
        let mut command = subject.command(&subject.policies[1], &format!("--nofile={limit}"))?;
        let outcome = subject
            .attempt(&mut probe, &mut command, &causes)
            .with_context(|| format!("with {limit} files"))?;
        count(&mut counts, outcome.clone());
        if outcome == Outcome::Applied {
            break limit;
        }
        ensure!(limit < 256, "256 files are not enough");
        limit += step;
    };
    println!("{egress}: every {step}. limit from 3 to {enough} open files: {counts:?}");
    ensure!(counts[&Outcome::Refused] > 2, "{counts:?}");
    ensure!(!counts.contains_key(&Outcome::Warned), "{counts:?}");
    Ok(())
}

#[test]
fn a_first_apply_that_lacks_files_leaves_nothing() -> Result<()> {
    let subject = Subject::new("tcx")?;
    let step = if soak::is_on() { 1 } else { 23 };
    let mut refused = 0;
    for limit in (3..200).step_by(step) {
        subject.lab.run(&["detach"], 0)?;
        let mut command = subject.command(&subject.policies[1], &format!("--nofile={limit}"))?;
        let outcome = subject.outcome(&command.output()?, &["Too many open files", "ulimit -n"])?;
        if outcome == Outcome::Applied {
            println!("{refused} limits of files refused, and {limit} was enough");
            ensure!(refused > 2);
            return subject.apply_ordinarily();
        }
        refused += usize::from(outcome == Outcome::Refused);
        let standing = Standing::of_none(&subject.lab)?;
        ensure!(standing.pins.is_empty(), "with {limit} files: {standing:?}");
        ensure!(
            standing.files.is_empty(),
            "with {limit} files: {standing:?}"
        );
        ensure!(
            standing.devices.values().all(Option::is_none),
            "{standing:?}"
        );
    }
    bail!("200 files are not enough")
}

#[test]
fn files_run_out_anywhere_with_tcx() -> Result<()> {
    too_few_files("tcx")
}

#[test]
fn files_run_out_anywhere_with_clsact() -> Result<()> {
    too_few_files("clsact")
}

/// Fills the small disk to the last byte, but for `room`.
///
/// What the file held goes by truncation: a removed file keeps its room for as long as a
/// child that another thread is just starting has a copy of its descriptor.
fn fill(path: &Path, room: usize) -> Result<()> {
    let mut file = File::create(path)?;
    let mut filled = 0;
    loop {
        match file.write(&[0; PAGE]) {
            Ok(length) => filled += length,
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => break,
            Err(error) => return Err(error.into()),
        }
    }
    let left = filled.checked_sub(room).context("the disk is too small")?;
    file.set_len(left as u64)?;
    Ok(())
}

#[test]
fn the_disk_is_full_to_the_last_byte() -> Result<()> {
    let subject = Subject::prepared("tcx", |lab| small_disk(lab, &DISK.to_string()))?;
    let mut probe = Probe::new(&subject.lab)?;
    let mut counts = BTreeMap::new();
    let ballast = subject.lab.mounts.outside("state/edge-filter/ballast");
    let mut room = 0;
    let enough = loop {
        fill(&ballast, room)?;
        let before = Standing::of(&subject.lab)?;
        let mut command = subject
            .lab
            .apply_command(&subject.policies[1], Mode::Native)?;
        let output = command.output()?;
        let outcome = subject.outcome(&output, &["No space left on device"])?;
        count(&mut counts, outcome.clone());
        let applied = outcome == Outcome::Applied || outcome == Outcome::Warned;
        ensure!(
            probe.open()? == if applied { MOVED } else { FIRST },
            "with {room} bytes: {outcome:?}"
        );
        probe.settle()?;
        if applied {
            // What the history holds is what is enforced.
            let history = subject.lab.json(&["rollback", "--list"])?;
            let newest = history[0]["generation"].as_u64();
            ensure!(newest == Some(subject.lab.status()?.policy.generation));
            File::create(&ballast)?;
            subject.apply_ordinarily()?;
            probe.settle()?;
        } else {
            before
                .assert_same(&subject.lab)
                .with_context(|| format!("with {room} bytes"))?;
        }
        if outcome == Outcome::Applied {
            break room;
        }
        ensure!(room < DISK / 2, "half the disk is not enough");
        room += PAGE;
    };
    println!("0 to {enough} bytes of room, in steps of {PAGE}: {counts:?}");
    ensure!(counts[&Outcome::Refused] > 1, "{counts:?}");
    subject.lab.run(&["detach"], 0)?;
    ensure!(subject.lab.mounts.pins()?.is_empty());
    Ok(())
}

#[test]
fn a_state_directory_that_cannot_be_written_to() -> Result<()> {
    let subject = Subject::prepared("tcx", |lab| small_disk(lab, &DISK.to_string()))?;
    let mut probe = Probe::new(&subject.lab)?;
    let remount = |how: &str| -> Result<()> {
        let mut mount = subject.lab.edge.command_in("mount", &subject.lab.mounts);
        mount.args(["-o", &format!("remount,{how}")]);
        expect_exit(mount.arg(subject.lab.mounts.state_dir()), 0)?;
        Ok(())
    };
    remount("ro")?;
    let before = Standing::of(&subject.lab)?;
    let words = ["Read-only file system", "remount,rw", "state/edge-filter"];
    let mut command = subject
        .lab
        .apply_command(&subject.policies[1], Mode::Native)?;
    println!("{}", refusal(&mut command, &words)?);
    ensure!(probe.open()? == FIRST);
    before.assert_same(&subject.lab)?;
    remount("rw")?;
    subject.apply_ordinarily()?;
    probe.settle()
}

#[test]
fn a_file_may_not_become_as_large_as_it_must() -> Result<()> {
    let subject = Subject::new("tcx")?;
    let mut probe = Probe::new(&subject.lab)?;
    let mut counts = BTreeMap::new();
    let largest = Standing::of(&subject.lab)?
        .files
        .values()
        .map(Vec::len)
        .max()
        .context("no files")?;
    // It is the records, and the history, that are some thousand bytes long.
    let step = if soak::is_on() { 256 } else { 2048 };
    for limit in (0..=largest + 2048).step_by(step) {
        let mut command = subject.command(&subject.policies[1], &format!("--fsize={limit}"))?;
        let causes = ["File too large", "ulimit -f"];
        let outcome = subject
            .attempt(&mut probe, &mut command, &causes)
            .with_context(|| format!("with files of {limit} bytes"))?;
        count(&mut counts, outcome);
    }
    println!("files of 0 to {largest} bytes and more: {counts:?}");
    ensure!(counts.contains_key(&Outcome::Refused) && counts.contains_key(&Outcome::Applied));
    Ok(())
}

#[test]
fn memory_runs_out_anywhere() -> Result<()> {
    let subject = Subject::new("tcx")?;
    let mut probe = Probe::new(&subject.lab)?;
    let mut counts = BTreeMap::new();
    let works = |limit: usize| -> Result<bool> {
        let mut command = subject.lab.edge.command_in("prlimit", &subject.lab.mounts);
        let apply = subject
            .lab
            .apply_command(&subject.policies[0], Mode::Native)?;
        command
            .arg(format!("--as={limit}"))
            .arg(apply.get_program());
        Ok(command.arg("--version").output()?.status.success())
    };
    // From where the program starts at all, to where it has enough.
    let mut lowest = COARSE;
    while !works(lowest)? {
        lowest += COARSE;
        ensure!(lowest < MOST, "it does not even start");
    }
    lowest -= COARSE;
    let causes = ["Cannot allocate memory", "out of memory"];
    let mut attempt = |limit: usize| -> Result<Outcome> {
        let mut command = subject.command(&subject.policies[1], &format!("--as={limit}"))?;
        let outcome = subject
            .attempt(&mut probe, &mut command, &causes)
            .with_context(|| format!("with {limit} bytes"))?;
        count(&mut counts, outcome.clone());
        Ok(outcome)
    };
    let stride = COARSE * if soak::is_on() { 4 } else { 8 };
    let mut enough = lowest;
    while attempt(enough)? != Outcome::Applied {
        enough += stride;
        ensure!(enough < MOST, "{} MiB are not enough", MOST >> 20);
    }
    let steps = if soak::is_on() { LIMITS_OF_MEMORY } else { 4 };
    for step in 1..steps {
        attempt(lowest + (enough - lowest) * step / steps)?;
    }
    println!(
        "limits of {} to {} MiB of address space: {counts:?}",
        lowest >> 20,
        enough >> 20
    );
    ensure!(counts.contains_key(&Outcome::Refused) && counts.contains_key(&Outcome::Applied));
    subject.lab.run(&["detach"], 0)?;
    ensure!(subject.lab.mounts.pins()?.is_empty());
    Ok(())
}
