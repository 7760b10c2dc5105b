//! When rules were hit last: the daemon watches the counters, and `plan` says what it knows.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use jiff::{Timestamp, ToSpan};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde_json::Value;

/// What `plan` exits with if anything would change.
const CHANGES: i32 = 2;
/// A look each second.
const WATCHING: [&str; 2] = ["--watch", "1"];
/// Two looks, and more.
const LOOKS: Duration = Duration::from_millis(2500);
const FILE: &str = "state/edge-filter/last-hits.json";

/// A lab that enforces [`sample::POLICY`], and another policy that goes without its rules
/// for the external side.
fn lab() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let fewer: Vec<&str> = sample::POLICY
        .lines()
        .filter(|line| !line.contains("id: web,") && !line.contains("id: stun,"))
        .collect();
    let fewer = lab.mounts.write("fewer.yaml", &fewer.join("\n"))?;
    lab.apply(&policy, Mode::Native)?;
    Ok((lab, fewer))
}

/// What `plan` says of the rule `id`, which would go.
fn hits(lab: &Lab, fewer: &PathBuf, id: &str) -> Result<Value> {
    let mut command = lab.edge_filter(&["plan", "--json"])?;
    let output = expect_exit(command.arg(fewer), CHANGES)?;
    let plan: Value = serde_json::from_slice(&output.stdout).context("read `plan --json`")?;
    let removed = plan["rules"]["removed"].as_array().context("a list")?;
    let rule = removed.iter().find(|rule| rule["id"] == id);
    Ok(rule.context("the rule does not go")?["hits"].clone())
}

/// The same in words.
fn in_words(lab: &Lab, fewer: &PathBuf, id: &str) -> Result<String> {
    let mut command = lab.edge_filter(&["plan"])?;
    let output = expect_exit(command.arg(fewer), CHANGES)?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.contains(&format!("- {id}:")));
    Ok(line.context("the rule does not go")?.to_owned())
}

fn time(value: &Value) -> Result<Timestamp> {
    Ok(value.as_str().context("a time")?.parse()?)
}

/// What `plan` says of `stun` once the daemon has seen that it was hit after `begun`. Until
/// then `plan` has seen it itself, and knows better.
fn await_hit(daemon: &Daemon<'_>, lab: &Lab, fewer: &PathBuf, begun: Timestamp) -> Result<Value> {
    daemon.wait("see the hit", || {
        let seen = hits(lab, fewer, "stun")?["last_hit"].clone();
        Ok(!seen.is_null() && time(&seen)? >= begun)
    })?;
    sleep(LOOKS);
    hits(lab, fewer, "stun")
}

