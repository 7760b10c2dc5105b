//! What the commands print, word for word, as far as that needs no privilege.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, in the workspace's root, with places of its own that are not there.
fn edge_filter(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-filter"));
    command
        .current_dir(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .parent()
                .expect("a workspace"),
        )
        .env("EDGE_FILTER_PIN_ROOT", "/nonexistent/pins")
        .env("EDGE_FILTER_STATE_DIR", "/nonexistent/state")
        .env("EDGE_FILTER_RUN_DIR", "/nonexistent/run")
        .env("EDGE_FILTER_MANAGEMENT", "/nonexistent/management.yaml")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    edge_filter(arguments).output().expect("it starts")
}

/// Everything that it said, and how it ended.
fn told(arguments: &[&str]) -> String {
    let output = run(arguments);
    format!(
        "$ edge-filter {}\n{}--- standard error\n{}--- exit code {}",
        arguments.join(" "),
        String::from_utf8(output.stdout).expect("UTF-8"),
        String::from_utf8(output.stderr).expect("UTF-8"),
        output.status.code().expect("no signal"),
    )
}

/// Each command line in turn, as one text.
fn all(command_lines: &[&str]) -> String {
    let told = command_lines
        .iter()
        .map(|line| told(&line.split_whitespace().collect::<Vec<_>>()));
    told.collect::<Vec<_>>().join("\n\n")
}

const LITERAL: &str = "config/lync-2013-port-summary.yaml";

#[test]
fn help() {
    insta::assert_snapshot!(all(&[
        "--help",
        "check -h",
        "explain -h",
        "test -h",
        "plan -h",
        "apply -h",
        "confirm -h",
        "rollback -h",
        "status -h",
        "counters -h",
        "detach -h",
        "run -h",
    ]));
}

#[test]
fn usage_errors_exit_with_2() {
    insta::assert_snapshot!(all(&[
        "",
        "aply",
        "check",
        "plan",
        "plan p.yaml --sample 0",
        "apply",
        "apply p.yaml --plan plan.json",
        "apply --plan plan.json --mode native",
        "apply p.yaml --last-good",
        "apply --last-good --confirm 60s",
        "apply p.yaml --interface external",
        "apply p.yaml --interface external=,eth0",
        "apply p.yaml --mode offload",
        "check p.yaml --max-memory 0",
        "apply p.yaml --max-memory 256M",
        "apply p.yaml --confirm soon",
        "apply p.yaml --confirm 500ms",
        "rollback 11",
        "rollback 2 --generation 3",
        "rollback --list --show 3",
        "counters --watch=0",
        "counters --watch 1",
        "explain p.yaml --interface external --direction inwards",
    ]));
}

#[test]
fn shipped_policies_in_words() {
    insta::assert_snapshot!(all(&[
        "check config/lync-2013-port-summary.yaml",
        "check config/lync-2013-edge.yaml",
        "test config/lync-2013-port-summary.yaml",
        "test config/lync-2013-edge.yaml",
    ]));
}

/// What `check --stats` says, without what differs from one machine to the next, or from
/// one moment: how long it took, and everything behind what the kernel is asked.
fn steady(told: &str) -> String {
    let mut steady = String::new();
    let mut in_kernel = false;
    for line in told.lines() {
        if line.starts_with("--- ") && in_kernel {
            in_kernel = false;
            steady.push_str("(figures, or why there are none)\n");
        }
        if in_kernel {
            continue;
        }
        in_kernel = line.starts_with("in this kernel: ");
        match line.strip_suffix(" ms").or(line.strip_suffix("made in")) {
            // The last column is as wide as its figures.
            Some(rest) => {
                let rest = rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
                steady.push_str(rest);
                steady.push_str("  (time)");
            }
            None => steady.push_str(line),
        }
        steady.push('\n');
    }
    steady
}

#[test]
fn stats_of_the_shipped_policies() {
    insta::assert_snapshot!(steady(&all(&[
        "check config/lync-2013-port-summary.yaml --stats",
        "check config/lync-2013-edge.yaml --stats",
    ])));
}

