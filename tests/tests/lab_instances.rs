//! Several instances on one host, each with a pin root and a state directory of its own;
//! several roles, and several devices in a role.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::boot::{filtered, last_good, said, state};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Counters, Mode, Status, expect_exit};
use edge_filter_tests::lab::standing::{Standing, refusal};
use edge_filter_tests::lab::trial::FIRST;
use edge_filter_tests::lab::wire::End;
use edge_filter_tests::lab::{Lab, Plan, sample};

/// The second instance's places.
const SECOND: &str = "second";

/// A command of the second instance.
fn second(lab: &Lab, arguments: &[&str]) -> Result<Command> {
    let mut command = lab.edge_filter(arguments)?;
    command
        .env(
            "EDGE_FILTER_PIN_ROOT",
            lab.mounts.inside("bpffs").join(SECOND),
        )
        .env(
            "EDGE_FILTER_STATE_DIR",
            lab.mounts.inside("state").join(SECOND),
        );
    Ok(command)
}

fn answer<T: serde::de::DeserializeOwned>(mut command: Command) -> Result<T> {
    let output = expect_exit(&mut command, 0)?;
    serde_json::from_slice(&output.stdout).context("read its answer")
}

/// A policy of one role, on `devices`, that opens UDP 3478 there.
fn one_role(role: &str, devices: &str) -> String {
    format!(
        "version: 1\nname: {role}\ninterfaces:\n  {role}: {{ devices: [{devices}], vlans: \
         [untagged] }}\ndefault_action: drop\ngroups:\n  - name: g\n    rules:\n      - {{ id: \
         stun, interface: {role}, direction: inbound, to: {{ ports: [3478] }}, protocol: udp, \
         action: allow }}\n"
    )
}

fn programs(lab: &Lab) -> Result<Vec<(String, Option<u32>)>> {
    Ok(lab.edge.devices()?.into_iter().collect())
}

/// A lab where one instance filters the outer device, and a second one the inner one; and
/// their policies.
fn two_instances() -> Result<(Lab, [PathBuf; 2])> {
    let lab = Lab::new(&Plan::default())?;
    let outer = lab
        .mounts
        .write("outer.yaml", &one_role("external", "external"))?;
    let inner = lab
        .mounts
        .write("inner.yaml", &one_role("internal", "internal"))?;
    lab.run(&["apply", text(&outer)], 0)?;
    expect_exit(&mut second(&lab, &["apply", text(&inner)])?, 0)?;
    Ok((lab, [outer, inner]))
}

#[test]
fn two_instances_filter_devices_of_their_own() -> Result<()> {
    let (lab, policies) = two_instances()?;
    let inner = text(&policies[1]);
    expect_exit(&mut second(&lab, &["apply", inner])?, 0)?;
    let mut probe = Probe::new(&lab)?;
    ensure!(probe.open()? == FIRST);
    // Each has its own generations, its own hook and its own counters.
    let first: Status = lab.status()?;
    let other: Status = answer(second(&lab, &["status", "--json"])?)?;
    ensure!((first.policy.generation, other.policy.generation) == (1, 2));
    let devices = |status: &Status| -> Vec<String> {
        let hooks = status.hooks.iter();
        hooks.map(|hook| hook.device.clone()).collect()
    };
    ensure!(devices(&first) == ["external"] && devices(&other) == ["internal"]);
    let counted: Counters = answer(second(&lab, &["counters", "--json"])?)?;
    ensure!(counted.total("internal")?.packets == 0);
    ensure!(lab.counters()?.total("external")?.packets == 2);
    probe.settle()?;

    // The end of one is nothing to the other.
    let before = Standing::of(&lab)?;
    expect_exit(&mut second(&lab, &["detach"])?, 0)?;
    let after = Standing::of(&lab)?;
    ensure!(after.hooks == before.hooks && after.files == before.files);
    ensure!(after.devices["internal"].is_none());
    ensure!(after.devices["external"] == before.devices["external"]);
    ensure!(probe.open()? == FIRST);
    probe.settle()?;
    lab.run(&["detach"], 0)?;
    ensure!(lab.mounts.pins()?.is_empty());
    Ok(())
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("the lab's names are plain")
}

#[test]
fn the_emergency_of_one_is_nothing_to_the_other() -> Result<()> {
    let (lab, policies) = two_instances()?;
    let [outer, inner] = policies.each_ref().map(|policy| text(policy));
    fs::write(state(&lab, "tally.json"), "[]")?;
    fs::remove_dir_all(lab.mounts.outside("bpffs").join(SECOND))?;
    lab.reboot()?;
    let (_, complained) = last_good(&lab, 0)?;
    ensure!(complained.contains("tally.json"), "{complained}");
    // Both share the directory in memory; the state of the second one can be used.
    let output = expect_exit(&mut second(&lab, &["apply", "--last-good"])?, 0)?;
    let (told, complained) = said(&output)?;
    ensure!(told.contains("as generation 2"), "{told}");
    ensure!(complained.is_empty(), "{complained}");
    ensure!(filtered(&lab)? == ["external", "internal"]);
    let emergency = |command| -> Result<serde_json::Value> {
        let status: serde_json::Value = answer(command)?;
        Ok(status["emergency"].clone())
    };
    let first = || emergency(lab.edge_filter(&["status", "--json"])?);
    ensure!(emergency(second(&lab, &["status", "--json"])?)?.is_null());
    ensure!(first()?["last_resort"] == false);

    // Nor does what the second one does end it.
    expect_exit(&mut second(&lab, &["apply", inner])?, 0)?;
    ensure!(first()?["last_resort"] == false);
    expect_exit(&mut second(&lab, &["detach"])?, 0)?;
    ensure!(first()?["last_resort"] == false);
    ensure!(filtered(&lab)? == ["external"]);
    lab.run(&["apply", outer], 0)?;
    ensure!(first()?.is_null());
    Ok(())
}

