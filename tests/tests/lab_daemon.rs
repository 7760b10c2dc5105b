//! The daemon: devices that are made again or appear are filtered again; what it tells
//! systemd; what it may do; and that nothing depends on its being alive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter::kernel::device;
use edge_filter_tests::lab::daemon::{Daemon, WATCHDOG};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::Mode;
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use nix::sys::signal::Signal;

/// How often a device is made again, in a soak run.
const REMAKINGS: usize = 100;

/// A device that nobody sends anything to.
fn make(lab: &Lab, name: &str) -> Result<()> {
    lab.edge.ip(&format!(
        "link add {name} type veth peer name {name}-peer\n"
    ))
}

/// A lab that enforces `policy`.
fn enforcing(policy: &str) -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", policy)?;
    lab.apply(&policy, Mode::Auto)?;
    Ok(lab)
}

/// [`sample::POLICY`], with one more device for the external role.
fn with_second() -> String {
    sample::POLICY.replace("devices: [external]", "devices: [external, second]")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the lab's names are plain")
}

/// Makes `external` again, and says how long it was there without XDP at most: from the
/// last look that did not see it to the first that saw a program on it.
fn time_unfiltered(lab: &Lab) -> Result<Duration> {
    lab.edge.ip("link del external\n")?;
    let edge = lab.edge.clone();
    std::thread::scope(|scope| {
        let watching = scope.spawn(move || {
            edge.enter(|| {
                let begun = Instant::now();
                let mut before = Instant::now();
                while begun.elapsed() < Duration::from_secs(20) {
                    let now = Instant::now();
                    match device::find("external") {
                        Err(_) => before = now,
                        Ok(device) if device.xdp.is_some() => return Ok(before.elapsed()),
                        Ok(_) => {}
                    }
                    sleep(Duration::from_micros(100));
                }
                anyhow::bail!("it is not filtered again")
            })
        });
        make(lab, "external")?;
        watching.join().expect("it does not panic")
    })
}

#[test]
fn a_device_that_is_made_again_is_filtered_again() -> Result<()> {
    let lab = enforcing(&sample::both_ways())?;
    let daemon = Daemon::start(&lab, &[])?;
    let pins = lab.mounts.pins()?.len();
    let mut times = Vec::new();
    for round in 0..soak::times(REMAKINGS) {
        let time = time_unfiltered(&lab);
        times.push(
            time.with_context(|| format!("round {round}: {}", daemon.log().unwrap_or_default()))?,
        );
        daemon.await_filtered(&["external", "internal"])?;
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    println!(
        "made again {} times: without a filter for {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most",
        times.len(),
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        at(100).as_secs_f64() * 1e3,
    );
    daemon.wait("tidy up", || Ok(lab.mounts.pins()?.len() == pins))?;
    // The same policy again is no step back.
    let history = lab.json(&["rollback", "--list"])?;
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history:#}");
    Ok(())
}

#[test]
fn what_is_enforced_does_not_depend_on_the_daemon() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let mut probe = Probe::new(&lab)?;
    let mut daemon = Daemon::start(&lab, &[])?;
    let before = lab.status()?;
    let pins = lab.mounts.pins()?;
    daemon.signal(Signal::SIGKILL)?;
    daemon.end()?;
    assert_eq!(probe.open()?, [true, false]);
    probe.settle()?;
    let after = lab.status()?;
    assert_eq!(after.policy, before.policy);
    let programs = |status: &edge_filter_tests::lab::product::Status| -> Vec<u32> {
        status.hooks.iter().map(|hook| hook.program_id).collect()
    };
    assert_eq!(programs(&after), programs(&before));
    assert!(after.hooks.iter().all(|hook| hook.filtered));
    assert_eq!(lab.mounts.pins()?, pins);
    // The next one finds what happened meanwhile.
    lab.edge.ip("link del external\n")?;
    make(&lab, "external")?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_filtered(&["external", "internal"])
}

