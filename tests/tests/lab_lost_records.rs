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
use edge_filter_tests::lab::proposed::{CHANGES, NO_CHANGE, planned};
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::trial::{
    FIRST, MOVED, OPEN, assert_tidy, await_reversal, generations, lab, refusal, until_deadline,
};
use serde_json::{Value, json};

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

/// What `status` says in words.
fn told(lab: &Lab) -> Result<String> {
    Ok(String::from_utf8(lab.run(&["status"], 0)?.stdout)?)
}

/// Of each hook, whether it filters and why not.
fn troubles(status: &Value) -> Vec<(bool, &Value)> {
    let hooks = status["hooks"].as_array().into_iter().flatten();
    let troubles = hooks.map(|hook| (hook["filtered"] == true, &hook["trouble"]));
    troubles.collect()
}

/// How `plan` would treat each side of a device.
fn treatments(proposal: &Value) -> Vec<&Value> {
    let devices = proposal["devices"].as_array().into_iter().flatten();
    devices.map(|device| &device["change"]).collect()
}

/// Nothing was filtered before it, so that nothing is afterwards.
#[test]
fn a_first_trial_of_which_no_record_tells_is_known_to_end_open() -> Result<()> {
    let (lab, first, _) = lab()?;
    lab.try_out(&first, Mode::Native, "4s")?;
    let left = until_deadline(&lab, 1)?;
    let deadline = lab.json(&["status"])?["trial"]["confirm_deadline"].clone();
    forget(&lab, 1)?;
    let mut probe = Probe::new(&lab)?;
    let status = lab.json(&["status"])?;
    assert_eq!(troubles(&status), [(true, &Value::Null); 2], "{status:#}");
    let lost = &status["lost_trial"];
    assert_eq!(
        (&lost["passed"], &lost["filtered_afterwards"]),
        (&json!(false), &json!(false))
    );
    // By the same clock, and rounded to a second.
    let seconds = |value: &Value| -> Result<i64> {
        let time: jiff::Timestamp = serde_json::from_value(value.clone())?;
        Ok(time.as_second())
    };
    assert!((seconds(&lost["confirm_deadline"])? - seconds(&deadline)?).abs() <= 1);
    let said = told(&lab)?;
    assert!(
        said.contains("from then on nothing is filtered any more"),
        "{said}"
    );
    let proposal = planned(&lab, &first, CHANGES)?;
    assert!(proposal.to_string().contains("no record tells"));
    assert_eq!(probe.open()?, FIRST);

    sleep(Duration::from_secs_f64(left + 0.5));
    assert_eq!(probe.open()?, OPEN);
    let status = lab.json(&["status"])?;
    assert_eq!(troubles(&status), [(false, &json!("trial-over")); 2]);
    assert_eq!(status["lost_trial"]["passed"], true);
    let said = told(&lab)?;
    assert!(said.starts_with("nothing is enforced\n"), "{said}");
    assert_eq!(said.matches("NOT FILTERED").count(), 2, "{said}");
    let proposal = planned(&lab, &first, CHANGES)?;
    assert_eq!(treatments(&proposal), ["attach"; 2], "{proposal:#}");
    lab.apply(&first, Mode::Native)?;
    assert_eq!(probe.open()?, FIRST);
    assert_tidy(&lab)
}

#[test]
fn what_decides_after_a_trial_of_which_no_record_tells_is_named() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    lab.try_out(&moved, Mode::Native, "3s")?;
    let left = until_deadline(&lab, 2)?;
    forget(&lab, 2)?;
    assert_eq!(lab.json(&["status"])?["lost_trial"]["afterwards"], 1);
    sleep(Duration::from_secs_f64(left + 0.5));
    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"]["generation"], 1, "{status:#}");
    assert_eq!(troubles(&status), [(true, &Value::Null); 2]);
    planned(&lab, &first, NO_CHANGE)?;
    let said = refusal(&lab, &["confirm"])?;
    assert!(said.contains("generation 1 decides again"), "{said}");
    // It makes no difference which was first, the deadline or this.
    assert_eq!(lab.json(&["rollback"])?["restores"], 1);
    assert_tidy(&lab)
}

