//! The outbound hook, by TCX and by clsact: attached first, replaced without a gap,
//! taken off without a trace, and refused without half a policy.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::packet::Tap;
use edge_filter_tests::lab::product::{HookStatus, Mode, counter, expect_exit};
use edge_filter_tests::lab::wire::Traffic;
use edge_filter_tests::lab::{Lab, Plan, sample};

const PATIENCE: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(250);
const TOKEN: &[u8] = b"a token of more than sixteen bytes";
/// How often the policy is replaced under a stream.
const REPLACEMENTS: u32 = 10;

fn lab() -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    Ok((lab, policy))
}

/// `apply` with the outbound hook at the site of this name; what it said.
fn apply(lab: &Lab, policy: &Path, egress: &str) -> Result<String> {
    let mut command = lab.apply_command(policy, Mode::Native)?;
    let output = expect_exit(command.args(["--egress", egress]), 0)?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn refusal(lab: &Lab, policy: &Path, egress: &str) -> Result<String> {
    let mut command = lab.apply_command(policy, Mode::Native)?;
    let output = expect_exit(command.args(["--egress", egress]), 1)?;
    Ok(String::from_utf8(output.stderr)?)
}

/// What `tc` says of the device `external`.
fn tc(lab: &Lab, arguments: &str) -> Result<String> {
    let mut command = lab.edge.command_in("tc", &lab.mounts);
    let output = expect_exit(command.args(arguments.split(' ')), 0)?;
    Ok(String::from_utf8(output.stdout)?)
}

/// A filter of somebody else's on the clsact qdisc of `external`.
fn foreign_filter(lab: &Lab, place: &str) -> Result<()> {
    let name = "bpffs/foreign";
    Foreign::load_egress()?.pin(&lab.mounts.outside(name))?;
    let pinned = lab.mounts.inside(name);
    let program = format!("bpf direct-action object-pinned {}", pinned.display());
    tc(
        lab,
        &format!("filter add dev external egress {place} {program}"),
    )?;
    std::fs::remove_file(lab.mounts.outside(name))?;
    Ok(())
}

fn outbound(lab: &Lab) -> Result<HookStatus> {
    let mut hooks = lab.status()?.hooks.into_iter();
    hooks
        .find(|hook| hook.direction == "outbound")
        .context("no outbound hook")
}

/// What becomes of a call from the edge to this port.
fn call(lab: &Lab, port: u16, patience: Duration) -> Result<Outcome> {
    let plan = Plan::default();
    let call = Call {
        transport: Transport::Tcp,
        from: (plan.external[0], 0).into(),
        to: (plan.outside[0], port).into(),
    };
    call.between(&lab.external.edge, &lab.external.world, TOKEN, patience)
}

/// TCP 5061 is allowed from the edge, and nothing near it.
fn assert_enforced(lab: &Lab) -> Result<()> {
    assert_eq!(call(lab, 5061, PATIENCE)?, Outcome::Answered);
    assert_eq!(call(lab, 5062, SHORT)?, Outcome::Nothing);
    Ok(())
}

fn assert_free(lab: &Lab) -> Result<()> {
    assert_eq!(lab.edge.devices()?.into_values().flatten().count(), 0);
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    assert_eq!(call(lab, 5062, PATIENCE)?, Outcome::Answered);
    Ok(())
}

#[test]
fn both_sites_enforce_and_leave_nothing() -> Result<()> {
    for egress in ["tcx", "clsact", "auto"] {
        let (lab, policy) = lab()?;
        apply(&lab, &policy, egress)?;
        let hook = outbound(&lab)?;
        let expected = if egress == "auto" { "tcx" } else { egress };
        assert_eq!(hook.hook, expected);
        assert_eq!(hook.mode, None);
        assert!(hook.link_pinned);
        assert_enforced(&lab)?;
        // The inbound hook sees the replies of the one call.
        let counters = lab.counters()?.moved();
        assert!(counters.contains_key(&counter("external", "inbound", "sip-out/reply")));
        assert!(counters.contains_key(&counter("external", "outbound", "drop:default")));
        let pins = lab.mounts.pins()?.len();
        apply(&lab, &policy, "auto")?;
        assert_eq!(lab.mounts.pins()?.len(), pins, "pins leak");
        assert_eq!(outbound(&lab)?.hook, expected);
        assert_ne!(outbound(&lab)?.program_id, hook.program_id);
        assert_enforced(&lab)?;
        lab.run(&["detach"], 0)?;
        assert_free(&lab)?;
        let qdiscs = tc(&lab, "qdisc show dev external")?;
        assert!(!qdiscs.contains("clsact"), "{egress}: {qdiscs}");
    }
    Ok(())
}

#[test]
fn a_site_stays_for_as_long_as_it_is_attached() -> Result<()> {
    for (present, wanted) in [("tcx", "clsact"), ("clsact", "tcx")] {
        let (lab, policy) = lab()?;
        apply(&lab, &policy, present)?;
        let before = outbound(&lab)?.program_id;
        let message = refusal(&lab, &policy, wanted)?;
        assert!(
            message.contains("external") && message.contains("--egress auto"),
            "{message}"
        );
        assert_eq!(outbound(&lab)?.program_id, before);
        assert_enforced(&lab)?;
    }
    Ok(())
}

#[test]
fn an_outbound_hook_that_is_not_needed_is_released() -> Result<()> {
    for egress in ["tcx", "clsact"] {
        let (lab, policy) = lab()?;
        apply(&lab, &policy, egress)?;
        let inbound = lab.mounts.write("inbound.yaml", sample::POLICY)?;
        let report = apply(&lab, &inbound, "auto")?;
        assert!(
            report.contains("external outbound is not filtered any more"),
            "{report}"
        );
        // The edge may send what it likes; the answers still meet the inbound hook.
        let plan = Plan::default();
        let datagram = Call {
            transport: Transport::Udp,
            from: (plan.external[0], 0).into(),
            to: (plan.outside[0], 5062).into(),
        };
        let (edge, world) = (&lab.external.edge, &lab.external.world);
        let outcome = datagram.between(edge, world, TOKEN, SHORT)?;
        assert_eq!(outcome, Outcome::Arrived);
        assert_eq!(lab.status()?.hooks.len(), 2);
        assert_eq!(lab.status()?.flows.entries_max, 0);
    }
    Ok(())
}

#[test]
fn a_foreign_program_follows_ours_and_stays() -> Result<()> {
    let (lab, policy) = lab()?;
    let foreign = Foreign::load_egress()?;
    let _link = foreign.attach_egress(&lab.external.edge, false)?;
    let report = apply(&lab, &policy, "auto")?;
    assert!(!report.contains("warning: program"), "{report}");
    assert_enforced(&lab)?;
    lab.run(&["detach"], 0)?;
    assert_free(&lab)?;

    // One that pushes itself before ours is told by `status` and by `apply`.
    apply(&lab, &policy, "auto")?;
    let foreign = Foreign::load_egress()?;
    let _first = foreign.attach_egress(&lab.external.edge, true)?;
    let words = format!(
        "program {} runs on what leaves external before",
        foreign.id()?
    );
    let status = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(status.contains(&words), "{status}");
    let report = apply(&lab, &policy, "auto")?;
    assert!(report.contains(&words), "{report}");
    assert_enforced(&lab)
}

#[test]
fn a_foreign_filter_of_clsact_stays() -> Result<()> {
    let (lab, policy) = lab()?;
    tc(&lab, "qdisc add dev external clsact")?;
    foreign_filter(&lab, "protocol all prio 10")?;
    apply(&lab, &policy, "clsact")?;
    assert_enforced(&lab)?;
    lab.run(&["detach"], 0)?;
    assert_free(&lab)?;
    let filters = tc(&lab, "filter show dev external egress")?;
    assert!(filters.contains("pref 10"), "{filters}");
    assert!(!filters.contains("pref 1 "), "{filters}");
    Ok(())
}

#[test]
fn a_place_that_is_taken_is_named_and_nothing_is_half_attached() -> Result<()> {
    for qdisc in ["clsact", "ingress"] {
        let (lab, policy) = lab()?;
        tc(&lab, &format!("qdisc add dev external {qdisc}"))?;
        if qdisc == "clsact" {
            // The first priority belongs to a filter of one protocol.
            foreign_filter(&lab, "protocol ip prio 1")?;
        }
        let message = refusal(&lab, &policy, "clsact")?;
        assert!(message.contains("external"), "{message}");
        assert!(
            message.contains("tc filter show dev external egress"),
            "{message}"
        );
        assert_free(&lab)?;
        // By TCX it is none of our business.
        apply(&lab, &policy, "auto")?;
        assert_enforced(&lab)?;
    }
    Ok(())
}

#[test]
fn a_removed_filter_is_reported_and_made_anew() -> Result<()> {
    let (lab, policy) = lab()?;
    apply(&lab, &policy, "clsact")?;
    tc(&lab, "qdisc del dev external clsact")?;
    let status = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(
        status.contains("external outbound: NOT FILTERED"),
        "{status}"
    );
    let lost = outbound(&lab)?;
    assert_eq!((lost.hook.as_str(), lost.filtered), ("clsact", false));
    apply(&lab, &policy, "auto")?;
    assert_eq!(outbound(&lab)?.hook, "tcx");
    assert_enforced(&lab)?;
    lab.run(&["detach"], 0)?;
    assert_free(&lab)
}

/// Replaces the policy under a stream of numbered datagrams from the edge, of which
/// none is lost and none is counted twice.
fn replace_under_load(egress: &str) -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    apply(&lab, &policy, egress)?;
    let listener = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 3478))?))?;
    listener.set_read_timeout(Some(PATIENCE))?;
    let opener = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 0))?))?;
    opener.connect((plan.outside[0], 3478))?;
    let done = std::sync::atomic::AtomicBool::new(false);
    let sent = std::thread::scope(|scope| -> Result<u32> {
        let stream = scope.spawn(|| -> Result<u32> {
            let mut number: u32 = 0;
            let mut buffer = [0; 64];
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                opener.send(&number.to_be_bytes())?;
                let (length, from) = listener.recv_from(&mut buffer)?;
                ensure!(buffer[..length] == number.to_be_bytes(), "{number} is lost");
                listener.send_to(&buffer[..length], from)?;
                opener.set_read_timeout(Some(PATIENCE))?;
                let length = opener.recv(&mut buffer)?;
                ensure!(
                    buffer[..length] == number.to_be_bytes(),
                    "{number}: no answer"
                );
                number += 1;
            }
            Ok(number)
        });
        let applied = (0..REPLACEMENTS).try_for_each(|_| apply(&lab, &policy, "auto").map(drop));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let sent = stream.join().expect("the stream does not panic")?;
        applied?;
        Ok(sent)
    })?;
    assert!(sent > REPLACEMENTS * 10, "the stream hardly ran: {sent}");
    let moved = lab.counters()?.moved();
    for (direction, id) in [("outbound", "stun-out"), ("inbound", "stun-out/reply")] {
        let count = moved[&counter("external", direction, id)];
        assert_eq!(count.packets, u64::from(sent), "{direction} {id}");
    }
    Ok(())
}

