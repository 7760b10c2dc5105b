//! After a reboot: what was committed last is enforced again, on what is there, whatever else
//! is not as it should be.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::boot::{
    LAST_RESORT, MANAGEMENT, enforcing, filtered, last_good, said, small_disk, state,
};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::trial::{FIRST, MOVED, OPEN, generations};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use rand::RngExt;

/// How often `apply --last-good` is killed, in a soak run.
const KILLS: usize = 50;

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
    small_disk(&lab, "256k")?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    let filler = state(&lab, "filler");
    // As far as it goes.
    ensure!(fs::write(&filler, vec![0; 1 << 20]).is_err());
    lab.reboot()?;
    let (_, complained) = last_good(&lab, 0)?;
    assert!(complained.contains("No space left"), "{complained}");
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    lab.reboot()?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.await_filtered(&["external", "internal"])?;
    daemon.await_log("what is counted lies in memory")?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    drop(daemon);
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

/// Neither the state directory nor what stands in for it can be used.
#[test]
fn where_no_place_takes_the_state_nothing_is_open_either() -> Result<()> {
    for (file, codes, open) in [
        ("tally.json", [0, 0], FIRST),
        // The second time, nobody knows what it is that is attached; it stays.
        ("history/1.json", [LAST_RESORT, 1], MOVED),
    ] {
        let lab = enforcing(sample::POLICY)?;
        lab.mounts.write("management.yaml", MANAGEMENT)?;
        fs::write(state(&lab, file), "{")?;
        lab.reboot()?;
        let run = lab.mounts.outside("run");
        fs::write(&run, "no directory")?;
        for code in codes {
            let (_, complained) = last_good(&lab, code)?;
            ensure!(complained.contains(file), "{complained}");
            assert_eq!(Probe::new(&lab)?.open()?, open, "{file}");
            assert_eq!(filtered(&lab)?, ["external", "internal"], "{file}");
        }
        fs::remove_file(&run)?;
        let policy = lab.mounts.inside("policy.yaml");
        lab.apply(&policy, Mode::Native)?;
        assert_eq!(Probe::new(&lab)?.open()?, FIRST, "{file}");
        assert_eq!(lab.mounts.pins()?.len(), 6 + 4, "{file}");
    }
    Ok(())
}

/// A place that ends with the command may be full as well: then the next one serves.
#[test]
fn a_place_for_a_moment_that_is_full_is_passed_over() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "tally.json"), "{")?;
    lab.reboot()?;
    fs::write(lab.mounts.outside("run"), "no directory")?;
    let inside = |script: &str| {
        let mut shell = lab.edge.command_in("sh", &lab.mounts);
        said(&expect_exit(shell.args(["-ec", script]), 0)?)
    };
    inside(
        "mount -t tmpfs -o size=4k full /dev/shm
         head -c 4096 /dev/zero > /dev/shm/filler",
    )?;
    let last_good = |temporary: &str, code| {
        let mut command = lab.edge_filter(&["apply", "--last-good"])?;
        said(&expect_exit(command.env("TMPDIR", temporary), code)?)
    };
    let (_, complained) = last_good("/dev/shm", 1)?;
    ensure!(
        complained.contains("WHAT WAS NOT FILTERED IS OPEN"),
        "{complained}"
    );
    assert_eq!(filtered(&lab)?, [""; 0]);
    last_good("/tmp", 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    let (left, _) = inside("ls -A /dev/shm")?;
    assert_eq!(left, "filler\n");
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
