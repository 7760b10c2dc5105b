//! A change that ends in the middle: signals wait, `rollback` and the daemon undo what a kill
//! has left, and what cannot be put back keeps its name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::Lab;
use edge_filter_tests::lab::boot::{last_good, said, small_disk, state};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::sample;
use edge_filter_tests::lab::trial::{
    FIRST, MOVED, assert_tidy, generations, lab, refusal, until_deadline,
};

/// A lab where two policies were committed, and a third one that opens what the first does.
struct Subject {
    lab: Lab,
    third: PathBuf,
    /// Which of its calls of bpf(2) replace a program, of an `apply` like the one to come.
    updates: Vec<usize>,
}

impl Subject {
    fn new() -> Result<Self> {
        let (lab, first, moved) = lab()?;
        let third = sample::POLICY.replace("name: lab", "name: third");
        let third = lab.mounts.write("third.yaml", &third)?;
        lab.apply(&first, Mode::Native)?;
        let updates = updates(&lab, &lab.apply_command(&moved, Mode::Native)?)?;
        Ok(Self {
            lab,
            third,
            updates,
        })
    }

    /// `apply` of the third policy, with something done to its calls of bpf(2).
    fn tampered(&self, inject: &str) -> Result<Command> {
        let apply = self.lab.apply_command(&self.third, Mode::Native)?;
        Ok(tampered(&self.lab, &apply, inject))
    }

    /// The same that is killed when one device has the third policy, and the other has not.
    fn killed() -> Result<Self> {
        let subject = Self::new()?;
        kill_at(&subject.lab, subject.tampered(&subject.kill()?)?)?;
        Ok(subject)
    }

    fn kill(&self) -> Result<String> {
        Ok(format!("signal=SIGKILL:when={}", self.second()?))
    }

    /// The call that replaces the program of the second device.
    fn second(&self) -> Result<usize> {
        self.updates.get(1).copied().context("two devices change")
    }
}

fn tampered(lab: &Lab, command: &Command, inject: &str) -> Command {
    let inject = format!("--inject=bpf:{inject}");
    lab.below_strace(command, "bpf", &["--output=/dev/null", &inject])
}

/// Runs a command; which of its calls of bpf(2) replaced a program.
fn updates(lab: &Lab, command: &Command) -> Result<Vec<usize>> {
    calls(lab, command, "BPF_LINK_UPDATE")
}

/// Runs a command; which of its calls of bpf(2) were of that kind.
fn calls(lab: &Lab, command: &Command, kind: &str) -> Result<Vec<usize>> {
    let trace = lab.mounts.inside("trace");
    let output = format!("--output={}", trace.display());
    expect_exit(&mut lab.below_strace(command, "bpf", &[&output]), 0)?;
    let trace = fs::read_to_string(lab.mounts.outside("trace"))?;
    let calls = trace.lines().filter(|line| line.starts_with("bpf("));
    Ok((1..)
        .zip(calls)
        .filter_map(|(number, call)| call.contains(kind).then_some(number))
        .collect())
}

/// Runs a command that is killed, and fails unless it has left two generations.
fn kill_at(lab: &Lab, mut command: Command) -> Result<()> {
    let output = command.output()?;
    ensure!(!output.status.success(), "it was not killed: {output:?}");
    let enforced = enforced(lab)?;
    ensure!(
        enforced.len() == 2 && enforced[0] != enforced[1],
        "it was not killed in the middle: {enforced:?}"
    );
    Ok(())
}

/// The generation that each device enforces.
fn enforced(lab: &Lab) -> Result<Vec<u64>> {
    let hooks = lab.status()?.hooks;
    ensure!(hooks.iter().all(|hook| hook.filtered), "{hooks:?}");
    Ok(hooks.iter().map(|hook| hook.generation).collect())
}

