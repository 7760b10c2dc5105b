//! One line of the demonstration: what is sent, what must become of it, and how
//! the receiving socket is asked whether it did.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::conversation::{Call, Outcome, datagram};
use crate::lab::frame::{self, Defect};
use crate::lab::packet::{Ear, Injector};
use crate::lab::product::{CounterName, counter};
use crate::lab::wire::Wire;

/// A flow, and what is expected of it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// What it shows, in a few words.
    pub title: String,
    /// The side of the edge on which it runs.
    pub side: Side,
    /// Who opens it.
    pub opener: Opener,
    /// What is sent.
    pub probe: Probe,
    /// What the receiving socket must say with the filter in place.
    pub expected: Outcome,
    /// The counter of the inbound hook that must move, if one must.
    pub inbound: Option<String>,
    /// The same of the outbound hook.
    pub outbound: Option<String>,
}

/// Who opens a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// Somebody out there.
    World,
    /// The edge itself.
    Edge,
}

/// A side of the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The role `external`.
    External,
    /// The role `internal`.
    Internal,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) enum Probe {
    /// A conversation over the kernel's own sockets.
    Call(Call),
    /// A crafted datagram. A UDP socket listens for it.
    Datagram {
        /// The source.
        from: SocketAddr,
        /// The destination.
        to: SocketAddr,
        /// What is wrong with it.
        defect: Defect,
    },
    /// A datagram behind VLAN tags that no socket of IP would hear; a packet
    /// socket on the edge's device listens for it.
    Tagged {
        /// The source.
        from: SocketAddr,
        /// The destination.
        to: SocketAddr,
        /// The VLAN ids, outermost first.
        vlans: Vec<u16>,
    },
    /// A TCP segment that no TCP would send, or answer on the wire; heard likewise.
    Segment {
        /// The source.
        from: SocketAddr,
        /// The destination.
        to: SocketAddr,
        /// The low six flags of RFC 9293.
        flags: u8,
    },
}

impl Side {
    /// The role's name.
    pub(super) fn role(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
        }
    }

    fn wire(self, lab: &Lab) -> &Wire {
        match self {
            Self::External => &lab.external,
            Self::Internal => &lab.internal,
        }
    }
}

impl Case {
    /// The counters that must move, and no others.
    pub(super) fn counters(&self) -> Vec<CounterName> {
        [("inbound", &self.inbound), ("outbound", &self.outbound)]
            .into_iter()
            .filter_map(|(direction, id)| Some(counter(self.side.role(), direction, id.as_ref()?)))
            .collect()
    }

    /// The case in one line: title, protocol and addresses.
    pub(super) fn flow(&self) -> String {
        let (protocol, from, to) = match &self.probe {
            Probe::Call(call) => (call.transport.as_str(), call.from, call.to),
            Probe::Datagram { from, to, .. } | Probe::Tagged { from, to, .. } => {
                ("udp", *from, *to)
            }
            Probe::Segment { from, to, .. } => ("tcp", *from, *to),
        };
        format!("{}: {protocol} {} → {to}", self.title, from.ip())
    }

    /// Sends the flow, and says what the receiving socket got.
    pub(super) fn observe(&self, lab: &Lab, token: &[u8], patience: Duration) -> Result<Outcome> {
        let wire = self.side.wire(lab);
        match &self.probe {
            Probe::Call(call) => {
                let (opener, listener) = match self.opener {
                    Opener::World => (&wire.world, &wire.edge),
                    Opener::Edge => (&wire.edge, &wire.world),
                };
                call.between(opener, listener, token, patience)
            }
            Probe::Datagram { from, to, defect } => {
                let listener = wire.edge.namespace.enter(|| Ok(UdpSocket::bind(to)?))?;
                let packets = frame::udp(*from, *to, token, *defect)?;
                inject(wire, &[], &packets)?;
                received(datagram(&listener, token, patience)?.is_some())
            }
            Probe::Tagged { from, to, vlans } => {
                let packets = frame::udp(*from, *to, token, Defect::None)?;
                hear(wire, vlans, &packets, token, patience)
            }
            Probe::Segment { from, to, flags } => {
                let packet = frame::tcp(*from, *to, *flags, token)?;
                hear(wire, &[], &[packet], token, patience)
            }
        }
    }
}

fn hear(
    wire: &Wire,
    vlans: &[u16],
    packets: &[Vec<u8>],
    token: &[u8],
    patience: Duration,
) -> Result<Outcome> {
    let ear = Ear::new(&wire.edge)?;
    inject(wire, vlans, packets)?;
    received(ear.hears(token, patience)?)
}

fn inject(wire: &Wire, vlans: &[u16], packets: &[Vec<u8>]) -> Result<()> {
    let injector = Injector::new(&wire.world)?;
    packets
        .iter()
        .try_for_each(|packet| injector.send(&frame::to_edge(wire, vlans, packet)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the last step of functions that can fail"
)]
fn received(yes: bool) -> Result<Outcome> {
    Ok(if yes {
        Outcome::Arrived
    } else {
        Outcome::Nothing
    })
}
