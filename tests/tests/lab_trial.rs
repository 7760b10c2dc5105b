//! Policies on trial: the program itself goes back to what was enforced before, with every
//! process dead; `confirm` and `rollback` come in time, or are told that they did not.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::boot::{filtered, last_good, said};
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::{Mode, binary, counter, expect_exit};
use edge_filter_tests::lab::trial::{
    FIRST, LATE, MOVED, assert_tidy, await_reversal, generations, lab, refusal, until_deadline,
};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;

fn reverts(mode: Mode) -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, mode)?;
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, FIRST);
    let applied = lab.try_out(&moved, mode, "4s")?;
    assert_eq!(applied.generation, 2);
    assert_eq!(applied.rules.carried, ["web", "stun", "xmpp"]);
    assert_eq!(probe.open()?, MOVED);

    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"]["generation"], 2);
    assert_eq!(
        status["policy"]["confirm_deadline"].as_str(),
        applied.confirm_deadline.as_deref()
    );
    assert_eq!(status["trial"]["passed"], false);
    assert_eq!(status["trial"]["afterwards"], 1);
    probe.settle()?;

    let late = await_reversal(&mut probe, &lab, 2, [MOVED, FIRST])?;
    println!("{mode:?}: asked {late:.3} s after the deadline, the former policy answered");
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;
    let status = lab.json(&["status"])?;
    assert_eq!(status["policy"]["generation"], 1, "{status:#}");
    assert!(status["policy"]["confirm_deadline"].is_null());
    assert_eq!(status["trial"]["generation"], 2);
    assert_eq!(status["trial"]["passed"], true);
    let said = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(said.contains("generation 1 decides again"), "{said}");

    let said = refusal(&lab, &["confirm"])?;
    assert!(said.contains("was over at"), "{said}");
    assert_eq!(probe.open()?, FIRST);
    // What comes next clears the trial away, and keeps its counts.
    lab.apply(&moved, mode)?;
    assert_eq!(probe.open()?, MOVED);
    probe.settle()?;
    assert!(lab.json(&["status"])?["trial"].is_null());
    assert_tidy(&lab)
}

#[test]
fn a_native_trial_reverts_with_every_process_dead() -> Result<()> {
    reverts(Mode::Native)
}

#[test]
fn a_generic_trial_reverts_with_every_process_dead() -> Result<()> {
    reverts(Mode::Generic)
}

/// A stream of datagrams across a deadline.
struct Crossing {
    /// Seconds from the deadline to the first datagram that the former policy let pass.
    late: f64,
    /// How many datagrams were sent to each port.
    sent: usize,
}

/// Sends a stream to both ports until after the deadline: each pair of datagrams is judged
/// by the policy on trial up to some instant, and by the former one from then on.
fn cross(lab: &Lab, probe: &mut Probe<'_>, generation: u64) -> Result<Crossing> {
    let mut sent: Vec<(u32, f64)> = Vec::new();
    let (mut by_former, mut by_trial) = (Vec::new(), Vec::new());
    let mut take = |probe: &mut Probe<'_>| -> Result<()> {
        let [former, trial] = probe.passed()?;
        by_former.extend(former);
        by_trial.extend(trial);
        Ok(())
    };
    while until_deadline(lab, generation)? > 0.1 {
        sleep(Duration::from_millis(20));
    }
    loop {
        let time = -until_deadline(lab, generation)?;
        if time > 0.2 {
            break;
        }
        sent.push((probe.send()?, time));
        sleep(Duration::from_micros(100));
        take(probe)?;
    }
    sleep(Duration::from_millis(100));
    take(probe)?;
    let turn = *by_former.first().context("it never went back")?;
    let numbers = |after: bool| -> Vec<u32> {
        let of_time = sent.iter().filter(|(number, _)| (*number >= turn) == after);
        of_time.map(|(number, _)| *number).collect()
    };
    ensure!(
        by_former == numbers(true),
        "lost by the former policy, from {turn} on"
    );
    // The turn may have come between the two of one pair, whichever was first on its way: then
    // both have passed, or neither.
    let expected = numbers(false);
    let both = by_trial.strip_suffix(&[turn]).unwrap_or(&by_trial);
    let neither = expected.split_last().map(|(_, before)| before);
    ensure!(
        both == expected || Some(&*by_trial) == neither,
        "lost by the policy on trial, up to {turn}: {:?}",
        by_trial.last_chunk::<3>()
    );
    let at = sent.iter().find(|(number, _)| *number == turn);
    Ok(Crossing {
        late: at.context("it was not sent")?.1,
        sent: sent.len(),
    })
}

