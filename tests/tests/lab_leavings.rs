//! However the demonstration ends, nothing of it is left on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use edge_filter_tests::lab::foreign::program_exists;
use edge_filter_tests::lab::namespace::Namespace;
use edge_filter_tests::lab::product::binary;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to clear a namespace away.
const CLEARING: Duration = Duration::from_secs(20);

/// A running demonstration; it is ended with the test.
struct Demo(Child);

impl Demo {
    fn start() -> Result<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .env("EDGE_FILTER_BIN", binary()?)
            .stdout(Stdio::null())
            .spawn()
            .context("start the demo")?;
        Ok(Self(child))
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(self.0.id().try_into()?))
    }

    /// The path of the namespace in which the filter is attached, and the programs
    /// on its devices, once both hooks are filtered.
    fn edge(&mut self) -> Result<(String, Vec<u32>)> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                bail!("the demo ended with {status} before it was filtering");
            }
            for entry in fs::read_dir(format!("/proc/{}/fd", self.0.id()))? {
                let path = entry?.path();
                // It may have been closed by now.
                let Ok(target) = fs::read_link(&path) else {
                    continue;
                };
                if !target.to_string_lossy().starts_with("net:[") {
                    continue;
                }
                let path = path.to_string_lossy().into_owned();
                let Ok(namespace) = Namespace::open(&path, "the demo") else {
                    continue;
                };
                let programs: Vec<u32> = namespace.devices()?.into_values().flatten().collect();
                if programs.len() == 2 {
                    return Ok((path, programs));
                }
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a demonstration could leave where people look first.
fn on_the_machine() -> Result<BTreeSet<String>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // The mount's own number and place, without what others change meanwhile.
    let mut found: BTreeSet<String> = mounts
        .lines()
        .filter(|line| line.contains("bpf") || line.contains("nsfs"))
        .map(str::to_owned)
        .collect();
    for place in ["/run/netns", "/sys/fs/bpf", "/var/lib/edge-filter"] {
        for entry in fs::read_dir(Path::new(place)).into_iter().flatten() {
            found.insert(entry?.path().display().to_string());
        }
    }
    Ok(found)
}

/// Waits until `gone` says so.
fn wait_until(what: &str, mut gone: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + CLEARING;
    while !gone()? {
        ensure!(
            Instant::now() < deadline,
            "{what} is still there after {CLEARING:?}"
        );
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn nothing_is_left_after(signal: Signal) -> Result<()> {
    let before = on_the_machine()?;
    let mut demo = Demo::start()?;
    let (edge, programs) = demo.edge()?;
    // A wire into the demo's namespace: the kernel takes our end away when it
    // destroys the namespace that the other end stands in, and not before.
    let witness = Namespace::new("witness")?;
    witness.ip(&format!(
        "link add near type veth peer name far netns {edge}\n"
    ))?;
    ensure!(
        witness.devices()?.contains_key("near"),
        "the witness has no wire"
    );
    for &program in &programs {
        ensure!(
            program_exists(program)?,
            "program {program} is not there to begin with"
        );
    }

    kill(demo.pid()?, signal).context("end the demo")?;
    let status = demo.0.wait()?;
    ensure!(!status.success(), "the demo had already ended by itself");
    wait_until("the namespace", || {
        Ok(!witness.devices()?.contains_key("near"))
    })?;
    // A pinned link would keep its program: when it is gone, so are all pins.
    for program in programs {
        wait_until("a program", || Ok(!program_exists(program)?))?;
    }
    assert_eq!(on_the_machine()?, before);
    Ok(())
}

#[test]
fn nothing_is_left_after_a_kill() -> Result<()> {
    nothing_is_left_after(Signal::SIGKILL)
}

#[test]
fn nothing_is_left_after_an_interrupt() -> Result<()> {
    nothing_is_left_after(Signal::SIGINT)
}

#[test]
fn nothing_is_left_after_a_hangup() -> Result<()> {
    nothing_is_left_after(Signal::SIGHUP)
}