/// The figures are those of the words, and the kernel's are there or why not.
#[test]
fn the_json_of_stats_has_its_keys() {
    let output = run(&["check", LITERAL, "--stats", "--json"]);
    assert!(output.status.success());
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let stats = &checked["stats"];
    assert_eq!(stats["fits"], true);
    assert_eq!(stats["bytes_allowed"], 256 << 20);
    let hooks = stats["hooks"].as_array().expect("a list");
    let sum: u64 = hooks
        .iter()
        .map(|hook| hook["bytes"]["in_all"].as_u64().expect("a number"))
        .sum();
    assert_eq!(stats["bytes"], sum);
    for hook in hooks {
        assert_eq!(hook["judged"], "by-outcomes");
        assert!(hook["compiled_in_ms"].is_u64());
        for family in hook["lookups"].as_array().expect("both families") {
            let count = |which: &str| family[which]["in_all"].as_u64().expect("a number");
            assert!(0 < count("typical") && count("typical") <= count("costliest"));
        }
        let (measured, reason) = (&hook["measured"], &hook["not_measured"]);
        assert_ne!(measured.is_null(), reason.is_null(), "{hook}");
        if !measured.is_null() {
            assert!(measured["verified_instructions"].as_u64() > Some(0));
            let packets = measured["packets"].as_array().expect("a list");
            assert_eq!(packets.len(), 5, "{measured}");
        }
    }
}

/// Refused with the figures, if they are asked for, and without; on the command line and by
/// the environment.
#[test]
fn tables_beyond_the_budget_are_refused() {
    let policy = "config/lync-2013-edge.yaml";
    insta::assert_snapshot!(steady(&all(&[
        "check config/lync-2013-edge.yaml --max-memory 6",
        "check config/lync-2013-edge.yaml --max-memory 6 --stats",
        "check config/lync-2013-edge.yaml --max-memory 10",
    ])));
    let output = run(&["check", policy, "--max-memory", "6", "--stats", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checked["stats"]["fits"], false);
    assert!(checked["stats"]["hooks"][0]["lookups"].is_null());

    let output = edge_filter(&["check", policy])
        .env("EDGE_FILTER_MAX_MEMORY", "6")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains("may take 6 MiB"), "{message}");
}

/// A device counts once for each of its directions.
#[test]
fn every_device_counts() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("policy.yaml");
    let literal = fs::read_to_string(Path::new("..").join(LITERAL)).expect("it ships");
    let devices = (0..100).map(|number| format!("dev{number}"));
    let devices = devices.collect::<Vec<_>>().join(", ");
    let many = literal.replacen("devices: [eth0]", &format!("devices: [{devices}]"), 1);
    assert_ne!(many, literal, "the policy names other devices now");
    fs::write(&path, many).expect("writable");
    let output = run(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains("MiB on 100 devices"), "{message}");
}

/// The arguments of an `explain` over the literal policy, from IPv4 to the edge.
const EXPLAINED: [&str; 5] = [
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10:443",
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10:443 --json",
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10:444",
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10:444 --json",
    "--direction outbound --protocol tcp --from [2001:db8:1::10]:40000 --to [2001:db8::7]:5269",
];

/// Descriptions of no packet, or of none that meets a hook.
const NOT_EXPLAINED: [&str; 6] = [
    "--direction inbound --protocol tpc --from 198.51.100.200 --to 192.0.2.10:443",
    "--direction inbound --protocol tcp --from 198.51.100.256 --to 192.0.2.10:443",
    "--direction inbound --protocol tcp --from 2001:db8::7 --to 192.0.2.10:443",
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10:65536",
    "--direction inbound --protocol tcp --from 198.51.100.200 --to 192.0.2.10",
    "--direction inbound --protocol udp --from 198.51.100.200 --to 192.0.2.10:443 --tcp-flags syn",
];

fn explain(descriptions: &[&str]) -> String {
    let lines: Vec<String> = descriptions
        .iter()
        .map(|words| format!("explain {LITERAL} --interface external {words}"))
        .collect();
    all(&lines.iter().map(|line| &**line).collect::<Vec<_>>())
}

