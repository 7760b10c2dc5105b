//! The shipped policy, Lync Server 2013's documented port summary, at its outer role.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use edge_filter::kernel::flow_table::FlowTable;
use edge_filter::policy::{self, Action, Direction, Policy};

use super::case::{Case, NoOp};
use crate::craft::{Frame, Ip, Ipv4, Tag, flag, tcp};
use crate::judge::{Hook, Judge as _, KernelJudge};
use crate::lab::mounts::Mounts;

/// The policy's hooks at one device, with a flow table.
pub(super) struct Documented {
    inbound: KernelJudge,
    outbound: KernelJudge,
    packets: Vec<Packet>,
}

/// A packet, and what is to become of it.
struct Packet {
    name: &'static str,
    direction: Direction,
    frame: Vec<u8>,
    counter: &'static str,
    action: Action,
}

/// Its text.
pub(super) const POLICY: &str = include_str!("../../../config/lync-2013-port-summary.yaml");
/// Its outer role.
pub(super) const ROLE: &str = "external";
const ENTRIES: u32 = 65_536;

/// The Access Edge, and a federated partner or client, by family.
const EDGE: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];
const PEER: [&str; 2] = ["198.51.100.200", "2001:db8:99::200"];
/// Packets from clients to open ports, and to others.
const CLIENTS: [&str; 4] = [
    "a rule, IPv4",
    "a rule, IPv6",
    "no rule, IPv4",
    "no rule, IPv6",
];
/// A port of nobody's.
const PORT: u16 = 40_000;

impl Documented {
    /// Loads the programs.
    pub(super) fn load(mounts: &Mounts) -> Result<Self> {
        let policy = policy::read(
            "lync-2013-port-summary.yaml",
            POLICY,
            jiff::Zoned::now().date(),
        );
        let policy = policy.context("read the shipped policy")?.policy;
        let table = FlowTable::create(&mounts.outside("bpffs/flows"), ENTRIES)?;
        Ok(Self {
            inbound: judge(&policy, Direction::Inbound, &table),
            outbound: judge(&policy, Direction::Outbound, &table),
            packets: packets()?,
        })
    }

    /// How many instructions the verifier processed, inbound and outbound.
    pub(super) fn verified_instructions(&mut self) -> [u32; 2] {
        [&mut self.inbound, &mut self.outbound].map(KernelJudge::verified_instructions)
    }

    /// Judges every packet once, in order, so that the flow table holds what it is to.
    pub(super) fn judge(&mut self) -> Result<()> {
        for packet in &self.packets {
            let judge = match packet.direction {
                Direction::Inbound => &mut self.inbound,
                Direction::Outbound => &mut self.outbound,
            };
            let verdict = judge.judge(&packet.frame);
            ensure!(
                verdict.counter == packet.counter && verdict.action == packet.action,
                "'{}' counts as {verdict}, not {} ({})",
                packet.name,
                packet.counter,
                packet.action
            );
        }
        Ok(())
    }

    /// The packets from clients, such as filters of ports know them, each with its name and
    /// whether it passes.
    pub(super) fn clients(&self) -> impl Iterator<Item = (&'static str, &[u8], Action)> {
        let packets = self.packets.iter();
        packets
            .filter(|packet| CLIENTS.contains(&packet.name))
            .map(|packet| (packet.name, packet.frame.as_slice(), packet.action))
    }

    /// The cases.
    pub(super) fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.packets.iter().map(|packet| {
            let (judge, no_op) = match packet.direction {
                Direction::Inbound => (&self.inbound, NoOp::Xdp),
                Direction::Outbound => (&self.outbound, NoOp::Classifier),
            };
            Case {
                name: format!("{}: {}", packet.direction, packet.name),
                counter: packet.counter.to_owned(),
                program: judge.descriptor(),
                frame: packet.frame.clone(),
                answer: KernelJudge::answer(packet.direction, packet.action),
                no_op,
                rounds: Vec::new(),
            }
        })
    }
}

fn judge(policy: &Policy, direction: Direction, table: &FlowTable) -> KernelJudge {
    let hook = Hook {
        direction,
        ..Hook::inbound(policy, ROLE)
    };
    KernelJudge::with_flows(hook, Some(table))
}

/// TCP between two ports, neither the first packet nor the last.
fn segment(from: (&str, u16), to: (&str, u16)) -> Result<Frame> {
    let address = |text: &str| text.parse::<IpAddr>().context("an address");
    let segment = tcp().ports(from.1, to.1).flags(flag::ACK);
    Ok(Ip::new(address(from.0)?, address(to.0)?, segment).into())
}

fn packets() -> Result<Vec<Packet>> {
    use Action::{Allow, Drop};
    use Direction::{Inbound, Outbound};
    let [edge, edge_v6] = EDGE;
    let [peer, peer_v6] = PEER;
    let client = |port| segment((peer, PORT), (edge, port));
    let client_v6 = |port| segment((peer_v6, PORT), (edge_v6, port));
    let server = |port| segment((peer, 5061), (edge, port));
    let tagged = client(443)?.tags([Tag::dot1q(7)]);
    let fragment = tcp().ports(PORT, 443);
    let fragment = Ipv4::new(peer.parse()?, edge.parse()?, fragment).fragment(0x2000);
    let packet = |name, direction, frame: Frame, counter, action| Packet {
        name,
        direction,
        frame: frame.bytes(),
        counter,
        action,
    };
    let (s1, s4, s8) = ("s1-federation-sip-out", "s4-client-sip-in", "s8-xmpp-in");
    let (s1_reply, s4_reply) = ("s1-federation-sip-out/reply", "s4-client-sip-in/reply");
    let dropped = "drop:default";
    Ok(vec![
        packet("a rule, IPv4", Inbound, client(443)?, s4, Allow),
        packet("a rule, IPv6", Inbound, client_v6(443)?, s4, Allow),
        packet("the last rule, IPv4", Inbound, client(5269)?, s8, Allow),
        packet("no rule, IPv4", Inbound, client(444)?, dropped, Drop),
        packet("no rule, IPv6", Inbound, client_v6(444)?, dropped, Drop),
        packet("a VLAN tag", Inbound, tagged, "drop:vlan", Drop),
        packet(
            "a fragment",
            Inbound,
            fragment.into(),
            "drop:fragment",
            Drop,
        ),
        packet(
            "recorded, IPv4",
            Outbound,
            segment((edge, PORT), (peer, 5061))?,
            s1,
            Allow,
        ),
        packet(
            "recorded, IPv6",
            Outbound,
            segment((edge_v6, PORT), (peer_v6, 5061))?,
            s1,
            Allow,
        ),
        packet(
            "a reply by its rule, IPv4",
            Outbound,
            segment((edge, 443), (peer, PORT))?,
            s4_reply,
            Allow,
        ),
        packet(
            "a reply by its flow, IPv4",
            Inbound,
            server(PORT)?,
            s1_reply,
            Allow,
        ),
        packet(
            "a reply by its flow, IPv6",
            Inbound,
            segment((peer_v6, 5061), (edge_v6, PORT))?,
            s1_reply,
            Allow,
        ),
        packet("no flow, IPv4", Inbound, server(PORT + 1)?, dropped, Drop),
    ])
}
