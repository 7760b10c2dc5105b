//! After a reboot or a crash: what was committed last is enforced again, and where it cannot
//! be read nothing passes but the essentials and what the management rules allow.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, binary, expect_exit};
use edge_filter_tests::lab::trial::{FIRST, MOVED, OPEN, generations};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use nix::sys::signal::Signal;
use rand::RngExt;

/// How often `apply --last-good` is killed, in a soak run.
const KILLS: usize = 50;

/// Which of the probe's ports are open where nothing is.
const CLOSED: [bool; 2] = [false, false];

/// What `apply --last-good` exits with where it closes the host.
const LAST_RESORT: i32 = 3;

/// Opens UDP 3479, which [`sample::POLICY`] does not, to anybody, on every device; and
/// nothing but for expiry, audit and default.
const MANAGEMENT: &str = r"version: 1
name: management
mode: audit
interfaces:
  any: {}
essentials: { dhcp-client: allow }
default_action: allow
groups:
  - name: management
    rules:
      - { id: repair, interface: any, direction: inbound, to: { ports: [3479] }, protocol: udp, action: allow, expires: 2020-01-01 }
";

/// A lab that enforces `policy`.
fn enforcing(policy: &str) -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", policy)?;
    lab.apply(&policy, Mode::Native)?;
    Ok(lab)
}

/// What `apply --last-good` says, which must exit with `code`.
fn last_good(lab: &Lab, code: i32) -> Result<(String, String)> {
    said(&lab.run(&["apply", "--last-good"], code)?)
}

fn said(output: &Output) -> Result<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned());
    let (told, complained) = (text(&output.stdout)?, text(&output.stderr)?);
    ensure!(!complained.contains("panicked"), "{complained}");
    Ok((told, complained))
}

fn state(lab: &Lab, name: &str) -> PathBuf {
    lab.mounts.outside("state/edge-filter").join(name)
}

/// The devices that have a program of XDP.
fn filtered(lab: &Lab) -> Result<Vec<String>> {
    let devices = lab.edge.devices()?.into_iter();
    Ok(devices
        .filter_map(|(name, program)| program.map(|_| name))
        .collect())
}

/// Whether what a DHCP server sends arrives: an essential of the policy of last resort.
fn dhcp_arrives(lab: &Lab) -> Result<bool> {
    let plan = Plan::default();
    let client = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 68))?))?;
    client.set_read_timeout(Some(Duration::from_millis(30)))?;
    let server = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 67))?))?;
    server.send_to(b"offer", (plan.external[0], 68))?;
    Ok(client.recv(&mut [0; 8]).is_ok())
}

#[test]
fn the_same_devices_are_filtered_again_with_the_same_verdicts() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Generic)?;
    let before = lab.status()?;
    lab.reboot()?;
    assert_eq!(Probe::new(&lab)?.open()?, OPEN);
    let (told, complained) = last_good(&lab, 0)?;
    assert!(
        told.contains("policy 'lab' is enforced as generation 2"),
        "{told}"
    );
    assert_eq!(complained, "");
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;
    let after = lab.status()?;
    assert_eq!(after.policy.hash, before.policy.hash);
    let hooks = |status: &edge_filter_tests::lab::product::Status| -> Vec<_> {
        let hooks = status.hooks.iter();
        hooks
            .map(|hook| {
                let place = (hook.interface.clone(), hook.device.clone());
                (
                    place,
                    hook.direction.clone(),
                    hook.mode.clone(),
                    hook.filtered,
                )
            })
            .collect()
    };
    assert_eq!(hooks(&after), hooks(&before));
    // No step back, and nothing to be done a second time.
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [2]);
    let (told, _) = last_good(&lab, 0)?;
    assert!(told.contains("enforced already as generation 2"), "{told}");
    probe.settle()
}

#[test]
fn a_trial_does_not_outlive_a_reboot() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    lab.reboot()?;
    last_good(&lab, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert!(lab.json(&["status"])?["trial"].is_null());
    Ok(())
}

#[test]
fn a_device_that_is_missing_leaves_no_other_one_open() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    lab.reboot()?;
    lab.edge.ip("link del internal\n")?;
    let (_, complained) = last_good(&lab, 0)?;
    assert!(
        complained.contains("not there: internal; `edge-filter run` filters"),
        "{complained}"
    );
    assert_eq!(filtered(&lab)?, ["external"]);
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    let daemon = Daemon::start(&lab, &[])?;
    lab.edge
        .ip("link add internal type veth peer name internal-peer\n")?;
    daemon.await_filtered(&["external", "internal"])
}

