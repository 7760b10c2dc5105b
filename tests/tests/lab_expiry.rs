//! A rule that expires after its policy was applied: what is in force stays in force, through
//! repairs, reboots and rollbacks. Only who asks for the policy anew is refused.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use edge_filter_tests::lab::boot::{filtered, said, state};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::trial::{FIRST, MOVED, generations};
use edge_filter_tests::lab::{Lab, Plan, sample};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// Where the day begins last on earth, and where it begins first, 26 hours earlier.
const WEST: &str = "WEST12";
const EAST: &str = "EAST-14";

/// A command, where that rule has expired.
fn later(lab: &Lab, arguments: &[&str]) -> Result<Command> {
    let mut command = lab.edge_filter(arguments)?;
    command.env("TZ", EAST);
    Ok(command)
}

/// A lab that enforces a policy one rule of which expires today: there where it is
/// earliest, and so it has elsewhere.
fn expiring() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let soon = Timestamp::now() + SignedDuration::from_mins(30);
    let today = soon.to_zoned(TimeZone::fixed(Offset::constant(-12))).date();
    let text = sample::POLICY.replacen(
        "protocol: udp, action: allow }",
        &format!("protocol: udp, action: allow, expires: {today} }}"),
        1,
    );
    ensure!(text != sample::POLICY, "no rule of the sample expires");
    let policy = lab.mounts.write("expiring.yaml", &text)?;
    expect_exit(lab.apply_command(&policy, Mode::Native)?.env("TZ", WEST), 0)?;
    // Who asks for it now is told.
    let refused = lab
        .apply_command(&policy, Mode::Native)?
        .env("TZ", EAST)
        .output()?;
    let (_, complained) = said(&refused)?;
    ensure!(complained.contains("the rule expired on"), "{complained}");
    Ok((lab, policy))
}

#[test]
fn boots_enforce_it_as_often_as_they_come() -> Result<()> {
    let (lab, _) = expiring()?;
    for generation in 2..=4 {
        lab.reboot()?;
        let output = expect_exit(&mut later(&lab, &["apply", "--last-good"])?, 0)?;
        let (told, complained) = said(&output)?;
        assert_eq!(complained, "");
        let words = format!("is enforced as generation {generation}");
        assert!(told.contains(&words), "{told}");
        assert_eq!(Probe::new(&lab)?.open()?, FIRST);
        assert_eq!(filtered(&lab)?, ["external", "internal"]);
    }
    // `plan` compares with it, and `flows` names its rules.
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    let plan = moved.to_str().unwrap_or_default();
    let (told, _) = said(&expect_exit(&mut later(&lab, &["plan", plan])?, 2)?)?;
    assert!(told.contains("stun"), "{told}");
    expect_exit(&mut later(&lab, &["flows"])?, 0)?;
    Ok(())
}

#[test]
fn the_daemon_filters_by_it_again_and_again() -> Result<()> {
    let (lab, _) = expiring()?;
    let mut command = later(&lab, &["run", "--debug-bpf"])?;
    command.args(["--watch", "60"]);
    let mut daemon = Daemon::begin_by(&lab, command)?;
    daemon.await_message(|message| message.value("READY") == Some("1"))?;
    let mut probe = Probe::new(&lab)?;
    for _ in 0..3 {
        lab.edge
            .ip("link del internal\nlink add internal type veth peer name internal-peer\n")?;
        daemon.await_filtered(&["external", "internal"])?;
        assert_eq!(probe.open()?, FIRST);
        // It would rightly complain of a device that goes while it brings them back.
        daemon.wait("say what becomes of frames", || {
            Ok(lab.json(&["status"])?["policy"]["diagnostics"] == true)
        })?;
    }
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    ensure!(daemon.end()?.success(), "{}", daemon.log()?);
    // Its programs are taken back, and nothing was the last resort.
    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"]["diagnostics"], false, "{status:#}");
    let log = daemon.log()?;
    ensure!(
        !log.contains("error") && !log.contains("LAST RESORT"),
        "{log}"
    );
    assert_eq!(probe.open()?, FIRST);
    Ok(())
}

#[test]
fn what_was_gone_back_to_is_enforced_after_a_boot() -> Result<()> {
    let (lab, _) = expiring()?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    lab.apply(&moved, Mode::Native)?;
    expect_exit(&mut later(&lab, &["rollback"])?, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    lab.reboot()?;
    expect_exit(&mut later(&lab, &["apply", "--last-good"])?, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?)[0], 4);
    ensure!(!state(&lab, "damaged").exists());
    Ok(())
}

#[test]
fn a_trial_of_it_is_confirmed() -> Result<()> {
    let (lab, policy) = expiring()?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    lab.apply(&moved, Mode::Native)?;
    let mut trial = lab.apply_command(&policy, Mode::Native)?;
    expect_exit(trial.args(["--confirm", "1h"]).env("TZ", WEST), 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    expect_exit(&mut later(&lab, &["confirm"])?, 0)?;
    lab.reboot()?;
    expect_exit(&mut later(&lab, &["apply", "--last-good"])?, 0)?;
    let open = Probe::new(&lab)?.open()?;
    ensure!(open == FIRST && open != MOVED, "{open:?}");
    Ok(())
}
