//! Devices that go down and up, change their names, and move to another network namespace
//! and back, again and again: each stays filtered, `status` says so, every packet is counted
//! once, and nothing is left behind.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::foreign::program_exists;
use edge_filter_tests::lab::namespace::Namespace;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{HookStatus, Mode};
use edge_filter_tests::lab::standing::Standing;
use edge_filter_tests::lab::trial::FIRST;
use edge_filter_tests::lab::wire::End;
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;

/// How often each, in a soak run.
const TIMES: usize = 100;

/// How long the kernel may take to free what nobody holds any more.
const CLEARING: Duration = Duration::from_secs(20);

/// A lab that enforces a policy on both sides of `external`.
fn enforcing() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Native)?;
    Ok((lab, policy))
}

/// The end of the external wire by its present name and place.
fn end(lab: &Lab, namespace: &Namespace, device: &'static str) -> End {
    End {
        namespace: namespace.clone(),
        device,
        ..lab.external.edge.clone()
    }
}

/// Gives a device back what it lost when it went down or away.
fn bring_up(lab: &Lab, device: &'static str) -> Result<()> {
    let plan = Plan::default();
    end(lab, &lab.edge, device).restore(&plan.external, &plan.outside, lab.external.world.mac)
}

/// The hooks of a role, all of them filtered, with the programs that there were.
fn assert_filtered(lab: &Lab, before: &Standing, device: &str) -> Result<()> {
    let hooks: Vec<HookStatus> = lab.status()?.hooks;
    let programs = |of: &dyn Fn(&HookStatus) -> bool| -> Vec<u32> {
        let hooks = hooks.iter().filter(|hook| of(hook));
        hooks.map(|hook| hook.program_id).collect()
    };
    let all: Vec<u32> = before.hooks.iter().map(|hook| hook.2).collect();
    let mut now = programs(&|_| true);
    let (mut all, own) = (all, programs(&|hook| hook.device == device));
    now.sort_unstable();
    all.sort_unstable();
    ensure!(now == all, "other programs: {hooks:?}");
    ensure!(own.len() == 2, "{device} is not filtered: {hooks:?}");
    ensure!(
        hooks
            .iter()
            .all(|hook| hook.filtered && hook.link_pinned && hook.trouble.is_none()),
        "{hooks:?}"
    );
    let pins = lab.mounts.pins()?;
    ensure!(
        pins == before.pins,
        "{pins:?}, and before {:?}",
        before.pins
    );
    Ok(())
}

/// Ends it all, after which none of the programs of `before` is there.
fn assert_nothing_left(lab: &Lab, before: &Standing) -> Result<()> {
    lab.run(&["detach"], 0)?;
    ensure!(lab.mounts.pins()?.is_empty());
    ensure!(edge_filter_tests::lab::standing::files(lab)?.is_empty());
    let deadline = Instant::now() + CLEARING;
    for (_, _, program, ..) in &before.hooks {
        while program_exists(*program)? {
            ensure!(
                Instant::now() < deadline,
                "program {program} is still there"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Another `apply` is as ever, and `detach` leaves nothing.
fn assert_goes_on(lab: &Lab, policy: &Path, before: &Standing, mut probe: Probe<'_>) -> Result<()> {
    lab.apply(policy, Mode::Native)?;
    ensure!(probe.open()? == FIRST);
    probe.settle()?;
    assert_nothing_left(lab, before)
}

#[test]
fn a_device_that_goes_down_and_up_stays_filtered() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let before = Standing::of(&lab)?;
    let mut probe = Probe::new(&lab)?;
    let times = soak::times(TIMES);
    for _ in 0..times {
        lab.edge.ip("link set external down\n")?;
        assert_filtered(&lab, &before, "external")?;
        bring_up(&lab, "external")?;
        ensure!(probe.open()? == FIRST);
        probe.settle()?;
        before.assert_same(&lab)?;
    }
    println!("down and up: {times} times");
    assert_goes_on(&lab, &policy, &before, probe)
}

#[test]
fn a_device_that_changes_its_name_stays_filtered() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let before = Standing::of(&lab)?;
    let mut probe = Probe::new(&lab)?;
    let times = soak::times(TIMES);
    for _ in 0..times {
        for (from, to) in [("external", "renamed.0"), ("renamed.0", "external")] {
            lab.edge.ip(&format!(
                "link set {from} down\nlink set {from} name {to}\n"
            ))?;
            assert_filtered(&lab, &before, to)?;
            bring_up(&lab, to)?;
            ensure!(probe.open()? == FIRST);
            probe.settle()?;
        }
        before.assert_same(&lab)?;
    }
    println!("renamed, and back: {times} times");
    assert_goes_on(&lab, &policy, &before, probe)
}

#[test]
fn a_device_that_moves_to_another_namespace_stays_filtered() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let before = Standing::of(&lab)?;
    let mut probe = Probe::new(&lab)?;
    let other = Namespace::new("other")?;
    let times = soak::times(TIMES);
    for _ in 0..times {
        lab.edge
            .ip(&format!("link set external netns {}\n", other.path()))?;
        let hooks = lab.status()?.hooks;
        let own: Vec<_> = hooks
            .iter()
            .filter(|hook| hook.device == "external")
            .collect();
        ensure!(own.len() == 2, "{hooks:?}");
        for hook in own {
            // It is filtered where it is, and nobody can look there from here.
            ensure!(hook.filtered && hook.link_pinned, "{hook:?}");
            ensure!(
                hook.trouble.as_deref() == Some("device-elsewhere"),
                "{hook:?}"
            );
        }
        let program = other.devices()?["external"].context("it lost its program")?;
        ensure!(Some(program) == before.devices["external"]);
        ensure!(lab.mounts.pins()? == before.pins);
        other.ip(&format!("link set external netns {}\n", lab.edge.path()))?;
        bring_up(&lab, "external")?;
        assert_filtered(&lab, &before, "external")?;
        ensure!(probe.open()? == FIRST);
        probe.settle()?;
    }
    println!("to another namespace, and back: {times} times");
    assert_goes_on(&lab, &policy, &before, probe)
}

#[test]
fn the_daemon_has_nothing_to_repair_where_a_device_only_flaps() -> Result<()> {
    let (lab, _) = enforcing()?;
    let before = Standing::of(&lab)?;
    let daemon = Daemon::start(&lab, &[])?;
    let times = soak::times(TIMES);
    for _ in 0..times {
        lab.edge.ip("link set external down\n")?;
        bring_up(&lab, "external")?;
        lab.edge
            .ip("link set internal down\nlink set internal up\n")?;
    }
    daemon.await_filtered(&["external", "internal"])?;
    before.assert_same(&lab)?;
    let mut probe = Probe::new(&lab)?;
    ensure!(probe.open()? == FIRST);
    probe.settle()?;
    println!("with a daemon that looks on: {times} times down and up");
    Ok(())
}
