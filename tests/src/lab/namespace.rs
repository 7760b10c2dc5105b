//! Network namespaces that have no name.
//!
//! A namespace made here is known by a file descriptor alone. The kernel removes
//! it, with every device in it, when the last descriptor is closed and the last
//! thread has left: there is nothing that a panic or a `kill -9` could leave
//! behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::process::{Command, Stdio, id};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::Deserialize;

use super::mounts::Mounts;

/// A network namespace. Clones are the same namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: &'static str,
    net: Arc<OwnedFd>,
}

impl Namespace {
    /// Makes a namespace that holds only a loopback device. The name serves
    /// messages alone.
    pub fn new(name: &'static str) -> Result<Self> {
        let net = in_thread(|| -> Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
            Ok(File::open("/proc/thread-self/ns/net")
                .context("open /proc/thread-self/ns/net")?
                .into())
        })
        .with_context(|| format!("make the network namespace of {name}"))?;
        let namespace = Self {
            name,
            net: Arc::new(net),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Takes hold of a namespace that somebody else made, by a path such as
    /// `/proc/PID/fd/N`.
    pub fn open(path: &str, name: &'static str) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open the namespace {path}"))?;
        Ok(Self {
            name,
            net: Arc::new(file.into()),
        })
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A path by which any process of the same user finds the namespace, as long
    /// as this process holds it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", id(), self.net.as_raw_fd())
    }

    /// Does `work` inside the namespace, on a thread of its own. Sockets made
    /// there belong to the namespace for ever, and can be used from any thread.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            setns(&*self.net, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter the network namespace of {}", self.name))?;
            work()
        })
    }

    /// A command that will run inside the namespace, with the machine's own
    /// mounts. The kernel ends it when the thread that started it ends.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_with(program, None)
    }

    /// The same, with the lab's private mounts. Its working directory is `/`.
    pub fn command_in(&self, program: impl AsRef<OsStr>, mounts: &Mounts) -> Command {
        self.command_with(program, Some(mounts.namespace()))
    }

    fn command_with(&self, program: impl AsRef<OsStr>, mounts: Option<Arc<OwnedFd>>) -> Command {
        let mut command = Command::new(program);
        let net = Arc::clone(&self.net);
        let enter = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            if let Some(mounts) = &mounts {
                setns(&**mounts, CloneFlags::CLONE_NEWNS)?;
            }
            setns(&*net, CloneFlags::CLONE_NEWNET)?;
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes three system calls on
        // descriptors that it owns; it neither allocates nor takes a lock.
        unsafe { command.pre_exec(enter) };
        command
    }

    /// Runs lines of `ip` inside the namespace, all or (at the first error) none
    /// further.
    pub fn ip(&self, script: &str) -> Result<()> {
        let doing = || format!("configure {} with `ip`:\n{script}", self.name);
        let mut child = self
            .command("ip")
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run `ip`; install it with `apt-get install iproute2`")?;
        let written = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(script.as_bytes()));
        let output = child.wait_with_output().with_context(doing)?;
        if !output.status.success() {
            bail!("{}{}", String::from_utf8_lossy(&output.stderr), doing());
        }
        written.transpose().with_context(doing)?;
        Ok(())
    }

    /// The devices of the namespace, each with the kernel's id of the XDP program
    /// on it, if there is one.
    pub fn devices(&self) -> Result<BTreeMap<String, Option<u32>>> {
        let output = self
            .command("ip")
            .args(["-json", "link", "show"])
            .output()?;
        let links: Vec<Link> = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("read the devices of {}", self.name))?;
        let program = |link: &Link| Some(link.xdp.as_ref()?.prog.as_ref()?.id);
        Ok(links
            .into_iter()
            .map(|link| (link.ifname.clone(), program(&link)))
            .collect())
    }

    /// Sets a network sysctl of the namespace: `sysctl("ipv4/conf/all/rp_filter", "0")`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.enter(|| {
            std::fs::write(&path, value).with_context(|| format!("write {value} to {path}"))
        })
    }
}

/// What is of use in `ip -json link show`.
#[derive(Deserialize)]
struct Link {
    ifname: String,
    xdp: Option<LinkXdp>,
}

#[derive(Deserialize)]
struct LinkXdp {
    prog: Option<LinkProgram>,
}

#[derive(Deserialize)]
struct LinkProgram {
    id: u32,
}

/// Runs `work` on a thread of its own, so that what it does to its namespaces
/// touches no other.
pub(super) fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}
