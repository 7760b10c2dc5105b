//! Rules as one-line texts, frames as a few nested calls: what the tests of
//! the model are written in. One file per group of sections of
//! `docs/verdicts.md`, at least one test per line of it.

mod addresses;
mod essentials;
mod ethernet;
mod ip;
mod quote;
mod replies;
mod rules;
mod transport;

use std::collections::BTreeSet;

use crate::policy::model::Model;
use crate::policy::{
    Action, Direction, Endpoint, Essentials, Flows, Interface, Mode, Outbound, Policy, Ports, Rule,
    Taken, Transport, Trust,
};

/// The role of every test.
pub(in crate::policy) const EXTERNAL: &str = "external";

/// A hook under test: inbound, native, enforcing, default drop, until told
/// otherwise.
#[derive(Debug)]
pub(in crate::policy) struct Hook {
    pub(in crate::policy) policy: Policy,
    direction: Direction,
    software_lengths: bool,
}

impl Hook {
    /// Rules in the form `ID: allow|drop [audit] [PROTOCOL,…] [from SIDE]
    /// [to SIDE]`, a side being `[NETWORK,…] [except NETWORK,…] [port P,LO-HI,…]`.
    pub(in crate::policy) fn inbound(rules: &[&str]) -> Self {
        Self::new(Direction::Inbound, rules)
    }

    /// The same on the way out.
    pub(in crate::policy) fn outbound(rules: &[&str]) -> Self {
        Self::new(Direction::Outbound, rules)
    }

    fn new(direction: Direction, rules: &[&str]) -> Self {
        let lines = rules.iter().zip(1..);
        let policy = Policy {
            name: "under-test".to_owned(),
            hash: String::new(),
            mode: Mode::Enforce,
            interfaces: vec![Interface {
                name: EXTERNAL.to_owned(),
                devices: vec!["eth7".to_owned()],
                outbound: Outbound::Enforce,
                trust: Trust::Untrusted,
                vlans: None,
                protects: Vec::new(),
            }],
            essentials: Essentials::default(),
            ethertypes: BTreeSet::new(),
            flows: Flows::default(),
            default_action: Action::Drop,
            rules: lines
                .map(|(text, line)| rule(direction, text, line))
                .collect(),
            tests: Vec::new(),
            taken: Taken::default(),
        };
        Self {
            policy,
            direction,
            software_lengths: false,
        }
    }

    pub(in crate::policy) fn with(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn with_role(self, change: impl FnOnce(&mut Interface)) -> Self {
        self.with(|policy| change(&mut policy.interfaces[0]))
    }

    /// Behind software segmentation offload.
    fn behind_offload(mut self) -> Self {
        self.software_lengths = true;
        self
    }

    /// `ACTION by COUNTER`.
    fn verdict(&self, frame: &[u8]) -> String {
        let model = Model::new(
            &self.policy,
            EXTERNAL,
            self.direction,
            self.software_lengths,
        );
        let verdict = model.expect("the role is there").judge(frame);
        format!("{} by {}", verdict.action, verdict.counter)
    }
}

/// A hook whose one rule, `all`, lets everything pass that gets as far as the
/// rules.
fn open() -> Hook {
    Hook::inbound(&["all: allow"])
}

/// [`open`], with essentials that admit nothing.
fn without_essentials() -> Hook {
    open().with(|policy| {
        policy.essentials = Essentials {
            arp: Action::Drop,
            nd: Action::Drop,
            mld: Action::Drop,
            icmp_errors: Action::Drop,
            link_control: Action::Drop,
            ..Essentials::default()
        };
    })
}

fn rule(direction: Direction, text: &str, line: usize) -> Rule {
    let (id, body) = text.split_once(": ").expect("an id, then a colon");
    let mut rule = Rule {
        id: id.to_owned(),
        group: "group".to_owned(),
        interface: EXTERNAL.to_owned(),
        direction,
        from: Endpoint::default(),
        to: Endpoint::default(),
        transports: Vec::new(),
        action: Action::Drop,
        drops_replies: false,
        audit: false,
        comment: None,
        refs: Vec::new(),
        expires: None,
        line,
    };
    let mut source_side = false;
    let mut destination_ports = Ports::new();
    let mut words = body.split(' ');
    while let Some(word) = words.next() {
        let mut list = || words.next().expect("a list behind the keyword").split(',');
        let side = if source_side {
            &mut rule.from
        } else {
            &mut rule.to
        };
        match word {
            "allow" => rule.action = Action::Allow,
            "drop" => rule.action = Action::Drop,
            "audit" => rule.audit = true,
            "from" => source_side = true,
            "to" => source_side = false,
            "except" => side.except = list().map(|net| net.parse().unwrap()).collect(),
            "port" if source_side => side.ports = list().map(ports).collect(),
            "port" => destination_ports = list().map(ports).collect(),
            nets if nets.contains('/') => {
                side.networks = Some(nets.split(',').map(|net| net.parse().unwrap()).collect());
            }
            protocols => rule.transports = protocols.split(',').map(transport).collect(),
        }
    }
    for transport in &mut rule.transports {
        transport.ports.clone_from(&destination_ports);
    }
    rule
}

fn ports(text: &str) -> std::ops::RangeInclusive<u16> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    low.parse().unwrap()..=high.parse().unwrap()
}

