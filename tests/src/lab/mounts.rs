//! The lab's private mounts: a bpffs and a scratch directory that no other
//! process sees.
//!
//! They live in an anonymous mount namespace, upon a directory that every kernel
//! with BPF has. When the last process that uses them is gone they go too, and
//! with them every pin; nothing is ever created on the machine's own file systems.

use std::fs::{self, File, Permissions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::namespace::in_thread;

/// Where the mounts stand, as seen from within. sysfs makes this directory
/// itself, so that it need not be created.
const ROOT: &str = "/sys/fs/bpf";

/// An anonymous mount namespace: the machine's own mounts, and above them a
/// tmpfs that holds a bpffs.
#[derive(Debug)]
pub struct Mounts {
    namespace: Arc<OwnedFd>,
    root: OwnedFd,
}

impl Mounts {
    /// Makes the namespace and mounts both file systems.
    pub fn new() -> Result<Self> {
        Self::by(prepare)
    }

    /// The same for programs that know one place alone for their pins, and for their locks:
    /// a bpffs of their own above everything, and nothing in `/run`. Files of the scratch
    /// directory are out of their sight.
    pub fn for_others() -> Result<Self> {
        Self::by(|| {
            let prepared = prepare()?;
            mount_bpffs(Path::new(ROOT))?;
            mount_tmpfs(Path::new("/run"))?;
            Ok(prepared)
        })
    }

    fn by(prepare: impl FnOnce() -> Result<(OwnedFd, OwnedFd)> + Send) -> Result<Self> {
        let (namespace, root) = in_thread(prepare).context("make private mounts")?;
        Ok(Self {
            namespace: Arc::new(namespace),
            root,
        })
    }

    /// The mount namespace.
    pub(super) fn namespace(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.namespace)
    }

    /// The pin root that commands in the namespace are given; not yet there.
    #[must_use]
    pub fn pin_root(&self) -> PathBuf {
        Path::new(ROOT).join("bpffs/edge-filter")
    }

    /// The state directory that commands in the namespace are given; not yet there.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        Path::new(ROOT).join("state/edge-filter")
    }

    /// The directory for emergencies that commands in the namespace are given; not yet there.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        Path::new(ROOT).join("run")
    }

    /// How a process inside the namespace names a file of the scratch directory.
    #[must_use]
    pub fn inside(&self, name: &str) -> PathBuf {
        Path::new(ROOT).join(name)
    }

    /// How this process, outside, names the same file.
    #[must_use]
    pub fn outside(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd())).join(name)
    }

    /// Writes a file that anyone may read, and returns its name inside.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        fs::write(self.outside(name), content)
            .with_context(|| format!("write the lab's {name}"))?;
        Ok(self.inside(name))
    }

    /// Copies a program that anyone may run, and returns its name inside.
    pub fn install(&self, program: &Path, name: &str) -> Result<PathBuf> {
        let copy = self.outside(name);
        fs::copy(program, &copy)
            .and_then(|_| fs::set_permissions(&copy, Permissions::from_mode(0o755)))
            .with_context(|| format!("copy {} into the lab", program.display()))?;
        Ok(self.inside(name))
    }

    /// What is pinned: every entry of the bpffs and below, as paths below it,
    /// without the two that the kernel itself puts into a bpffs.
    pub fn pins(&self) -> Result<Vec<PathBuf>> {
        let root = self.outside("bpffs");
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).context("list the lab's bpffs")? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                }
                if entry.file_name() != "maps.debug" && entry.file_name() != "progs.debug" {
                    found.push(entry.path().strip_prefix(&root)?.to_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn prepare() -> Result<(OwnedFd, OwnedFd)> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("unshare(CLONE_NEWNS)")?;
    // What is mounted here must not travel back to the machine's own namespace.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .context("make / private")?;
    let root = Path::new(ROOT);
    mount_tmpfs(root).context("is this a kernel without BPF?")?;
    let bpffs = root.join("bpffs");
    fs::create_dir(&bpffs)?;
    fs::create_dir(root.join("state"))?;
    mount_bpffs(&bpffs)?;
    let namespace = File::open("/proc/thread-self/ns/mnt")?;
    Ok((namespace.into(), File::open(root)?.into()))
}

fn mount_bpffs(place: &Path) -> Result<()> {
    const NONE: Option<&str> = None;
    mount(Some("bpffs"), place, Some("bpf"), MsFlags::empty(), NONE).context("mount a bpffs")
}

fn mount_tmpfs(place: &Path) -> Result<()> {
    let (kind, flags, mode) = (Some("tmpfs"), MsFlags::empty(), Some("mode=0755"));
    mount(kind, place, kind, flags, mode)
        .with_context(|| format!("mount a tmpfs on {}", place.display()))
}
