//! What happens to devices behind the filter's back: deleted, made again, renamed,
//! moved, or robbed of their link.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use edge_filter_tests::lab::product::{HookStatus, Mode, expect_exit};
use edge_filter_tests::lab::{Lab, Plan, sample};

/// A lab that enforces [`sample::POLICY`].
fn enforcing() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    Ok((lab, policy))
}

/// `apply`, with other devices in the roles; it must succeed.
fn apply_to(lab: &Lab, policy: &PathBuf, external: &str, internal: &str) -> Result<String> {
    let mut command = lab.edge_filter(&["apply"])?;
    command.arg(policy);
    command.args(["--interface", &format!("external={external}")]);
    command.args(["--interface", &format!("internal={internal}")]);
    said(&mut command)
}

fn said(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(expect_exit(command, 0)?.stdout)?)
}

/// Fails unless exactly these devices of the edge are filtered, now that `apply`
/// has ended, by what `status` says is on them, and nothing else is pinned.
fn assert_filtered(lab: &Lab, devices: &[&str]) -> Result<()> {
    let attached: BTreeSet<(String, u32)> = lab
        .edge
        .devices()?
        .into_iter()
        .filter_map(|(device, program)| Some((device, program?)))
        .collect();
    let names: Vec<&str> = attached.iter().map(|(device, _)| &**device).collect();
    assert_eq!(names, devices, "other devices are filtered");
    let hooks = lab.status()?.hooks;
    let reported: BTreeSet<(String, u32)> = hooks
        .iter()
        .map(|hook| (hook.device.clone(), hook.program_id))
        .collect();
    assert_eq!(reported, attached, "status says something else");
    assert!(
        hooks
            .iter()
            .all(|hook| hook.link_pinned && hook.mode.is_some()),
        "{hooks:?}"
    );
    let pins = lab.mounts.pins()?;
    // The root, its five directories, and a link and counters for each device.
    assert_eq!(pins.len(), 6 + 2 * devices.len(), "{pins:?}");
    Ok(())
}

fn hook(lab: &Lab, role: &str) -> Result<HookStatus> {
    let hooks = lab.status()?.hooks;
    let found = hooks.into_iter().find(|hook| hook.interface == role);
    found.with_context(|| format!("status does not know {role}"))
}

#[test]
fn a_device_that_is_made_again_is_filtered_again() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.edge.ip("link del external\n")?;
    assert_eq!(hook(&lab, "external")?.mode, None);
    assert!(
        said(&mut lab.edge_filter(&["status"])?)?
            .contains("external inbound: NOT FILTERED: the device is gone")
    );
    assert_eq!(lab.counters()?.hooks.len(), 2);
    lab.edge.ip(
        "link add external type veth peer name again\nlink set again up\nlink set external up\n",
    )?;
    let report = apply_to(&lab, &policy, "external", "internal")?;
    assert!(!report.contains("not filtered any more"), "{report}");
    assert_filtered(&lab, &["external", "internal"])?;
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_renamed_device_is_known_by_its_new_name() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.edge
        .ip("link set external down\nlink set external name wan.0\n")?;
    assert_filtered(&lab, &["internal", "wan.0"])?;
    let counters = lab.counters()?;
    assert!(counters.hooks.iter().any(|hook| hook.device == "wan.0"));
    apply_to(&lab, &policy, "wan.0", "internal")?;
    assert_filtered(&lab, &["internal", "wan.0"])
}

#[test]
fn devices_that_exchanged_their_names_stay_filtered() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.edge.ip(
        "link set external down\nlink set internal down\nlink set external name other\n\
         link set internal name external\nlink set other name internal\n",
    )?;
    apply_to(&lab, &policy, "external", "internal")?;
    assert_filtered(&lab, &["external", "internal"])?;
    assert_eq!(hook(&lab, "external")?.device, "external");
    Ok(())
}

#[test]
fn the_former_bearer_of_a_name_is_released_without_its_successor() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.edge
        .ip("link set external down\nlink set external name former\n\
         link add external type veth peer name again\n")?;
    let report = apply_to(&lab, &policy, "external", "internal")?;
    assert!(
        report.contains("former inbound is not filtered any more"),
        "{report}"
    );
    assert_filtered(&lab, &["external", "internal"])
}

