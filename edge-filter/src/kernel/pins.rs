//! Where everything lives on the BPF file system.
//!
//! Under the pin root, a directory of mode 0700 that this program made itself:
//! `links/GENERATION-DEVICE-in` (or `-out`), the link that was made for a device by
//! that generation, `filters/GENERATION-DEVICE-out`, the program of a generation
//! where clsact stands in for a link, `counters/GENERATION-DEVICE-in`, the counters of
//! one generation there, `successors/GENERATION-DEVICE-in`, the array with the program that
//! decides there when the trial of that generation is over, and `flows/GENERATION-vN`, the
//! flow table that a generation made, in the form N. No generation's number is used twice, so that the link of a
//! device that is gone, or has another name now, is never mistaken for that of its
//! successor. The name is the one that the device had then. In file names a dot,
//! which the BPF file system does not take, is written `%2e`, and a percent sign
//! `%25`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};

mod names;

use super::KernelError;
use crate::policy::Direction;
use names::{file_name, split};

/// An instance's place on the BPF file system.
#[derive(Debug, Clone)]
pub struct PinRoot {
    path: PathBuf,
}

/// The right to change what is enforced. It ends with this value.
#[derive(Debug)]
pub struct WriteLock {
    _lock: Flock<File>,
}

/// The name of a pin: the generation that made it, the device's name at that time,
/// and the side.
pub type Pin = (u64, String, Direction);

/// The pin of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttachmentPin {
    /// What is pinned.
    pub kind: Kind,
    /// The generation that pinned it.
    pub generation: u64,
    /// The device's name at that time.
    pub device: String,
    /// The side.
    pub direction: Direction,
}

/// What the pin of an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A link of XDP or TCX.
    Link,
    /// The program of a clsact filter.
    Filter,
}

const LINKS: &str = "links";
const FILTERS: &str = "filters";
const COUNTERS: &str = "counters";
const SUCCESSORS: &str = "successors";
const FLOWS: &str = "flows";

/// The form of a flow table: its buckets, their hash, and what the words mean.
const FLOWS_VERSION: u32 = 2;

impl PinRoot {
    /// The pin root at `path`, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directories that are missing, and takes the lock.
    ///
    /// # Errors
    /// The place is not on a BPF file system, belongs to somebody else, or is
    /// locked by another process.
    pub fn lock(&self) -> Result<WriteLock, KernelError> {
        self.check_file_system()?;
        let making = |error| {
            KernelError::new(format!("make the pin directory {}", self.path.display()))
                .because(error)
                .try_this("run it as root, or choose another place with --pin-root")
        };
        loop {
            make_directory(&self.path).map_err(making)?;
            self.check_owner()?;
            let directory = File::open(&self.path).map_err(making)?;
            let lock = self.lock_directory(directory)?;
            // Whoever held the lock before may have removed the directory.
            if !self.is(&lock) {
                continue;
            }
            for below in [LINKS, FILTERS, COUNTERS, SUCCESSORS, FLOWS] {
                make_directory(&self.path.join(below)).map_err(making)?;
            }
            self.check_writable()?;
            return Ok(WriteLock { _lock: lock });
        }
    }

    /// Who could not change a pin later on must not begin to change anything.
    fn check_writable(&self) -> Result<(), KernelError> {
        access(&self.path, AccessFlags::W_OK).map_err(|error| {
            KernelError::new(format!("write to {}", self.path.display()))
                .because(io::Error::from(error))
                .try_this("nothing was changed; `mount -o remount,rw` makes a file system writable")
        })
    }

