//! What `plan` says would change.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport};
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::product::{Mode, expect_exit};
use edge_filter_tests::lab::proposed::{CHANGES, FAILED, NO_CHANGE, plan_command, planned};
use edge_filter_tests::lab::trial::until_deadline;
use edge_filter_tests::lab::{Lab, Plan, sample};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(3);

fn lab() -> Result<Lab> {
    Lab::new(&Plan::default())
}

/// The ids of rules in a part of `rules`.
fn ids(plan: &Value, part: &str) -> Vec<String> {
    let rules = plan["rules"][part].as_array().expect("a list");
    let ids = rules.iter().map(|rule| rule["id"].as_str().expect("an id"));
    ids.map(str::to_owned).collect()
}

/// `CHANGE DEVICE DIRECTION` of each.
fn devices(plan: &Value) -> Vec<String> {
    let devices = plan["devices"].as_array().expect("a list");
    let words = devices.iter().map(|one| {
        let word = |key: &str| one[key].as_str().expect("a word").to_owned();
        format!(
            "{} {} {}",
            word("change"),
            word("device"),
            word("direction")
        )
    });
    words.collect()
}

/// Has the web answer.
fn browse(lab: &Lab) -> Result<()> {
    let plan = Plan::default();
    let call = Call {
        transport: Transport::Tcp,
        from: (plan.outside[0], 0).into(),
        to: (plan.external[0], 443).into(),
    };
    let outcome = call.hold(&lab.external, b"a token of sixteen bytes", PATIENCE)?;
    ensure!(outcome == Outcome::Answered, "the web does not answer");
    Ok(())
}

#[test]
fn nothing_is_enforced_then_the_same_is() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let plan = planned(&lab, &policy, CHANGES)?;
    assert_eq!(plan["enforced"], Value::Null);
    assert_eq!(plan["changes"], json!(true));
    assert_eq!(ids(&plan, "added"), ["web", "stun", "xmpp"]);
    assert_eq!(
        devices(&plan),
        ["attach external inbound", "attach internal inbound"]
    );
    ensure!(lab.mounts.pins()?.is_empty(), "planning left something");
    lab.apply(&policy, Mode::Native)?;
    let plan = planned(&lab, &policy, NO_CHANGE)?;
    assert_eq!(plan["enforced"]["generation"], json!(1));
    assert_eq!(plan["changes"], json!(false));
    let output = expect_exit(&mut plan_command(&lab, &policy, &[])?, NO_CHANGE)?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.ends_with("\nno change\n"), "{text}");
    // Another text that says the same.
    let commented = format!("# reviewed\n{}", sample::POLICY);
    let commented = lab.mounts.write("commented.yaml", &commented)?;
    let output = expect_exit(&mut plan_command(&lab, &commented, &[])?, NO_CHANGE)?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.contains("but not in what it enforces"), "{text}");
    Ok(())
}

/// [`sample::both_ways`] without `web`, with another port of `stun`, the two outbound rules
/// exchanged, and a new one behind them.
fn other() -> String {
    let policy = sample::both_ways();
    let mut lines: Vec<String> = policy.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.contains("id: web,"));
    for line in &mut lines {
        if line.contains("id: stun,") {
            *line = line.replace("3478", "3479");
        }
    }
    let last = lines.len() - 1;
    lines.swap(last, last - 1);
    lines.push(
        "      - { id: dns-out, interface: external, direction: outbound, to: { ports: [53] }, \
         protocol: udp, action: allow }\n"
            .to_owned(),
    );
    lines.join("\n")
}