#[test]
fn a_device_that_refuses_leaves_no_other_one_open() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    lab.reboot()?;
    let foreign = Foreign::load()?.attach(&lab.internal.edge, true)?;
    let (_, complained) = last_good(&lab, 1)?;
    assert!(
        complained.contains("cannot attach to internal") && complained.contains("internal IS NOT"),
        "{complained}"
    );
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    drop(foreign);
    last_good(&lab, 0)?;
    assert_eq!(filtered(&lab)?, ["external", "internal"]);
    Ok(())
}

/// What can become of the state.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    Empty,
    OtherVersion,
    NoFile,
    NoDirectory,
    Unreadable,
    NoPolicyAnyMore,
}

const DAMAGES: [Damage; 7] = [
    Damage::Truncated,
    Damage::Empty,
    Damage::OtherVersion,
    Damage::NoFile,
    Damage::NoDirectory,
    Damage::Unreadable,
    Damage::NoPolicyAnyMore,
];

impl Damage {
    /// Does it to the history, whose newest generation lies in `newest`.
    fn be_done(self, history: &Path, newest: &Path) -> Result<()> {
        let whole = fs::read_to_string(newest)?;
        let replaced = |from: &str, to: &str| -> Result<String> {
            ensure!(whole.contains(from), "{whole}");
            Ok(whole.replacen(from, to, 1))
        };
        match self {
            Self::Truncated => fs::write(newest, &whole[..whole.len() / 2])?,
            Self::Empty => fs::write(newest, "")?,
            Self::OtherVersion => {
                fs::write(newest, replaced("\"version\": 1", "\"version\": 2")?)?;
            }
            Self::NoFile => {
                fs::remove_file(newest)?;
                fs::create_dir(newest)?;
            }
            Self::NoDirectory => {
                fs::remove_dir_all(history)?;
                fs::write(history, "")?;
            }
            Self::Unreadable => fs::set_permissions(history, Permissions::from_mode(0o000))?,
            Self::NoPolicyAnyMore => {
                fs::write(
                    newest,
                    replaced("direction: inbound", "direction: sideways")?,
                )?;
            }
        }
        Ok(())
    }

    /// What must be named.
    fn named(self) -> &'static str {
        match self {
            Self::NoDirectory | Self::Unreadable => "history",
            Self::NoPolicyAnyMore => "the policy of generation 1",
            _ => "1.json",
        }
    }
}

/// `apply --last-good` by a root that may not read what it owns and may not read.
fn confined(lab: &Lab) -> Result<Command> {
    let mut command = lab.edge.command_in("setpriv", &lab.mounts);
    lab.places(&mut command)
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .arg(binary()?)
        .args(["apply", "--last-good"]);
    Ok(command)
}

#[test]
fn what_cannot_be_read_closes_the_host_but_for_the_management_rules() -> Result<()> {
    for damage in DAMAGES {
        let lab = enforcing(sample::POLICY)?;
        damage.be_done(&state(&lab, "history"), &state(&lab, "history/1.json"))?;
        for (management, open) in [(None, CLOSED), (Some(MANAGEMENT), MOVED)] {
            let doing = || format!("{damage:?}, management rules: {}", management.is_some());
            lab.reboot()?;
            if let Some(text) = management {
                lab.mounts.write("management.yaml", text)?;
            }
            assert_eq!(Probe::new(&lab)?.open()?, OPEN, "{}", doing());
            let output = expect_exit(&mut confined(&lab)?, LAST_RESORT).with_context(doing)?;
            let (told, complained) = said(&output)?;
            for words in ["LAST RESORT", damage.named(), "edge-filter apply POLICY"] {
                ensure!(complained.contains(words), "{}: {complained}", doing());
            }
            let absent = complained.contains("there are no management rules");
            ensure!(absent == management.is_none(), "{}: {complained}", doing());
            ensure!(told.contains("mode on external"), "{}: {told}", doing());
            assert_eq!(Probe::new(&lab)?.open()?, open, "{}", doing());
            ensure!(dhcp_arrives(&lab)?, "{}: essentials do not pass", doing());
            assert_eq!(filtered(&lab)?, ["external", "internal"], "{}", doing());
            if management.is_none() {
                continue;
            }
            // Reading commands work, and say so.
            let status = lab.json(&["status"])?;
            ensure!(status["emergency"]["last_resort"] == true, "{status:#}");
            let output = lab.run(&["status"], 0)?;
            ensure!(said(&output)?.0.contains("LAST RESORT"), "{}", doing());
            lab.run(&["counters"], 0)?;
            // And once more: the same.
            let output = expect_exit(&mut confined(&lab)?, LAST_RESORT).with_context(doing)?;
            ensure!(said(&output)?.0.contains("enforced already"), "{}", doing());
            assert_eq!(Probe::new(&lab)?.open()?, open, "{}", doing());
        }
    }
    Ok(())
}