#[test]
fn the_last_committed_policy_is_enforced_when_the_pins_are_gone() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    // As after a reboot: the state is there, and nothing is pinned or attached.
    let bpffs = lab.mounts.outside("bpffs/edge-filter");
    fs::remove_dir_all(&bpffs)?;
    lab.edge.ip("link del internal\n")?;
    assert_eq!(lab.edge.devices()?["external"], None);
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_filtered(&["external"])?;
    make(&lab, "internal")?;
    daemon.await_filtered(&["external", "internal"])
}

#[test]
fn a_second_device_of_a_role_is_filtered_when_it_appears() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &with_second())?;
    let daemon = Daemon::start(&lab, &[text(&policy)])?;
    daemon.await_filtered(&["external", "internal"])?;
    make(&lab, "second")?;
    daemon.await_filtered(&["external", "internal", "second"])?;
    // It is one of the role's, though nobody had seen it when the policy was applied.
    lab.edge.ip("link del second\n")?;
    make(&lab, "second")?;
    daemon.await_filtered(&["external", "internal", "second"])
}

#[test]
fn a_repair_takes_the_filter_off_no_device() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let daemon = Daemon::start(&lab, &[])?;
    // One has another name now, and the other one is where nobody can see it.
    lab.edge.ip(&format!(
        "link set external down\nlink set external name wan\nlink set internal netns {}\n",
        lab.world.path()
    ))?;
    make(&lab, "external")?;
    daemon.await_filtered(&["external", "internal", "wan"])?;
    let edge = lab.edge.devices()?;
    assert!(
        edge["external"].is_some() && edge["wan"].is_some(),
        "{edge:?}"
    );
    assert!(lab.world.devices()?["internal"].is_some());
    make(&lab, "internal")?;
    daemon.wait("filter the new one", || {
        Ok(lab.edge.devices()?["internal"].is_some())
    })?;
    assert!(lab.world.devices()?["internal"].is_some());
    // Both bear the name, and it is said which is which.
    let status = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    let rows = status.matches("  internal  inbound    xdp   ").count();
    ensure!(
        rows == 2
            && status.matches("  elsewhere  ").count() == 1
            && status.contains("internal inbound: the device that had this name is in another"),
        "{status}"
    );
    Ok(())
}

/// What `status --json` says of the devices that have no hook.
fn absent(lab: &Lab) -> Result<Vec<String>> {
    let status = lab.json(&["status"])?;
    let absent = status["absent"].as_array().context("no list")?;
    let absent = absent.iter().map(|device| {
        let word = |name: &str| device[name].as_str().unwrap_or("nothing").to_owned();
        format!(
            "{} {} {}",
            word("interface"),
            word("device"),
            word("trouble")
        )
    });
    Ok(absent.collect())
}

#[test]
fn a_device_that_is_not_there_is_named() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &with_second())?;
    let mut daemon = Daemon::begin(&lab, &[text(&policy)])?;
    let ready = daemon.await_message(|message| message.value("READY") == Some("1"))?;
    let told = ready.value("STATUS").context("no status")?;
    ensure!(
        told.ends_with("filtered: external, internal; not there: second"),
        "{told}"
    );
    daemon.await_log("<4>warning: second is not there: it is filtered when it comes")?;
    assert_eq!(absent(&lab)?, ["external second device-gone"]);
    let status = || -> Result<String> { Ok(String::from_utf8(lab.run(&["status"], 0)?.stdout)?) };
    let told = status()?;
    ensure!(
        told.contains("\nsecond (external): it is not there; "),
        "{told}"
    );
    // It comes, and nobody looks.
    daemon.signal(Signal::SIGKILL)?;
    daemon.end()?;
    make(&lab, "second")?;
    assert_eq!(absent(&lab)?, ["external second filter-gone"]);
    let told = status()?;
    ensure!(
        told.contains("\nsecond (external): NOT FILTERED: "),
        "{told}"
    );
    lab.run(&["apply", "--last-good"], 0)?;
    assert_eq!(absent(&lab)?, [""; 0]);
    ensure!(lab.edge.devices()?["second"].is_some());
    Ok(())
}