#[test]
fn rules_that_go_or_change_are_shown_with_what_hit_them() -> Result<()> {
    let lab = lab()?;
    let former = lab.mounts.write("former.yaml", &sample::both_ways())?;
    let other = lab.mounts.write("other.yaml", &other())?;
    lab.apply(&former, Mode::Native)?;
    let before = planned(&lab, &other, CHANGES)?;
    assert_eq!(before["rules"]["removed"][0]["hits"]["packets"], json!(0));
    browse(&lab)?;
    let plan = planned(&lab, &other, CHANGES)?;
    assert_eq!(ids(&plan, "added"), ["dns-out"]);
    assert_eq!(ids(&plan, "removed"), ["web"]);
    assert_eq!(ids(&plan, "changed"), ["stun"]);
    assert_eq!(ids(&plan, "moved"), ["stun-out"]);
    assert_eq!(
        plan["rules"]["changed"][0]["fields"],
        json!([{ "field": "service", "before": ["udp 3478"], "after": ["udp 3479"] }])
    );
    assert_eq!(plan["rules"]["moved"][0]["was_behind"], json!("sip-out"));
    assert_eq!(plan["rules"]["moved"][0]["behind"], Value::Null);
    assert_eq!(devices(&plan), [""; 0]);
    // What it says is what `counters` says.
    let moved = lab.counters()?.moved();
    let hits = &plan["rules"]["removed"][0]["hits"];
    for (direction, id, counted) in [
        ("inbound", "web", &hits["packets"]),
        ("outbound", "web/reply", &hits["replies"]["packets"]),
    ] {
        let name = ("external".to_owned(), direction.to_owned(), id.to_owned());
        let packets = moved
            .get(&name)
            .with_context(|| format!("{id} is not hit"))?;
        assert_eq!(*counted, json!(packets.packets), "{id}");
    }
    assert_eq!(hits["sample"], Value::Null);
    let output = expect_exit(&mut plan_command(&lab, &other, &[])?, CHANGES)?;
    let text = String::from_utf8(output.stdout)?;
    for words in [
        "in the place of 'lab' (sha256 ",
        "+ dns-out: external outbound, allow (line ",
        "- web: external inbound, allow; hit by ",
        " packets and ",
        "~ stun (line ",
        "; never hit\n      service: without udp 3478, with udp 3479\n",
        "> stun-out (line ",
        ": before all others, not behind 'sip-out'; never hit\n",
        "\n1 rule added, 1 rule removed, 1 rule changed, 1 rule moved\n",
    ] {
        ensure!(text.contains(words), "no word of \"{words}\" in:\n{text}");
    }
    Ok(())
}

#[test]
fn a_sample_tells_what_is_hit_now() -> Result<()> {
    let lab = lab()?;
    let former = lab.mounts.write("former.yaml", &sample::both_ways())?;
    let other = lab.mounts.write("other.yaml", &other())?;
    lab.apply(&former, Mode::Native)?;
    let mut command = plan_command(&lab, &other, &["--json", "--sample", "2"])?;
    let output = thread::scope(|scope| -> Result<_> {
        let planning = scope.spawn(move || expect_exit(&mut command, CHANGES));
        thread::sleep(Duration::from_secs(1));
        browse(&lab)?;
        planning.join().expect("no panic")
    })?;
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    let hits = &plan["rules"]["removed"][0]["hits"];
    assert_eq!(hits["sample"]["seconds"], json!(2));
    let packets = |value: &Value| value["packets"].as_u64().expect("a number");
    assert_eq!(
        packets(&hits["sample"]),
        packets(hits) + packets(&hits["replies"])
    );
    assert!(packets(&hits["sample"]) > 0, "{hits}");
    let unhit = &plan["rules"]["changed"][0]["hits"]["sample"];
    assert_eq!(packets(unhit), 0);
    Ok(())
}

#[test]
fn devices_that_come_and_go_are_shown() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.apply(&policy, Mode::Native)?;
    let outer: Vec<&str> = sample::POLICY
        .lines()
        .filter(|line| !line.contains("internal"))
        .collect();
    let outer = outer
        .join("\n")
        .replace("vlans: [untagged]", "outbound: enforce, vlans: [untagged]");
    let outer = lab.mounts.write("outer.yaml", &(outer + "\n"))?;
    let plan = planned(&lab, &outer, CHANGES)?;
    assert_eq!(
        devices(&plan),
        ["attach external outbound", "release internal inbound"]
    );
    // Roles by other devices.
    let exchanged = [
        "--json",
        "--interface",
        "external=internal",
        "--interface",
        "internal=external",
    ];
    let output = expect_exit(&mut plan_command(&lab, &policy, &exchanged)?, CHANGES)?;
    let plan: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        devices(&plan),
        ["reassign internal inbound", "reassign external inbound"]
    );
    let mut command = lab.edge_filter(&["apply", "--mode", "native"])?;
    expect_exit(command.arg(&outer), 0)?;
    planned(&lab, &outer, NO_CHANGE)?;
    Ok(())
}