#[test]
fn signals_wait_until_every_device_has_changed_hands() -> Result<()> {
    let subject = Subject::new()?;
    let Subject { lab, .. } = &subject;
    for (generation, signal) in (3..).zip(["SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT"]) {
        let inject = format!("signal={signal}:when={}", subject.second()?);
        let output = subject.tampered(&inject)?.output()?;
        ensure!(!output.status.success(), "{signal} had no effect at all");
        assert_eq!(enforced(lab)?, [generation; 2], "{signal}");
        assert_eq!(Probe::new(lab)?.open()?, FIRST, "{signal}");
        let history = generations(&lab.json(&["rollback", "--list"])?);
        assert_eq!(history[0], generation, "{signal}");
    }
    assert_tidy(lab)
}

#[test]
fn rollback_undoes_an_apply_that_was_killed() -> Result<()> {
    let Subject { lab, .. } = Subject::killed()?;
    let list = lab.json(&["rollback", "--list"])?;
    assert_eq!(generations(&list), [2, 1]);
    assert_eq!(
        (&list[0]["steps"], &list[1]["steps"]),
        (&1.into(), &2.into())
    );
    assert_eq!(lab.json(&["rollback"])?["restores"], 2);
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    assert_eq!(enforced(&lab)?, [4, 4]);
    assert_tidy(&lab)?;
    // Now it is a step like any other.
    assert_eq!(lab.json(&["rollback"])?["restores"], 1);
    Ok(())
}

#[test]
fn a_rollback_that_was_killed_is_finished_by_the_next() -> Result<()> {
    let Subject { lab, third, .. } = Subject::new()?;
    let rollback = lab.edge_filter(&["rollback"])?;
    let updates = updates(&lab, &rollback)?;
    lab.apply(&third, Mode::Native)?;
    lab.apply(&lab.mounts.inside("moved.yaml"), Mode::Native)?;
    let second = updates.get(1).context("two devices change")?;
    let inject = format!("signal=SIGKILL:when={second}");
    kill_at(&lab, tampered(&lab, &rollback, &inject))?;
    assert_eq!(lab.json(&["rollback"])?["restores"], 4);
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    assert_tidy(&lab)
}

#[test]
fn what_was_committed_is_enforced_again_everywhere() -> Result<()> {
    let Subject { lab, .. } = Subject::killed()?;
    let (told, complained) = last_good(&lab, 0)?;
    assert!(told.contains("is enforced as generation 4"), "{told}");
    assert_eq!(complained, "");
    assert_eq!(enforced(&lab)?, [4, 4]);
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [4, 1]);
    assert_tidy(&lab)
}

#[test]
fn the_daemon_enforces_what_was_committed_everywhere() -> Result<()> {
    let Subject { lab, .. } = Subject::killed()?;
    let daemon = Daemon::start(&lab, &[])?;
    daemon.wait("undo the apply", || Ok(enforced(&lab)? == [4, 4]))?;
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    let log = daemon.log()?;
    ensure!(
        !log.contains("NOT FILTERED") && !log.contains("error"),
        "{log}"
    );
    Ok(())
}

#[test]
fn hooks_that_only_the_unfinished_policy_has_are_taken_off() -> Result<()> {
    let Subject { lab, .. } = Subject::new()?;
    let more = lab.mounts.write("more.yaml", &sample::both_ways())?;
    let apply = lab.apply_command(&more, Mode::Native)?;
    let updates = updates(&lab, &apply)?;
    lab.apply(&lab.mounts.inside("moved.yaml"), Mode::Native)?;
    assert_eq!(enforced(&lab)?, [4, 4]);
    // What is new is attached before anything is replaced.
    let first = updates.first().context("a device changes")?;
    let output = tampered(&lab, &apply, &format!("signal=SIGKILL:when={first}")).output()?;
    ensure!(!output.status.success(), "it was not killed: {output:?}");
    let mut left = enforced(&lab)?;
    left.sort_unstable();
    assert_eq!(left, [4, 4, 5]);
    let (told, complained) = last_good(&lab, 0)?;
    assert!(told.contains("is enforced as generation 6"), "{told}");
    assert_eq!(complained, "");
    assert_eq!(enforced(&lab)?, [6, 6]);
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    assert_tidy(&lab)
}

/// What no record names is not taken for what was committed, where others are known.
#[test]
fn what_no_record_names_gives_way_as_well() -> Result<()> {
    let Subject { lab, .. } = Subject::killed()?;
    fs::remove_file(lab.mounts.outside("state/edge-filter/generations/3.json"))?;
    last_good(&lab, 0)?;
    assert_eq!(enforced(&lab)?, [4, 4]);
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    Ok(())
}

