//! State that is damaged, missing or has no room, pins that are not as they were
//! left, and commands that meet each other or are killed.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::boot::small_disk;
use edge_filter_tests::lab::product::{Mode, counter, expect_exit};
use edge_filter_tests::lab::{Lab, Plan, sample};
use nix::fcntl::{Flock, FlockArg};

/// How often an `apply` is killed.
const KILLS: u32 = 30;

/// A lab that enforces [`sample::POLICY`].
fn enforcing() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    Ok((lab, policy))
}

/// The message of a command that must exit with 1.
fn refusal(command: &mut Command) -> Result<String> {
    let output = expect_exit(command, 1)?;
    let message = String::from_utf8(output.stderr)?;
    ensure!(!message.contains("panicked"), "{message}");
    Ok(message)
}

/// Mounts a tmpfs of one page, less than a record, on the lab's state directory.
fn small_state(lab: &Lab) -> Result<PathBuf> {
    small_disk(lab, "4k")?;
    Ok(lab.mounts.state_dir())
}

#[test]
fn damaged_state_is_named_and_apply_sets_it_aside() -> Result<()> {
    for file in ["tally.json", "generations/1.json", "history/1.json"] {
        let (lab, policy) = enforcing()?;
        let before = lab.edge.devices()?;
        fs::write(
            lab.mounts.outside("state/edge-filter").join(file),
            "{ \"version\": ",
        )?;
        for arguments in [&["status"][..], &["counters"], &["rollback", "--list"]] {
            // Each reads what it needs.
            if (file == "history/1.json") == (arguments[0] == "rollback") {
                let message = refusal(&mut lab.edge_filter(arguments)?)?;
                assert!(message.contains(file), "{message}");
            }
        }
        // A trial sets nothing aside.
        let mut trial = lab.apply_command(&policy, Mode::Native)?;
        let message = refusal(trial.args(["--confirm", "1h"]))?;
        assert!(message.contains("edge-filter apply POLICY"), "{message}");
        assert_eq!(lab.edge.devices()?, before, "it is not enforced any more");
        let output = lab.apply(&policy, Mode::Native)?;
        let message = String::from_utf8(output.stderr)?;
        assert!(
            message.contains(file) && message.contains("set aside in"),
            "{message}"
        );
        let enforced = lab.status()?;
        assert!(enforced.policy.generation > 1);
        assert!(enforced.hooks.iter().all(|hook| hook.filtered));
        let aside = fs::read_dir(lab.mounts.outside("state/edge-filter/damaged"))?;
        assert_eq!(aside.count(), 1);
        assert_eq!(lab.mounts.pins()?.len(), 6 + 4);
        let output = lab.apply(&policy, Mode::Native)?;
        assert_eq!(String::from_utf8(output.stderr)?, "");
        lab.run(&["detach"], 0)?;
        assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    }
    Ok(())
}

/// As its message says, what is enforced is read again after `apply --last-good`.
#[test]
fn damaged_state_is_done_without_after_last_good() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.apply(&policy, Mode::Native)?;
    let tally = lab.mounts.outside("state/edge-filter/tally.json");
    fs::write(&tally, "{")?;
    let message = refusal(&mut lab.edge_filter(&["rollback"])?)?;
    assert!(message.contains("apply --last-good"), "{message}");
    lab.run(&["apply", "--last-good"], 0)?;
    lab.run(&["status"], 0)?;
    // Whatever ends that says what it sets aside.
    let rollback = lab.edge_filter(&["rollback"])?;
    for mut command in [rollback, lab.apply_command(&policy, Mode::Native)?] {
        let output = expect_exit(&mut command, 0)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(
            told.contains("tally.json") && told.contains("it was set aside in"),
            "{told}"
        );
        assert!(lab.json(&["status"])?["emergency"].is_null());
        fs::write(&tally, "{")?;
        lab.run(&["apply", "--last-good"], 0)?;
    }
    // Nor does what says why have to be readable.
    let places = fs::read_dir(lab.mounts.outside("run"))?;
    for place in places {
        fs::write(place?.path().join("emergency.json"), "{")?;
    }
    let told = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    ensure!(told.contains("emergency.json"), "{told}");
    lab.run(&["apply", "--last-good"], 0)?;
    lab.apply(&policy, Mode::Native)?;
    assert!(lab.json(&["status"])?["emergency"].is_null());
    Ok(())
}

#[test]
fn a_file_that_bears_the_number_of_another_generation_is_none_of_that() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let history = lab.mounts.outside("state/edge-filter/history");
    // Nothing comes after this number.
    fs::copy(
        history.join("1.json"),
        history.join(format!("{}.json", u64::MAX)),
    )?;
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.status()?.policy.generation, 2);
    fs::copy(history.join("1.json"), history.join("9.json"))?;
    let message = refusal(&mut lab.edge_filter(&["rollback"])?)?;
    assert!(
        message.contains("9.json: it holds generation 1"),
        "{message}"
    );
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.status()?.policy.generation, 10);
    Ok(())
}