/// What is committed and not there is waited for; to have it no more is a change, whether it
/// was ever there or not.
#[test]
fn a_device_that_is_not_waited_for_any_more_is_a_change() -> Result<()> {
    let only = ["--interface", "internal=internal"];
    let both = ["--interface", "internal=internal,spare"];
    for was_there in [true, false] {
        let lab = lab()?;
        let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
        let name = policy.to_str().context("a plain name")?;
        if was_there {
            lab.edge
                .ip("link add spare type veth peer name spare-peer\n")?;
            lab.run(
                &[&["apply", name, "--mode", "native"], &both[..]].concat(),
                0,
            )?;
            lab.edge.ip("link del spare\n")?;
        } else {
            drop(Daemon::start(
                &lab,
                &[&[name, "--mode", "native"], &both[..]].concat(),
            )?);
        }
        let plan = |code: i32| -> Result<Value> {
            let arguments = [&only[..], &["--json"]].concat();
            let output = expect_exit(&mut plan_command(&lab, &policy, &arguments)?, code)?;
            Ok(serde_json::from_slice(&output.stdout)?)
        };
        let changed = plan(CHANGES)?;
        assert_eq!(changed["changes"], json!(true));
        assert_eq!(devices(&changed), [""; 0]);
        assert_eq!(
            changed["not_awaited"],
            json!([{ "device": "spare", "interface": "internal" }])
        );
        let output = expect_exit(&mut plan_command(&lab, &policy, &only)?, CHANGES)?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            text.ends_with(
                "\ndevices\n  - spare is not waited for any more (was internal)\n\n1 device not \
                 waited for any more\n"
            ),
            "{text}"
        );
        lab.run(
            &[&["apply", name, "--mode", "native"], &only[..]].concat(),
            0,
        )?;
        assert_eq!(plan(NO_CHANGE)?["not_awaited"], json!([]));
    }
    Ok(())
}

#[test]
fn a_plan_says_what_apply_would_refuse() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    lab.edge
        .ip("addr add 192.0.2.77/24 dev external valid_lft 3600 preferred_lft 1800\n")?;
    let plan = planned(&lab, &policy, CHANGES)?;
    let told = plan["lock_out"].as_str().context("nothing is locked out")?;
    ensure!(told.contains("the DHCP lease of 192.0.2.77"), "{told}");
    let output = expect_exit(&mut plan_command(&lab, &policy, &[])?, CHANGES)?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(told.contains("warning: `apply` refuses this"), "{told}");
    Ok(())
}

#[test]
fn what_is_wrong_exits_with_1() -> Result<()> {
    let lab = lab()?;
    let wrong = lab.mounts.write("wrong.yaml", "version: 1\n")?;
    expect_exit(&mut plan_command(&lab, &wrong, &[])?, FAILED)?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let nowhere = ["--interface", "external=nowhere0"];
    expect_exit(&mut plan_command(&lab, &policy, &nowhere)?, FAILED)?;
    let unwritable = ["--out", "/nonexistent/plan.json"];
    expect_exit(&mut plan_command(&lab, &policy, &unwritable)?, FAILED)?;
    Ok(())
}

/// Waits until the trial of a generation is over.
fn await_deadline(lab: &Lab, generation: u64) -> Result<()> {
    let left = until_deadline(lab, generation)?;
    thread::sleep(Duration::from_secs_f64(left.max(0.0) + 0.05));
    Ok(())
}

