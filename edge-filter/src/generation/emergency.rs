//! State in memory, for as long as that on the disk cannot be used.
//!
//! `RUN_DIR/state-HASH/` is laid out like the state directory, and takes its place while it
//! exists. HASH is that of the pin root's path: several instances share the directory in
//! memory, and none of them sees what another one keeps there. It begins with what can still be
//! read of the other one, which is left as it is. It ends when somebody has a policy applied:
//! that is written to the disk, and what cannot be read there is set aside in `damaged/`. With
//! a reboot it is gone, like all that is pinned.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files;
use super::history::Committed;
use super::record::VERSION;
use super::remains::{Last, Remains, set_aside};
use super::state_dir::{GENERATIONS, HISTORY, StateDir};
use crate::kernel::KernelError;

#[cfg(test)]
mod tests;

const WHY: &str = "emergency.json";

/// How many bytes of the hash of a pin root stand in the name of its place.
const HASHED: usize = 8;

/// What a record may take beyond what the last ones did, in bytes.
const ROOM: u64 = 64 << 10;

/// Why state lies in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Emergency {
    #[serde(default)]
    pub(super) version: u32,
    /// Since when.
    pub since: Timestamp,
    /// What cannot be used, and why.
    pub reason: String,
    /// Whether the policy that was committed last is among it, so that the policy of last
    /// resort is enforced.
    pub last_resort: bool,
    /// Of an `apply` that has not committed anything yet: the highest number that a generation
    /// had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) provisional: Option<u64>,
}

/// What an emergency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To enforce what was committed last, or the policy of last resort.
    Keep,
    /// To apply a policy that somebody asks for: it is provisional until that is committed.
    Apply,
}

/// Where the state of the instance that is pinned at `pin_root` lies in an emergency: what is
/// pinned and what lies there end together, with a reboot.
pub(super) fn place_in(run_dir: &Path, pin_root: &Path) -> PathBuf {
    let hash = Sha256::digest(resolved(pin_root).as_os_str().as_bytes());
    let digits = hash[..HASHED].iter().map(|byte| format!("{byte:02x}"));
    run_dir.join(format!("state-{}", digits.collect::<String>()))
}

/// A path from the root without symbolic links, as far as it is there: it is the same before
/// and after what it names has been made.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let Ok(real) = fs::canonicalize(there) {
            let below = path.strip_prefix(there).unwrap_or(Path::new(""));
            return real.join(below).components().collect();
        }
    }
    path
}

impl StateDir {
    /// The emergency, if there is one. Where nothing says why, there is one all the same.
    #[must_use]
    pub fn emergency(&self) -> Option<Emergency> {
        let place = self.in_memory()?;
        let path = place.join(WHY);
        let reason = match files::read(&path) {
            Ok(Some(emergency)) => return Some(emergency),
            Ok(None) => format!("{} is not there", path.display()),
            Err(error) => error.without_remedy().to_string(),
        };
        let since = fs::metadata(place).and_then(|place| place.modified());
        let since = since.ok().and_then(|since| Timestamp::try_from(since).ok());
        let history = StateDir::new(place.to_owned()).history();
        let last = history.ok().and_then(|history| history.into_iter().next());
        Some(Emergency {
            version: VERSION,
            since: since.unwrap_or_else(Timestamp::now),
            reason,
            last_resort: last.is_none_or(|last| last.last_resort),
            provisional: None,
        })
    }

    /// Whether an `apply` has begun an emergency, and committed nothing by it.
    pub(super) fn has_provisional(&self) -> bool {
        let place = self.emergency.as_deref();
        place.is_some_and(|place| provisional(place).is_some())
    }

    /// The place in memory, if state lies there. What an `apply` of another process has begun,
    /// and come to nothing with so far, is none.
    pub(super) fn in_memory(&self) -> Option<&Path> {
        let place = self.emergency.as_deref().filter(|place| place.exists())?;
        let is_own = self.begun.load(Ordering::Relaxed);
        (is_own || !is_unused(place)).then_some(place)
    }