#[test]
fn a_device_in_another_namespace_is_not_mistaken_for_one_of_the_same_number() -> Result<()> {
    let (lab, policy) = enforcing()?;
    lab.edge
        .ip("link set external down\nlink set external name roamer\n")?;
    lab.edge
        .ip(&format!("link set roamer netns {}\n", lab.world.path()))?;
    // Each namespace has numbers of its own.
    let index = lab
        .world
        .enter(|| Ok(nix::net::if_::if_nametoindex("roamer")?))?;
    assert!(
        said(&mut lab.edge_filter(&["status"])?)?.contains("in another network namespace"),
        "status does not say where it is"
    );
    lab.edge
        .ip(&format!("link add external index {index} type bridge\n"))?;
    apply_to(&lab, &policy, "external", "internal")?;
    assert_filtered(&lab, &["external", "internal"])?;
    assert_eq!(lab.world.devices()?["roamer"], None, "its old filter stays");
    Ok(())
}

#[test]
fn a_second_device_that_is_refused_takes_back_the_first() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let before = lab.edge.devices()?;
    lab.edge
        .ip("link add external2 type veth peer name again\n")?;
    // The first new device is attached, the second one is refused by the kernel.
    let foreign = edge_filter_tests::lab::foreign::Foreign::load()?;
    foreign.pin(&lab.mounts.outside("bpffs/foreign"))?;
    let mut ip = lab.edge.command_in("ip", &lab.mounts);
    ip.args(["link", "set", "dev", "again", "xdpdrv", "pinned"]);
    expect_exit(ip.arg(lab.mounts.inside("bpffs/foreign")), 0)?;
    let mut command = lab.edge_filter(&["apply"])?;
    command.arg(&policy);
    command.args([
        "--interface",
        "external=external2,again",
        "--interface",
        "internal=internal",
    ]);
    let output = expect_exit(&mut command, 1)?;
    assert!(String::from_utf8_lossy(&output.stderr).contains("attach to again"));
    fs::remove_file(lab.mounts.outside("bpffs/foreign"))?;
    let after = lab.edge.devices()?;
    assert_eq!(after["external"], before["external"]);
    assert_eq!(after["internal"], before["internal"]);
    assert_eq!(after["external2"], None);
    Ok(())
}

#[test]
fn released_devices_are_free_and_roles_may_be_exchanged() -> Result<()> {
    let (lab, policy) = enforcing()?;
    apply_to(&lab, &policy, "internal", "external")?;
    assert_filtered(&lab, &["external", "internal"])?;
    assert_eq!(hook(&lab, "external")?.device, "internal");
    let inner = sample::POLICY.replace("interface: external", "interface: internal");
    let inner = lab.mounts.write("inner.yaml", &inner)?;
    let report = apply_to(&lab, &inner, "nowhere", "internal")?;
    assert!(
        report.contains("external inbound is not filtered any more"),
        "{report}"
    );
    assert_filtered(&lab, &["internal"])
}

#[test]
fn a_removed_link_is_reported_and_made_anew() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let pins = lab.mounts.pins()?;
    let link = pins
        .iter()
        .find(|pin| pin.to_string_lossy().contains("links/1-external"))
        .context("no link of external is pinned")?;
    fs::remove_file(lab.mounts.outside("bpffs").join(link))?;
    let status = said(&mut lab.edge_filter(&["status"])?)?;
    assert!(
        status.contains("external inbound: NOT FILTERED"),
        "{status}"
    );
    let lost = hook(&lab, "external")?;
    assert!(!lost.link_pinned && !lost.filtered, "{lost:?}");
    assert_eq!(lost.trouble.as_deref(), Some("filter-gone"));
    apply_to(&lab, &policy, "external", "internal")?;
    assert_filtered(&lab, &["external", "internal"])
}

#[test]
fn removed_counters_are_not_shown_as_zero() -> Result<()> {
    let (lab, policy) = enforcing()?;
    let pins = lab.mounts.pins()?;
    let counters = pins
        .iter()
        .find(|pin| pin.to_string_lossy().contains("counters/1-external"))
        .context("no counters of external are pinned")?;
    fs::remove_file(lab.mounts.outside("bpffs").join(counters))?;
    let output = lab.run(&["counters"], 1)?;
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("removed their pin"), "{message}");
    apply_to(&lab, &policy, "external", "internal")?;
    assert_eq!(lab.counters()?.hooks.len(), 2);
    assert_filtered(&lab, &["external", "internal"])
}
