//! The state directory.
//!
//! `generations/N.json` is written before generation N is attached, and never
//! changed. `tally.json` holds what earlier generations counted. `history/N.json` is
//! written when generation N enforces everywhere and is no trial: the newest one holds
//! the last good policy. Every file is replaced whole, so that a crash leaves the old one
//! or the new one. `last-hits.json` is what the daemon has seen, and may be lost.
//!
//! While the state directory cannot be used, all of this lies in memory
//! ([`super::emergency`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::de::DeserializeOwned;

use super::emergency;
use super::files::{self, Staged};
use super::history::Committed;
use super::last_hits::LastHits;
use super::record::{Record, Tally, VERSION};
use super::remains::{DAMAGED, Last};
use crate::kernel::KernelError;

/// Where the state of an instance lies.
#[derive(Debug, Clone)]
pub struct StateDir {
    /// The place on the disk.
    pub(super) durable: PathBuf,
    /// The place in memory, which is there in an emergency alone.
    pub(super) emergency: Option<PathBuf>,
    /// Whether this process has begun an emergency that is provisional.
    pub(super) begun: Arc<AtomicBool>,
}

pub(super) const GENERATIONS: &str = "generations";
pub(super) const HISTORY: &str = "history";
pub(super) const TALLY: &str = "tally.json";
const LAST_HITS: &str = "last-hits.json";