#[test]
fn each_packet_of_a_stream_across_the_deadline_is_judged_once() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    let (mut late, mut sent) = (Vec::new(), 0);
    for round in 0..soak::times(20) {
        let trial = lab.try_out(&moved, Mode::Native, "2s")?;
        let crossing =
            cross(&lab, &mut probe, trial.generation).with_context(|| format!("round {round}"))?;
        probe.settle().with_context(|| format!("round {round}"))?;
        late.push(crossing.late);
        sent += 2 * crossing.sent;
    }
    late.sort_by(f64::total_cmp);
    let (least, median, most) = (late[0], late[late.len() / 2], late[late.len() - 1]);
    println!(
        "{} trials under {sent} datagrams: the former policy decided {:.1} ms after the deadline \
         (least {:.1}, most {:.1})",
        late.len(),
        median * 1e3,
        least * 1e3,
        most * 1e3
    );
    assert!(least > -0.001 && most < LATE.as_secs_f64(), "{late:?}");
    Ok(())
}

#[test]
fn a_confirmed_trial_stays() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    probe.open()?;
    lab.try_out(&moved, Mode::Native, "6s")?;
    probe.open()?;
    let begun = Instant::now();
    let said = String::from_utf8(lab.run(&["confirm"], 0)?.stdout)?;
    assert!(said.contains("rules: 3 carried, 0 new, 0 gone"), "{said}");
    assert_tidy(&lab)?;
    probe.settle()?;
    let status = lab.json(&["status"])?;
    assert!(status["policy"]["confirm_deadline"].is_null() && status["trial"].is_null());
    sleep(Duration::from_secs(7).saturating_sub(begun.elapsed()));
    assert_eq!(probe.open()?, MOVED);
    probe.settle()?;
    let said = refusal(&lab, &["confirm"])?;
    assert!(said.contains("none is running"), "{said}");
    Ok(())
}

#[test]
fn a_trial_in_the_place_of_another_falls_back_to_what_was_committed() -> Result<()> {
    let (lab, first, moved) = lab()?;
    let longer = lab.mounts.write("longer.yaml", &sample::longer())?;
    lab.apply(&first, Mode::Native)?;
    let mut probe = Probe::new(&lab)?;
    lab.try_out(&longer, Mode::Native, "120s")?;
    let applied = lab.try_out(&moved, Mode::Native, "3s")?;
    assert_eq!(applied.rules.gone, ["telnet"]);
    assert_eq!(probe.open()?, MOVED);
    await_reversal(&mut probe, &lab, 3, [MOVED, FIRST])?;
    assert_eq!(lab.json(&["status"])?["trial"]["afterwards"], 1);
    // Now one in the place of a trial that is over.
    lab.try_out(&moved, Mode::Native, "3s")?;
    assert_eq!(probe.open()?, MOVED);
    await_reversal(&mut probe, &lab, 4, [MOVED, FIRST])?;
    assert_eq!(lab.json(&["status"])?["policy"]["generation"], 1);
    probe.settle()?;
    // `apply` without a trial ends all of them.
    lab.apply(&first, Mode::Native)?;
    assert_eq!(probe.open()?, FIRST);
    probe.settle()?;
    assert_tidy(&lab)?;
    let history = lab.json(&["rollback", "--list"])?;
    let kept: Vec<u64> = generations(&history);
    assert_eq!(kept, [5, 1], "{history:#}");
    Ok(())
}