#[test]
fn a_policy_none_of_whose_devices_is_there_is_not_forgotten() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = sample::POLICY
        .replace("devices: [external]", "devices: [nope]")
        .replace("devices: [internal]", "devices: [nor-this]");
    let policy = lab.mounts.write("policy.yaml", &policy)?;
    let daemon = Daemon::start(&lab, &[text(&policy)])?;
    daemon.await_log("applied: policy 'lab' as generation 1: no device is filtered")?;
    daemon.await_log("no device is filtered; not there: nope, nor-this")?;
    assert_eq!(
        absent(&lab)?,
        ["external nope device-gone", "internal nor-this device-gone"]
    );
    let told = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    ensure!(
        told.starts_with("nothing is enforced, though a policy was committed")
            && told.contains("\nnope (external): it is not there; "),
        "{told}"
    );
    lab.run(&["detach"], 0)?;
    let told = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert_eq!(told, "nothing is enforced\n");
    Ok(())
}

#[test]
fn a_device_that_refuses_leaves_no_other_one_open() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    lab.edge.ip("link del external\nlink del internal\n")?;
    make(&lab, "external")?;
    make(&lab, "internal")?;
    let foreign = Foreign::load()?.attach(&lab.internal.edge, true)?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.wait("filter external", || {
        Ok(lab.edge.devices()?["external"].is_some())
    })?;
    daemon.await_log("<3>error: cannot attach to internal in native mode")?;
    daemon.await_log("trying again in")?;
    drop(foreign);
    daemon.await_filtered(&["external", "internal"])
}

#[test]
fn a_trial_goes_on_and_the_committed_policy_is_restored_after_it() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let daemon = Daemon::start(&lab, &[])?;
    let moved: PathBuf = lab.mounts.write("moved.yaml", &sample::moved())?;
    let trial = lab.try_out(&moved, Mode::Auto, "10s")?;
    lab.edge.ip("link del internal\n")?;
    make(&lab, "internal")?;
    daemon.await_filtered(&["external", "internal"])?;
    let status = lab.json(&["status"])?;
    assert_eq!(status["trial"]["passed"], false, "{status:#}");
    assert_eq!(
        status["trial"]["confirm_deadline"].as_str(),
        trial.confirm_deadline.as_deref(),
        "{status:#}"
    );
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, [false, true]);
    // Afterwards nobody would filter the new device but for the daemon.
    daemon.wait("restore the committed policy", || {
        let status = lab.json(&["status"])?;
        Ok(status["trial"].is_null())
    })?;
    daemon.await_filtered(&["external", "internal"])?;
    assert_eq!(probe.open()?, [true, false]);
    Ok(())
}

#[test]
fn a_reload_takes_a_valid_policy_and_refuses_an_invalid_one() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let mut daemon = Daemon::start(&lab, &[text(&policy)])?;
    daemon.await_filtered(&["external", "internal"])?;
    let first = lab.status()?.policy;
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, [true, false]);

    lab.mounts
        .write("policy.yaml", &sample::POLICY.replace("[443]", "[443443]"))?;
    daemon.signal(Signal::SIGHUP)?;
    let reloading = daemon.await_message(|message| message.value("RELOADING") == Some("1"))?;
    let since: u64 = reloading
        .value("MONOTONIC_USEC")
        .context("no time")?
        .parse()?;
    assert!(since > 0);
    daemon.await_message(|message| message.value("READY") == Some("1"))?;
    let log = daemon.log()?;
    assert!(
        log.contains("443443") && log.contains("what is enforced stays"),
        "{log}"
    );
    assert_eq!(lab.status()?.policy, first);
    assert_eq!(probe.open()?, [true, false]);

    lab.mounts.write("policy.yaml", &sample::moved())?;
    daemon.signal(Signal::SIGHUP)?;
    daemon.await_message(|message| message.value("READY") == Some("1"))?;
    assert_eq!(lab.status()?.policy.generation, first.generation + 1);
    assert_eq!(probe.open()?, [false, true]);
    probe.settle()?;

    daemon.signal(Signal::SIGTERM)?;
    daemon.await_message(|message| message.value("STOPPING") == Some("1"))?;
    assert!(daemon.end()?.success());
    assert_eq!(probe.open()?, [false, true]);
    Ok(())
}

