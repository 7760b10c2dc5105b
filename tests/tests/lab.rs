//! The lab itself, without any filter: what a test is to prove that the filter
//! stops must arrive when no filter is there.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport, datagram};
use edge_filter_tests::lab::foreign::Foreign;
use edge_filter_tests::lab::frame::{self, Defect};
use edge_filter_tests::lab::packet::{Ear, Injector, Tap};
use edge_filter_tests::lab::wire::{Traffic, Wire};
use edge_filter_tests::lab::{Lab, Plan};

const PATIENCE: Duration = Duration::from_secs(3);
const TOKEN: &[u8] = b"a token of more than sixteen bytes";

/// The addresses of a wire's two ends, one pair for each family.
fn pairs(edge: &[IpAddr], world: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
    world.iter().copied().zip(edge.iter().copied()).collect()
}

#[test]
fn conversations_are_answered_on_both_wires() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let sides = [
        (&lab.external, pairs(&plan.external, &plan.outside)),
        (&lab.internal, pairs(&plan.internal, &plan.inside)),
        // The internal address, asked for at the external side.
        (&lab.external, pairs(&plan.internal, &plan.outside)),
    ];
    for (wire, pairs) in sides {
        for (from, to) in pairs {
            for transport in [Transport::Tcp, Transport::Udp] {
                let call = Call {
                    transport,
                    from: (from, 0).into(),
                    to: (to, 5061).into(),
                };
                assert_eq!(
                    call.hold(wire, TOKEN, PATIENCE)?,
                    Outcome::Answered,
                    "{call:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_wire_is_silent_and_the_tap_counts_what_the_device_counts() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let mut tap = Tap::new(&lab.external.world)?;
    sleep(Duration::from_millis(1500));
    assert_eq!(
        lab.external.edge.received()?,
        Traffic::default(),
        "the wire is not silent"
    );
    for (from, to) in pairs(&plan.external, &plan.outside) {
        // Much more than a segment, so that an offload would show.
        let token = vec![b'x'; 40_000];
        let call = Call {
            transport: Transport::Tcp,
            from: (from, 0).into(),
            to: (to, 443).into(),
        };
        assert_eq!(
            call.hold(&lab.external, &token, PATIENCE)?,
            Outcome::Answered
        );
    }
    let sent = tap.seen()?.sent;
    assert!(
        sent.packets > 60,
        "40,000 bytes twice are more than {} frames",
        sent.packets
    );
    assert_eq!(sent, lab.external.edge.received()?);
    Ok(())
}

/// Sends the packets of a datagram, and says whether a socket at the edge got it.
fn arrives(wire: &Wire, from: SocketAddr, to: SocketAddr, defect: Defect) -> Result<bool> {
    let listener = wire.edge.namespace.enter(|| Ok(UdpSocket::bind(to)?))?;
    let injector = Injector::new(&wire.world)?;
    for packet in frame::udp(from, to, TOKEN, defect)? {
        injector.send(&frame::to_edge(wire, &[], &packet))?;
    }
    Ok(datagram(&listener, TOKEN, PATIENCE)?.is_some())
}

#[test]
fn crafted_frames_arrive() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    for (from, to) in pairs(&plan.external, &plan.outside) {
        let defects: &[Defect] = if from.is_ipv4() {
            &[Defect::None, Defect::Fragments, Defect::SourceRoute]
        } else {
            &[
                Defect::None,
                Defect::Fragments,
                Defect::ExtensionHeaders(9),
                Defect::ExtensionHeaders(8),
                Defect::RoutingHeader0,
            ]
        };
        for &defect in defects {
            let (from, to) = ((from, 40_000).into(), (to, 3478).into());
            assert!(
                arrives(&lab.external, from, to, defect)?,
                "{defect:?} from {from} to {to}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_borrowed_source_arrives() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    for (from, to) in plan.external.iter().zip(&plan.internal) {
        let (from, to) = ((*from, 40_000).into(), (*to, 3478).into());
        assert!(
            arrives(&lab.internal, from, to, Defect::None)?,
            "from {from} to {to}"
        );
    }
    Ok(())
}

#[test]
fn a_tagged_frame_is_heard() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    for (from, to) in pairs(&plan.external, &plan.outside) {
        let ear = Ear::new(&lab.external.edge)?;
        let injector = Injector::new(&lab.external.world)?;
        let packets = frame::udp(
            (from, 40_000).into(),
            (to, 3478).into(),
            TOKEN,
            Defect::None,
        )?;
        injector.send(&frame::to_edge(&lab.external, &[42], &packets[0]))?;
        assert!(ear.hears(TOKEN, PATIENCE)?);
        let tcp = frame::tcp((from, 40_000).into(), (to, 443).into(), 0x03, TOKEN)?;
        injector.send(&frame::to_edge(&lab.external, &[], &tcp))?;
        assert!(ear.hears(TOKEN, PATIENCE)?);
        assert!(!ear.hears(b"a token that nobody sent", Duration::from_millis(50))?);
    }
    Ok(())
}

#[test]
fn a_foreign_program_passes_everything() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let foreign = Foreign::load()?;
    for native in [true, false] {
        let _link = foreign.attach(&lab.external.edge, native)?;
        for (from, to) in pairs(&plan.external, &plan.outside) {
            let call = Call {
                transport: Transport::Udp,
                from: (from, 0).into(),
                to: (to, 9).into(),
            };
            assert_eq!(
                call.hold(&lab.external, TOKEN, PATIENCE)?,
                Outcome::Answered,
                "{native}"
            );
        }
    }
    Ok(())
}

#[test]
fn too_many_queues_refuse_native_xdp_alone() -> Result<()> {
    let lab = Lab::new(&Plan {
        outside_queues: 4,
        ..Plan::default()
    })?;
    let foreign = Foreign::load()?;
    let refused = foreign
        .attach(&lab.external.edge, true)
        .expect_err("native XDP was accepted");
    let errno = refused
        .root_cause()
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::raw_os_error);
    assert_eq!(errno, Some(nix::libc::ENOSPC), "{refused:#}");
    foreign.attach(&lab.external.edge, false)?;
    Ok(())
}
