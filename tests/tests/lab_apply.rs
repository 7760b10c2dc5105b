//! What `apply` and `detach` do to a machine, and what they refuse to do.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::Result;
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::product::{Mode, Status, binary, expect_exit};
use edge_filter_tests::lab::{Lab, Plan, sample};

const PATIENCE: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(250);
const TOKEN: &[u8] = b"a token of more than sixteen bytes";

/// A lab in which [`sample::POLICY`] lies ready.
fn lab() -> Result<(Lab, std::path::PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    Ok((lab, policy))
}

/// Fails unless the command exits with 1 and one message on standard error that
/// holds all of `words`.
fn refused(command: &mut Command, words: &[&str]) -> Result<Output> {
    let output = expect_exit(command, 1)?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in words {
        let said = message.to_lowercase().contains(&word.to_lowercase());
        assert!(said, "no word of \"{word}\" in:\n{message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(
        output.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(output)
}

/// Whether TCP 443 (allowed) and 444 (not) of the external side answer, over IPv4.
fn answers(lab: &Lab, port: u16, patience: Duration) -> Result<bool> {
    let plan = Plan::default();
    let call = Call {
        transport: Transport::Tcp,
        from: (plan.outside[0], 0).into(),
        to: (plan.external[0], port).into(),
    };
    Ok(call.hold(&lab.external, TOKEN, patience)? == Outcome::Answered)
}

fn assert_enforced(lab: &Lab) -> Result<()> {
    assert!(
        answers(lab, 443, PATIENCE)?,
        "the allowed port does not answer"
    );
    assert!(
        !answers(lab, 444, SHORT)?,
        "the port that is not allowed answers"
    );
    Ok(())
}

fn assert_not_filtered(lab: &Lab) -> Result<()> {
    let filtered = lab.edge.devices()?.into_values().flatten().count();
    assert_eq!(filtered, 0, "programs are attached");
    assert_eq!(
        lab.mounts.pins()?,
        Vec::<std::path::PathBuf>::new(),
        "pins are left"
    );
    assert!(answers(lab, 444, PATIENCE)?, "the port does not answer");
    Ok(())
}

#[test]
fn detach_leaves_nothing() -> Result<()> {
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    assert_enforced(&lab)?;
    lab.run(&["detach"], 0)?;
    assert_not_filtered(&lab)
}

#[test]
fn a_missing_device_changes_nothing() -> Result<()> {
    let (lab, policy) = lab()?;
    let attempt = || -> Result<Output> {
        let mut command = lab.edge_filter(&["apply"])?;
        command.arg(&policy);
        command.args([
            "--interface",
            "external=external",
            "--interface",
            "internal=nowhere0",
        ]);
        refused(&mut command, &["nowhere0"])
    };
    attempt()?;
    assert_not_filtered(&lab)?;
    lab.apply(&policy, Mode::Native)?;
    let before = lab.status()?;
    attempt()?;
    assert_eq!(lab.status()?.policy, before.policy);
    assert_enforced(&lab)
}

#[test]
fn an_unreadable_policy_changes_nothing() -> Result<()> {
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let before = lab.status()?;
    let broken = lab.mounts.write(
        "broken.yaml",
        &sample::POLICY.replace("action: allow", "action: alow"),
    )?;
    let absent = lab.mounts.inside("absent.yaml");
    for (policy, words) in [
        (&broken, &["broken.yaml", "alow"][..]),
        (&absent, &["absent.yaml", "No such file"][..]),
    ] {
        refused(&mut lab.apply_command(policy, Mode::Native)?, words)?;
        assert_eq!(lab.status()?.policy, before.policy);
        assert_enforced(&lab)?;
    }
    Ok(())
}

/// What does not fit its memory is refused whole, in the environment's words as in those of
/// the command line, and fits again with more of it.
#[test]
fn tables_beyond_the_budget_change_nothing() -> Result<()> {
    let (lab, policy) = lab()?;
    let words = [
        "its tables need",
        "may take 1 MiB",
        "the outcomes of",
        "--max-memory",
    ];
    let too_little = |policy: &Path| -> Result<Command> {
        let mut command = lab.apply_command(policy, Mode::Native)?;
        command.args(["--max-memory", "1"]);
        Ok(command)
    };
    refused(&mut too_little(&policy)?, &words)?;
    assert_not_filtered(&lab)?;
    lab.apply(&policy, Mode::Native)?;
    let before = lab.status()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    refused(&mut too_little(&longer)?, &words)?;
    let mut command = lab.apply_command(&longer, Mode::Native)?;
    refused(command.env("EDGE_FILTER_MAX_MEMORY", "1"), &words)?;
    let after = lab.status()?;
    assert_eq!(after.policy, before.policy);
    let programs =
        |status: &Status| -> Vec<u32> { status.hooks.iter().map(|hook| hook.program_id).collect() };
    assert_eq!(programs(&after), programs(&before));
    assert_enforced(&lab)?;
    // What it says it needs is enough.
    let mut command = lab.apply_command(&longer, Mode::Native)?;
    expect_exit(command.args(["--max-memory", "6"]), 0)?;
    assert_enforced(&lab)
}

#[test]
fn a_foreign_link_is_not_evicted() -> Result<()> {
    for (native, mode) in [
        (true, Mode::Native),
        (false, Mode::Generic),
        (true, Mode::Auto),
        (false, Mode::Auto),
    ] {
        let (lab, policy) = lab()?;
        let foreign = Foreign::load()?;
        let id = foreign.id()?;
        // The second device in turn, so that the first must be given up again.
        let link = foreign.attach(&lab.internal.edge, native)?;
        refused(
            &mut lab.apply_command(&policy, mode)?,
            &["internal", &id.to_string()],
        )?;
        let devices = lab.edge.devices()?;
        assert_eq!(
            devices["internal"],
            Some(id),
            "the foreign program was evicted"
        );
        assert_eq!(devices["external"], None, "half a policy is enforced");
        drop(link);
        assert_not_filtered(&lab)?;
    }
    Ok(())
}

#[test]
fn a_foreign_program_of_ip_is_not_evicted() -> Result<()> {
    let (lab, policy) = lab()?;
    let foreign = Foreign::load()?;
    let id = foreign.id()?;
    let name = "bpffs/foreign";
    foreign.pin(&lab.mounts.outside(name))?;
    let mut ip = lab.edge.command_in("ip", &lab.mounts);
    ip.args(["link", "set", "dev", "external", "xdpdrv", "pinned"])
        .arg(lab.mounts.inside(name));
    expect_exit(&mut ip, 0)?;
    for mode in [Mode::Native, Mode::Generic, Mode::Auto] {
        refused(
            &mut lab.apply_command(&policy, mode)?,
            &["external", &id.to_string()],
        )?;
        let devices = lab.edge.devices()?;
        assert_eq!(
            devices["external"],
            Some(id),
            "the foreign program was evicted"
        );
        assert_eq!(devices["internal"], None, "half a policy is enforced");
    }
    Ok(())
}

#[test]
fn without_privilege_it_says_so() -> Result<()> {
    let (lab, policy) = lab()?;
    let copy = lab.mounts.install(&binary()?, "edge-filter-copy")?;
    let mut command = lab.edge.command_in(copy, &lab.mounts);
    lab.places(&mut command).arg("apply").arg(&policy).args([
        "--interface",
        "external=external",
        "--interface",
        "internal=internal",
    ]);
    // The closures run in the order in which they were added: the namespaces are
    // entered before privileges are given up.
    // SAFETY: between fork and exec, two system calls and no allocation.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setgid(65_534.into())?;
            nix::unistd::setuid(65_534.into())?;
            Ok(())
        })
    };
    refused(&mut command, &["root"])?;
    assert_not_filtered(&lab)
}