#[test]
fn a_side_that_such_a_trial_opens_is_not_filtered() -> Result<()> {
    let (lab, first, _) = lab()?;
    let both = lab.mounts.write("both.yaml", &sample::both_ways())?;
    lab.apply(&both, Mode::Native)?;
    lab.try_out(&first, Mode::Native, "1h")?;
    let before = lab.json(&["status"])?;
    forget(&lab, 2)?;
    let after = lab.json(&["status"])?;
    let (mut before, mut after) = (troubles(&before), troubles(&after));
    assert!(before.contains(&(false, &json!("open-on-trial"))));
    before.sort_by_key(|hook| hook.0);
    after.sort_by_key(|hook| hook.0);
    assert_eq!(before, after);
    Ok(())
}

/// What decides after a trial is enforced, though no record names it.
#[test]
fn what_no_record_names_is_not_taken_for_nothing() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    forget(&lab, 1)?;
    let mut probe = Probe::new(&lab)?;
    lab.try_out(&moved, Mode::Native, "3s")?;
    await_reversal(&mut probe, &lab, 2, [MOVED, FIRST])?;
    let said = told(&lab)?;
    assert!(
        said.starts_with("a policy that no record names is enforced\n"),
        "{said}"
    );
    assert!(!said.contains("nothing is enforced"), "{said}");
    // The same where no record tells of the trial either.
    forget(&lab, 2)?;
    let said = told(&lab)?;
    assert!(
        said.starts_with("a policy that no record names is enforced\n"),
        "{said}"
    );
    Ok(())
}

/// What each command advises where the record of a first trial is lost works.
#[test]
fn a_first_trial_of_which_no_record_tells_can_be_ended() -> Result<()> {
    for ends_it in ["rollback", "detach", "apply"] {
        let (lab, first, _) = lab()?;
        lab.try_out(&first, Mode::Native, "1h")?;
        forget(&lab, 1)?;
        let said = refusal(&lab, &["confirm"])?;
        assert!(
            said.contains("`edge-filter apply POLICY` enforces a policy for good")
                && said.contains("`edge-filter rollback` takes it off"),
            "{said}"
        );
        if ends_it == "apply" {
            lab.apply(&first, Mode::Native)?;
            assert_tidy(&lab)?;
            continue;
        }
        lab.run(&[ends_it], 0)?;
        assert_eq!(Probe::new(&lab)?.open()?, OPEN);
        assert_eq!(filtered(&lab)?, Vec::<String>::new());
        let said = refusal(&lab, &["rollback"])?;
        assert!(
            said.contains("none was committed\n") && said.contains("`edge-filter apply POLICY`"),
            "{said}"
        );
    }
    Ok(())
}

/// The same where it is damaged.
#[test]
fn a_first_trial_whose_record_is_damaged_can_be_ended() -> Result<()> {
    for ends_it in ["detach", "apply"] {
        let (lab, first, _) = lab()?;
        lab.try_out(&first, Mode::Native, "1h")?;
        damage(&lab, 1)?;
        for command in ["status", "confirm", "rollback"] {
            let said = refusal(&lab, &[command])?;
            assert!(
                said.contains("nothing was committed before it")
                    && said.contains("`edge-filter apply POLICY` sets it aside")
                    && said.contains("`edge-filter detach`")
                    && !said.contains("--last-good"),
                "{said}"
            );
        }
        let (_, complained) = last_good(&lab, 0)?;
        assert!(complained.contains("generations/1.json"), "{complained}");
        if ends_it == "apply" {
            lab.apply(&first, Mode::Native)?;
            assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [2]);
            assert_tidy(&lab)?;
        } else {
            lab.run(&["detach"], 0)?;
            assert_eq!(Probe::new(&lab)?.open()?, OPEN);
        }
    }
    Ok(())
}
