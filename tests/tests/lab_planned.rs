//! The file of a plan: `apply --plan` does what it says or nothing, and writing it harms
//! nothing that is there.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::proposed::{CHANGES, FAILED, NO_CHANGE, plan_command, planned};
use edge_filter_tests::lab::{Lab, Plan, sample};

fn lab() -> Result<Lab> {
    Lab::new(&Plan::default())
}

/// A plan to go from [`sample::POLICY`] to [`sample::longer`], and the planned policy.
fn ready(lab: &Lab) -> Result<(PathBuf, PathBuf)> {
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    let plan = lab.mounts.inside("plan.json");
    let mut command = plan_command(lab, &longer, &[])?;
    command.arg("-o").arg(&plan);
    expect_exit(&mut command, CHANGES)?;
    Ok((plan, longer))
}

fn apply_plan(lab: &Lab, plan: &Path) -> Result<Command> {
    let mut command = lab.edge_filter(&["apply", "--plan"])?;
    command.arg(plan);
    Ok(command)
}

/// Fails unless the plan is refused in these words, and what was enforced still is.
fn refused(lab: &Lab, plan: &Path, words: &[&str]) -> Result<()> {
    let before = lab.status()?;
    let output = expect_exit(&mut apply_plan(lab, plan)?, FAILED)?;
    let told = String::from_utf8(output.stderr)?;
    for word in words {
        ensure!(told.contains(word), "no word of \"{word}\" in:\n{told}");
    }
    ensure!(lab.status()?.policy == before.policy, "it was applied");
    Ok(())
}

#[test]
fn a_plan_is_applied_once() -> Result<()> {
    let lab = lab()?;
    let (plan, longer) = ready(&lab)?;
    let output = expect_exit(&mut apply_plan(&lab, &plan)?, 0)?;
    let told = String::from_utf8(output.stdout)?;
    ensure!(told.contains("enforced as generation 2"), "{told}");
    planned(&lab, &longer, NO_CHANGE)?;
    let words = [
        "generation 2 (sha256 ",
        "is enforced, and generation 1 (sha256 ",
    ];
    refused(&lab, &plan, &words)
}

#[test]
fn the_planned_text_is_applied_and_no_other() -> Result<()> {
    let lab = lab()?;
    let (plan, longer) = ready(&lab)?;
    lab.mounts.write("longer.yaml", &sample::both_ways())?;
    refused(&lab, &plan, &["longer.yaml was changed: its sha256 is "])?;
    // The plan holds the text itself.
    fs::remove_file(lab.mounts.outside("longer.yaml"))?;
    expect_exit(&mut apply_plan(&lab, &plan)?, 0)?;
    lab.mounts.write("longer.yaml", &sample::longer())?;
    planned(&lab, &longer, NO_CHANGE)?;
    Ok(())
}

#[test]
fn a_plan_for_another_device_of_the_same_name_is_refused() -> Result<()> {
    let lab = lab()?;
    let (plan, _) = ready(&lab)?;
    lab.edge
        .ip("link del external\nlink add external type veth peer name elsewhere\n")?;
    let words = [
        "external inbound was filtered, and is not any more",
        "external is another device: its index is ",
    ];
    refused(&lab, &plan, &words)
}

#[test]
fn a_plan_of_what_is_not_enforced_any_more_is_refused() -> Result<()> {
    let lab = lab()?;
    let (plan, _) = ready(&lab)?;
    lab.run(&["detach"], 0)?;
    let output = expect_exit(&mut apply_plan(&lab, &plan)?, FAILED)?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(
        told.contains("nothing is enforced, and generation 1 "),
        "{told}"
    );
    ensure!(lab.mounts.pins()?.is_empty(), "something is left");
    // Nor is one that was made before anything was.
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    let mut command = plan_command(&lab, &longer, &[])?;
    expect_exit(command.arg("-o").arg(&plan), CHANGES)?;
    lab.apply(&longer, Mode::Native)?;
    refused(&lab, &plan, &["is enforced, and nothing was"])
}

/// A plan is not written over the policy that it is about.
#[test]
fn a_plan_does_not_take_the_place_of_its_policy() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let out = policy.to_str().context("a name")?;
    let output = expect_exit(&mut plan_command(&lab, &policy, &["--out", out])?, 1)?;
    let message = String::from_utf8(output.stderr)?;
    ensure!(message.contains("the policy's own file"), "{message}");
    let left = fs::read_to_string(lab.mounts.outside("policy.yaml"))?;
    ensure!(left == sample::POLICY, "{left}");
    Ok(())
}

#[test]
fn a_plan_takes_the_place_of_no_device() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let device = lab.mounts.inside("null");
    let mut command = lab.edge.command_in("mknod", &lab.mounts);
    expect_exit(command.arg(&device).args(["c", "1", "3"]), 0)?;
    let mut command = plan_command(&lab, &policy, &["--out"])?;
    expect_exit(command.arg(&device), CHANGES)?;
    let found = fs::metadata(lab.mounts.outside("null"))?;
    ensure!(found.file_type().is_char_device(), "{found:?}");
    let mut command = lab.edge_filter(&["apply", "--plan", "/dev/zero"])?;
    expect_exit(&mut command, FAILED)?;
    Ok(())
}