#[test]
fn a_policy_is_replaced_without_a_gap_by_tcx() -> Result<()> {
    replace_under_load("tcx")
}

#[test]
fn a_policy_is_replaced_without_a_gap_by_clsact() -> Result<()> {
    replace_under_load("clsact")
}

/// What leaves as one packet of many segments counts as those segments.
#[test]
fn super_packets_count_as_their_segments() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    apply(&lab, &policy, "auto")?;
    lab.edge.ip("link set dev external gso_max_segs 65535\n")?;
    let mut tap = Tap::new(&lab.external.world)?;
    let call = Call {
        transport: Transport::Tcp,
        from: (plan.external[0], 0).into(),
        to: (plan.outside[0], 5061).into(),
    };
    call.carry(&lab.external.edge, &lab.external.world, 1 << 20, PATIENCE)?;
    std::thread::sleep(SHORT);
    let seen = tap.seen()?.received;
    let counted: Traffic = lab.counters()?.moved()[&counter("external", "outbound", "sip-out")];
    // A mebibyte in segments of at most 1,448 bytes, and all else that opens and ends.
    assert!(counted.packets >= (1 << 20) / 1_448, "{counted:?}");
    assert!(
        seen.packets + 100 < counted.packets,
        "no super-packets were sent: {seen:?}"
    );
    // Ethernet, IPv4, and TCP with timestamps: what each further segment adds.
    let headers = 14 + 20 + 32;
    let further = (counted.packets - seen.packets) * headers;
    assert_eq!(counted.bytes, seen.bytes + further, "{counted:?} {seen:?}");
    Ok(())
}