/// A trial over the two halves: what decides afterwards on one device was never committed.
#[test]
fn what_was_never_committed_does_not_stay_after_a_trial() -> Result<()> {
    let Subject { lab, .. } = Subject::killed()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    lab.try_out(&longer, Mode::Native, "2s")?;
    sleep(Duration::from_secs_f64(
        until_deadline(&lab, 4)?.max(0.0) + 0.2,
    ));
    let (told, _) = last_good(&lab, 0)?;
    assert!(told.contains("is enforced as generation 5"), "{told}");
    assert_eq!(enforced(&lab)?, [5, 5]);
    assert_eq!(Probe::new(&lab)?.open()?, MOVED);
    assert_tidy(&lab)
}

/// An `apply` that was killed when it had committed, and was taking hooks off.
#[test]
fn hooks_that_only_the_former_policy_has_are_taken_off() -> Result<()> {
    let (lab, first, _) = lab()?;
    let more = lab.mounts.write("more.yaml", &sample::both_ways())?;
    lab.apply(&more, Mode::Native)?;
    let apply = lab.apply_command(&first, Mode::Native)?;
    let detaching = calls(&lab, &apply, "BPF_LINK_DETACH")?;
    lab.apply(&more, Mode::Native)?;
    let first = detaching.first().context("a hook is taken off")?;
    let output = tampered(&lab, &apply, &format!("signal=SIGKILL:when={first}")).output()?;
    ensure!(!output.status.success(), "it was not killed: {output:?}");
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?)[0], 4);
    let mut left = enforced(&lab)?;
    left.sort_unstable();
    assert_eq!(left, [3, 4, 4]);
    let (told, complained) = last_good(&lab, 0)?;
    assert!(told.contains("is enforced as generation 5"), "{told}");
    assert_eq!(complained, "");
    assert_eq!(enforced(&lab)?, [5, 5]);
    assert_tidy(&lab)
}

#[test]
fn an_apply_over_damage_that_was_killed_closes_nothing() -> Result<()> {
    let subject = Subject::new()?;
    let Subject { lab, updates, .. } = &subject;
    fs::write(lab.mounts.outside("state/edge-filter/history/2.json"), "{")?;
    let first = updates.first().context("a device changes")?;
    let inject = format!("signal=SIGKILL:when={first}");
    let output = subject.tampered(&inject)?.output()?;
    ensure!(!output.status.success(), "it was not killed: {output:?}");
    assert_eq!(enforced(lab)?, [2, 2]);
    let (_, complained) = last_good(lab, 0)?;
    assert!(
        complained.contains("what was committed last is enforced all the same"),
        "{complained}"
    );
    assert_eq!(Probe::new(lab)?.open()?, MOVED);
    let daemon = Daemon::start(lab, &[])?;
    daemon.await_log("what was committed last is enforced all the same")?;
    assert_eq!(Probe::new(lab)?.open()?, MOVED);
    drop(daemon);
    lab.apply(&subject.third, Mode::Native)?;
    assert_eq!(Probe::new(lab)?.open()?, FIRST);
    assert!(lab.json(&["status"])?["emergency"].is_null());
    Ok(())
}

/// Takes a device away and makes it anew, without a filter.
fn renew_internal(lab: &Lab) -> Result<()> {
    lab.edge.ip("link del internal\n")?;
    lab.edge
        .ip("link add internal type veth peer name internal-peer\n")
}