/// A policy that filters what leaves, too, by each of the ways.
fn reverts_both_ways(egress: &str) -> Result<()> {
    let (lab, first, _) = lab()?;
    let both = lab.mounts.write("both.yaml", &sample::both_ways())?;
    let apply = |policy: &Path, confirm: &[&str]| -> Result<()> {
        let mut command = lab.apply_command(policy, Mode::Native)?;
        expect_exit(command.args(["--egress", egress]).args(confirm), 0).map(drop)
    };
    let plan = Plan::default();
    let near = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 0))?))?;
    let far = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 3478))?))?;
    let other = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 3479))?))?;
    for socket in [&near, &far, &other] {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    }
    // Nothing but STUN may leave.
    let leaves = |port: u16, to: &UdpSocket| -> Result<bool> {
        // Where the filter drops, sending may fail.
        let _ = near.send_to(b"datagram", (plan.outside[0], port));
        Ok(to.recv(&mut [0; 16]).is_ok())
    };
    apply(&both, &[])?;
    assert!(leaves(3478, &far)? && !leaves(3479, &other)?);
    // A trial without outbound rules leaves that side open for as long as it lasts.
    apply(&first, &["--confirm", "4s"])?;
    assert!(leaves(3479, &other)?, "it is filtered during the trial");
    let outbound = |status: &serde_json::Value| {
        let hooks = status["hooks"].as_array().into_iter().flatten();
        let mut hooks = hooks.filter(|hook| hook["direction"] == "outbound");
        hooks.next().cloned().unwrap_or_default()
    };
    let hook = outbound(&lab.json(&["status"])?);
    assert_eq!(hook["trouble"], "open-on-trial", "{hook:#}");
    sleep(Duration::from_secs_f64(
        until_deadline(&lab, 2)?.max(0.0) + 0.2,
    ));
    assert!(!leaves(3479, &other)?, "it is not filtered after the trial");
    assert!(leaves(3478, &far)?);
    let hook = outbound(&lab.json(&["status"])?);
    assert_eq!(hook["filtered"], true, "{hook:#}");
    assert_eq!(hook["generation"], 1);
    let moved = lab.counters()?.moved();
    let packets = |id: &str| moved[&counter("external", "outbound", id)].packets;
    assert_eq!((packets("stun-out"), packets("drop:default")), (2, 2));

    // What is opened during a trial is answered after it, too.
    apply(&first, &[])?;
    apply(&both, &[])?;
    let longer = sample::both_ways().replacen(
        "      - { id: stun-out",
        "      - { id: more-out, interface: external, direction: outbound, from: { networks: \
         [edge] }, to: { ports: [7] }, protocol: udp, action: allow }\n      - { id: stun-out",
        1,
    );
    let longer = lab.mounts.write(
        "longer.yaml",
        &longer.replace("default_action", "flows: { entries: 1024 }\ndefault_action"),
    )?;
    apply(&longer, &["--confirm", "4s"])?;
    assert!(leaves(3478, &far)?);
    sleep(Duration::from_secs_f64(
        until_deadline(&lab, 5)?.max(0.0) + 0.2,
    ));
    far.send_to(b"answer", near.local_addr()?)?;
    assert!(near.recv(&mut [0; 16]).is_ok(), "the answer was dropped");
    let moved = lab.counters()?.moved();
    assert_eq!(
        moved[&counter("external", "inbound", "stun-out/reply")].packets,
        1
    );
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_trial_reverts_what_leaves_by_tcx() -> Result<()> {
    reverts_both_ways("tcx")
}

#[test]
fn a_trial_reverts_what_leaves_by_clsact() -> Result<()> {
    reverts_both_ways("clsact")
}

/// A device that lost its filter is open after a trial, too, and that is said before.
#[test]
fn a_trial_says_which_side_it_leaves_open() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let trial = || lab.apply_command(&moved, Mode::Native);
    let output = expect_exit(trial()?.args(["--confirm", "1h"]), 0)?;
    assert_eq!(String::from_utf8(output.stderr)?, "");
    lab.run(&["rollback"], 0)?;
    lab.edge
        .ip("link del internal\nlink add internal type veth peer name internal-peer\n")?;
    let output = expect_exit(trial()?.args(["--confirm", "1h"]), 0)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("internal inbound is not filtered now") && !said.contains("external"),
        "{said}"
    );
    Ok(())
}