#[test]
fn systemd_hears_that_it_is_ready_and_alive() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let daemon = Daemon::begin(&lab, &[])?;
    let ready = daemon.await_message(|message| message.value("READY") == Some("1"))?;
    let status = ready.value("STATUS").context("no status")?;
    assert!(status.contains("filtered: external, internal"), "{status}");
    let is_alive =
        |message: &edge_filter_tests::lab::daemon::Message| message.value("WATCHDOG") == Some("1");
    let mut last = daemon.await_message(is_alive)?.at;
    for _ in 0..6 {
        let next = daemon.await_message(is_alive)?.at;
        ensure!(next - last < WATCHDOG, "silent for {:?}", next - last);
        last = next;
    }
    let log = daemon.log()?;
    assert!(log.lines().all(|line| line.starts_with("<6>")), "{log}");
    Ok(())
}

#[test]
fn a_daemon_without_anything_to_do_does_not_begin() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", "version: 7\n")?;
    let mut daemon = Daemon::begin(&lab, &[text(&policy)])?;
    assert_eq!(daemon.end()?.code(), Some(1));
    let log = daemon.log()?;
    assert!(log.contains("version"), "{log}");
    // Once it has begun, it waits for better times.
    lab.mounts.write("policy.yaml", sample::POLICY)?;
    let daemon = Daemon::start(&lab, &[text(&policy)])?;
    lab.run(&["detach"], 0)?;
    lab.mounts.write("policy.yaml", "version: 7\n")?;
    daemon.signal(Signal::SIGHUP)?;
    daemon.await_message(|message| message.value("READY") == Some("1"))?;
    lab.mounts.write("policy.yaml", sample::POLICY)?;
    daemon.signal(Signal::SIGHUP)?;
    daemon.wait("filter external", || {
        Ok(lab.edge.devices()?["external"].is_some())
    })
}

/// The value of a line of `/proc/PID/status`.
fn proc_status(status: &str, name: &str) -> Result<String> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line
        .with_context(|| format!("no {name}"))?
        .trim()
        .to_owned())
}

#[test]
fn it_may_do_what_the_documentation_says_and_no_more() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let daemon = Daemon::start(&lab, &[])?;
    let documentation = include_str!("../../docs/daemon.md");
    // Their numbers, by linux/capability.h.
    let known = [
        ("CAP_NET_ADMIN", 12),
        ("CAP_SYS_ADMIN", 21),
        ("CAP_PERFMON", 38),
        ("CAP_BPF", 39),
    ];
    let documented: BTreeSet<&str> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `CAP_")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let names: BTreeSet<&str> = known.iter().map(|(name, _)| &name[4..]).collect();
    assert_eq!(documented, names, "docs/daemon.md says something else");
    let mask = known
        .iter()
        .fold(0_u64, |mask, (_, number)| mask | 1 << number);
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid()))?;
    for task in tasks {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for (set, expected) in [
            ("CapEff", mask),
            ("CapPrm", mask),
            ("CapBnd", mask),
            ("CapInh", 0),
            ("CapAmb", 0),
        ] {
            let found = u64::from_str_radix(&proc_status(&status, set)?, 16)?;
            assert_eq!(found, expected, "{set} is {found:x}, not {expected:x}");
        }
        assert_eq!(proc_status(&status, "NoNewPrivs")?, "1");
    }
    Ok(())
}
