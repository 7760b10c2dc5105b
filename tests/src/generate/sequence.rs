//! Random policies about conversations, and random sequences of packets among a few
//! of them, in both directions and over time.

use std::fmt::Write as _;
use std::net::IpAddr;

use edge_filter::policy::{Direction, Outbound, Policy, read};
use jiff::civil::date;
use rand::RngExt;

use super::{Dice, any, chance};
use crate::craft::{Family, Frame, Ip, Segment, echo, error, flag, icmp, icmpv6, raw, tcp, udp};

/// A packet at one of the policy's hooks.
#[derive(Debug, Clone)]
pub struct Step {
    /// Seconds since the packet before.
    pub wait: u32,
    /// The number of the hook in [`hooks`].
    pub hook: usize,
    /// The frame.
    pub frame: Vec<u8>,
}

/// What conversations are about, before they are packets.
#[derive(Debug, Clone, Copy)]
struct Peers {
    one: IpAddr,
    other: IpAddr,
    protocol: u8,
    ports: (u16, u16),
}

const HOSTS: [&str; 4] = ["192.0.2.1", "192.0.2.130", "198.51.100.7", "203.0.113.9"];
const HOSTS_V6: [&str; 4] = [
    "2001:db8:1::1",
    "2001:db8:2::1",
    "2001:db8:7::1",
    "2001:db8:9::1",
];
const NETWORKS: [&str; 8] = [
    "192.0.2.0/25",
    "192.0.2.0/24",
    "198.51.100.7",
    "203.0.113.0/24",
    "2001:db8:1::/48",
    "2001:db8::/32",
    "2001:db8:7::1",
    "0.0.0.0/0",
];
const PORTS: [u16; 4] = [5061, 3478, 40_000, 50_000];
/// Waits around every idle time of `docs/verdicts.md` §14.2, and between them.
const WAITS: [u32; 12] = [1, 30, 59, 60, 61, 119, 120, 121, 600, 7439, 7440, 7441];

