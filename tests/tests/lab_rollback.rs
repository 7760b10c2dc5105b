//! Back to what was enforced before: from a trial, and over committed generations.

use std::path::PathBuf;

use anyhow::Result;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::Mode;
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::trial::{
    FIRST, MOVED, OPEN, assert_tidy, await_reversal, generations, lab, refusal,
};

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
    lab.edge.ip(
        "link set internal down\nlink set internal name roamer\nlink set roamer up\n\
         link add internal type veth peer name again\n",
    )?;
    lab.run(&["rollback"], 0)?;
    let filtered = lab.edge.devices()?;
    assert!(filtered["roamer"].is_some(), "{filtered:?}");
    assert_eq!(filtered["internal"], None, "{filtered:?}");
    assert_eq!(lab.json(&["status"])?["policy"]["generation"], 3);
    Ok(())
}
