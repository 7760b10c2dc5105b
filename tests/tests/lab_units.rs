//! The units for systemd: that systemd understands them, how exposed it finds them, and that
//! what they start can do its work under what they forbid. systemd itself does not run
//! here: capabilities, `no_new_privs` and read-only mounts are made as the units say, and
//! system calls and sockets are held against their lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, binary, expect_exit};
use edge_filter_tests::lab::trial::{FIRST, OPEN};
use edge_filter_tests::lab::{Lab, Plan, sample};
use nix::sys::signal::Signal;

/// Each unit, and its text.
const UNITS: [(&str, &str); 2] = [
    (
        "edge-filter-boot.service",
        include_str!("../../packaging/systemd/edge-filter-boot.service"),
    ),
    (
        "edge-filter.service",
        include_str!("../../packaging/systemd/edge-filter.service"),
    ),
];

/// The exposure that `systemd-analyze security` may find, in tenths; docs/boot.md prints it.
const EXPOSURE: u32 = 23;

/// The values that a unit gives to a setting, in order.
fn values<'u>(unit: &'u str, name: &str) -> Vec<&'u str> {
    let lines = unit.lines();
    lines
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .collect()
}

/// The arguments of a unit's command.
fn arguments(unit: &str) -> Result<Vec<&str>> {
    let command = values(unit, "ExecStart");
    let words = command.first().context("it starts nothing")?;
    let words = words.strip_prefix("/usr/bin/edge-filter ");
    Ok(words
        .context("it starts another program")?
        .split(' ')
        .collect())
}

fn output_of(command: &mut Command, package: &str) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .output()
        .with_context(|| format!("run `{program}`; install it with `apt-get install {package}`"))
}

fn systemd_analyze(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("systemd-analyze");
    output_of(
        command.args(arguments).env("SYSTEMD_COLORS", "0"),
        "systemd",
    )
}

/// The units as files, with a program that is there.
fn installed() -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let directory = tempfile::tempdir()?;
    let own = binary()?;
    let own = own.to_str().context("a plain path")?;
    let mut paths = Vec::new();
    for (name, text) in UNITS {
        let path = directory.path().join(name);
        fs::write(&path, text.replace("/usr/bin/edge-filter", own))?;
        paths.push(path);
    }
    Ok((directory, paths))
}

#[test]
fn systemd_understands_the_units() -> Result<()> {
    let (_directory, paths) = installed()?;
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(paths.iter().filter_map(|path| path.to_str()));
    let output = systemd_analyze(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success() && !said.contains(".service:"),
        "{said}"
    );
    // It would say so: a setting that it does not know.
    let wrong = fs::read_to_string(&paths[0])?.replace("NoNewPrivileges", "NoNewPrivilege");
    fs::write(&paths[0], wrong)?;
    let output = systemd_analyze(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("NoNewPrivilege"), "{said}");
    Ok(())
}

#[test]
fn systemd_finds_them_no_more_exposed_than_is_documented() -> Result<()> {
    let (_directory, paths) = installed()?;
    let documentation = include_str!("../../docs/boot.md");
    for (path, (name, _)) in paths.iter().zip(UNITS) {
        let threshold = format!("--threshold={EXPOSURE}");
        let path = path.to_str().context("a plain path")?;
        let arguments = ["security", "--offline=true", "--no-pager", &threshold, path];
        let output = systemd_analyze(&arguments)?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{said}");
        let overall = said
            .lines()
            .find_map(|line| line.split_once(&format!("for {name}: ")))
            .context("it says nothing of the whole")?;
        let level = overall.1.split(' ').next().unwrap_or_default();
        ensure!(
            documentation.contains(&format!("| `{name}` | {level} |")),
            "docs/boot.md does not say {level} of {name}"
        );
    }
    Ok(())
}

/// A lab that was rebooted.
fn rebooted() -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Native)?;
    lab.reboot()?;
    Ok(lab)
}

/// The command of a unit, with no more capabilities than it has, and where nothing but the
/// lab's own directory (which holds bpffs, state and what is in memory) can be written to.
fn confined(lab: &Lab, unit: &str) -> Result<Command> {
    let capabilities = values(unit, "CapabilityBoundingSet").join(" ");
    let kept: Vec<String> = capabilities
        .split(' ')
        .filter_map(|name| name.strip_prefix("CAP_"))
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    ensure!(kept.len() == 4, "{kept:?}");
    ensure!(values(unit, "NoNewPrivileges") == ["yes"]);
    ensure!(values(unit, "ProtectSystem") == ["strict"]);
    ensure!(values(unit, "ReadOnlyPaths") == ["/proc /sys"]);
    let script = "set -e\n\
                  for place in / /proc /sys; do mount -o remount,bind,ro $place; done\n\
                  if touch /edge-filter-was-here 2>/dev/null; then exit 99; fi\n\
                  exec setpriv --no-new-privs \"--bounding-set=-all,$0\" \"$@\"";
    let mut command = lab.edge.command_in("unshare", &lab.mounts);
    lab.places(&mut command)
        .args(["--mount", "--propagation=private", "sh", "-c", script])
        .arg(kept.join(","))
        .arg(binary()?)
        .args(arguments(unit)?);
    Ok(command)
}

#[test]
fn what_the_units_start_works_under_what_they_forbid() -> Result<()> {
    let [(_, boot), (_, daemon)] = UNITS;
    let lab = rebooted()?;
    expect_exit(&mut confined(&lab, boot)?, 0)?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    lab.reboot()?;
    fs::write(lab.mounts.outside("state/edge-filter/history/2.json"), "{")?;
    expect_exit(&mut confined(&lab, boot)?, 3)?;

    let lab = rebooted()?;
    assert_eq!(Probe::new(&lab)?.open()?, OPEN);
    let daemon = Daemon::begin_by(&lab, confined(&lab, daemon)?)?;
    daemon.await_message(|message| message.value("READY") == Some("1"))?;
    daemon.await_filtered(&["external", "internal"])?;
    assert_eq!(Probe::new(&lab)?.open()?, FIRST);
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    ensure!(status.contains("CapBnd:\t000000c000201000"), "{status}");
    lab.edge
        .ip("link del internal\nlink add internal type veth peer name internal-peer\n")?;
    daemon.await_filtered(&["external", "internal"])
}