    fn lock_directory(&self, directory: File) -> Result<Flock<File>, KernelError> {
        let changing = || KernelError::new(format!("change what {} enforces", self.path.display()));
        Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(directory, error)| {
            if error != nix::errno::Errno::EWOULDBLOCK {
                return changing().because(io::Error::from(error));
            }
            let holder = holder(&directory).unwrap_or_else(|| "another process".to_owned());
            changing()
                .because(format!("{holder} is changing it"))
                .try_this("wait until it is done, and try again")
        })
    }

    /// Whether somebody is changing what is enforced, as far as can be told.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let directory = File::open(&self.path).ok();
        directory.is_some_and(|directory| holder_id(&directory).is_some())
    }

    /// Whether `directory` is what stands at the path now.
    fn is(&self, directory: &File) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (directory.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(own), Ok(there)) => identity(own) == identity(there),
            _ => false,
        }
    }

    /// Whether the directory is there, as far as can be told: where it cannot be
    /// looked at, reading it will say why.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.try_exists().unwrap_or(true)
    }

    /// Removes the directories, which must be empty.
    ///
    /// # Errors
    /// Something is left in them.
    pub fn remove(&self) -> Result<(), KernelError> {
        for directory in [
            self.path.join(FLOWS),
            self.path.join(SUCCESSORS),
            self.path.join(COUNTERS),
            self.path.join(FILTERS),
            self.path.join(LINKS),
            self.path.clone(),
        ] {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(KernelError::new(format!(
                        "remove the pin directory {}",
                        directory.display()
                    ))
                    .because(error)
                    .try_this(format!(
                        "nothing is filtered any more; what is left in it is not of this \
                         program's making: look with `ls -R {}`",
                        self.path.display()
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where an attachment is pinned.
    #[must_use]
    pub fn attachment(&self, pin: &AttachmentPin) -> PathBuf {
        let directory = match pin.kind {
            Kind::Link => LINKS,
            Kind::Filter => FILTERS,
        };
        self.path
            .join(directory)
            .join(file_name(pin.generation, &pin.device, pin.direction))
    }

    /// Where the counters of one generation at a device are pinned.
    #[must_use]
    pub fn counters(&self, generation: u64, device: &str, direction: Direction) -> PathBuf {
        self.path
            .join(COUNTERS)
            .join(file_name(generation, device, direction))
    }

    /// Where the array is pinned whose program decides at a device when the trial of a
    /// generation is over.
    #[must_use]
    pub fn successor(&self, generation: u64, device: &str, direction: Direction) -> PathBuf {
        self.path
            .join(SUCCESSORS)
            .join(file_name(generation, device, direction))
    }

    /// Where the flow table that a generation made is pinned.
    #[must_use]
    pub fn flows(&self, generation: u64) -> PathBuf {
        self.path
            .join(FLOWS)
            .join(format!("{generation}-v{FLOWS_VERSION}"))
    }

    /// The pinned attachments, in order.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn attachments(&self) -> Result<Vec<AttachmentPin>, KernelError> {
        let mut pins = Vec::new();
        for (kind, directory) in [(Kind::Link, LINKS), (Kind::Filter, FILTERS)] {
            let found = self.pins(directory)?.into_iter();
            pins.extend(found.map(|(generation, device, direction)| AttachmentPin {
                kind,
                generation,
                device,
                direction,
            }));
        }
        Ok(pins)
    }

    /// The pinned flow tables, with the generations that made them.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn flow_tables(&self) -> Result<Vec<(u64, PathBuf)>, KernelError> {
        let names = self.names(FLOWS)?.into_iter();
        let tables = names.filter_map(|name| {
            let generation = name.split_once("-v")?.0.parse().ok()?;
            Some((generation, self.path.join(FLOWS).join(name)))
        });
        Ok(tables.collect())
    }

    /// The generations, devices and directions that have counters pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn pinned_counters(&self) -> Result<Vec<Pin>, KernelError> {
        self.pins(COUNTERS)
    }

    /// The generations, devices and directions that have such an array pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn successors(&self) -> Result<Vec<Pin>, KernelError> {
        self.pins(SUCCESSORS)
    }

    fn pins(&self, directory: &str) -> Result<Vec<Pin>, KernelError> {
        let names = self.names(directory)?;
        let mut pins: Vec<Pin> = names.iter().filter_map(|name| split(name)).collect();
        pins.sort();
        Ok(pins)
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, KernelError> {
        let path = self.path.join(directory);
        let reading = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::NotADirectory => "name the directory of the pins with --pin-root",
                _ => "run it as root",
            };
            KernelError::new(format!("read {}", path.display()))
                .because(error)
                .try_this(remedy)
        };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(reading)?,
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()
            .map_err(reading)
    }

    fn check_file_system(&self) -> Result<(), KernelError> {
        let place = if self.exists() {
            Some(&*self.path)
        } else {
            self.path.parent()
        };
        let place = place.unwrap_or(&self.path);
        let magic = statfs(place).map(|found| found.filesystem_type());
        if magic == Ok(BPF_FS_MAGIC) {
            return Ok(());
        }
        let error = KernelError::new(format!("pin anything at {}", self.path.display()));
        let error = match magic {
            Ok(_) => error.because(format!("{} is not a BPF file system", place.display())),
            Err(error_number) => error.because(io::Error::from(error_number)),
        };
        Err(error
            .try_this("`mount -t bpf bpf /sys/fs/bpf` mounts it; --pin-root names another place"))
    }

    /// Others must not be able to swap what is pinned.
    fn check_owner(&self) -> Result<(), KernelError> {
        let metadata = fs::symlink_metadata(&self.path).map_err(|error| {
            KernelError::new(format!("look at {}", self.path.display())).because(error)
        })?;
        let using = KernelError::new(format!("use the pin directory {}", self.path.display()));
        if !metadata.is_dir() {
            return Err(using
                .because("it is not a directory, or is a symbolic link to one")
                .try_this("name the directory itself with --pin-root"));
        }
        let own = metadata.uid() == nix::unistd::geteuid().as_raw();
        let mode = metadata.permissions().mode() & 0o7777;
        if own && mode == 0o700 {
            return Ok(());
        }
        let path = self.path.display();
        let remedy = if own {
            format!(
                "others must not be able to change what is pinned: `chmod 700 {path}` keeps them \
                 out, and the filter on"
            )
        } else if nix::unistd::geteuid().is_root() {
            format!(
                "it must be root's, with mode 0700: look at what is in it; `chown root {path}` and \
                 `chmod 700 {path}` take it over, or choose another place with --pin-root"
            )
        } else {
            "run it as root, or choose another place with --pin-root".to_owned()
        };
        Err(using
            .because(format!(
                "it belongs to uid {} and has mode {mode:04o}",
                metadata.uid()
            ))
            .try_this(remedy))
    }
}

/// Makes a directory that none but its owner may enter, if it is not there.
fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Who holds the lock on `directory`, by /proc/locks.
fn holder(directory: &File) -> Option<String> {
    let pid = holder_id(directory)?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} ({})", command.trim_end()))
}

/// The number of that process.
fn holder_id(directory: &File) -> Option<String> {
    let metadata = directory.metadata().ok()?;
    let device = metadata.dev();
    // Inodes are numbered anew on each file system: MAJOR:MINOR:INODE.
    let own = format!(
        "{:02x}:{:02x}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device),
        metadata.ino()
    );
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else {
            return None;
        };
        (file == own).then(|| pid.to_owned())
    })
}
