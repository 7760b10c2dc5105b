//! A history that is damaged while programs are attached: what the records tell of is enforced
//! again, and no device is open, neither now nor when a trial is over.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use edge_filter_tests::lab::Lab;
use edge_filter_tests::lab::boot::{LAST_RESORT, filtered, last_good, renew_internal, state};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::Mode;
use edge_filter_tests::lab::trial::{FIRST, MOVED, generations, lab, refusal, until_deadline};

fn damage(lab: &Lab, file: &str) -> Result<()> {
    Ok(fs::write(state(lab, file), "{ half")?)
}

fn await_deadline(lab: &Lab, generation: u64) -> Result<()> {
    let left = until_deadline(lab, generation)?.max(0.0);
    sleep(Duration::from_secs_f64(left + 0.2));
    Ok(())
}

/// Whether every device is filtered, and by what decides: a program whose trial is over may let
/// everything pass.
fn is_filtered(lab: &Lab) -> Result<bool> {
    let is_attached = filtered(lab)? == ["external", "internal"];
    Ok(is_attached && lab.status()?.hooks.iter().all(|hook| hook.filtered))
}

/// The trial goes on over a device that nothing filtered before it.
fn trial_over_an_open_device(duration: &str) -> Result<Lab> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    renew_internal(&lab)?;
    lab.try_out(&moved, Mode::Native, duration)?;
    Ok(lab)
}

#[test]
fn what_a_trial_leaves_open_is_filtered_again() -> Result<()> {
    let lab = trial_over_an_open_device("1s")?;
    await_deadline(&lab, 2)?;
    ensure!(!is_filtered(&lab)?, "it is filtered without any doing");
    damage(&lab, "history/1.json")?;
    let (told, complained) = last_good(&lab, 0)?;
    assert!(told.contains("is enforced as generation 3"), "{told}");
    assert!(complained.contains("history/1.json"), "{complained}");
    ensure!(is_filtered(&lab)?, "{:#}", lab.json(&["status"])?);
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    Ok(())
}

#[test]
fn the_daemon_filters_it_after_the_deadline() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let daemon = Daemon::start(&lab, &[])?;
    lab.try_out(&moved, Mode::Native, "6s")?;
    renew_internal(&lab)?;
    daemon.await_filtered(&["external", "internal"])?;
    damage(&lab, "history/1.json")?;
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    let is_over = || Ok(lab.json(&["status"])?["trial"].is_null() && is_filtered(&lab)?);
    daemon.wait("filter it for good", is_over)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    Ok(())
}

/// Neither the history nor the record can be read: nobody knows what the trial would open.
#[test]
fn what_a_trial_would_open_is_closed_before() -> Result<()> {
    let lab = trial_over_an_open_device("1h")?;
    damage(&lab, "history/1.json")?;
    damage(&lab, "generations/1.json")?;
    last_good(&lab, LAST_RESORT)?;
    ensure!(is_filtered(&lab)?, "{:#}", lab.json(&["status"])?);
    let status = lab.json(&["status"])?;
    ensure!(status["trial"].is_null(), "{status:#}");
    ensure!(status["policy"]["name"] == "last-resort", "{status:#}");
    Ok(())
}

/// What is filtered and stays so is no reason to close the host.
#[test]
fn a_trial_over_what_cannot_be_read_stays() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    damage(&lab, "history/1.json")?;
    damage(&lab, "generations/1.json")?;
    let (_, complained) = last_good(&lab, 1)?;
    assert!(
        complained.contains("what is attached stays"),
        "{complained}"
    );
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    Ok(())
}

#[test]
fn a_device_that_came_after_the_boot_is_filtered() -> Result<()> {
    let (lab, first, _) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.reboot()?;
    lab.edge.ip("link del internal\n")?;
    last_good(&lab, 0)?;
    lab.edge
        .ip("link add internal type veth peer name internal-peer\n")?;
    damage(&lab, "history/2.json")?;
    last_good(&lab, 0)?;
    ensure!(is_filtered(&lab)?, "{:#}", lab.json(&["status"])?);
    Ok(())
}

/// What the commands say that helps, helps.
#[test]
fn a_trial_is_confirmed_and_taken_back_over_a_damaged_history() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    for ends in ["confirm", "rollback"] {
        let newest = generations(&lab.json(&["rollback", "--list"])?)[0];
        let trial = lab.try_out(&moved, Mode::Native, "1h")?;
        damage(&lab, &format!("history/{newest}.json"))?;
        let said = refusal(&lab, &[ends])?;
        assert!(said.contains("`edge-filter apply --last-good`"), "{said}");
        last_good(&lab, 0)?;
        assert_eq!(Probe::new(&lab)?.open()?, MOVED);
        let listed = generations(&lab.json(&["rollback", "--list"])?);
        assert_eq!(listed[0], newest);
        let output = lab.run(&[ends], 0)?;
        let said = String::from_utf8(output.stderr)?;
        assert!(said.contains("it was set aside in"), "{said}");
        assert!(lab.json(&["status"])?["emergency"].is_null());
        assert_eq!(
            generations(&lab.json(&["rollback", "--list"])?)[0],
            trial.generation + 1
        );
        // What was damaged is whole again: it was read from its record.
        lab.run(&["rollback", "--show", &newest.to_string()], 0)?;
    }
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    Ok(())
}

#[test]
fn status_tells_what_is_damaged() -> Result<()> {
    let (lab, first, _) = lab()?;
    lab.apply(&first, Mode::Native)?;
    assert_eq!(lab.json(&["status"])?["damaged"], serde_json::json!([]));
    damage(&lab, "history/1.json")?;
    let damaged = lab.json(&["status"])?["damaged"][0].to_string();
    assert!(damaged.contains("history/1.json"), "{damaged}");
    let said = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    ensure!(
        said.contains("history/1.json") && said.contains("`edge-filter apply --last-good`"),
        "{said}"
    );
    Ok(())
}
