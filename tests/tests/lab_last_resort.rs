//! What was committed and cannot be read: nothing passes but the essentials and what the
//! management rules allow.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::boot::{
    CLOSED, LAST_RESORT, MANAGEMENT, dhcp_arrives, enforcing, filtered, last_good, said, state,
};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, binary, expect_exit};
use edge_filter_tests::lab::trial::{FIRST, MOVED, OPEN, generations};
use edge_filter_tests::lab::{Lab, Plan, sample};
use nix::sys::signal::Signal;

/// What can become of the state; the unit tests of `generation::emergency` know more.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Truncated,
    OtherVersion,
    NoDirectory,
    Unreadable,
    NoPolicyAnyMore,
}

const DAMAGES: [Damage; 5] = [
    Damage::Truncated,
    Damage::OtherVersion,
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
            Self::OtherVersion => {
                fs::write(newest, replaced("\"version\": 1", "\"version\": 2")?)?;
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
    // Nobody goes back to the policy of last resort, nor over what was lost by steps.
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [4, 1]);
    lab.run(&["rollback"], 1)?;
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
fn a_trial_that_is_taken_back_leaves_the_host_closed() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let policy = lab.mounts.inside("policy.yaml");
    fs::write(state(&lab, "history/1.json"), "{ half")?;
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    let mut apply = lab.apply_command(&policy, Mode::Native)?;
    expect_exit(apply.args(["--confirm", "1h"]), 0)?;
    lab.run(&["rollback"], 0)?;
    assert!(!lab.json(&["status"])?["emergency"].is_null());
    assert_eq!(fs::read_to_string(state(&lab, "history/1.json"))?, "{ half");
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    Ok(())
}

#[test]
fn the_daemon_closes_what_it_cannot_read_and_opens_it_again() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let newest = state(&lab, "history/1.json");
    let whole = fs::read_to_string(&newest)?;
    fs::write(&newest, "{")?;
    fs::write(state(&lab, "generations/1.json"), "{")?;
    // A daemon that is started again while everything is filtered changes nothing.
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_log("what is attached stays")?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    drop(daemon);
    lab.reboot()?;
    // What cannot be read, and what means nothing to this version.
    for text in [
        whole.replace("direction: inbound", "direction: sideways"),
        "{".to_owned(),
    ] {
        fs::write(&newest, text)?;
        lab.reboot()?;
        let daemon = Daemon::start(&lab, &[])?;
        daemon.await_log("THE POLICY OF LAST RESORT IS ENFORCED")?;
        daemon.await_filtered(&["external", "internal"])?;
        assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
    }
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

#[test]
fn management_rules_that_break_are_told_of_at_each_reload() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    lab.mounts.write("management.yaml", MANAGEMENT)?;
    lab.reboot()?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_filtered(&["external", "internal"])?;
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, MOVED);
    let broken = MANAGEMENT.replace("direction: inbound", "direction: sideways");
    lab.mounts.write("management.yaml", &broken)?;
    let told = || -> Result<usize> {
        Ok(daemon
            .log()?
            .matches("warning: the management rules")
            .count())
    };
    assert_eq!(told()?, 0);
    for times in 1..=2 {
        daemon.signal(Signal::SIGHUP)?;
        daemon.wait("tell of them", || Ok(told()? == times))?;
        daemon.await_log("sideways")?;
        // Those that were good once are better than none.
        assert_eq!(probe.open()?, MOVED);
    }
    let log = daemon.log()?;
    ensure!(
        log.contains("SIGHUP: reading the management rules again"),
        "{log}"
    );
    // Root without CAP_DAC_OVERRIDE, which `check` does not do without.
    let file = lab.mounts.outside("management.yaml");
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    chown(&file, Some(1000), None)?;
    daemon.signal(Signal::SIGHUP)?;
    daemon.await_log("the management rules cannot be read")?;
    daemon.await_log("belong to root")
}

#[test]
fn that_the_host_is_closed_is_told_by_the_exit_code_whoever_reads() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    lab.reboot()?;
    for format in [
        &["apply", "--last-good"][..],
        &["apply", "--last-good", "--json"],
    ] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = lab.edge_filter(format)?;
        expect_exit(command.stdout(writer), LAST_RESORT)?;
        let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let mut command = lab.edge_filter(format)?;
        let output = expect_exit(command.stdout(full), LAST_RESORT)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(told.contains("cannot write to standard output"), "{told}");
    }
    Ok(())
}
