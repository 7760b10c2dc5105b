//! `run --debug-bpf`: the programs say what becomes of frames for as long as the daemon runs,
//! and judge and count as before; without it they hold nothing of that.

use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::programs::{ProgramInfo, loaded_programs};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::{PORTS, Probe};
use edge_filter_tests::lab::product::{Mode, Status};
use edge_filter_tests::lab::{Lab, Plan, sample};
use nix::sys::signal::Signal;

/// Frames that are sent at once.
const FLOOD: usize = 2000;
/// How the names of programs begin that say something: the kernel keeps fifteen bytes.
const SPEAKING: &str = "edge_filter_deb";

/// What the kernel says of the programs that are attached, in the order of the hooks.
fn programs(status: &Status) -> Result<Vec<ProgramInfo>> {
    let mut all: Vec<ProgramInfo> = loaded_programs().collect::<Result<_, _>>()?;
    let ids = status.hooks.iter().map(|hook| hook.program_id);
    ids.map(|id| {
        let place = all.iter().position(|info| info.id() == id);
        let place = place.with_context(|| format!("there is no program {id}"))?;
        Ok(all.swap_remove(place))
    })
    .collect()
}

fn are_speaking(lab: &Lab) -> Result<bool> {
    let programs = programs(&lab.status()?)?;
    let speaking = programs
        .iter()
        .filter(|program| program.name_as_str() == Some(SPEAKING))
        .count();
    Ok(!programs.is_empty() && speaking == programs.len())
}

/// Instructions as the kernel runs them, those that the verifier went through, and maps.
fn sizes(lab: &Lab) -> Result<Vec<[u32; 3]>> {
    let programs = programs(&lab.status()?)?;
    let sizes = programs.iter().map(|program| {
        let maps = program.map_ids()?.map_or(0, |ids| ids.len());
        Ok([
            program.size_translated().context("no size")? / 8,
            program.verified_instruction_count().context("no count")?,
            u32::try_from(maps)?,
        ])
    });
    sizes.collect()
}

fn lab() -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Native)?;
    Ok(lab)
}

/// How many frames a log describes at a hook, and how many it says it does not.
fn described(log: &str, place: &str) -> Result<(usize, usize)> {
    let (mut described, mut unsaid) = (0, 0);
    for line in log.lines().filter(|line| line.contains(place)) {
        described += 1;
        if let Some((_, rest)) = line.split_once("; ") {
            let number = rest.split(' ').next().context("a number")?;
            unsaid += number.parse::<usize>().context("a number")?;
        }
    }
    Ok((described, unsaid))
}

#[test]
fn programs_say_what_becomes_of_frames_while_the_daemon_runs() -> Result<()> {
    let (lab, plan) = (lab()?, Plan::default());
    let before = sizes(&lab)?;
    let mut probe = Probe::new(&lab)?;
    let mut daemon = Daemon::start(&lab, &["--debug-bpf", "--watch", "1"])?;
    daemon.wait("replace the programs", || are_speaking(&lab))?;
    println!(
        "translated, verified, maps: {before:?}; with diagnostics {:?}",
        sizes(&lab)?
    );
    // It listens as soon as it has said what it applied and looked again.
    daemon.await_log("with diagnostics: policy 'lab' as generation 2")?;
    daemon.wait("describe a frame", || {
        ensure!(
            probe.open()? == [true, false],
            "another verdict than before"
        );
        Ok(daemon.log()?.contains("external inbound: stun passes"))
    })?;
    let from = plan.outside[0];
    daemon.await_log(&format!("passes 46 bytes, UDP from {from} port"))?;
    daemon.await_log(&format!("to {} port {}", plan.external[0], PORTS[0]))?;
    daemon.await_log("external inbound: drop:default drops 46 bytes, UDP from")?;
    let near = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[1], 0))?))?;
    near.send_to(b"x", (plan.outside[1], 3478))?;
    daemon.await_log(&format!(
        "external outbound: stun-out passes 63 bytes, UDP from {} port {} to {} port 3478",
        plan.external[1],
        near.local_addr()?.port(),
        plan.outside[1]
    ))?;

    // More than can be said: what is left out is counted.
    let (already, _) = described(&daemon.log()?, "external inbound")?;
    for _ in 0..FLOOD / PORTS.len() {
        probe.send()?;
        // Before the sockets overflow.
        probe.passed()?;
    }
    sleep(Duration::from_millis(1500));
    for _ in 0..3 {
        probe.send()?;
        sleep(Duration::from_millis(200));
        probe.passed()?;
    }
    daemon.await_log("are not described")?;
    let (described, unsaid) = described(&daemon.log()?, "external inbound")?;
    println!("{FLOOD} frames at once: {} described", described - already);
    assert!(described - already < FLOOD / 2, "{described} described");
    assert!(unsaid > 0 && described - already + unsaid <= FLOOD + 6 + already);

    // Somebody applies another policy.
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    lab.apply(&longer, Mode::Native)?;
    daemon.wait("replace the programs of the next policy", || {
        are_speaking(&lab)
    })?;
    daemon.wait("describe its frames", || {
        probe.send()?;
        sleep(Duration::from_millis(50));
        Ok(daemon.log()?.matches("with diagnostics").count() == 2)
    })?;

    daemon.signal(Signal::SIGTERM)?;
    ensure!(daemon.end()?.success(), "it fails: {}", daemon.log()?);
    let log = daemon.log()?;
    assert!(!log.contains("<3>"), "{log}");
    assert!(!are_speaking(&lab)?, "they go on: {log}");
    probe.passed()?;
    probe.settle()?;
    // Nothing of it is left, and nothing of it is a step back.
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(sizes(&lab)?, before);
    let history = lab.json(&["rollback", "--list"])?;
    assert_eq!(history.as_array().map(Vec::len), Some(3), "{history:#}");
    Ok(())
}

#[test]
fn a_daemon_that_is_killed_leaves_them_to_the_next_commit() -> Result<()> {
    let lab = lab()?;
    let mut daemon = Daemon::start(&lab, &["--debug-bpf"])?;
    daemon.wait("replace the programs", || are_speaking(&lab))?;
    daemon.signal(Signal::SIGKILL)?;
    daemon.end()?;
    assert!(are_speaking(&lab)?);
    assert_eq!(lab.json(&["status"])?["policy"]["diagnostics"], true);
    let said = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(said.contains("so does `edge-filter apply`"), "{said}");
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, [true, false]);
    probe.settle()?;
    // The next one listens to them, and takes them away when it ends.
    drop(daemon);
    let mut daemon = Daemon::start(&lab, &["--debug-bpf"])?;
    daemon.wait("describe a frame", || {
        probe.open()?;
        Ok(daemon.log()?.contains("external inbound: stun passes"))
    })?;
    daemon.signal(Signal::SIGKILL)?;
    daemon.end()?;
    let policy = lab.mounts.inside("policy.yaml");
    lab.apply(&policy, Mode::Native)?;
    assert!(!are_speaking(&lab)?);
    assert_eq!(lab.json(&["status"])?["policy"]["diagnostics"], false);
    Ok(())
}