#[test]
fn a_full_disk_changes_nothing() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    small_state(&lab)?;
    let message = refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
    assert!(message.contains("No space left"), "{message}");
    assert_eq!(lab.edge.devices()?.into_values().flatten().count(), 0);
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());

    let (lab, policy) = enforcing()?;
    let before = lab.edge.devices()?;
    let pins = lab.mounts.pins()?;
    // The records lie below the new mount now; the pins are what they were.
    small_state(&lab)?;
    for _ in 0..3 {
        refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
        assert_eq!(lab.edge.devices()?, before, "it is not enforced any more");
        assert_eq!(lab.mounts.pins()?, pins, "pins leak");
    }
    Ok(())
}

#[test]
fn lost_state_is_told_and_made_anew() -> Result<()> {
    let (lab, policy) = enforcing()?;
    fs::remove_dir_all(lab.mounts.outside("state/edge-filter"))?;
    for command in ["status", "counters"] {
        let output = lab.run(&[command], 0)?;
        let report = String::from_utf8(output.stdout)?;
        assert!(report.contains("programs are attached"), "{report}");
    }
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.counters()?.hooks.len(), 2);
    let pins = lab.mounts.pins()?;
    assert_eq!(
        pins.len(),
        6 + 4,
        "counters without a record leak: {pins:?}"
    );
    Ok(())
}

#[test]
fn the_pin_root_must_be_a_directory_of_its_own() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let root = lab.mounts.outside("bpffs/edge-filter");
    fs::create_dir(&root)?;
    fs::set_permissions(&root, Permissions::from_mode(0o755))?;
    let message = refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
    assert!(
        message.contains("mode 0755")
            && message.contains("`chmod 700 ")
            && !message.contains("remove"),
        "{message}"
    );
    let entries = fs::read_dir(&root)?.count();
    assert_eq!(entries, 0, "it wrote into a directory that it refused");
    fs::remove_dir(&root)?;

    fs::create_dir(lab.mounts.outside("bpffs/real"))?;
    symlink("real", &root)?;
    let message = refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
    assert!(message.contains("symbolic link"), "{message}");

    // One that was moved behind a link is no other instance's.
    fs::remove_file(&root)?;
    lab.apply(&policy, Mode::Native)?;
    fs::remove_dir(lab.mounts.outside("bpffs/real"))?;
    fs::rename(&root, lab.mounts.outside("bpffs/real"))?;
    symlink("real", &root)?;
    let message = refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
    assert!(
        message.contains("symbolic link") && !message.contains("the instance whose"),
        "{message}"
    );
    let mut command = lab.edge_filter(&["status"])?;
    let file = lab.mounts.write("file", "")?;
    let message = refusal(command.env("EDGE_FILTER_PIN_ROOT", file))?;
    assert!(
        message.contains("name the directory of the pins"),
        "{message}"
    );
    Ok(())
}

#[test]
fn a_second_writer_is_told_who_is_first() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let root = File::open(lab.mounts.outside("bpffs/edge-filter"))?;
    let lock = Flock::lock(root, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| error)
        .context("lock the pin root")?;
    let own = format!("process {} (", std::process::id());
    let message = refusal(&mut lab.apply_command(&policy, Mode::Native)?)?;
    assert!(message.contains(&own), "{message}");
    let message = refusal(&mut lab.edge_filter(&["detach"])?)?;
    assert!(message.contains(&own), "{message}");
    // Readers need no lock.
    assert_eq!(lab.counters()?.hooks.len(), 2);
    drop(lock);
    lab.apply(&policy, Mode::Native)?;
    Ok(())
}

/// Sends `number` datagrams to the UDP port that the policy opens.
fn send(lab: &Lab, number: u32) -> Result<()> {
    let plan = Plan::default();
    let opener = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 0))?))?;
    for _ in 0..number {
        opener.send_to(b"a datagram", (plan.external[0], 3478))?;
    }
    Ok(())
}

fn stun(lab: &Lab) -> Result<u64> {
    let moved = lab.counters()?.moved();
    Ok(moved
        .get(&counter("external", "inbound", "stun"))
        .map_or(0, |count| count.packets))
}