#[test]
fn an_apply_over_damage_that_was_interrupted_while_it_loads_leaves_nothing() -> Result<()> {
    let subject = Subject::new()?;
    let Subject { lab, updates, .. } = &subject;
    let newest = lab.mounts.outside("state/edge-filter/history/2.json");
    let whole = fs::read(&newest)?;
    fs::write(&newest, "{")?;
    let first = updates.first().context("a device changes")?;
    let inject = format!("signal=SIGINT:when={}", first * 3 / 4);
    let output = subject.tampered(&inject)?.output()?;
    ensure!(!output.status.success(), "it was not ended: {output:?}");
    let run = lab.mounts.outside("run");
    assert_eq!(fs::read_dir(&run)?.count(), 1, "state was not in memory");
    assert!(lab.json(&["status"])?["emergency"].is_null());
    // What the message of the damage says: the file is brought back, and all is as it was.
    fs::write(&newest, &whole)?;
    assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [2, 1]);
    renew_internal(lab)?;
    last_good(lab, 0)?;
    assert_eq!(enforced(lab)?, [3, 3]);
    assert_eq!(Probe::new(lab)?.open()?, MOVED);
    assert_eq!(fs::read_dir(&run)?.count(), 0);
    assert_tidy(lab)
}

/// What is refused over damage has begun state in memory, and ends that.
#[test]
fn a_refused_apply_over_damage_that_was_killed_leaves_the_whole_state() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    fs::write(lab.mounts.outside("state/edge-filter/tally.json"), "{")?;
    // The other mode than that of what is attached.
    let apply = lab.apply_command(&moved, Mode::Generic)?;
    for call in 1..=4 {
        let inject = format!("--inject=unlinkat:signal=SIGKILL:when={call}");
        let options = ["-f", "--output=/dev/null", "--trace=unlinkat", &inject];
        let output = lab.below_strace(&apply, "bpf", &options).output()?;
        ensure!(!output.status.success(), "it was not refused: {output:?}");
        assert_eq!(generations(&lab.json(&["rollback", "--list"])?), [1]);
        let (told, _) = last_good(&lab, 0)?;
        ensure!(told.contains("enforced already"), "{call}: {told}");
        assert_eq!(Probe::new(&lab)?.open()?, FIRST);
        fs::remove_dir_all(lab.mounts.outside("run"))?;
    }
    Ok(())
}

#[test]
fn what_cannot_be_put_back_keeps_its_name_and_its_counts() -> Result<()> {
    let subject = Subject::new()?;
    let Subject { lab, third, .. } = &subject;
    let second = subject.second()?;
    let inject = format!("error=EBUSY:when={second}..{}", second + 1);
    let output = expect_exit(&mut subject.tampered(&inject)?, 1)?;
    let (_, complained) = said(&output)?;
    ensure!(
        complained.contains("external inbound has the new policy")
            && complained.matches("help:").count() == 1,
        "{complained}"
    );
    assert_eq!(enforced(lab)?, [3, 2]);
    let told = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    ensure!(
        told.contains("policy 'third'") && told.contains("internal inbound: still enforces"),
        "{told}"
    );
    let mut probe = Probe::new(lab)?;
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;
    finish(lab, third)?;
    assert_eq!(probe.open()?, FIRST);
    probe.settle()
}

/// `apply` once more, after which nothing is left of before.
fn finish(lab: &Lab, policy: &Path) -> Result<()> {
    lab.apply(policy, Mode::Native)?;
    let enforced = enforced(lab)?;
    ensure!(enforced[0] == enforced[1], "{enforced:?}");
    assert_tidy(lab)?;
    // What was refused is none of the policies that were committed.
    let said = refusal(lab, &["rollback", "--generation", "3"])?;
    ensure!(said.contains("rollback --list"), "{said}");
    Ok(())
}

#[test]
fn halves_on_a_full_disk_are_undone_from_memory() -> Result<()> {
    let (lab, first, moved) = lab()?;
    small_disk(&lab, "256k")?;
    lab.apply(&first, Mode::Native)?;
    let apply = lab.apply_command(&moved, Mode::Native)?;
    let second = updates(&lab, &lab.apply_command(&first, Mode::Native)?)?;
    let second = second.get(1).context("two devices change")?;
    kill_at(
        &lab,
        tampered(&lab, &apply, &format!("signal=SIGKILL:when={second}")),
    )?;
    // As far as it goes.
    ensure!(fs::write(state(&lab, "filler"), vec![0; 1 << 20]).is_err());
    let (_, complained) = last_good(&lab, 0)?;
    ensure!(complained.contains("No space left"), "{complained}");
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    let enforced = enforced(&lab)?;
    ensure!(enforced[0] == enforced[1], "{enforced:?}");
    Ok(())
}
