//! The state directory: the names of what the kernel only numbers.
//!
//! `generations/N.json` is written before generation N is attached, and never
//! changed. `tally.json` holds what earlier generations counted. Every file is
//! replaced whole, so that a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::compile::CounterSlot;
use crate::kernel::KernelError;
use crate::kernel::counters::Count;
use crate::policy::{Action, Direction};

/// The version of the files' form.
const VERSION: u32 = 1;

/// Where the state of an instance lies.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// One generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Its number, counted from 1.
    pub generation: u64,
    /// The policy that it enforces.
    pub policy: PolicyRecord,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// Its hooks, in the order of the policy.
    pub hooks: Vec<HookRecord>,
    /// The generation that made its flow table; none if it remembers nothing.
    #[serde(default)]
    pub flows: Option<u64>,
}

/// A policy, as reports need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
    /// Its text.
    #[serde(default)]
    pub text: String,
}

/// A hook of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HookRecord {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    #[serde(with = "words::direction")]
    pub direction: Direction,
    /// The kernel's number of the program, which names this record.
    pub program_id: u32,
    /// What its counters mean, by index.
    pub counters: Vec<SlotRecord>,
}

/// What a counter means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// Its name.
    pub id: String,
    /// `rule`, `reply`, `essential`, `default`, `audit` or `drop`.
    pub kind: String,
    /// What became of the packets that it counts.
    #[serde(with = "words::action")]
    pub action: Action,
}

/// What earlier generations counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tally {
    version: u32,
    /// The newest generation whose counters are part of it; so are all older
    /// ones that are still pinned.
    pub folded: u64,
    /// The counters.
    pub counters: Vec<TallyEntry>,
}

/// A counter of earlier generations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TallyEntry {
    /// The device.
    pub device: String,
    /// The side.
    #[serde(with = "words::direction")]
    pub direction: Direction,
    /// What it means.
    #[serde(flatten)]
    pub slot: SlotRecord,
    /// What it counted.
    #[serde(flatten)]
    pub count: Count,
}

impl Record {
    /// A record of now.
    #[must_use]
    pub fn new(
        generation: u64,
        policy: PolicyRecord,
        hooks: Vec<HookRecord>,
        flows: Option<u64>,
    ) -> Self {
        Self {
            version: VERSION,
            generation,
            policy,
            applied_at: Timestamp::now(),
            hooks,
            flows,
        }
    }

    /// The hook whose program has the number `program_id`.
    #[must_use]
    pub fn hook(&self, program_id: u32) -> Option<&HookRecord> {
        self.hooks.iter().find(|hook| hook.program_id == program_id)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            version: VERSION,
            folded: 0,
            counters: Vec::new(),
        }
    }
}

impl From<&CounterSlot> for SlotRecord {
    fn from(slot: &CounterSlot) -> Self {
        Self {
            id: slot.id.to_string(),
            kind: slot.kind().as_str().to_owned(),
            action: slot.action,
        }
    }
}

const GENERATIONS: &str = "generations";
const TALLY: &str = "tally.json";
/// The extension of a file that is not whole yet.
const UNFINISHED: &str = "new";

impl StateDir {
    /// The state directory at `path`, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The records of all generations that are not gone, the newest first.
    ///
    /// # Errors
    /// A file cannot be read, or is of another version.
    pub fn records(&self) -> Result<Vec<Record>, KernelError> {
        let directory = self.path.join(GENERATIONS);
        let mut records = Vec::new();
        for path in files(&directory)? {
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
                && let Some(record) = read::<Record>(&path)?
            {
                check_version(&path, record.version)?;
                records.push(record);
            }
        }
        records.sort_by_key(|record| std::cmp::Reverse(record.generation));
        Ok(records)
    }