#[test]
fn explained_packets() {
    insta::assert_snapshot!(explain(&EXPLAINED));
}

#[test]
fn packets_that_cannot_be_explained() {
    insta::assert_snapshot!(explain(&NOT_EXPLAINED));
}

#[test]
fn what_apply_refuses_before_it_needs_privilege() {
    insta::assert_snapshot!(all(&[
        "apply config",
        "apply nowhere.yaml",
        "apply edge-filter-ebpf/prebuilt/edge-filter.bpf.o",
        "apply config/lync-2013-edge.yaml --interface dmz=nosuch0",
        "apply config/lync-2013-edge.yaml --interface external=a --interface external=b",
        "apply config/lync-2013-edge.yaml --interface external=nosuch0",
        "apply config/lync-2013-edge.yaml --interface external=a-name-of-16-byte",
        "apply config/lync-2013-edge.yaml --interface external=%s",
        "apply config/lync-2013-edge.yaml --interface external=../x",
    ]));
}

#[test]
fn nothing_is_enforced() {
    insta::assert_snapshot!(all(&[
        "status",
        "status --json",
        "counters",
        "counters --json",
        "confirm",
        "apply --last-good",
        "apply --last-good --json",
        "rollback",
        "rollback --list",
        "rollback --list --json",
        "detach",
    ]));
}

#[test]
fn the_json_of_a_valid_policy_has_its_keys() {
    let output = run(&["check", LITERAL, "--json"]);
    assert!(output.status.success());
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checked["valid"], true);
    assert_eq!(checked["policy"]["rules"], 10);
    assert_eq!(checked["diagnostics"].as_array().map(Vec::len), Some(1));

    let output = run(&["test", LITERAL, "--json"]);
    assert!(output.status.success());
    let tested: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(tested["failed"], 0);
    let tests = tested["tests"].as_array().expect("a list");
    assert_eq!(tested["passed"], tests.len());
    assert!(tests.iter().all(|test| test["passed"] == true));
}

#[test]
fn the_json_of_a_broken_policy_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("broken.yaml");
    let literal = fs::read_to_string(Path::new("..").join(LITERAL)).expect("it ships");
    fs::write(&path, literal.replacen("action: allow", "action: alow", 1)).expect("writable");
    let output = run(&["check", &path.display().to_string(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(checked["valid"], false);
    assert_eq!(checked["policy"], Value::Null);
    assert!(checked["diagnostics"][0].to_string().contains("alow"));
}

#[test]
fn an_endless_policy_is_refused() {
    let output = run(&["check", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(message.contains("longer than 16 MiB"), "{message}");
}

#[test]
fn an_unreadable_policy_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("secret.yaml");
    fs::write(&path, "version: 1\n").expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("ours");
    let output = run(&["check", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    // Root may read it, and finds that it lacks nearly everything.
    let reason = if nix::unistd::geteuid().is_root() {
        "error: "
    } else {
        "Permission denied"
    };
    assert!(message.contains(reason), "{message}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = edge_filter(&["test", LITERAL])
        .stdout(OwnedFd::from(writer))
        .output()
        .expect("it starts");
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
}

#[test]
fn what_is_found_is_told_by_the_exit_code_whoever_reads() {
    let directory = tempfile::tempdir().expect("a directory");
    let wrong = directory.path().join("wrong.yaml");
    fs::write(&wrong, "version: 1\n").expect("it can be written");
    let wrong = wrong.to_str().expect("a plain name");
    for (arguments, code) in [
        (&["check", wrong, "--json"][..], 1),
        (&["check", LITERAL, "--stats", "--max-memory", "1"], 1),
        (
            &["check", LITERAL, "--stats", "--max-memory", "1", "--json"],
            1,
        ),
        (&["check", LITERAL, "--json"], 0),
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = edge_filter(arguments)
            .stdout(OwnedFd::from(writer))
            .output()
            .expect("it starts");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full");
    let output = edge_filter(&["test", LITERAL])
        .stdout(full.expect("every Linux has it"))
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        message.contains("cannot write to standard output"),
        "{message}"
    );
}