/// The system calls of each of systemd's sets, and the sets within it.
fn sets() -> Result<BTreeMap<String, Vec<String>>> {
    let output = systemd_analyze(&["syscall-filter", "--no-pager"])?;
    ensure!(output.status.success());
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = None;
    for line in String::from_utf8(output.stdout)?.lines() {
        let name = line.trim();
        if line.starts_with('@') {
            current = Some(name.to_owned());
        } else if !name.is_empty() && !name.starts_with('#') {
            let set = current.clone().context("a name without a set")?;
            sets.entry(set).or_default().push(name.to_owned());
        }
    }
    Ok(sets)
}

fn expand(sets: &BTreeMap<String, Vec<String>>, name: &str, into: &mut BTreeSet<String>) {
    match sets.get(name) {
        Some(members) => members.iter().for_each(|member| expand(sets, member, into)),
        None => drop(into.insert(name.to_owned())),
    }
}

/// The system calls that a unit allows: the first line of its filter names what is, those
/// with a tilde what is not.
fn allowed(unit: &str, sets: &BTreeMap<String, Vec<String>>) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    // What systemd allows in any case (systemd.exec(5)).
    expand(sets, "@default", &mut allowed);
    let filters = values(unit, "SystemCallFilter");
    ensure!(!filters.is_empty());
    for filter in filters {
        let (denied, names) = match filter.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, filter),
        };
        let mut meant = BTreeSet::new();
        for name in names.split(' ') {
            ensure!(
                !name.starts_with('@') || sets.contains_key(name),
                "systemd knows no {name}"
            );
            expand(sets, name, &mut meant);
        }
        if denied {
            allowed.retain(|name| !meant.contains(name));
        } else {
            allowed.extend(meant);
        }
    }
    Ok(allowed)
}

/// A command of the product, every system call of which is written to `trace`.
fn traced(lab: &Lab, trace: &Path, arguments: &[&str]) -> Result<Command> {
    let mut command = lab.edge.command_in("strace", &lab.mounts);
    lab.places(&mut command)
        .args(["--follow-forks", "--quiet=all", "--signal=none", "--output"])
        .arg(trace)
        .arg(binary()?)
        .args(arguments);
    Ok(command)
}

/// The system calls of a trace, but for the one that started the program, and the families
/// of its sockets.
fn calls(trace: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut calls, mut families) = (BTreeSet::new(), BTreeSet::new());
    for line in trace.lines() {
        let call = line
            .split_once(' ')
            .map_or("", |(_, call)| call.trim_start());
        let Some((name, rest)) = call.split_once('(') else {
            continue;
        };
        if name
            .chars()
            .all(|one| one.is_ascii_alphanumeric() || one == '_')
        {
            calls.insert(name.to_owned());
        }
        if name == "socket" || name == "socketpair" {
            families.extend(rest.split(',').next().map(str::to_owned));
        }
    }
    (calls, families)
}

#[test]
fn their_filters_allow_every_system_call_that_is_made() -> Result<()> {
    let sets = sets()?;
    let [(_, boot), (_, daemon)] = UNITS;
    let lab = rebooted()?;
    let inside = lab.mounts.inside("trace");
    let read = || fs::read_to_string(lab.mounts.outside("trace")).context("read the trace");
    let mut seen = Vec::new();
    // What was committed, and the policy of last resort.
    for code in [0, 3] {
        let mut command = traced(&lab, &inside, &arguments(boot)?)?;
        let output = output_of(&mut command, "strace")?;
        ensure!(output.status.code() == Some(code), "{output:?}");
        seen.push((boot, read()?));
        lab.reboot()?;
        fs::write(lab.mounts.outside("state/edge-filter/history/2.json"), "{")?;
    }
    // A start, an event, a repair, a reload with a policy, and the end.
    let policy = lab.mounts.inside("policy.yaml");
    let policy = policy.to_str().context("a plain name")?;
    let command = traced(
        &lab,
        &inside,
        &[&arguments(daemon)?[..], &[policy]].concat(),
    )?;
    let running = Daemon::begin_by(&lab, command)?;
    running.await_message(|message| message.value("READY") == Some("1"))?;
    lab.edge
        .ip("link del internal\nlink add internal type veth peer name internal-peer\n")?;
    running.await_filtered(&["external", "internal"])?;
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let child: i32 = fs::read_to_string(children)?.trim().parse()?;
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), signal)?;
        running.await_message(|message| {
            message.value("RELOADING").is_some() || message.value("STOPPING").is_some()
        })?;
    }
    let mut running = running;
    running.end()?;
    seen.push((daemon, read()?));

    for (unit, trace) in seen {
        let allowed = allowed(unit, &sets)?;
        let (calls, families) = calls(&trace);
        ensure!(calls.contains("bpf") && calls.len() > 20, "{calls:?}");
        let refused: Vec<_> = calls.difference(&allowed).collect();
        ensure!(refused.is_empty(), "the unit forbids {refused:?}");
        let known = values(unit, "RestrictAddressFamilies").join(" ");
        let known: BTreeSet<&str> = known.split(' ').collect();
        ensure!(
            families.iter().all(|family| known.contains(&**family)),
            "the unit forbids one of {families:?}"
        );
    }
    Ok(())
}