    /// Whether the disk takes what the next generation has to write.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn check_room(&self) -> Result<(), KernelError> {
        let mut largest = 0;
        for directory in [HISTORY, GENERATIONS] {
            for (_, path) in files::numbered(&self.durable.join(directory))? {
                largest = largest.max(fs::metadata(path).map_or(0, |found| found.len()));
            }
        }
        // Swept away like any other file that is not whole.
        let path = self.durable.join(HISTORY).join("room.new");
        let bytes = vec![b' '; usize::try_from(2 * largest + ROOM).unwrap_or(usize::MAX)];
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        let _ = fs::remove_file(&path);
        written.map_err(|error| {
            KernelError::new(format!("write to {}", self.durable.display())).because(error)
        })
    }

    /// The highest number that any file of a generation has, in either place or set aside.
    pub(super) fn highest_number(&self) -> u64 {
        let places = [Some(&self.durable), self.emergency.as_ref()];
        let directories = places
            .into_iter()
            .flatten()
            .flat_map(|place| [place.join(HISTORY), place.join(GENERATIONS)]);
        directories
            .filter_map(|directory| files::numbered(&directory).ok())
            .flatten()
            .map(|(number, _)| number)
            .chain(self.newest_aside())
            .max()
            .unwrap_or(0)
    }
}

/// Whether a place in memory is of an `apply` that had attached nothing yet.
fn is_unused(place: &Path) -> bool {
    let Some(before) = provisional(place) else {
        return false;
    };
    [HISTORY, GENERATIONS].iter().all(|directory| {
        let files = files::numbered(&place.join(directory));
        files.is_ok_and(|files| files.iter().all(|(number, _)| *number <= before))
    })
}

/// The highest number of a generation before a provisional emergency.
fn provisional(place: &Path) -> Option<u64> {
    let emergency = files::read::<Emergency>(&place.join(WHY));
    emergency.ok().flatten()?.provisional
}

/// Begins an emergency, with what `remains`; without its history where the policy of
/// `last_resort` is to be enforced.
///
/// # Errors
/// There is no place in memory, or it cannot be written to.
pub(super) fn begin(
    state: &StateDir,
    remains: &Remains,
    reason: &str,
    last_resort: bool,
    purpose: Purpose,
) -> Result<(), KernelError> {
    let Some(place) = &state.emergency else {
        return Err(KernelError::new("keep state in memory").because("no place is known for it"));
    };
    let beginning = |error: std::io::Error| {
        KernelError::new(format!("keep state in {}", place.display()))
            .because(error)
            .try_this("run it as root, or choose another place with --run-dir")
    };
    let unfinished = place.with_extension("new");
    files::clear(&unfinished).map_err(|error| {
        error.try_this("remove it by hand, or choose another place with --run-dir")
    })?;
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&unfinished)
        .map_err(beginning)?;
    let why = Emergency {
        version: VERSION,
        since: Timestamp::now(),
        reason: reason.to_owned(),
        last_resort,
        provisional: (purpose == Purpose::Apply).then(|| state.highest_number()),
    };
    let history = remains.history.iter().filter(|_| !last_resort);
    copy(history, remains, &unfinished)
        .and_then(|()| files::write(&unfinished.join(WHY), &why))
        .map_err(|error| {
            error.try_this("make room there, or choose another place with --run-dir")
        })?;
    // From here on it is in the place of the other one.
    fs::rename(&unfinished, place).map_err(beginning)?;
    let is_provisional = purpose == Purpose::Apply;
    state.begun.store(is_provisional, Ordering::Relaxed);
    Ok(())
}

/// Writes what can still be read of the state to where it lies in an emergency.
fn copy<'c>(
    mut history: impl Iterator<Item = &'c Committed>,
    remains: &Remains,
    place: &Path,
) -> Result<(), KernelError> {
    let copy = StateDir::new(place.to_owned());
    history.try_for_each(|committed| copy.keep(committed))?;
    let mut records = remains.records.iter();
    records.try_for_each(|record| copy.write_record(record))?;
    match &remains.tally {
        Some(tally) => copy.write_tally(tally),
        None => Ok(()),
    }
}

/// Ends an emergency that has come to nothing. One whose generation is attached somewhere, and
/// could not be taken back, stays.
pub(super) fn abandon(state: &StateDir) {
    state.begun.store(false, Ordering::Relaxed);
    let _ = settle(state);
}