fn transport(name: &str) -> Transport {
    let protocol = match name {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" => 58,
        "sctp" => 132,
        number => number.parse().unwrap(),
    };
    Transport {
        protocol,
        ports: Ports::new(),
    }
}

/// The hosts of every frame that does not say otherwise.
const CLIENT: &str = "198.51.100.7";
const SERVER: &str = "192.0.2.10";
const CLIENT6: &str = "2001:db8:7::7";
const SERVER6: &str = "2001:db8::10";

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];

/// An untagged frame.
fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ethernet_to([0x02, 0, 0, 0, 0, 0x02], ethertype, payload)
}

fn ethernet_to(destination: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &MAC, &ethertype.to_be_bytes(), payload].concat()
}

/// `frame` with a tag put before its type.
fn tagged(protocol: u16, control: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [
        addresses,
        &protocol.to_be_bytes(),
        &control.to_be_bytes(),
        rest,
    ]
    .concat()
}

/// A frame with `byte` at `offset`.
fn patched(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

fn length_of(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len())
        .expect("tests stay small")
        .to_be_bytes()
}

/// An IPv4 packet from the client to the server.
fn v4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    v4_between(CLIENT, SERVER, protocol, &[], payload)
}

/// An IPv4 packet; `options` are padded by nothing.
fn v4_between(from: &str, to: &str, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = 5 + u8::try_from(options.len() / 4).unwrap();
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let mut packet = vec![0x40 | words, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
    packet.extend(address(from));
    packet.extend(address(to));
    packet.extend(options);
    packet.extend(payload);
    let length = length_of(&packet);
    patched(packet, 2, &length)
}

/// An IPv6 packet from the client to the server.
fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    v6_between(CLIENT6, SERVER6, next, 64, payload)
}

fn v6_between(from: &str, to: &str, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let [high, low] = length_of(payload);
    let mut packet = vec![0x60, 0, 0, 0, high, low, next, hop_limit];
    packet.extend(address(from));
    packet.extend(address(to));
    packet.extend(payload);
    packet
}

/// An IPv6 extension header of 8 bytes.
fn extension(next: u8, rest: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], rest].concat()
}

/// A fragment header with the word that holds offset and M.
fn fragment(next: u8, offset_and_more: u16, rest: &[u8]) -> Vec<u8> {
    let [high, low] = offset_and_more.to_be_bytes();
    [&[next, 0, high, low, 0, 0, 0, 9], rest].concat()
}

/// A TCP header with these flags.
fn tcp_flagged(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// A SYN.
fn tcp(source: u16, destination: u16) -> Vec<u8> {
    tcp_flagged(source, destination, 0x02)
}

/// A datagram of four bytes.
fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut datagram = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    datagram.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    datagram
}

/// An SCTP common header.
fn sctp(source: u16, destination: u16) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.extend([0; 8]);
    header
}

/// An ICMP or `ICMPv6` message of 8 bytes and what follows them.
fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 0, 0], rest].concat()
}

/// The frame of an IPv4 packet.
fn ip4(packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, packet)
}

/// The frame of an IPv6 packet.
fn ip6(packet: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, packet)
}