#[test]
fn without_bpffs_it_says_so() -> Result<()> {
    let (lab, policy) = lab()?;
    let mut command = lab.apply_command(&policy, Mode::Native)?;
    command.env("EDGE_FILTER_PIN_ROOT", lab.mounts.inside("state/no-bpffs"));
    refused(&mut command, &["BPF file system", "mount -t bpf"])?;
    assert_not_filtered(&lab)
}

/// The lab whose external device has fewer receive queues than its peer sends
/// through: veth refuses native XDP there (`ENOSPC`).
fn narrow_lab() -> Result<(Lab, std::path::PathBuf)> {
    let lab = Lab::new(&Plan {
        outside_queues: 4,
        ..Plan::default()
    })?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    Ok((lab, policy))
}

#[test]
fn native_mode_is_refused_where_the_driver_refuses() -> Result<()> {
    let (lab, policy) = narrow_lab()?;
    refused(
        &mut lab.apply_command(&policy, Mode::Native)?,
        &["external", "native", "queues"],
    )?;
    assert_not_filtered(&lab)
}

#[test]
fn auto_mode_falls_back_and_says_so() -> Result<()> {
    let (lab, policy) = narrow_lab()?;
    let output = lab.apply(&policy, Mode::Auto)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("external") && said.contains("generic"),
        "it only said:\n{said}"
    );
    let status = lab.status()?;
    let mode = |role: &str| {
        let hook = status.hooks.iter().find(|hook| hook.interface == role);
        hook.and_then(|hook| hook.mode.as_deref())
    };
    assert_eq!(mode("external"), Some("generic"));
    assert_eq!(mode("internal"), Some("native"));
    assert_enforced(&lab)
}