/// Ends an emergency whose `apply` was ended before it committed anything: if nothing of it is
/// attached, or if the state on the disk can be used again. The caller holds the lock.
///
/// # Errors
/// The place in memory cannot be removed, or what it knows not written to the disk.
pub(super) fn settle(state: &StateDir) -> Result<(), KernelError> {
    let Some(place) = state.emergency.as_ref().filter(|place| place.exists()) else {
        return Ok(());
    };
    let Some(before) = provisional(place).filter(|_| !state.begun.load(Ordering::Relaxed)) else {
        return Ok(());
    };
    if is_unused(place) {
        return files::discard(place);
    }
    let own = StateDir::new(place.clone());
    let is_newer = |last: &Committed| last.generation > before;
    let is_sound = || {
        let remains = state.remains();
        matches!(remains.last, Last::Found) && remains.damaged.is_empty()
    };
    if own.history()?.first().is_some_and(is_newer) || !is_sound() {
        return Ok(());
    }
    let disk = StateDir::new(state.durable.clone());
    for record in own.records()? {
        disk.write_record(&record)?;
    }
    files::discard(place)
}

/// Ends an emergency, if there is one: what lies in memory is written to the disk. What is set
/// aside there is `told`, also where it goes on.
///
/// # Errors
/// The disk cannot be written to; then it goes on, and how things stand is said.
pub(super) fn end(state: &StateDir, told: &mut Vec<String>) -> Result<(), String> {
    let newest = state.history().ok().and_then(|history| {
        let newest = history.first()?;
        Some(newest.generation)
    });
    write_down(state, told).map_err(|error| {
        let disk = StateDir::new(state.durable.clone()).remains();
        let kept = disk.history.first().map(|kept| kept.generation);
        if matches!(disk.last, Last::Found) && kept == newest {
            format!(
                "this is kept where the next boot finds it, but not all that belongs to it, which \
                 lies in memory: {error}"
            )
        } else {
            format!("this is not kept where the next boot finds it: {error}")
        }
    })
}

/// Does that.
fn write_down(state: &StateDir, told: &mut Vec<String>) -> Result<(), KernelError> {
    let Some(place) = state.in_memory() else {
        return Ok(());
    };
    let (own, disk) = (
        StateDir::new(place.to_owned()),
        StateDir::new(state.durable.clone()),
    );
    // What was asked for is what is looked after from now on, even if it cannot be kept.
    let why = place.join(WHY);
    if let Some(emergency) = state.emergency()
        && (emergency.last_resort || emergency.provisional.is_some())
    {
        let emergency = Emergency {
            last_resort: false,
            provisional: None,
            ..emergency
        };
        files::write(&why, &emergency)?;
    }
    state.begun.store(false, Ordering::Relaxed);
    let damaged = disk.remains().damaged;
    let history = disk.durable.join(HISTORY);
    // Nothing can be written below it. An empty history beside what is set aside is a lost one.
    let mut set_aside = |path: &Path, reason: &str| -> Result<(), KernelError> {
        set_aside(&disk.durable, path)?;
        let aside = disk.set_aside();
        told.push(format!("{reason}; it was set aside in {}", aside.display()));
        Ok(())
    };
    if let Some((path, reason)) = damaged.iter().find(|(path, _)| *path == history) {
        set_aside(path, reason)?;
    }
    // What is damaged says that something was committed, until something newer is kept: the
    // newest is written before any of that goes, and that before any older one, which may bear
    // its name.
    let mut committed = own.history()?.into_iter();
    if let Some(newest) = committed.next() {
        disk.keep(&newest)?;
    }
    for (path, reason) in damaged.iter().filter(|(path, _)| *path != history) {
        set_aside(path, reason)?;
    }
    for older in committed {
        disk.keep(&older)?;
    }
    let records = own.records()?;
    for record in &records {
        disk.write_record(record)?;
    }
    disk.write_tally(&own.tally()?)?;
    for old in disk.records()? {
        if !records.iter().any(|new| new.generation == old.generation) {
            disk.remove_record(old.generation)?;
        }
    }
    files::discard(place)
}
