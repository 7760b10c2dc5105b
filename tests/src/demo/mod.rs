//! The demonstration: Microsoft's documented port policy, applied to an edge host
//! in a namespace, and met by real conversations and by crafted frames.
//!
//! Every flow is sent twice. Without the filter all of them must arrive, or their
//! failure would prove nothing. With it, the receiving socket must say what the
//! policy says, and the counters that the policy names, on both sides of the device,
//! must have counted exactly what went over the wire.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use edge_filter::policy::Policy;

use crate::lab::conversation::Outcome;
use crate::lab::meter::Meter;
use crate::lab::product::{Mode, binary};
use crate::lab::wire::Traffic;
use crate::lab::{Lab, Plan, Shape};

mod case;
mod cases;
mod cast;
mod table;

use case::Case;
use cast::{Cast, Family, Rows};
use table::Line;

/// How long a socket waits for what must come; it returns as soon as it does.
const LONG: Duration = Duration::from_secs(3);
/// How long a socket waits for what must not come.
const SHORT: Duration = Duration::from_millis(250);

/// Runs the demonstration and prints its table. Returns whether every line agrees.
pub fn run() -> Result<bool> {
    // Before anything is built: without it there is nothing to show.
    binary()?;
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/lync-2013-port-summary.yaml");
    let text = std::fs::read_to_string(&shipped)
        .with_context(|| format!("read the shipped policy {}", shipped.display()))?;
    let policy = read(&text)?;
    let (v4, v6) = (
        Cast::new(&policy, Family::V4)?,
        Cast::new(&policy, Family::V6)?,
    );
    check_ground(&policy, [&v4, &v6])?;
    let rows = Rows::new(&policy)?;
    let mut cases = cases::cases(&v4, &rows, Family::V4);
    cases.extend(cases::cases(&v6, &rows, Family::V6));

    let lab = Lab::new(&plan(&[v4, v6]))?;
    control(&lab, &cases)?;
    println!("Without the filter, all {} flows arrive.", cases.len());

    let inside = lab.mounts.write("lync-2013-port-summary.yaml", &text)?;
    let received = received(&lab)?;
    let applied = lab.apply(&inside, Mode::Native)?;
    for said in [&applied.stdout, &applied.stderr] {
        print!("{}", String::from_utf8_lossy(said));
    }
    let lines = enforce(&lab, &cases)?;
    println!("{}", table::render(&lines));

    let mut agrees = lines.iter().all(Line::agrees);
    let disagreeing = lines.iter().filter(|line| !line.agrees()).count();
    println!(
        "{} flows, {disagreeing} of them not as expected.",
        lines.len()
    );
    agrees &= sums(&lab, received)?;
    lab.run(&["detach"], 0)?;
    let left = lab.mounts.pins()?;
    ensure!(left.is_empty(), "`detach` left pins behind: {left:?}");
    Ok(agrees)
}

/// The policy, read as the product reads it.
fn read(text: &str) -> Result<Policy> {
    let today = jiff::Zoned::now().date();
    match edge_filter::policy::read("lync-2013-port-summary.yaml", text, today) {
        Ok(checked) => Ok(checked.policy),
        Err(diagnostics) => bail!("the shipped policy is not valid:\n{diagnostics}"),
    }
}

/// The two lines that rest on what the policy says about its external role.
fn check_ground(policy: &Policy, casts: [&Cast; 2]) -> Result<()> {
    let external = policy
        .interface("external")
        .context("the policy has no role `external`")?;
    let listed = external
        .vlans
        .as_ref()
        .is_some_and(|ids| !ids.contains(&cases::STRANGE_VLAN));
    ensure!(
        listed,
        "the policy's external role lists no `vlans`, so a tagged frame may pass"
    );
    for cast in casts {
        let protected = external
            .protects
            .iter()
            .any(|net| net.contains(&cast.internal_edge));
        ensure!(
            protected,
            "the policy's external role does not protect {}",
            cast.access_edge
        );
    }
    Ok(())
}

fn plan(casts: &[Cast]) -> Plan {
    let mut plan = Plan {
        external: Vec::new(),
        outside: Vec::new(),
        internal: Vec::new(),
        inside: Vec::new(),
        outside_queues: 1,
        shape: Shape::Host,
    };
    for cast in casts {
        plan.external.extend([cast.access_edge, cast.other_edge]);
        plan.outside
            .extend([cast.partner, cast.messenger, cast.client]);
        plan.internal.push(cast.internal_edge);
        plan.inside.push(cast.front_end);
    }
    // One player may stand for two, where the policy gives them one network.
    for addresses in [&mut plan.external, &mut plan.outside] {
        addresses.sort();
        addresses.dedup();
    }
    plan
}

/// Without the filter, everything arrives.
fn control(lab: &Lab, cases: &[Case]) -> Result<()> {
    for (index, case) in cases.iter().enumerate() {
        let observed = case.observe(lab, &token("control", index), LONG)?;
        ensure!(
            observed != Outcome::Nothing,
            "this machine itself stops the flow \"{}\", so that the filter cannot be seen to",
            case.flow()
        );
    }
    Ok(())
}

/// With the filter, one case after the other, so that a counter that moves is the
/// case's own.
fn enforce(lab: &Lab, cases: &[Case]) -> Result<Vec<Line>> {
    let mut meter = Meter::new(lab)?;
    let mut lines = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let patience = if case.expected == Outcome::Nothing {
            SHORT
        } else {
            LONG
        };
        let observed = case.observe(lab, &token("enforced", index), patience)?;
        lines.push(Line::new(case, observed, &meter.read()?));
    }
    Ok(lines)
}

/// Unlike any other's, and longer than a first fragment.
fn token(pass: &str, index: usize) -> Vec<u8> {
    format!("edge-filter demo, {pass} flow {index}").into_bytes()
}

/// The packets that each filtered device has received.
fn received(lab: &Lab) -> Result<[Traffic; 2]> {
    Ok([lab.external.edge.received()?, lab.internal.edge.received()?])
}

/// Whether all inbound counters of a device add up to the packets that it received.
fn sums(lab: &Lab, before: [Traffic; 2]) -> Result<bool> {
    let counters = lab.counters()?;
    let mut agree = true;
    for ((wire, before), after) in lab.wires().into_iter().zip(before).zip(received(lab)?) {
        let role = wire.edge.device;
        let packets = (after - before).packets;
        let counted = counters.total(role)?.packets;
        println!("{role}: the device received {packets} packets, the filter counted {counted}.");
        agree &= packets == counted;
    }
    Ok(agree)
}