impl StateDir {
    /// The state directory at `path`, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            durable: path,
            emergency: None,
            begun: Arc::default(),
        }
    }

    /// The same, with a directory below `run_dir`, which is in memory, for emergencies of the
    /// instance that is pinned at `pin_root`.
    #[must_use]
    pub fn with_run_dir(self, run_dir: &Path, pin_root: &Path) -> Self {
        Self {
            emergency: Some(emergency::place_in(run_dir, pin_root)),
            ..self
        }
    }

    /// The directory in which the state lies now.
    pub(super) fn place(&self) -> &Path {
        self.in_memory().unwrap_or(&self.durable)
    }

    /// The records of all generations that are not gone, the newest first.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub fn records(&self) -> Result<Vec<Record>, KernelError> {
        let records = self.all(GENERATIONS, |record: &Record| {
            (record.version, record.generation)
        });
        records.map_err(|error| {
            if self.is_damaged_trial() {
                error.try_this(
                    "nothing was committed before it: `edge-filter apply POLICY` sets it aside and \
                     enforces a policy for good, `edge-filter detach` takes off what is attached; a \
                     trial ends by itself, and then nothing is filtered",
                )
            } else {
                error
            }
        })
    }

    /// Whether a record is damaged, and nothing was committed: it can only be that of a trial.
    fn is_damaged_trial(&self) -> bool {
        let is_on_disk = self.in_memory().is_none();
        is_on_disk
            && files::list(&self.durable.join(GENERATIONS)).is_ok()
            && matches!(self.remains().last, Last::Nothing)
    }

    /// The generations that have a record, in order, each with something that changes when
    /// the record does.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn stamps(&self) -> Result<Vec<(u64, Option<u64>)>, KernelError> {
        let records = files::numbered(&self.place().join(GENERATIONS))?.into_iter();
        Ok(records
            .map(|(generation, path)| (generation, files::stamp(&path)))
            .collect())
    }

    /// Writes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_record(&self, record: &Record) -> Result<(), KernelError> {
        files::write(&self.numbered(GENERATIONS, record.generation), record)
    }

    /// Removes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_record(&self, generation: u64) -> Result<(), KernelError> {
        files::remove(&self.numbered(GENERATIONS, generation))
    }

    /// The committed generations that are kept, the newest first.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub fn history(&self) -> Result<Vec<Committed>, KernelError> {
        self.all(HISTORY, |committed: &Committed| {
            (committed.version, committed.generation)
        })
    }

    /// Keeps a committed generation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, committed: &Committed) -> Result<(), KernelError> {
        self.stage(committed)?.put()
    }

    /// Writes what is kept of a committed generation, beside its place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn stage(&self, committed: &Committed) -> Result<Staged, KernelError> {
        files::stage(&self.numbered(HISTORY, committed.generation), committed)
    }

    /// Keeps a committed generation no longer.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget(&self, generation: u64) -> Result<(), KernelError> {
        files::remove(&self.numbered(HISTORY, generation))
    }

    /// What earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be read, or is of another version.
    pub fn tally(&self) -> Result<Tally, KernelError> {
        let path = self.place().join(TALLY);
        let tally = files::read::<Tally>(&path)?.unwrap_or_default();
        files::check_version(&path, tally.version, VERSION)?;
        Ok(tally)
    }

    /// Writes what earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_tally(&self, tally: &Tally) -> Result<(), KernelError> {
        files::write(&self.place().join(TALLY), tally)
    }

    /// Fails unless all of it can be read but for what may be lost.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub(super) fn check_readable(&self) -> Result<(), KernelError> {
        self.records()?;
        self.history()?;
        self.tally().map(drop)
    }

    /// Where damaged files are set aside.
    pub(super) fn set_aside(&self) -> PathBuf {
        self.durable.join(DAMAGED)
    }

    /// When counters moved last; none if nobody watched, or if what is there cannot be read.
    #[must_use]
    pub fn last_hits(&self) -> Option<LastHits> {
        files::read(&self.place().join(LAST_HITS)).ok().flatten()
    }

    /// Whether somebody keeps when counters moved last.
    #[must_use]
    pub fn has_last_hits(&self) -> bool {
        files::stamp(&self.place().join(LAST_HITS)).is_some()
    }

    /// Keeps when counters moved last. A crash of the machine may lose it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_last_hits(&self, hits: &LastHits) -> Result<(), KernelError> {
        files::note(&self.place().join(LAST_HITS), hits)
    }

    /// Forgets when counters moved last.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_last_hits(&self) -> Result<(), KernelError> {
        files::remove(&self.place().join(LAST_HITS))
    }

    /// Removes what a process that was killed has left half written.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn sweep(&self) -> Result<(), KernelError> {
        let place = self.place();
        for directory in [place, &place.join(GENERATIONS), &place.join(HISTORY)] {
            files::sweep(directory)?;
        }
        // What `discard` did not come to the end of is in nobody's way.
        for discarded in [self.durable.join(HISTORY), self.set_aside()] {
            let _ = files::clear(&files::discarded(&discarded));
        }
        if let Some(emergency) = &self.emergency {
            let _ = files::clear(&files::discarded(emergency));
        }
        Ok(())
    }

    /// Removes everything, also what cannot be read any more. The directory itself
    /// stays.
    ///
    /// Whatever ends it in the middle, what was committed last is on the disk what it was, or
    /// nothing. What lies in memory goes last: what cannot be removed from the disk, the next boot
    /// finds again.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), KernelError> {
        for place in self.committed_places() {
            files::discard(&place)?;
        }
        clear_present(&self.durable)?;
        self.emergency.as_deref().map_or(Ok(()), files::discard)
    }

    /// Fails if [`Self::clear`] would: that is to be known before anything is taken off.
    ///
    /// # Errors
    /// A directory cannot be written to.
    pub(super) fn check_clearing(&self) -> Result<(), KernelError> {
        for place in [Some(&self.durable), self.emergency.as_ref()] {
            let Some(place) = place else { continue };
            files::check_clearing(place)?;
            for below in [HISTORY, GENERATIONS, DAMAGED] {
                let below = place.join(below);
                if below.is_dir() {
                    files::check_clearing(&below)?;
                }
            }
        }
        Ok(())
    }

    /// The same, but for the history.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear_present(&self) -> Result<(), KernelError> {
        clear_present(self.place())
    }

    /// All whole files of a directory, the newest first, each of the version and the
    /// generation that `says` reads in it.
    fn all<T: DeserializeOwned>(
        &self,
        directory: &str,
        says: impl Fn(&T) -> (u32, u64),
    ) -> Result<Vec<T>, KernelError> {
        let mut found = Vec::new();
        for (number, path) in files::numbered(&self.place().join(directory))?.iter().rev() {
            if let Some(value) = files::read::<T>(path)? {
                let (version, generation) = says(&value);
                files::check_version(path, version, VERSION)?;
                files::check_number(path, *number, generation)?;
                found.push(value);
            }
        }
        Ok(found)
    }

    fn numbered(&self, directory: &str, generation: u64) -> PathBuf {
        self.place()
            .join(directory)
            .join(format!("{generation}.json"))
    }
}

fn clear_present(place: &Path) -> Result<(), KernelError> {
    files::clear(&place.join(GENERATIONS))?;
    files::clear(&place.join(TALLY))?;
    files::clear(&place.join(LAST_HITS))?;
    files::sweep(place)
}
