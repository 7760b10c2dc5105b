//! Where everything lives on the BPF file system.
//!
//! Under the pin root, a directory of mode 0700 that this program made itself:
//! `links/DEVICE-in`, the link of a device, and `counters/GENERATION-DEVICE-in`,
//! the counters of one generation there. In file names a dot, which the BPF
//! file system does not take, is written `%2e`, and a percent sign `%25`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::KernelError;
use crate::policy::Direction;

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

const LINKS: &str = "links";
const COUNTERS: &str = "counters";

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
        for directory in [
            self.path.clone(),
            self.path.join(LINKS),
            self.path.join(COUNTERS),
        ] {
            match DirBuilder::new().mode(0o700).create(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(making(error));
                }
                _ => {}
            }
        }
        self.check_owner()?;
        let directory = File::open(&self.path).map_err(making)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(WriteLock { _lock: lock }),
            Err((directory, nix::errno::Errno::EWOULDBLOCK)) => {
                let holder = holder(&directory).unwrap_or_else(|| "another process".to_owned());
                Err(
                    KernelError::new(format!("change what {} enforces", self.path.display()))
                        .because(format!("{holder} is changing it"))
                        .try_this("wait until it is done, and try again"),
                )
            }
            Err((_, error)) => Err(making(error.into())),
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
            self.path.join(COUNTERS),
            self.path.join(LINKS),
            self.path.clone(),
        ] {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(KernelError::new(format!(
                        "remove the pin directory {}",
                        directory.display()
                    ))
                    .because(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the link of a device is pinned.
    #[must_use]
    pub fn link(&self, device: &str, direction: Direction) -> PathBuf {
        self.path
            .join(LINKS)
            .join(format!("{}-{}", encode(device), side(direction)))
    }

    /// Where the counters of one generation at a device are pinned.
    #[must_use]
    pub fn counters(&self, generation: u64, device: &str, direction: Direction) -> PathBuf {
        let name = format!("{generation}-{}-{}", encode(device), side(direction));
        self.path.join(COUNTERS).join(name)
    }

    /// The devices and directions that have a link pinned, in order.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn links(&self) -> Result<Vec<(String, Direction)>, KernelError> {
        let names = self.names(LINKS)?;
        Ok(names.iter().filter_map(|name| split(name)).collect())
    }

    /// The generations, devices and directions that have counters pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn pinned_counters(&self) -> Result<Vec<(u64, String, Direction)>, KernelError> {
        let names = self.names(COUNTERS)?;
        let counters = names.iter().filter_map(|name| {
            let (generation, rest) = name.split_once('-')?;
            let (device, direction) = split(rest)?;
            Some((generation.parse().ok()?, device, direction))
        });
        Ok(counters.collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, KernelError> {
        let path = self.path.join(directory);
        let reading = |error| {
            KernelError::new(format!("read {}", path.display()))
                .because(error)
                .try_this("run it as root")
        };
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(reading)?,
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<String>>>()
            .map_err(reading)?;
        names.sort();
        Ok(names)
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
        let own = metadata.uid() == nix::unistd::geteuid().as_raw();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() && own && mode == 0o700 {
            return Ok(());
        }
        Err(KernelError::new(format!("use the pin directory {}", self.path.display()))
            .because(format!("it belongs to uid {} and has mode {mode:04o}", metadata.uid()))
            .try_this("it must be a directory of your own with mode 0700: remove it, or choose another place with --pin-root"))
    }
}

/// Who holds the lock on `directory`, by /proc/locks.
fn holder(directory: &File) -> Option<String> {
    let inode = directory.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else {
            return None;
        };
        (file.rsplit(':').next() == Some(&inode)).then_some(pid)
    })?;
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("process {pid} ({})", command.trim_end()))
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    }
}

fn split(name: &str) -> Option<(String, Direction)> {
    let (device, side) = name.rsplit_once('-')?;
    let direction = match side {
        "in" => Direction::Inbound,
        "out" => Direction::Outbound,
        _ => return None,
    };
    Some((decode(device), direction))
}

fn encode(device: &str) -> String {
    device.replace('%', "%25").replace('.', "%2e")
}

fn decode(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_survive_their_file_names() {
        for device in ["eth0", "eth0.100", "a%2eb", "br-lan", "x-in", "%", ".."] {
            let encoded = encode(device);
            assert!(!encoded.contains('.'), "{encoded}");
            assert_eq!(decode(&encoded), device);
            let name = format!("{encoded}-{}", side(Direction::Outbound));
            assert_eq!(split(&name), Some((device.to_owned(), Direction::Outbound)));
        }
    }
}
