//! Real sockets through the filter, attached natively and generically: what is
//! counted is what was sent, byte for byte.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport};
use edge_filter_tests::lab::frame::{self, Defect};
use edge_filter_tests::lab::meter::Meter;
use edge_filter_tests::lab::packet::Injector;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::wire::{Traffic, Wire};
use edge_filter_tests::lab::{Lab, Plan, sample};

const PATIENCE: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(250);
const TOKEN: &[u8] = b"a token of more than sixteen bytes";
/// The length of an Ethernet header, bytes.
const ETHERNET: u64 = 14;

/// Everything that the tests send: a call, the wire it takes, and the counter.
fn calls(plan: &Plan) -> Vec<(Call, bool, &'static str, Outcome)> {
    use Outcome::{Answered, Nothing};
    use Transport::{Tcp, Udp};
    let mut calls = Vec::new();
    let call = |transport, from: IpAddr, to: IpAddr, port| Call {
        transport,
        from: (from, 0).into(),
        to: (to, port).into(),
    };
    for (&edge, &world) in plan.external.iter().zip(&plan.outside) {
        calls.push((call(Tcp, world, edge, 443), true, "web", Answered));
        calls.push((call(Udp, world, edge, 3478), true, "stun", Answered));
        calls.push((call(Tcp, world, edge, 444), true, "drop:default", Nothing));
        calls.push((call(Udp, world, edge, 443), true, "drop:default", Nothing));
    }
    for (&edge, &world) in plan.internal.iter().zip(&plan.inside) {
        calls.push((call(Tcp, world, edge, 23456), false, "xmpp", Answered));
        calls.push((
            call(Udp, world, edge, 23456),
            false,
            "drop:default",
            Nothing,
        ));
    }
    calls
}

/// Frames whose lengths cover a whole MTU, and the counter of each.
fn frames(wire: &Wire, plan: &Plan) -> Result<Vec<(Vec<u8>, &'static str)>> {
    let mut frames = Vec::new();
    for (&edge, &world) in plan.external.iter().zip(&plan.outside) {
        let (from, to) = (SocketAddr::new(world, 40_000), SocketAddr::new(edge, 3478));
        for length in (0..1400).step_by(97) {
            let packet = &frame::udp(from, to, &vec![0x5a; length], Defect::None)?[0];
            frames.push((frame::to_edge(wire, &[], packet), "stun"));
            frames.push((frame::to_edge(wire, &[7], packet), "drop:vlan"));
            frames.push((frame::to_edge(wire, &[7, 8, 9], packet), "drop:vlan"));
        }
        for fragment in frame::udp(from, to, TOKEN, Defect::Fragments)? {
            frames.push((frame::to_edge(wire, &[], &fragment), "drop:fragment"));
        }
        let xmas = frame::tcp(from, SocketAddr::new(edge, 443), 0x29, TOKEN)?;
        frames.push((frame::to_edge(wire, &[], &xmas), "drop:tcp-flags"));
        let ours = frame::udp(to, from, TOKEN, Defect::None)?;
        frames.push((frame::to_edge(wire, &[], &ours[0]), "drop:martian"));
    }
    frames.push((arp_request(wire), "arp"));
    Ok(frames)
}

/// A whole ARP request, padded as Ethernet pads (RFC 826, 60 bytes).
fn arp_request(wire: &Wire) -> Vec<u8> {
    let sender = wire.world.mac;
    let mut frame = [&[0xff; 6][..], &sender, &[0x08, 0x06]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(sender);
    frame.extend([203, 0, 113, 25, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10]);
    frame.resize(60, 0);
    frame
}

fn traffic_is_counted_exactly(mode: Mode) -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let policy = lab.mounts.write("policy.yaml", sample::POLICY)?;
    let mut device_before = Vec::new();
    for wire in lab.wires() {
        device_before.push(wire.edge.received()?);
    }
    lab.apply(&policy, mode)?;
    for hook in lab.status()?.hooks {
        assert_eq!(hook.mode.as_deref(), Some(mode.as_str()), "{hook:?}");
        assert!(hook.link_pinned, "{hook:?}");
    }

    let mut meter = Meter::new(&lab)?;
    let mut sent = vec![Traffic::default(); 2];
    let mut take = |reading: &edge_filter_tests::lab::meter::Reading| {
        for (total, role) in sent.iter_mut().zip(["external", "internal"]) {
            *total = *total + reading.sent.get(role).copied().unwrap_or_default();
        }
    };
    for (call, outside, id, expected) in calls(&plan) {
        let wire = if outside {
            &lab.external
        } else {
            &lab.internal
        };
        // Large enough to show what segmentation offload would do.
        let token = if call.transport == Transport::Tcp {
            TOKEN.repeat(500)
        } else {
            TOKEN.to_vec()
        };
        let patience = if expected == Outcome::Nothing {
            SHORT
        } else {
            PATIENCE
        };
        assert_eq!(call.hold(wire, &token, patience)?, expected, "{call:?}");
        let reading = meter.read()?;
        assert!(
            reading.is(&[counter(wire.edge.device, "inbound", id)]),
            "{call:?}: {id}, not {reading:?}"
        );
        take(&reading);
    }

    // Crafted frames in one burst; what each counter must say is known beforehand.
    let injector = Injector::new(&lab.external.world)?;
    let mut expected = std::collections::BTreeMap::new();
    for (frame, id) in frames(&lab.external, &plan)? {
        injector.send(&frame)?;
        let key = counter("external", "inbound", id);
        let sum: &mut Traffic = expected.entry(key).or_default();
        *sum = *sum
            + Traffic {
                packets: 1,
                bytes: frame.len() as u64,
            };
    }
    let reading = meter.read()?;
    assert_eq!(reading.counted, expected, "sent: {:?}", reading.sent);
    take(&reading);

    // The filter's sums, the taps' and the devices' own are one and the same.
    let counters = lab.counters()?;
    for ((wire, before), sent) in lab.wires().into_iter().zip(device_before).zip(sent) {
        let device = wire.edge.received()? - before;
        let header = if mode == Mode::Native {
            ETHERNET * device.packets
        } else {
            0
        };
        let device = Traffic {
            bytes: device.bytes + header,
            ..device
        };
        let total = counters.total(wire.edge.device)?;
        assert_eq!(total, device, "{}: counted, and received", wire.edge.device);
        assert_eq!(total, sent, "{}: counted, and sent", wire.edge.device);
        let hook = counters
            .hooks
            .iter()
            .find(|hook| hook.device == wire.edge.device);
        let parts = hook
            .context("no such hook")?
            .counters
            .iter()
            .map(|part| part.count.into());
        assert_eq!(
            parts.sum::<Traffic>(),
            total,
            "{}: the sum of its parts",
            wire.edge.device
        );
    }
    Ok(())
}

#[test]
fn native_traffic_is_counted_exactly() -> Result<()> {
    traffic_is_counted_exactly(Mode::Native)
}

#[test]
fn generic_traffic_is_counted_exactly() -> Result<()> {
    traffic_is_counted_exactly(Mode::Generic)
}