#[test]
fn a_killed_apply_leaves_a_machine_that_works() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    let begin = Instant::now();
    lab.apply(&longer, Mode::Native)?;
    let whole = begin.elapsed();
    let mut sent = 0;
    let mut killed = 0;
    for round in 0..KILLS {
        let policy = [&policy, &longer][round as usize % 2];
        let mut command = lab.apply_command(policy, Mode::Native)?;
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(whole * (round + 1) / KILLS);
        child.kill()?;
        killed += u32::from(!child.wait()?.success());
        send(&lab, 3)?;
        sent += 3;
        assert_eq!(stun(&lab)?, sent, "after kill {round}");
        let filtered = lab.edge.devices()?.into_values().flatten().count();
        assert_eq!(filtered, 2, "after kill {round}");
        assert_eq!(lab.status()?.hooks.len(), 2, "after kill {round}");
    }
    assert!(killed > KILLS / 3, "only {killed} were killed in time");
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(stun(&lab)?, sent);
    let pins = lab.mounts.pins()?;
    assert_eq!(pins.len(), 6 + 4, "pins leak: {pins:?}");
    let records = fs::read_dir(lab.mounts.outside("state/edge-filter/generations"))?;
    assert_eq!(records.count(), 1, "records leak");
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_first_apply_that_is_killed_can_be_tried_again_and_taken_back() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let begin = Instant::now();
    lab.run(&["detach"], 0)?;
    lab.apply(&policy, Mode::Native)?;
    let whole = begin.elapsed();
    for step in 1..=8 {
        lab.run(&["detach"], 0)?;
        let mut child = lab
            .apply_command(&policy, Mode::Native)?
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(whole * step / 9);
        child.kill()?;
        child.wait()?;
        lab.run(&["status"], 0)?;
        lab.run(&["counters"], 0)?;
        lab.apply(&policy, Mode::Native)?;
        let pins = lab.mounts.pins()?;
        assert_eq!(pins.len(), 6 + 4, "pins leak: {pins:?}");
    }
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    assert_eq!(lab.edge.devices()?.into_values().flatten().count(), 0);
    Ok(())
}

#[test]
fn sums_never_go_back_while_policies_are_applied() -> Result<()> {
    let (lab, policy) = enforcing()?;
    send(&lab, 5)?;
    thread::scope(|scope| -> Result<()> {
        let applying = scope.spawn(|| -> Result<()> {
            for _ in 0..10 {
                lab.apply(&policy, Mode::Native)?;
            }
            Ok(())
        });
        while !applying.is_finished() {
            assert_eq!(stun(&lab)?, 5);
        }
        applying.join().ok().context("apply panicked")?
    })
}

#[test]
fn watching_ends_with_its_reader_and_outlives_detach() -> Result<()> {
    let (lab, _) = enforcing()?;
    let mut child = lab
        .edge_filter(&["counters", "--watch"])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    let first = lines.next().context("it said nothing")??;
    assert!(first.contains("policy 'lab'"), "{first}");
    lab.run(&["detach"], 0)?;
    let told = lines.any(|line| line.is_ok_and(|line| line.contains("nothing is enforced")));
    assert!(told, "it ended without saying that nothing is enforced");
    drop(lines);
    let deadline = Instant::now() + Duration::from_secs(5);
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("it watches on, though nobody reads");
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait()?.success());
    Ok(())
}

#[test]
fn too_few_open_files_are_named_and_change_nothing() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let before = (lab.edge.devices()?, lab.mounts.pins()?);
    let mut told = String::new();
    for limit in ["8", "12"] {
        let mut command = lab.edge.command_in("prlimit", &lab.mounts);
        lab.places(&mut command)
            .arg(format!("--nofile={limit}"))
            .arg(lab.apply_command(&policy, Mode::Native)?.get_program())
            .args(lab.apply_command(&policy, Mode::Native)?.get_args());
        told += &refusal(&mut command)?;
        assert_eq!((lab.edge.devices()?, lab.mounts.pins()?), before);
    }
    assert!(told.contains("Too many open files"), "{told}");
    assert!(!told.contains("Verifier output"), "{told}");
    Ok(())
}

/// Has the record of the newest generation say that it is of another boot.
fn reboot(lab: &Lab) -> Result<()> {
    let generation = lab.status()?.policy.generation;
    let name = format!("state/edge-filter/generations/{generation}.json");
    let path = lab.mounts.outside(&name);
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ensure!(record["boot"] == own.trim_end(), "{}", record["boot"]);
    record["boot"] = "7c0ffee0-0000-4000-8000-000000000000".into();
    fs::write(&path, serde_json::to_vec(&record)?)?;
    Ok(())
}

#[test]
fn a_record_of_another_boot_names_no_program() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let enforced = lab.status()?;
    reboot(&lab)?;
    // The programs of this boot have the numbers that the record knows, by chance.
    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"], serde_json::Value::Null);
    let devices: Vec<_> = status["hooks"].as_array().into_iter().flatten().collect();
    assert_eq!(devices.len(), enforced.hooks.len(), "{status:#}");
    assert!(
        devices.iter().all(|hook| hook["generation"] == 0),
        "{status:#}"
    );
    let report = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(report.contains("programs are attached"), "{report}");
    let applied = lab
        .apply_command(&policy, Mode::Native)?
        .arg("--json")
        .output()?;
    let applied: serde_json::Value = serde_json::from_slice(&applied.stdout)?;
    assert_eq!(applied["rules"]["carried"], serde_json::json!([]));
    let now = lab.status()?;
    assert!(now.policy.generation > enforced.policy.generation);
    assert_eq!(lab.mounts.pins()?.len(), 6 + 4);

    // Neither is it what decides after a trial that began without a filter.
    let (lab, policy) = enforcing()?;
    reboot(&lab)?;
    fs::remove_dir_all(lab.mounts.outside("bpffs/edge-filter"))?;
    let trial = lab.try_out(&policy, Mode::Native, "1h")?;
    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"]["generation"], trial.generation);
    assert_eq!(status["trial"]["afterwards"], serde_json::Value::Null);
    Ok(())
}
