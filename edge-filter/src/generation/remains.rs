//! What can still be read of the state on the disk, and where the rest is set aside.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::files;
use super::history::{self, Committed};
use super::record::{Record, Tally, VERSION};
use super::state_dir::{GENERATIONS, HISTORY, StateDir, TALLY};
use crate::kernel::KernelError;

/// Where what could not be read is set aside, in the state directory.
pub(super) const DAMAGED: &str = "damaged";

/// What can be read of the state on the disk.
#[derive(Debug)]
pub(super) struct Remains {
    /// What was committed last.
    pub(super) last: Last,
    /// Its number, where that can be told.
    newest: Option<u64>,
    /// What cannot be read, and why.
    pub(super) damaged: Vec<(PathBuf, String)>,
    pub(super) history: Vec<Committed>,
    pub(super) records: Vec<Record>,
    pub(super) tally: Option<Tally>,
}

/// What was committed last.
#[derive(Debug)]
pub(super) enum Last {
    /// Nothing: neither was anything ever, or it was detached.
    Nothing,
    /// A policy that can be enforced.
    Found,
    /// Something that cannot be read.
    Lost(String),
}

impl StateDir {
    /// Looks at all that lies on the disk.
    pub(super) fn remains(&self) -> Remains {
        let mut damaged = Vec::new();
        let (history, numbers) = readable(&self.durable.join(HISTORY), &mut damaged, |committed| {
            let Committed {
                version,
                generation,
                ..
            } = committed;
            (*version, *generation)
        });
        let first_damage = damaged
            .first()
            .map(|(_, reason): &(_, String)| reason.clone());
        let newest = numbers.as_deref().map(<[u64]>::first);
        let aside = self.set_aside();
        let is_aside = || format!("what was committed is set aside in {}", aside.display());
        let last = match (newest, history.first()) {
            (Some(None), _) => match files::list(&aside) {
                Ok(found) if found.is_empty() => Last::Nothing,
                Ok(_) => Last::Lost(is_aside()),
                Err(error) => Last::Lost(reason(error)),
            },
            (Some(Some(newest)), _) if self.newest_aside() > Some(*newest) => {
                Last::Lost(is_aside())
            }
            (Some(Some(newest)), Some(last)) if last.generation == *newest => {
                match last.policy.read(last.generation) {
                    Ok(_) => Last::Found,
                    Err(error) => Last::Lost(reason(error)),
                }
            }
            _ => Last::Lost(first_damage.unwrap_or_else(|| "its history is damaged".to_owned())),
        };
        let generations = self.durable.join(GENERATIONS);
        let (records, _) = readable(&generations, &mut damaged, |record: &Record| {
            (record.version, record.generation)
        });
        let path = self.durable.join(TALLY);
        let tally = StateDir::new(self.durable.clone()).tally();
        let tally = tally.map_err(|error| damaged.push((path, reason(error))));
        let newest = newest.flatten().copied().max(self.newest_aside());
        Remains {
            last,
            newest,
            damaged,
            history,
            records,
            tally: tally.ok(),
        }
    }

    /// The directories on the disk that tell what was committed last, in the order in which they
    /// can go: what the first one says changes nothing as long as the other one is there.
    pub(super) fn committed_places(&self) -> [PathBuf; 2] {
        let (history, aside) = (self.durable.join(HISTORY), self.set_aside());
        let is_aside_last = files::numbered(&history).is_ok_and(|history| {
            let newest = history.last().map(|(number, _)| *number);
            newest.is_none() || self.newest_aside() > newest
        });
        if is_aside_last {
            [history, aside]
        } else {
            [aside, history]
        }
    }

    /// The newest committed generation whose file is set aside. What is kept of any newer one
    /// has taken its place.
    pub(super) fn newest_aside(&self) -> Option<u64> {
        let aside = files::list(&self.set_aside()).unwrap_or_default();
        let numbers = aside.iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            let number = name.strip_prefix(HISTORY)?.strip_prefix('-')?;
            number.split_once(".json.")?.0.parse().ok()
        });
        numbers.filter(|number| *number <= files::HIGHEST).max()
    }
}

impl Remains {
    /// What the history has of what was committed last, where that can be read.
    pub(super) fn newest_read(&self) -> Option<&Committed> {
        let newest = self.history.first()?;
        (Some(newest.generation) == self.newest).then_some(newest)
    }

    /// Takes what was committed last from its record, where that can be read and is of this boot,
    /// though the history has lost it: the record holds the same policy, for the same devices.
    pub(super) fn recover(&mut self) -> bool {
        let mut records = self.records.iter();
        let record = records.find(|record| Some(record.generation) == self.newest);
        let is_committed = |record: &&Record| {
            record.trial.is_none() && !record.last_resort && record.is_of_this_boot()
        };
        let Some(record) = record.filter(is_committed) else {
            return false;
        };
        if record.policy.read(record.generation).is_err() {
            return false;
        }
        let last = history::recover(record, &self.history);
        self.history
            .retain(|committed| committed.generation < last.generation);
        self.history.insert(0, last);
        self.last = Last::Found;
        true
    }

    /// What is wrong with it all, in words; nothing where all is well.
    pub(super) fn faults(self) -> Vec<String> {
        let mut faults: Vec<String> = self.damaged.into_iter().map(|(_, reason)| reason).collect();
        if let Last::Lost(reason) = self.last
            && !faults.contains(&reason)
        {
            faults.push(reason);
        }
        faults
    }
}

/// Moves a file, or whatever it is, to where nobody reads it.
pub(super) fn set_aside(state_dir: &Path, path: &Path) -> Result<(), KernelError> {
    let aside = state_dir.join(DAMAGED);
    let moving = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                format!("{} is no directory: move that away", aside.display())
            }
            _ => format!("move {} away by hand", path.display()),
        };
        KernelError::new(format!(
            "set {} aside in {}",
            path.display(),
            aside.display()
        ))
        .because(error)
        .try_this(format!("{remedy}, and apply the policy once more"))
    };
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&aside)
        .map_err(moving)?;
    let below = path.strip_prefix(state_dir).unwrap_or(path).iter();
    let name = below.map(OsStr::to_string_lossy).collect::<Vec<_>>();
    let name = format!("{}.{}", name.join("-"), Timestamp::now().as_millisecond());
    fs::rename(path, aside.join(name)).map_err(moving)?;
    File::open(&aside)
        .and_then(|aside| aside.sync_all())
        .map_err(moving)
}

/// What can be read of a directory's numbered files, the newest first, and their numbers, if
/// those can be told; what cannot is `damaged`.
fn readable<T: DeserializeOwned>(
    directory: &Path,
    damaged: &mut Vec<(PathBuf, String)>,
    says: impl Fn(&T) -> (u32, u64),
) -> (Vec<T>, Option<Vec<u64>>) {
    let files = match files::numbered(directory) {
        Ok(files) => files,
        Err(error) => {
            damaged.push((directory.to_owned(), reason(error)));
            return (Vec::new(), None);
        }
    };
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    for (number, path) in files.into_iter().rev() {
        numbers.push(number);
        let value = files::read::<T>(&path).and_then(|value| {
            if let Some(value) = &value {
                let (version, generation) = says(value);
                files::check_version(&path, version, VERSION)?;
                files::check_number(&path, number, generation)?;
            }
            Ok(value)
        });
        match value {
            Ok(value) => found.extend(value),
            Err(error) => damaged.push((path, reason(error))),
        }
    }
    (found, Some(numbers))
}

fn reason(error: KernelError) -> String {
    error.without_remedy().to_string()
}
