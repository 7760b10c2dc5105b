//! `detach`, and what opens a host that was never committed: nothing is taken off unless it
//! can be forgotten, and every failure says how things stand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::Lab;
use edge_filter_tests::lab::boot::{enforcing, filtered, last_good, state};
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::traced::MOVING;
use edge_filter_tests::lab::trial::{FIRST, MOVED, OPEN, lab, refusal};

/// Runs `mount` where the lab's places are.
fn mount(lab: &Lab, options: &[&str]) -> Result<()> {
    let mut command = lab.edge.command_in("mount", &lab.mounts);
    expect_exit(command.args(options).arg(lab.mounts.state_dir()), 0).map(drop)
}

/// Has the state directory be one that nobody can write to.
fn freeze(lab: &Lab) -> Result<()> {
    let state = lab.mounts.state_dir();
    mount(lab, &["--bind", &state.display().to_string()])?;
    mount(lab, &["-o", "remount,ro,bind"])
}

#[test]
fn what_could_not_be_forgotten_stays_filtered() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    let pins = lab.mounts.pins()?;
    freeze(&lab)?;
    let said = refusal(&lab, &["detach"])?;
    for words in [
        "Read-only file system",
        "nothing was changed",
        "mount -o remount,rw",
    ] {
        ensure!(said.contains(words), "{said}");
    }
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert_eq!(lab.mounts.pins()?, pins);
    // As it says, that opens the devices until somebody enforces it again.
    fs::create_dir(lab.mounts.outside("empty"))?;
    let mut elsewhere = lab.edge_filter(&["detach", "--state-dir"])?;
    expect_exit(elsewhere.arg(lab.mounts.inside("empty")), 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, OPEN);
    mount(&lab, &["-o", "remount,rw,bind"])?;
    last_good(&lab, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_first_trial_that_could_not_be_forgotten_goes_on() -> Result<()> {
    let (lab, _, moved) = lab()?;
    lab.try_out(&moved, Mode::Native, "1h")?;
    freeze(&lab)?;
    let said = refusal(&lab, &["rollback"])?;
    ensure!(
        said.contains("Read-only file system") && said.contains("nothing was changed"),
        "{said}"
    );
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    mount(&lab, &["-o", "remount,rw,bind"])?;
    lab.run(&["rollback"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn what_is_not_ours_below_the_pin_root_keeps_nothing_committed() -> Result<()> {
    let lab = enforcing(sample::POLICY)?;
    fs::create_dir(lab.mounts.outside("bpffs/edge-filter/foreign"))?;
    let said = refusal(&lab, &["detach"])?;
    ensure!(said.contains("nothing is filtered any more"), "{said}");
    assert_eq!(Probe::new(&lab)?.open()?, OPEN);
    let (told, _) = last_good(&lab, 0)?;
    ensure!(told.contains("nothing was committed"), "{told}");
    assert_eq!(filtered(&lab)?, Vec::<String>::new());
    Ok(())
}

/// The system calls that remove files and directories, or move them, where there are such.
const REMOVING: [&str; 3] = ["?unlink", "unlinkat", MOVING];

/// Has the second of two policies be enforced, beside a file that was set aside.
fn enforce_beside_damage(lab: &Lab, [first, moved]: [&Path; 2]) -> Result<()> {
    lab.apply(first, Mode::Native)?;
    fs::write(state(lab, "tally.json"), "{ half")?;
    lab.apply(moved, Mode::Native)?;
    ensure!(fs::read_dir(state(lab, "damaged"))?.count() > 0);
    Ok(())
}

/// What was committed last is enforced again, or nothing is; nothing older, and no policy of last
/// resort. The same where the history is a file system of its own, which cannot be moved.
#[test]
fn a_detach_that_was_killed_leaves_what_was_committed_or_nothing() -> Result<()> {
    for is_mounted in [false, true] {
        let (lab, first, moved) = lab()?;
        if is_mounted {
            fs::create_dir_all(state(&lab, "history"))?;
            let mut mount = lab.edge.command_in("mount", &lab.mounts);
            mount.args(["-t", "tmpfs", "history"]);
            expect_exit(mount.arg(lab.mounts.state_dir().join("history")), 0)?;
        }
        let mut left = [0, 0];
        for removing in REMOVING {
            for call in 1.. {
                enforce_beside_damage(&lab, [&first, &moved])?;
                let was_killed = lab.killed_at(&["detach"], removing, call)?;
                let doing = || format!("{removing} {call}");
                let (told, _) = last_good(&lab, 0).with_context(doing)?;
                let is_open = told.contains("nothing was committed");
                let expected = if is_open { OPEN } else { MOVED };
                assert_eq!(Probe::new(&lab)?.open()?, expected, "{}: {told}", doing());
                if !was_killed {
                    ensure!(is_open, "{told}");
                    break;
                }
                left[usize::from(is_open)] += 1;
            }
        }
        // Before it had forgotten what was committed, and after that.
        ensure!(left.iter().all(|kills| *kills > 0), "{left:?}");
        println!(
            "killed {} times, {} when it had forgotten",
            left[0] + left[1],
            left[1]
        );
        assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
        let names = fs::read_dir(lab.mounts.outside("state/edge-filter"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        ensure!(names.iter().all(|name| name == "history"), "{names:?}");
    }
    Ok(())
}