/// All notes, as one text.
fn notes(plan: &Value) -> String {
    let notes = plan["notes"].as_array().expect("a list");
    let notes = notes.iter().map(|note| note.as_str().expect("text"));
    notes.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_on_trial_is_a_change_and_has_a_deadline() -> Result<()> {
    let lab = lab()?;
    let first = lab.mounts.write("first.yaml", sample::POLICY)?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    lab.apply(&first, Mode::Native)?;
    let trial = lab.try_out(&moved, Mode::Native, "5s")?;
    let plan = planned(&lab, &moved, CHANGES)?;
    assert_eq!(plan["changes"], json!(true));
    assert_eq!(plan["enforced"]["generation"], json!(2));
    assert_eq!(
        plan["enforced"]["confirm_deadline"].as_str(),
        trial.confirm_deadline.as_deref()
    );
    let told = notes(&plan);
    ensure!(
        told.contains("is on trial until 20") && told.contains("generation 1 decides again"),
        "{told}"
    );
    let output = expect_exit(&mut plan_command(&lab, &moved, &[])?, CHANGES)?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        text.contains(", on trial until 20")
            && text.ends_with("\nthe trial ends: its policy is kept for good\n"),
        "{text}"
    );
    await_deadline(&lab, 2)?;
    let plan = planned(&lab, &first, NO_CHANGE)?;
    let told = notes(&plan);
    ensure!(told.contains("was over at 20"), "{told}");
    assert_eq!(plan["enforced"]["generation"], json!(1));
    assert_eq!(plan["enforced"]["confirm_deadline"], Value::Null);
    planned(&lab, &moved, CHANGES)?;
    Ok(())
}

#[test]
fn a_first_trial_that_is_over_is_called_so() -> Result<()> {
    let lab = lab()?;
    let first = lab.mounts.write("first.yaml", sample::POLICY)?;
    lab.try_out(&first, Mode::Native, "3s")?;
    let told = notes(&planned(&lab, &first, CHANGES)?);
    ensure!(told.contains("from then on nothing is filtered"), "{told}");
    await_deadline(&lab, 1)?;
    let plan = planned(&lab, &first, CHANGES)?;
    assert_eq!(plan["enforced"], Value::Null);
    assert_eq!(ids(&plan, "added"), ["web", "stun", "xmpp"]);
    let told = notes(&plan);
    ensure!(
        told.contains("was over at 20") && told.contains("nothing was filtered before it"),
        "{told}"
    );
    ensure!(!told.contains("knows nothing of them"), "{told}");
    Ok(())
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    for format in [&[][..], &["--json"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = plan_command(&lab, &policy, format)?;
        let output = expect_exit(command.stdout(writer), CHANGES)?;
        ensure!(output.stderr.is_empty(), "{output:?}");
        // What nobody can read is an error still.
        let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
        let mut command = plan_command(&lab, &policy, format)?;
        expect_exit(command.stdout(full), FAILED)?;
    }
    Ok(())
}

#[test]
fn a_place_that_apply_would_refuse_is_refused() -> Result<()> {
    let lab = lab()?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    lab.apply(&policy, Mode::Native)?;
    for wrong in [["--mode", "generic"], ["--egress", "clsact"]] {
        let told = |mut command: Command| -> Result<String> {
            let output = expect_exit(&mut command, FAILED)?;
            Ok(String::from_utf8(output.stderr)?)
        };
        let plan = told(plan_command(&lab, &policy, &wrong)?)?;
        let mut apply = lab.edge_filter(&["apply"])?;
        apply.arg(&policy).args(wrong);
        let apply = told(apply)?;
        ensure!(plan.contains("it is filtered by "), "{plan}");
        assert_eq!(plan, apply);
    }
    for right in [
        ["--mode", "auto"],
        ["--mode", "native"],
        ["--egress", "tcx"],
    ] {
        expect_exit(&mut plan_command(&lab, &policy, &right)?, NO_CHANGE)?;
    }
    Ok(())
}
