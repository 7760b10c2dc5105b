//! Back to what was enforced before: from a trial, and over committed generations.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use edge_filter_tests::lab::boot::{filtered, last_good, said};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::trial::{
    FIRST, MOVED, OPEN, assert_tidy, await_reversal, generations, lab, refusal,
};

/// `internal` becomes `roamer`, and another device takes its name.
const RENAMED: &str = "link set internal down\nlink set internal name roamer\nlink set roamer up\n\
     link add internal type veth peer name again\n";

#[test]
fn apply_rollback_and_detach_end_a_trial() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    lab.try_out(&moved, Mode::Native, "60s")?;
    assert_eq!(probe.open()?, MOVED);
    let rolled_back = lab.json(&["rollback"])?;
    assert_eq!(rolled_back["restores"], 1);
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;
    assert_tidy(&lab)?;
    // Whether the deadline has passed makes no difference to where it goes back.
    lab.try_out(&moved, Mode::Native, "3s")?;
    await_reversal(&mut probe, &lab, 4, [MOVED, FIRST])?;
    assert_eq!(lab.json(&["rollback"])?["restores"], 3);
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;

    lab.try_out(&moved, Mode::Native, "60s")?;
    lab.apply(&moved, Mode::Native)?;
    assert_eq!(probe.open()?, MOVED);
    probe.settle()?;
    assert_tidy(&lab)?;

    lab.try_out(&first, Mode::Native, "60s")?;
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    assert_eq!(probe.open()?, OPEN);
    Ok(())
}

#[test]
fn rollback_walks_over_committed_generations() -> Result<()> {
    let (lab, first, moved) = lab()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    let mut probe = Probe::new(&lab)?;
    lab.apply(&first, Mode::Native)?;
    probe.open()?;
    lab.apply(&moved, Mode::Native)?;
    lab.apply(&longer, Mode::Native)?;
    assert_eq!(probe.open()?, FIRST);
    assert_eq!(lab.json(&["rollback"])?["restores"], 2);
    assert_eq!(probe.open()?, MOVED);
    assert_eq!(lab.json(&["rollback"])?["restores"], 1);
    assert_eq!(probe.open()?, FIRST);
    let said = refusal(&lab, &["rollback"])?;
    assert!(said.contains("rollback --list"), "{said}");
    // What was gone back over is still there, by its number.
    assert_eq!(lab.json(&["rollback", "--generation", "3"])?["restores"], 3);
    assert_eq!(lab.json(&["rollback", "2"])?["restores"], 1);
    for _ in 0..12 {
        lab.apply(&moved, Mode::Native)?;
    }
    lab.run(&["rollback", "11"], 2)?;
    let kept = generations(&lab.json(&["rollback", "--list"])?);
    assert_eq!(kept, (9..=19).rev().collect::<Vec<_>>());
    assert_eq!(lab.json(&["rollback", "10"])?["restores"], 9);
    probe.open()?;
    probe.settle()?;
    assert_tidy(&lab)
}

/// The device that was filtered before the trial is filtered again, under whichever name,
/// and not another one that has taken its name.
#[test]
fn rollback_of_a_trial_knows_a_renamed_device() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "120s")?;
    lab.edge.ip(RENAMED)?;
    lab.run(&["rollback"], 0)?;
    let filtered = lab.edge.devices()?;
    assert!(filtered["roamer"].is_some(), "{filtered:?}");
    assert_eq!(filtered["internal"], None, "{filtered:?}");
    assert_eq!(lab.json(&["status"])?["policy"]["generation"], 3);
    Ok(())
}

/// What bears its name by now may be filtered, too, on trial: by the daemon, or because
/// somebody named both. It takes the place of no device that was filtered before.
#[test]
fn rollback_of_a_trial_keeps_a_renamed_device_beside_what_bears_its_name() -> Result<()> {
    let rename = "link set internal down\nlink set internal name roamer\nlink set roamer up\n\
                  link add internal type veth peer name again\n";
    let all = ["external", "internal", "roamer"];
    for by_daemon in [true, false] {
        let (lab, first, moved) = lab()?;
        lab.apply(&first, Mode::Native)?;
        if by_daemon {
            lab.try_out(&moved, Mode::Native, "1h")?;
            let daemon = Daemon::start(&lab, &[])?;
            lab.edge.ip(rename)?;
            daemon.await_filtered(&all)?;
        } else {
            lab.edge.ip(rename)?;
            let mut apply = lab.edge_filter(&["apply", "--confirm", "1h"])?;
            apply.args(["--interface", "internal=roamer,internal"]);
            expect_exit(apply.arg(&moved), 0)?;
        }
        assert_eq!(filtered(&lab)?, all);
        assert_eq!(lab.json(&["rollback"])?["restores"], 1);
        assert_eq!(filtered(&lab)?, all, "by the daemon: {by_daemon}");
        for hook in lab.status()?.hooks {
            ensure!(hook.filtered, "{hook:?}");
        }
        assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    }
    Ok(())
}