/// A policy of up to four roles and a dozen rules.
///
/// # Panics
/// It is not valid.
#[must_use]
pub fn conversational(dice: &mut Dice) -> Policy {
    let text = text(dice);
    match read("generated.yaml", &text, date(2026, 1, 1)) {
        Ok(checked) => checked.policy,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

fn text(dice: &mut Dice) -> String {
    let mut text = String::from("version: 1\nname: generated\ninterfaces:\n");
    let roles = dice.random_range(1..=4);
    let mut sides = Vec::new();
    for role in 0..roles {
        let trust = any(dice, &["untrusted", "untrusted", "trusted"]);
        let outbound = any(dice, &["enforce", "enforce", "track", "ignore"]);
        let _ = writeln!(
            text,
            "  role{role}: {{ devices: [d{role}], trust: {trust}, outbound: {outbound} }}"
        );
        sides.push((role, "inbound"));
        if outbound != "ignore" {
            sides.push((role, "outbound"));
        }
    }
    let default = any(dice, &["drop", "drop", "drop", "drop", "allow"]);
    let mode = any(dice, &["enforce", "enforce", "enforce", "enforce", "audit"]);
    let _ = writeln!(
        text,
        "default_action: {default}\nmode: {mode}\ngroups:\n  - name: all\n    rules:"
    );
    for number in 0..dice.random_range(1..=12) {
        let (role, direction) = any(dice, &sides);
        let _ = write!(
            text,
            "      - {{ id: rule{number}, interface: role{role}, direction: {direction}"
        );
        let protocol = any(dice, &["tcp", "tcp", "udp", "icmp", "icmpv6", "any", "47"]);
        let _ = write!(text, ", protocol: {protocol}");
        let has_ports = matches!(protocol, "tcp" | "udp");
        for (side, often) in [("from", 20), ("to", 80)] {
            let mut parts = Vec::new();
            if chance(dice, 50) {
                parts.push(format!("networks: [\"{}\"]", any(dice, &NETWORKS)));
            }
            if has_ports && chance(dice, often) {
                parts.push(format!(
                    "ports: [{}]",
                    any(dice, &["5061", "3478", "40000-59999"])
                ));
            }
            if !parts.is_empty() {
                let _ = write!(text, ", {side}: {{ {} }}", parts.join(", "));
            }
        }
        let action = any(
            dice,
            &[
                "allow",
                "allow",
                "allow",
                "allow",
                "drop",
                "drop, replies: drop",
            ],
        );
        let _ = writeln!(text, ", action: {action} }}");
    }
    text
}

/// The hooks of `policy` that can be attached at all, by role and direction.
#[must_use]
pub fn hooks(policy: &Policy) -> Vec<(&str, Direction)> {
    let roles = policy.interfaces.iter();
    roles
        .flat_map(|role| {
            let outbound = (role.outbound != Outbound::Ignore).then_some(Direction::Outbound);
            [Some(Direction::Inbound), outbound]
                .into_iter()
                .flatten()
                .map(|direction| (&*role.name, direction))
        })
        .collect()
}

/// A sequence of packets at `hooks` hooks, among two or three pairs of peers.
#[must_use]
pub fn sequence(dice: &mut Dice, hooks: usize) -> Vec<Step> {
    let peers: Vec<Peers> = (0..dice.random_range(1..=3)).map(|_| peers(dice)).collect();
    let steps = dice.random_range(4..=14);
    let step = |_| {
        let peers = any(dice, &peers);
        Step {
            wait: if chance(dice, 70) {
                0
            } else {
                any(dice, &WAITS)
            },
            hook: dice.random_range(0..hooks),
            frame: packet(dice, peers),
        }
    };
    (0..steps).map(step).collect()
}

fn peers(dice: &mut Dice) -> Peers {
    let hosts = if chance(dice, 60) { HOSTS } else { HOSTS_V6 };
    let one = any(dice, &hosts);
    let others: Vec<&str> = hosts.into_iter().filter(|host| *host != one).collect();
    let address = |text: &str| text.parse().expect("an address");
    Peers {
        one: address(one),
        other: address(any(dice, &others)),
        protocol: any(dice, &[6, 6, 6, 17, 17, 1, 47]),
        ports: (any(dice, &PORTS), any(dice, &PORTS)),
    }
}

/// A packet of one of two peers, or an error about one.
fn packet(dice: &mut Dice, peers: Peers) -> Vec<u8> {
    let peers = if dice.random() { peers } else { peers.turned() };
    let packet = Ip::new(peers.one, peers.other, segment(dice, peers));
    let packet = if chance(dice, 10) {
        about(dice, peers, &packet)
    } else {
        packet
    };
    Frame::from(packet).bytes()
}

fn segment(dice: &mut Dice, peers: Peers) -> Segment {
    let (from, to) = peers.ports;
    match (peers.protocol, peers.one) {
        (6, _) => {
            let flags = any(
                dice,
                &[
                    flag::SYN,
                    flag::SYN,
                    flag::SYN | flag::ACK,
                    flag::ACK,
                    flag::ACK,
                    flag::ACK | flag::PSH,
                    flag::FIN | flag::ACK,
                    flag::RST,
                    flag::RST | flag::ACK,
                ],
            );
            tcp().ports(from, to).flags(flags)
        }
        (17, _) => udp().ports(from, to),
        (1, host) => {
            let family = if host.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            };
            let echo = echo(family).word(4, from);
            match (dice.random_range(0..10), family) {
                (0..5, _) => echo,
                (5..9, Family::V4) => echo.icmp_type(0),
                (5..9, Family::V6) => echo.icmp_type(129),
                (_, Family::V4) => icmp(13, 0),
                (_, Family::V6) => icmpv6(100, 0),
            }
        }
        (protocol, _) => raw(protocol, &[0; 8]),
    }
}

/// An error of the receiver, or of a router on the way, about `packet`.
fn about(dice: &mut Dice, peers: Peers, packet: &Ip) -> Ip {
    let quoted = packet.bytes();
    let (family, kinds, router): (_, &[u8], &str) = if peers.one.is_ipv4() {
        (Family::V4, &[3, 11, 12], "203.0.113.200")
    } else {
        (Family::V6, &[1, 2, 3, 4], "2001:db8:9::200")
    };
    let router = router.parse().expect("an address");
    let reporter = any(dice, &[peers.other, router]);
    Ip::new(
        reporter,
        peers.one,
        error(family, any(dice, kinds), &quoted),
    )
}

impl Peers {
    fn turned(self) -> Self {
        Self {
            one: self.other,
            other: self.one,
            ports: (self.ports.1, self.ports.0),
            ..self
        }
    }
}