#[test]
fn management_rules_that_are_no_policy_are_named_and_open_nothing() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    lab.mounts.write(
        "management.yaml",
        &MANAGEMENT.replace("[3479]", "[34793479]"),
    )?;
    lab.reboot()?;
    let (_, complained) = last_good(&lab, LAST_RESORT)?;
    assert!(complained.contains("management.yaml:11:"), "{complained}");
    assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
    // A role of one device leaves no other one open.
    let narrow = MANAGEMENT.replace("any: {}", "any: { devices: [internal] }");
    lab.mounts.write("management.yaml", &narrow)?;
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
    assert_eq!(filtered(&lab)?, ["external", "internal"]);
    Ok(())
}

#[test]
fn what_was_filtered_is_closed_whatever_it_is() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    // Nothing comes from elsewhere by this one.
    lab.edge
        .ip("link add second type veth peer name second-peer\n")?;
    let second = sample::POLICY.replace("devices: [external]", "devices: [external, second]");
    let policy = lab.mounts.write("policy.yaml", &second)?;
    let mut command = lab.edge_filter(&["apply"])?;
    expect_exit(command.arg(policy), 0)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    lab.reboot()?;
    lab.edge.ip("link del internal\n")?;
    let (_, complained) = last_good(&lab, LAST_RESORT)?;
    assert!(complained.contains("not there: internal"), "{complained}");
    assert_eq!(filtered(&lab)?, ["external", "second"]);
    Ok(())
}

#[test]
fn an_apply_ends_the_emergency_and_loses_nothing() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let policy = lab.mounts.inside("policy.yaml");
    lab.apply(&policy, Mode::Native)?;
    fs::write(state(&lab, "history/2.json"), "{ half")?;
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    assert_eq!(fs::read_to_string(state(&lab, "history/2.json"))?, "{ half");
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert!(lab.json(&["status"])?["emergency"].is_null());
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [4, 3, 1]);
    let aside: Vec<_> = fs::read_dir(state(&lab, "damaged"))?.collect::<Result<_, _>>()?;
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read_to_string(aside[0].path())?, "{ half");
    // Now it is what was committed last.
    lab.reboot()?;
    last_good(&lab, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    assert_eq!(fs::read_dir(state(&lab, ""))?.count(), 0);
    Ok(())
}

#[test]
fn damage_that_spares_the_last_policy_does_not_matter() -> Result<()> {
    let lab = enforcing(&sample::moved())?;
    let policy = lab.mounts.write("first.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    let tally = state(&lab, "tally.json");
    for file in ["history/1.json", "tally.json", "generations/2.json"] {
        let whole = fs::read(state(&lab, file)).ok();
        fs::write(state(&lab, file), "{")?;
        lab.reboot()?;
        let (_, complained) = last_good(&lab, 0)?;
        ensure!(
            complained.contains("warning: the state directory cannot be used")
                && complained.contains(file),
            "{complained}"
        );
        assert_eq!(Probe::new(&lab)?.open()?, FIRST, "{file}");
        let status = lab.json(&["status"])?;
        ensure!(status["emergency"]["last_resort"] == false, "{status:#}");
        match whole {
            Some(whole) => fs::write(state(&lab, file), whole)?,
            None => fs::remove_file(&tally)?,
        }
    }
    Ok(())
}

#[test]
fn a_disk_that_takes_no_more_leaves_nothing_open() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    fs::create_dir_all(state(&lab, ""))?;
    let mut mount = lab.edge.command_in("mount", &lab.mounts);
    mount.args(["-t", "tmpfs", "-o", "size=256k", "small"]);
    expect_exit(mount.arg(lab.mounts.state_dir()), 0)?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    let filler = state(&lab, "filler");
    // As far as it goes.
    ensure!(fs::write(&filler, vec![0; 1 << 20]).is_err());
    lab.reboot()?;
    let (_, complained) = last_good(&lab, 0)?;
    assert!(complained.contains("No space left"), "{complained}");
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    // What somebody asks for is enforced, and it is said that it will not last.
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    let (_, complained) = said(&lab.apply(&moved, Mode::Native)?)?;
    assert!(complained.contains("No space left"), "{complained}");
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    // The same where the host was closed before: nobody closes it again.
    lab.reboot()?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    last_good(&lab, LAST_RESORT)?;
    lab.apply(&moved, Mode::Native)?;
    let (told, _) = last_good(&lab, 0)?;
    assert!(told.contains("enforced already"), "{told}");
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    fs::remove_file(&filler)?;
    lab.apply(&moved, Mode::Native)?;
    assert!(lab.json(&["status"])?["emergency"].is_null());
    lab.reboot()?;
    last_good(&lab, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    Ok(())
}

#[test]
fn where_nothing_is_committed_nothing_is_closed() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.mounts.write("management.yaml", MANAGEMENT)?;
    let nothing = |lab: &Lab| -> Result<()> {
        let (told, complained) = last_good(lab, 0)?;
        ensure!(told.contains("nothing was committed"), "{told}");
        ensure!(complained.is_empty(), "{complained}");
        ensure!(filtered(lab)?.is_empty() && lab.mounts.pins()?.is_empty());
        Ok(())
    };
    nothing(&lab)?;
    // What was detached, of whatever it was detached from.
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    lab.run(&["detach"], 0)?;
    lab.reboot()?;
    nothing(&lab)?;
    lab.apply(&policy, Mode::Native)?;
    fs::remove_dir_all(state(&lab, "history"))?;
    fs::write(state(&lab, "history"), "")?;
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    lab.run(&["detach"], 0)?;
    nothing(&lab)?;
    // A trial that nobody confirmed was never committed.
    lab.try_out(&policy, Mode::Native, "1h")?;
    lab.reboot()?;
    nothing(&lab)
}

