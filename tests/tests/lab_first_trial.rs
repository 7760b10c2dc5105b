//! The first policy that was ever applied, on trial: nothing is filtered after it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use edge_filter_tests::lab::boot::renew_internal;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::trial::{MOVED, OPEN, await_reversal, lab};

#[test]
fn a_first_apply_on_trial_reverts_to_no_filter() -> Result<()> {
    let (lab, _, moved) = lab()?;
    let mut probe = Probe::new(&lab)?;
    lab.try_out(&moved, Mode::Native, "4s")?;
    assert_eq!(probe.open()?, MOVED);
    probe.settle()?;
    let before = lab.json(&["counters"])?;
    await_reversal(&mut probe, &lab, 1, [MOVED, OPEN])?;
    assert_eq!(probe.open()?, OPEN);
    let status = lab.json(&["status"])?;
    assert!(status["policy"].is_null(), "{status:#}");
    assert_eq!(status["hooks"][0]["filtered"], false);
    assert_eq!(status["hooks"][0]["trouble"], "trial-over");
    // What the trial counted is still there, and nothing counts any more.
    let counters = lab.json(&["counters"])?;
    assert!(counters["policy"].is_null());
    let packets = |counters: &serde_json::Value| counters["hooks"][0]["packets"].as_u64();
    let at_end = packets(&counters);
    assert!(at_end >= packets(&before), "{counters:#}");
    probe.open()?;
    assert_eq!(packets(&lab.json(&["counters"])?), at_end);

    let said = String::from_utf8(lab.run(&["rollback"], 0)?.stdout)?;
    assert!(
        said.contains("as before the trial: external, internal"),
        "{said}"
    );
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    assert_eq!(probe.open()?, OPEN);
    Ok(())
}

#[test]
fn a_first_trial_is_kept_up_by_hand_as_by_the_daemon() -> Result<()> {
    let (lab, _, moved) = lab()?;
    lab.try_out(&moved, Mode::Native, "10s")?;
    renew_internal(&lab)?;
    let mut command = lab.edge_filter(&["apply", "--last-good", "--json"])?;
    let report = expect_exit(&mut command, 0)?;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["confirm_deadline"].is_string(), "{report:#}");
    assert_eq!(
        report["filtered"],
        serde_json::json!(["external", "internal"])
    );
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    lab.run(&["rollback"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}
