//! Reception on a core of its own: the kernel polls a device by a thread, which can be
//! told where to run (Documentation/networking/napi.rst).

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

use super::wire::End;

/// Has a thread of the kernel poll `end`, on the core `core` alone. What makes the device
/// poll at all, an XDP program or [`take_redirected`](super::offload::take_redirected), must be
/// there already.
pub fn poll_on(end: &End, core: usize) -> Result<()> {
    let before = pollers(end)?;
    start(end).with_context(|| format!("have a thread poll {}", end.device))?;
    let mut cores = CpuSet::new();
    cores.set(core)?;
    let new: Vec<i32> = pollers(end)?.difference(&before).copied().collect();
    ensure!(
        new.len() == 1,
        "{} threads began to poll {} where one was expected",
        new.len(),
        end.device
    );
    for thread in new {
        sched_setaffinity(Pid::from_raw(thread), &cores)
            .with_context(|| format!("have {} polled on core {core}", end.device))?;
    }
    Ok(())
}

/// Writes to the device's `threaded`. A sysfs shows the devices of the namespace that it
/// was mounted in.
fn start(end: &End) -> Result<()> {
    const NONE: Option<&str> = None;
    end.namespace.enter(|| {
        unshare(CloneFlags::CLONE_NEWNS).context("unshare(CLONE_NEWNS)")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NONE, "/", NONE, private, NONE).context("make / private")?;
        let flags = MsFlags::empty();
        mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NONE).context("mount a sysfs")?;
        let path = format!("/sys/class/net/{}/threaded", end.device);
        fs::write(&path, "1").with_context(|| format!("write 1 to {path}"))
    })
}

/// The threads that poll devices of this name, in whichever namespace. Their names end
/// with a number that no other has, and that nothing else tells.
fn pollers(end: &End) -> Result<BTreeSet<i32>> {
    let name = format!("napi/{}-", end.device);
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").context("list the processes")? {
        let process = process?;
        let Some(id) = process.file_name().to_str().and_then(|id| id.parse().ok()) else {
            continue;
        };
        // It may have ended by now.
        let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if comm.starts_with(&name) {
            found.insert(id);
        }
    }
    Ok(found)
}