/// What the warning advises does help, whether all sides were open or one of them; and
/// `apply --last-good` alone keeps up the trial, and says that.
#[test]
fn what_is_open_before_a_trial_is_filtered_by_what_the_warning_says() -> Result<()> {
    for lost in [&["internal"][..], &["internal", "external"]] {
        let (lab, first, moved) = lab()?;
        lab.apply(&first, Mode::Native)?;
        for device in lost {
            lab.edge.ip(&format!(
                "link del {device}\nlink add {device} type veth peer name {device}-peer\n"
            ))?;
        }
        let mut trial = lab.apply_command(&moved, Mode::Native)?;
        trial.args(["--confirm", "1h"]);
        let (_, complained) = said(&expect_exit(&mut trial, 0)?)?;
        ensure!(
            complained
                .contains("help: `edge-filter rollback`, then `edge-filter apply --last-good`"),
            "{complained}"
        );
        let (told, _) = last_good(&lab, 0)?;
        let generation = lab.status()?.policy.generation;
        ensure!(
            told.contains(&format!("is on trial as generation {generation} until 20")),
            "{told}"
        );
        let status = lab.json(&["status"])?;
        let report = lab.json(&["apply", "--last-good"])?;
        ensure!(
            status["trial"]["confirm_deadline"].is_string(),
            "{status:#}"
        );
        assert_eq!(
            report["confirm_deadline"],
            status["trial"]["confirm_deadline"]
        );
        lab.run(&["rollback"], 0)?;
        let (told, _) = last_good(&lab, 0)?;
        ensure!(told.contains("is enforced"), "{told}");
        assert!(lab.json(&["apply", "--last-good"])?["confirm_deadline"].is_null());
        assert_eq!(filtered(&lab)?, ["external", "internal"]);
        let (_, complained) = said(&expect_exit(&mut trial, 0)?)?;
        ensure!(!complained.contains("is not filtered now"), "{complained}");
    }
    Ok(())
}

/// A device that the next trial does not see keeps its program, and with it the one that
/// decides when its own trial is over: without that it would drop everything.
#[test]
fn a_trial_takes_nothing_from_one_in_another_namespace() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.try_out(&first, Mode::Native, "120s")?;
    lab.edge
        .ip("link set internal down\nlink set internal name roamer\n")?;
    lab.edge
        .ip(&format!("link set roamer netns {}\n", lab.world.path()))?;
    lab.edge
        .ip("link add internal type veth peer name again\n")?;
    lab.try_out(&moved, Mode::Native, "120s")?;
    let pins = lab.mounts.pins()?;
    let successors: Vec<&PathBuf> = pins
        .iter()
        .filter(|pin| {
            pin.parent()
                .is_some_and(|place| place.ends_with("successors"))
        })
        .collect();
    let of = |generation: &str| {
        let names = successors
            .iter()
            .filter_map(|pin| pin.file_name()?.to_str());
        names.filter(|name| name.starts_with(generation)).count()
    };
    assert_eq!((of("1-internal"), of("1-external")), (1, 0), "{pins:?}");
    assert_eq!(of("2-"), 2, "{pins:?}");
    Ok(())
}

#[test]
fn a_deadline_is_one_of_the_machine_in_any_time_namespace() -> Result<()> {
    let (lab, first, moved) = lab()?;
    lab.apply(&first, Mode::Native)?;
    let ahead = |arguments: &[&str]| -> Result<std::process::Output> {
        let mut command = lab.edge.command_in("unshare", &lab.mounts);
        lab.places(&mut command)
            .args(["--time", "--boottime", "100000"])
            .arg(binary()?)
            .args(arguments);
        expect_exit(&mut command, 0)
    };
    let moved = moved.to_str().context("a plain name")?;
    ahead(&["apply", moved, "--confirm", "4s"])?;
    let left = until_deadline(&lab, 2)?;
    ensure!(left < 4.0, "it is over in {left} s");
    let mut probe = Probe::new(&lab)?;
    assert_eq!(probe.open()?, MOVED);
    // Nor does who looks from there see it over before its time.
    let status: serde_json::Value = serde_json::from_slice(&ahead(&["status", "--json"])?.stdout)?;
    assert_eq!(status["trial"]["passed"], false, "{status:#}");
    await_reversal(&mut probe, &lab, 2, [MOVED, FIRST])?;
    Ok(())
}

#[test]
fn what_decides_after_a_trial_is_said() -> Result<()> {
    let (lab, first, moved) = lab()?;
    let (first, moved) = (
        first.to_str().context("a name")?,
        moved.to_str().context("a name")?,
    );
    let told = |arguments: &[&str]| -> Result<String> {
        Ok(String::from_utf8(lab.run(arguments, 0)?.stdout)?)
    };
    // Nothing was enforced before; nor was it before a trial of a trial.
    for policy in [first, moved] {
        let said = told(&["apply", policy, "--confirm", "1h"])?;
        ensure!(
            said.contains(" nothing is filtered any more, unless `"),
            "{said}"
        );
    }
    told(&["apply", first])?;
    let said = told(&["apply", moved, "--confirm", "1d"])?;
    ensure!(
        said.contains(" what was enforced before decides again, unless"),
        "{said}"
    );
    Ok(())
}