    /// The numbers of the generations that have a record, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn generations(&self) -> Result<Vec<u64>, KernelError> {
        let mut generations: Vec<u64> = files(&self.path.join(GENERATIONS))?
            .iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|path| path.file_stem()?.to_str()?.parse().ok())
            .collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// Writes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_record(&self, record: &Record) -> Result<(), KernelError> {
        write(&self.record_path(record.generation), record)
    }

    /// Removes the record of a generation.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_record(&self, generation: u64) -> Result<(), KernelError> {
        remove(&self.record_path(generation))
    }

    /// What earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be read, or is of another version.
    pub fn tally(&self) -> Result<Tally, KernelError> {
        let path = self.path.join(TALLY);
        let tally = read::<Tally>(&path)?.unwrap_or_default();
        check_version(&path, tally.version)?;
        Ok(tally)
    }

    /// Writes what earlier generations counted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_tally(&self, tally: &Tally) -> Result<(), KernelError> {
        write(&self.path.join(TALLY), tally)
    }

    /// Removes everything, also what cannot be read any more. The directory itself
    /// stays.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), KernelError> {
        let generations = self.path.join(GENERATIONS);
        let tally = self.path.join(TALLY);
        for path in files(&generations)? {
            remove(&path)?;
        }
        remove(&tally)?;
        remove(&tally.with_extension(UNFINISHED))?;
        match fs::remove_dir(&generations) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KernelError::new(format!("remove {}", generations.display())).because(error))
            }
            _ => Ok(()),
        }
    }

    fn record_path(&self, generation: u64) -> PathBuf {
        self.path
            .join(GENERATIONS)
            .join(format!("{generation}.json"))
    }
}

/// What to do where the state directory is not as it should be.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run it as root, or choose another place with --state-dir"
        }
        io::ErrorKind::StorageFull => {
            "free some space there, or choose another place with --state-dir"
        }
        _ => "choose another place with --state-dir",
    }
}

/// The files of a directory that need not be there.
fn files(directory: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let reading = |error: io::Error| {
        let remedy = remedy(&error);
        KernelError::new(format!("read {}", directory.display()))
            .because(error)
            .try_this(remedy)
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    entries
        .map(|entry| Ok(entry.map_err(reading)?.path()))
        .collect()
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, KernelError> {
    let reading = || KernelError::new(format!("read {}", path.display()));
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| reading().because(error).try_this("run it as root"))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        reading()
            .because(error)
            .try_this("the file is damaged: `edge-filter detach` followed by `apply` starts afresh")
    })
}

/// Writes by a temporary file, so that the file is whole at any instant.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), KernelError> {
    let writing = |error: io::Error| {
        let remedy = remedy(&error);
        KernelError::new(format!("write {}", path.display()))
            .because(error)
            .try_this(remedy)
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory)
        .map_err(writing)?;
    let temporary = path.with_extension(UNFINISHED);
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| writing(error.into()))?;
    text.push(b'\n');
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if let Err(error) = written {
        // On a disk that is full, half a file helps nobody.
        let _ = fs::remove_file(&temporary);
        return Err(writing(error));
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(writing)
}

fn remove(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KernelError::new(format!("remove {}", path.display())).because(error))
        }
        _ => Ok(()),
    }
}

fn check_version(path: &Path, version: u32) -> Result<(), KernelError> {
    if version == VERSION {
        return Ok(());
    }
    Err(KernelError::new(format!("read {}", path.display()))
        .because(format!(
            "it is of version {version}, and this program writes {VERSION}"
        ))
        .try_this("use the edge-filter that wrote it"))
}

/// Policy words in JSON.
mod words {
    macro_rules! word {
        ($name:ident, $type:ident: $($value:ident),+) => {
            pub(super) mod $name {
                use serde::{Deserialize, Deserializer, Serializer, de::Error};

                use crate::policy::$type;
                pub(in super::super) fn serialize<S: Serializer>(
                    value: &$type,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(value.as_str())
                }

                pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
                    deserializer: D,
                ) -> Result<$type, D::Error> {
                    let word = String::deserialize(deserializer)?;
                    [$($type::$value),+]
                        .into_iter()
                        .find(|value| value.as_str() == word)
                        .ok_or_else(|| D::Error::custom(format!("unknown word {word}")))
                }
            }
        };
    }

    word!(direction, Direction: Inbound, Outbound);
    word!(action, Action: Allow, Drop);
}
