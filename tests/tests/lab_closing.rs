//! Closing the host takes the filter off no device: neither off one that nobody can name any more,
//! nor where another one refuses, nor where two commands do it at once.

use std::fs;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::boot::{
    CLOSED, LAST_RESORT, enforcing, filtered, last_good, renew_internal, said, state,
};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::expect_exit;
use edge_filter_tests::lab::traced::MOVING;
use edge_filter_tests::lab::{Lab, Plan, sample};

/// How often two commands begin at once.
const ROUNDS: usize = 5;

/// What says what was committed.
const FILES: [&str; 2] = ["history/1.json", "generations/1.json"];

/// A lab that filters three devices, by the third of which nothing comes from elsewhere.
fn three() -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge
        .ip("link add second type veth peer name second-peer\n")?;
    let three = sample::POLICY.replace("devices: [external]", "devices: [external, second]");
    let policy = lab.mounts.write("policy.yaml", &three)?;
    let mut command = lab.edge_filter(&["apply"])?;
    expect_exit(command.arg(policy), 0)?;
    assert_eq!(filtered(&lab)?, ["external", "internal", "second"]);
    Ok(lab)
}

/// The policy means nothing to this version of the program, by the history and by the record.
fn make_unreadable(lab: &Lab) -> Result<()> {
    for file in FILES {
        let file = state(lab, file);
        let sideways = "direction: sideways";
        let unreadable = fs::read_to_string(&file)?.replace("direction: inbound", sideways);
        fs::write(&file, unreadable)?;
    }
    Ok(())
}

fn damage(lab: &Lab) -> Result<()> {
    for file in FILES {
        fs::write(state(lab, file), "{")?;
    }
    Ok(())
}

#[test]
fn what_is_attached_is_closed_by_the_name_that_it_has_now() -> Result<()> {
    for lose in [damage, make_unreadable] {
        let lab = three()?;
        lab.edge.ip("link set second name third\n")?;
        renew_internal(&lab)?;
        lose(&lab)?;
        last_good(&lab, LAST_RESORT)?;
        assert_eq!(filtered(&lab)?, ["external", "internal", "third"]);
    }
    Ok(())
}

/// Its other end lies elsewhere, and nothing says any more that it was filtered.
#[test]
fn a_port_of_a_bridge_is_closed_as_well() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    lab.edge
        .ip("link add name lan type bridge\nlink set dev internal master lan\n")?;
    damage(&lab)?;
    lab.reboot()?;
    last_good(&lab, LAST_RESORT)?;
    assert_eq!(filtered(&lab)?, ["external", "internal"]);
    Ok(())
}

#[test]
fn a_device_that_refuses_to_be_closed_opens_no_other_one() -> Result<()> {
    let lab = three()?;
    make_unreadable(&lab)?;
    renew_internal(&lab)?;
    let foreign = Foreign::load()?.attach(&lab.internal.edge, true)?;
    let mut command = lab.edge_filter(&["apply", "--last-good", "--json"])?;
    let report = expect_exit(&mut command, 1)?;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout)?;
    ensure!(report["ground"] == "last-resort", "{report:#}");
    let applied = report["applied"].as_array().context("what was applied")?;
    ensure!(!applied.is_empty(), "{report:#}");
    for applied in applied {
        // Not even for the moment until its own turn comes.
        ensure!(applied["released"] == serde_json::json!([]), "{report:#}");
    }
    assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
    drop(foreign);
    last_good(&lab, LAST_RESORT)?;
    assert_eq!(filtered(&lab)?, ["external", "internal", "second"]);
    Ok(())
}

/// Without management rules: what was enforced before is none of those.
#[test]
fn a_closing_that_was_killed_is_gone_on_with() -> Result<()> {
    let mut kills = 0;
    loop {
        let lab = three()?;
        make_unreadable(&lab)?;
        renew_internal(&lab)?;
        let was_killed = lab.killed_at(&["apply", "--last-good"], MOVING, kills + 1)?;
        let doing = || format!("killed at {}", kills + 1);
        last_good(&lab, LAST_RESORT).with_context(doing)?;
        assert_eq!(
            filtered(&lab)?,
            ["external", "internal", "second"],
            "{}",
            doing()
        );
        assert_eq!(Probe::new(&lab)?.open()?, CLOSED, "{}", doing());
        if !was_killed {
            break;
        }
        kills += 1;
    }
    ensure!(kills > 3, "killed {kills} times");
    Ok(())
}

#[test]
fn of_two_that_close_the_host_one_is_told_of_the_other() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::write(state(&lab, "history/1.json"), "{")?;
    for _ in 0..ROUNDS {
        lab.reboot()?;
        let begin = || {
            let mut command = lab.edge_filter(&["apply", "--last-good"])?;
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            Ok(command.spawn()?)
        };
        let both: [Result<_>; 2] = [begin(), begin()];
        let mut closed = 0;
        for one in both {
            let output: Output = one?.wait_with_output()?;
            let (_, complained) = said(&output)?;
            ensure!(!complained.contains("no command knows"), "{complained}");
            match output.status.code() {
                Some(LAST_RESORT) => closed += 1,
                Some(1) => ensure!(complained.contains("is changing it"), "{complained}"),
                other => anyhow::bail!("{other:?}: {complained}"),
            }
        }
        assert!(closed > 0);
        assert_eq!(Probe::new(&lab)?.open()?, CLOSED);
        let status = lab.json(&["status"])?;
        ensure!(status["emergency"]["last_resort"] == true, "{status:#}");
        ensure!(status["policy"]["name"] == "last-resort", "{status:#}");
    }
    Ok(())
}