#[test]
fn a_device_of_another_instance_is_refused_by_name() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&first, Mode::Native)?;
    let both = lab
        .mounts
        .write("both.yaml", &one_role("external", "external"))?;
    let before = Standing::of(&lab)?;
    let mut probe = Probe::new(&lab)?;
    let program = lab.edge.devices()?["external"].context("it is not filtered")?;
    let message = refusal(
        &mut second(&lab, &["apply", text(&both)])?,
        &[
            "external",
            &format!("program {program} ('edge_filter_in')"),
            "another instance of edge-filter",
            "--pin-root",
        ],
    )?;
    println!("{message}");
    before.assert_same(&lab)?;
    ensure!(probe.open()? == FIRST);
    probe.settle()?;
    // It does as told.
    lab.run(&["detach"], 0)?;
    expect_exit(&mut second(&lab, &["apply", text(&both)])?, 0)?;
    expect_exit(&mut second(&lab, &["detach"])?, 0)?;
    ensure!(lab.mounts.pins()?.is_empty());
    Ok(())
}

#[test]
fn a_state_directory_of_another_instance_is_refused() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab
        .mounts
        .write("policy.yaml", &one_role("external", "external"))?;
    let inner = lab
        .mounts
        .write("inner.yaml", &one_role("internal", "internal"))?;
    lab.run(&["apply", text(&first)], 0)?;
    let before = Standing::of(&lab)?;
    let own = lab.mounts.pin_root();
    for arguments in [&["apply", text(&inner)][..], &["detach"]] {
        let mut command = second(&lab, arguments)?;
        command.env("EDGE_FILTER_STATE_DIR", lab.mounts.state_dir());
        let words = ["use the state directory", text(&own), "--state-dir"];
        println!("{}", refusal(&mut command, &words)?);
        before.assert_same(&lab)?;
    }
    // Whose pins are gone has ended.
    lab.run(&["detach"], 0)?;
    let mut command = second(&lab, &["apply", text(&inner)])?;
    command.env("EDGE_FILTER_STATE_DIR", lab.mounts.state_dir());
    expect_exit(&mut command, 0)?;
    Ok(())
}

/// Two roles of three devices each, besides the lab's own.
fn many(ports: &str) -> String {
    let policy = sample::POLICY
        .replace("devices: [external]", "devices: [external, a1, a2]")
        .replace("devices: [internal]", "devices: [internal, b1, b2]")
        .replace("[3478]", ports);
    policy
        .replace(
            "networks:\n  edge",
            "  guest: { devices: [c1, c2, c3], vlans: [untagged], outbound: enforce }\nnetworks:\n  edge",
        )
        + "      - { id: guest-dns, interface: guest, direction: inbound, to: { ports: [53] }, \
           protocol: udp, action: allow }\n      - { id: guest-web, interface: guest, direction: \
           outbound, to: { ports: [80] }, protocol: tcp, action: allow }\n"
}

#[test]
fn several_roles_of_several_devices_change_together_or_not_at_all() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    for name in ["a1", "a2", "b1", "b2", "c1", "c2", "c3"] {
        let make = format!("link add {name} type veth peer name {name}-peer\n");
        lab.edge.ip(&make)?;
    }
    let first = lab.mounts.write("first.yaml", &many("[3478]"))?;
    lab.run(&["apply", text(&first)], 0)?;
    let status = lab.status()?;
    // Nine devices inbound, and three of them outbound.
    ensure!(status.hooks.len() == 9 + 3, "{status:?}");
    ensure!(status.hooks.iter().all(|hook| hook.filtered));
    let before = programs(&lab)?;
    ensure!(
        before
            .iter()
            .filter(|(_, program)| program.is_some())
            .count()
            == 9
    );

    // The last of all devices is somebody else's.
    lab.edge.ip("link add c4 type veth peer name c4-peer\n")?;
    let end = End {
        namespace: lab.edge.clone(),
        device: "c4",
        mac: [0; 6],
    };
    let foreign = Foreign::load()?;
    let link = foreign.attach(&end, true)?;
    let moved = many("[3479]").replace("[c1, c2, c3]", "[c1, c2, c3, c4]");
    let moved = lab.mounts.write("moved.yaml", &moved)?;
    let mut probe = Probe::new(&lab)?;
    let standing = Standing::of(&lab)?;
    let program = format!("program {}", foreign.id()?);
    for mode in ["auto", "native"] {
        let mut apply = lab.edge_filter(&["apply", text(&moved), "--mode", mode])?;
        println!("{}", refusal(&mut apply, &["c4", &program])?);
        standing.assert_same(&lab)?;
        ensure!(probe.open()? == FIRST);
    }
    drop(link);
    lab.run(&["apply", text(&moved)], 0)?;
    let status = lab.status()?;
    ensure!(status.hooks.len() == 10 + 4, "{status:?}");
    let generation = status.policy.generation;
    ensure!(
        status
            .hooks
            .iter()
            .all(|hook| hook.generation == generation)
    );
    ensure!(probe.open()? == [false, true]);
    probe.settle()?;
    lab.run(&["detach"], 0)?;
    ensure!(lab.mounts.pins()? == Vec::<PathBuf>::new());
    Ok(())
}