#[test]
fn a_kill_at_any_instant_leaves_what_can_be_done_again() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    lab.mounts.write("management.yaml", MANAGEMENT)?;
    let mut random = seeded(soak::first_seed());
    let (mut killed, mut rounds) = (0, 0);
    lab.reboot()?;
    let begun = Instant::now();
    last_good(&lab, 0)?;
    let takes = begun.elapsed();
    lab.reboot()?;
    // From here on the newest generation is another one.
    let is_newest = |lab: &Lab| -> Result<PathBuf> {
        let list = generations(&lab.json(&["rollback", "--list"])?);
        Ok(state(
            lab,
            &format!("history/{}.json", list.first().context("no history")?),
        ))
    };
    while killed < soak::times(KILLS) {
        rounds += 1;
        ensure!(rounds < 20 * KILLS, "nothing is killed in time");
        let is_lost = rounds % 2 == 0;
        let newest = is_newest(&lab)?;
        let text = fs::read(&newest)?;
        if is_lost {
            fs::write(&newest, "{")?;
        }
        let mut command = lab.edge_filter(&["apply", "--last-good"])?;
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        sleep(takes.mul_f64(random.random_range(0.0..1.1)));
        child.kill()?;
        killed += usize::from(child.wait()?.code().is_none());
        lab.run(&["status"], 0)?;
        let (expected, code) = if is_lost {
            (MOVED, LAST_RESORT)
        } else {
            (FIRST, 0)
        };
        last_good(&lab, code).with_context(|| format!("round {rounds}"))?;
        let mut probe = Probe::new(&lab)?;
        assert_eq!(probe.open()?, expected, "round {rounds}");
        assert_eq!(filtered(&lab)?, ["external", "internal"], "round {rounds}");
        let pins = lab.mounts.pins()?;
        assert_eq!(pins.len(), 6 + 4, "pins leak: {pins:?}");
        lab.reboot()?;
        if is_lost {
            fs::write(&newest, &text)?;
        }
    }
    println!("{killed} of {rounds} were killed, of about {takes:?} each");
    Ok(())
}

#[test]
fn the_daemon_closes_what_it_cannot_read_and_opens_it_again() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    // A daemon that is started again while everything is filtered changes nothing.
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_log("what is attached stays")?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    drop(daemon);
    lab.reboot()?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_log("THE POLICY OF LAST RESORT IS ENFORCED")?;
    daemon.await_filtered(&["external", "internal"])?;
    assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
    // What appears is closed, too.
    lab.edge.ip(&format!(
        "link add late type veth peer name late-peer\nlink set late-peer netns {}\n",
        lab.world.path()
    ))?;
    daemon.await_filtered(&["external", "internal", "late"])?;
    lab.mounts.write("management.yaml", MANAGEMENT)?;
    daemon.signal(Signal::SIGHUP)?;
    let mut probe = Probe::new(&lab)?;
    daemon.wait("let in who repairs it", || Ok(probe.open()? == MOVED))?;
    let policy = lab.mounts.inside("policy.yaml");
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(probe.open()?, FIRST);
    Ok(())
}

#[test]
fn a_policy_that_the_daemon_is_given_takes_the_place_of_what_cannot_be_read() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    let moved = moved.to_str().context("a plain name")?;
    // Both while the old one is attached and when nothing is.
    for _ in 0..2 {
        let daemon = Daemon::start(&lab, &[moved])?;
        daemon.await_filtered(&["external", "internal"])?;
        assert_eq!(Probe::new(&lab)?.open()?, MOVED);
        assert!(lab.json(&["status"])?["emergency"].is_null());
        drop(daemon);
        lab.reboot()?;
        last_good(&lab, 0)?;
        lab.reboot()?;
        let newest = generations(&lab.json(&["rollback", "--list"])?)[0];
        fs::write(state(&lab, &format!("history/{newest}.json")), "{")?;
    }
    Ok(())
}