/// The same of a device that was renamed and filtered since, so that no record knows its
/// former name.
#[test]
fn rollback_knows_a_device_that_was_filtered_under_another_name_since() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.edge.ip(RENAMED)?;
    let mut apply = lab.edge_filter(&["apply", "--interface", "internal=roamer"])?;
    expect_exit(apply.arg(&moved), 0)?;
    assert_eq!(lab.json(&["rollback"])?["restores"], 1);
    assert_eq!(filtered(&lab)?, ["external", "roamer"]);
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    Ok(())
}

/// A repair after a renaming commits both names of the device: the former one might come back.
#[test]
fn rollback_takes_a_renamed_device_once_that_was_repaired_since() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.edge.ip(
        "link set internal down\nlink set internal name roamer\nlink set roamer up\n\
         link del external\nlink add external type veth peer name external-peer\n",
    )?;
    let (told, _) = last_good(&lab, 0)?;
    ensure!(told.contains("external"), "{told}");
    let mut apply = lab.edge_filter(&["apply", "--interface", "internal=roamer"])?;
    expect_exit(apply.arg(&moved), 0)?;
    // The repair is what was committed before.
    assert_eq!(lab.json(&["rollback"])?["restores"], 2);
    assert_eq!(filtered(&lab)?, ["external", "roamer"]);
    Ok(())
}

#[test]
fn a_device_that_is_gone_keeps_nobody_from_confirm_or_rollback() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    for (command, open) in [("confirm", MOVED), ("rollback", FIRST)] {
        lab.try_out(&moved, Mode::Native, "1h")?;
        lab.edge.ip("link del internal\n")?;
        let (told, complained) = said(&lab.run(&[command], 0)?)?;
        ensure!(told.contains("is enforced as generation"), "{told}");
        ensure!(complained.contains("not there: internal;"), "{complained}");
        assert_eq!(Probe::new(&lab)?.open()?, open);
        assert_eq!(filtered(&lab)?, ["external"]);
        lab.edge
            .ip("link add internal type veth peer name internal-peer\n")?;
        // It belongs to what was committed, and is filtered when it comes.
        last_good(&lab, 0)?;
        assert_eq!(filtered(&lab)?, ["external", "internal"]);
        assert_eq!(Probe::new(&lab)?.open()?, open);
        lab.apply(&first, Mode::Native)?;
    }
    // Where none is left there is nothing to enforce.
    lab.edge.ip("link del internal\nlink del external\n")?;
    let said = refusal(&lab, &["rollback"])?;
    ensure!(said.contains("cannot find the device"), "{said}");
    Ok(())
}

/// A repair of a trial may have gone without a device; `confirm` takes it if it is back.
#[test]
fn confirm_filters_a_device_that_was_gone_and_came_back() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    let again = |device: &str| format!("link add {device} type veth peer name {device}-again\n");
    let daemon = Daemon::start(&lab, &[])?;
    lab.edge.ip("link del external\n")?;
    daemon.await_log("not there")?;
    lab.edge.ip("link del internal\n")?;
    lab.edge.ip(&again("internal"))?;
    daemon.await_filtered(&["internal"])?;
    drop(daemon);
    lab.edge.ip(&again("external"))?;
    assert_eq!(filtered(&lab)?, ["internal"]);
    let (told, complained) = said(&lab.run(&["confirm"], 0)?)?;
    ensure!(told.contains("external inbound"), "{told}");
    ensure!(!complained.contains("not there"), "{complained}");
    assert_eq!(filtered(&lab)?, ["external", "internal"]);
    let status = lab.json(&["status"])?;
    assert_eq!(status["absent"], serde_json::json!([]), "{status:#}");
    Ok(())
}

/// One that is in another network namespace is not gone: it stays filtered there.
#[test]
fn a_device_in_another_namespace_is_not_left_out() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    lab.edge.ip(&format!(
        "link set internal down\nlink set internal name roamer\nlink set roamer netns {}\n",
        lab.world.path()
    ))?;
    let pins = lab.mounts.pins()?;
    for command in ["confirm", "rollback"] {
        let said = refusal(&lab, &[command])?;
        ensure!(said.contains("cannot find the device"), "{said}");
    }
    assert_eq!(lab.mounts.pins()?, pins);
    Ok(())
}

#[test]
fn a_committed_policy_is_shown_as_it_was_applied() -> Result<()> {
    let (lab, first, moved) = lab()?;
    // It ends without a line break.
    let text = sample::POLICY.trim_end();
    let first = lab.mounts.write(
        first
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("first.yaml"),
        text,
    )?;
    lab.apply(&first, Mode::Native)?;
    lab.apply(&moved, Mode::Native)?;
    let (told, complained) = said(&lab.run(&["rollback", "--show", "1"], 0)?)?;
    assert_eq!((&*told, &*complained), (text, ""));
    let shown = lab.json(&["rollback", "--show", "1"])?;
    assert_eq!(shown["policy"]["text"], text);
    assert_eq!(shown["devices"]["internal"][0], "internal");
    assert_eq!(lab.status()?.policy.generation, 2);
    let said = refusal(&lab, &["rollback", "--show", "7"])?;
    ensure!(said.contains("rollback --list"), "{said}");
    Ok(())
}
