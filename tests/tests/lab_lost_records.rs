//! Records that are lost while what they tell of is attached: what nobody knows is not
//! taken for nothing, and nothing is taken away from it.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use edge_filter_tests::lab::Lab;
use edge_filter_tests::lab::boot::{filtered, last_good, state};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::trial::{
    FIRST, MOVED, assert_tidy, await_reversal, lab, refusal, until_deadline,
};

fn forget(lab: &Lab, generation: u64) -> Result<()> {
    Ok(fs::remove_file(state(
        lab,
        &format!("generations/{generation}.json"),
    ))?)
}

fn damage(lab: &Lab, generation: u64) -> Result<()> {
    let record = state(lab, &format!("generations/{generation}.json"));
    Ok(fs::write(record, "{ half")?)
}

/// Before its deadline and after it.
#[test]
fn rollback_of_a_trial_over_what_no_record_names_opens_nothing() -> Result<()> {
    for is_over in [false, true] {
        let (lab, first, moved) = lab()?;
        lab.apply(&first, Mode::Native)?;
        let mut probe = Probe::new(&lab)?;
        lab.try_out(&moved, Mode::Native, if is_over { "3s" } else { "1h" })?;
        forget(&lab, 1)?;
        let trial = &lab.json(&["status"])?["trial"];
        assert!(trial["afterwards"].is_null(), "{trial}");
        assert_eq!(trial["filtered_afterwards"], true);
        if is_over {
            await_reversal(&mut probe, &lab, 2, [MOVED, FIRST])?;
            let said = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
            assert!(
                said.contains("a policy that no record names decides again"),
                "{said}"
            );
            assert!(!said.contains("NOT FILTERED"), "{said}");
        }
        assert_eq!(lab.json(&["rollback"])?["restores"], 1);
        assert_eq!(probe.open()?, FIRST);
        assert_eq!(filtered(&lab)?, ["external", "internal"]);
    }
    Ok(())
}

/// The same where the record is damaged, as the command that refuses says how to go on.
#[test]
fn a_trial_begun_over_damage_does_not_open_the_host_when_it_ends() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    damage(&lab, 1)?;
    last_good(&lab, 0)?;
    let mut apply = lab.apply_command(&moved, Mode::Native)?;
    let said = expect_exit(apply.args(["--confirm", "1h"]), 0)?;
    let said = String::from_utf8(said.stdout)?;
    assert!(said.contains("what was enforced before decides"), "{said}");
    lab.run(&["rollback"], 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    Ok(())
}

#[test]
fn a_trial_of_which_no_record_tells_ends_as_it_would_have() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    lab.try_out(&moved, Mode::Native, "4s")?;
    let left = until_deadline(&lab, 2)?;
    forget(&lab, 2)?;
    let said = refusal(&lab, &["confirm"])?;
    assert!(said.contains("no record tells what is on trial"), "{said}");
    assert_eq!(probe.open()?, MOVED);
    sleep(Duration::from_secs_f64(left + 0.5));
    assert_eq!(probe.open()?, FIRST);
    Ok(())
}

#[test]
fn such_a_trial_is_a_step_of_rollback() -> Result<()> {
    let (lab, first, moved) = lab()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    lab.apply(&longer, Mode::Native)?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    forget(&lab, 3)?;
    let rolled_back = lab.json(&["rollback"])?;
    assert_eq!(rolled_back["restores"], 2);
    // No generation's number is used twice.
    assert_eq!(rolled_back["generation"], 4, "{rolled_back}");
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert_tidy(&lab)
}

/// By a command, or by the daemon.
#[test]
fn such_a_trial_gives_way_to_what_was_committed() -> Result<()> {
    for by_daemon in [false, true] {
        let (lab, first, moved) = lab()?;
        lab.apply(&first, Mode::Native)?;
        lab.try_out(&moved, Mode::Native, "1h")?;
        damage(&lab, 2)?;
        if by_daemon {
            let daemon = Daemon::start(&lab, &[])?;
            daemon.await_log("policy 'lab', generation")?;
        } else {
            last_good(&lab, 0)?;
        }
        assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    }
    Ok(())
}