#[test]
fn plan_says_when_a_rule_was_hit_last() -> Result<()> {
    let (lab, fewer) = lab()?;
    let mut probe = Probe::new(&lab)?;
    ensure!(probe.open()? == [true, false]);
    // Nobody watches.
    let found = hits(&lab, &fewer, "stun")?;
    assert_eq!(found["packets"], 1);
    assert!(found["last_hit"].is_null() && found["watched_since"].is_null());
    let said = in_words(&lab, &fewer, "stun")?;
    assert!(said.ends_with("; hit by 1 packet"), "{said}");

    let mut daemon = Daemon::start(&lab, &WATCHING)?;
    daemon.wait("keep what it sees", || {
        Ok(lab.mounts.outside(FILE).exists())
    })?;
    let found = hits(&lab, &fewer, "stun")?;
    assert!(found["last_hit"].is_null(), "{found:#}");
    let since = time(&found["watched_since"])?;
    let said = in_words(&lab, &fewer, "stun")?;
    assert!(
        said.ends_with(&format!(
            "hit by 1 packet, not since {since} (watched since then)"
        )),
        "{said}"
    );
    let begun = Timestamp::now().round(jiff::Unit::Second)?;
    ensure!(probe.open()? == [true, false]);
    let found = await_hit(&daemon, &lab, &fewer, begun)?;
    let (after, until) = (time(&found["last_hit_after"])?, time(&found["last_hit"])?);
    assert!(
        after <= begun + 1.second() && until <= begun + 5.seconds(),
        "hit at {begun}: {found:#}"
    );
    assert_eq!(time(&found["watched_since"])?, since);
    let said = in_words(&lab, &fewer, "stun")?;
    assert!(said.contains("hit by 2 packets, last less than "), "{said}");
    // A rule that nothing hit is so, watched or not.
    let said = in_words(&lab, &fewer, "web")?;
    assert!(said.ends_with("never hit"), "{said}");

    // What is not hit any more stays as it is, and nothing is written meanwhile; `counters`
    // says the same; and another generation changes nothing.
    sleep(LOOKS);
    let written = std::fs::metadata(lab.mounts.outside(FILE))?.modified()?;
    sleep(LOOKS);
    assert_eq!(
        std::fs::metadata(lab.mounts.outside(FILE))?.modified()?,
        written
    );
    let policy = lab.mounts.write("longer.yaml", &sample::longer())?;
    lab.apply(&policy, Mode::Native)?;
    sleep(LOOKS);
    assert_eq!(hits(&lab, &fewer, "stun")?["last_hit"], found["last_hit"]);
    let counters = lab.json(&["counters"])?;
    let hook = &counters["hooks"][0];
    assert_eq!(hook["watched_since"], found["watched_since"], "{hook:#}");
    let counter = |id: &str| {
        let mut counters = hook["counters"].as_array().into_iter().flatten();
        counters.find(|counter| counter["id"] == id).cloned()
    };
    let counter = |id: &str| counter(id).context("no such counter");
    assert_eq!(counter("stun")?["last_hit"], found["last_hit"]);
    assert!(counter("web")?["last_hit"].is_null());

    // While nobody looks, a packet comes: it came between two looks that are far apart, or
    // not, and one that did not come is not made up.
    daemon.signal(Signal::SIGKILL)?;
    daemon.end()?;
    drop(daemon);
    assert_eq!(hits(&lab, &fewer, "stun")?["last_hit"], found["last_hit"]);
    ensure!(probe.open()? == [true, false]);
    let begun = Timestamp::now().round(jiff::Unit::Second)?;
    let daemon = Daemon::start(&lab, &WATCHING)?;
    let bridged = await_hit(&daemon, &lab, &fewer, begun - 1.second())?;
    assert!(time(&bridged["last_hit_after"])? >= until, "{bridged:#}");
    assert_eq!(time(&bridged["watched_since"])?, since);

    // A file that is no use is no error, and begins anew.
    std::fs::write(lab.mounts.outside(FILE), "{\"version\":1,\"gen")?;
    let found = hits(&lab, &fewer, "stun")?;
    assert_eq!(found["packets"], 3);
    assert!(found["watched_since"].is_null(), "{found:#}");
    lab.run(&["detach"], 0)?;
    sleep(LOOKS);
    assert!(!lab.mounts.outside(FILE).exists(), "it outlives `detach`");
    let log = daemon.log()?;
    assert!(!log.contains("<3>") && !log.contains("<4>"), "{log}");
    Ok(())
}

/// A policy of `rules` rules for `external` that nothing hits, and `stun`.
fn large(rules: usize) -> String {
    use std::fmt::Write as _;
    let mut policy = sample::POLICY.to_owned();
    for number in 0..rules {
        let (high, low) = (number / 250, number % 250);
        let _ = writeln!(
            policy,
            "      - {{ id: rule-{number}, interface: external, direction: inbound, from: {{ \
             networks: [198.18.{high}.{low}] }}, protocol: tcp, action: drop }}"
        );
    }
    policy
}

/// What the processor has done for a process.
fn processor_time(process: u32) -> Result<Duration> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(i32::try_from(process)?))?;
    Ok(clock_gettime(clock)?.into())
}

#[test]
fn watching_ten_thousand_rules_costs_little() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &large(10_000))?;
    lab.apply(&policy, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    let daemon = Daemon::start(&lab, &WATCHING)?;
    daemon.wait("keep what it sees", || {
        Ok(lab.mounts.outside(FILE).exists())
    })?;
    let (begun, before) = (Instant::now(), processor_time(daemon.pid())?);
    for _ in 0..soak::times(30) {
        sleep(Duration::from_secs(1));
        probe.open()?;
    }
    let taken = processor_time(daemon.pid())?.saturating_sub(before);
    let looks = begun.elapsed().as_secs_f64();
    let each = taken.as_secs_f64() / looks;
    println!(
        "10,000 rules, {looks:.0} looks: {:.1} ms of a processor each, {:.2} % of one at a look in \
         ten seconds; {} bytes are kept",
        each * 1e3,
        each * 10.0,
        std::fs::metadata(lab.mounts.outside(FILE))?.len()
    );
    // A tenth of a processor at ten seconds would be a whole one of a look.
    assert!(each < 1.0, "{each} s of a processor for a look");
    Ok(())
}