/// `apply` with another device in the place of `external`.
fn apply_to(lab: &Lab, policy: &Path, device: &str, mode: &str) -> Result<Command> {
    let mut command = lab.edge_filter(&["apply"])?;
    let external = format!("external={device}");
    command
        .arg(policy)
        .args(["--mode", mode, "--interface", &external]);
    command.args(["--interface", "internal=internal"]);
    Ok(command)
}

#[test]
fn a_device_without_native_xdp_is_filtered_generically() -> Result<()> {
    let (lab, policy) = lab()?;
    lab.edge
        .ip("link add bridge0 type bridge\nlink set bridge0 up\n")?;
    refused(
        &mut apply_to(&lab, &policy, "bridge0", "native")?,
        &["bridge0", "native"],
    )?;
    assert_not_filtered(&lab)?;
    let output = expect_exit(&mut apply_to(&lab, &policy, "bridge0", "auto")?, 0)?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.contains("bridge0") && said.contains("generic"),
        "it only said:\n{said}"
    );
    Ok(())
}

/// What a lab's own devices do not do: take VLAN tags off before XDP runs.
#[test]
fn hidden_vlan_tags_are_warned_of() -> Result<()> {
    let (lab, policy) = lab()?;
    let warned = |device: &str| -> Result<bool> {
        let output = expect_exit(&mut apply_to(&lab, &policy, device, "auto")?, 0)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(said.contains(&format!("ethtool -K {device} rxvlan off")))
    };
    assert!(!warned("external")?, "its offload is off");
    lab.edge
        .ip("link add tagged0 type veth peer name tagged1\n")?;
    assert!(warned("tagged0")?, "its offload is on");
    Ok(())
}

#[test]
fn a_device_that_is_not_ethernet_is_refused() -> Result<()> {
    let (lab, policy) = lab()?;
    lab.edge
        .ip("tuntap add dev tunnel0 mode tun\nlink set tunnel0 up\n")?;
    refused(
        &mut apply_to(&lab, &policy, "tunnel0", "auto")?,
        &["tunnel0", "no link layer", "ethernet"],
    )?;
    refused(
        &mut apply_to(&lab, &policy, "lo", "auto")?,
        &["'lo'", "the loopback device", "ethernet"],
    )?;
    assert_not_filtered(&lab)
}

#[test]
fn a_device_is_named_once() -> Result<()> {
    let (lab, policy) = lab()?;
    for (devices, words) in [
        ("external,external", ["external", "named twice", "once"]),
        (
            "internal",
            ["internal", "the role 'external'", "of its own"],
        ),
    ] {
        refused(&mut apply_to(&lab, &policy, devices, "auto")?, &words)?;
        assert_not_filtered(&lab)?;
    }
    Ok(())
}
