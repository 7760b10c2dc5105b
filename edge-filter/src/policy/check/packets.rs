//! `tests`: packets as people describe them, and what must become of them.

use std::net::{IpAddr, SocketAddr};

use super::super::counter::{CounterId, DropReason, EssentialCounter};
use super::super::diagnostic::{Complaint, Mark, suggest};
use super::super::document::{self, Document, Field};
use super::super::outline::Node;
use super::super::ports::parse_one;
use super::super::rule::Action;
use super::super::{Expectation, Mode, PacketSpec, PacketTest};
use super::transports::{Protocol, has_ports, is_ipv6_header};
use super::{Resolver, quoted};

/// The source port of a packet that names none.
const SOURCE_PORT: u16 = 40_000;

/// The TCP flags that a test can set, by their bits (RFC 9293 §3.1).
const TCP_FLAGS: [(&str, u8); 6] = [
    ("fin", 0x01),
    ("syn", 0x02),
    ("rst", 0x04),
    ("psh", 0x08),
    ("ack", 0x10),
    ("urg", 0x20),
];

/// The flags of a packet that opens a conversation.
const SYN: u8 = 0x02;

impl Resolver<'_> {
    pub(super) fn tests(
        &mut self,
        document: &Document,
        root: &Node,
        mode: Mode,
    ) -> Vec<PacketTest> {
        let Some(tests) = self.section(&document.tests, root, "tests") else {
            return Vec::new();
        };
        let node = root.get("tests");
        let mut names = std::collections::HashMap::new();
        let mut resolved = Vec::with_capacity(tests.len());
        for (index, test) in tests.iter().enumerate() {
            let node = node.at(index);
            let Some(test) = self.findings.item(test, node, "an entry of 'tests'") else {
                continue;
            };
            if let Some(name) = test.name.given()
                && let Some(line) = names.insert(name.as_str(), node.mark.line)
            {
                self.findings.help(
                    node.get("name").mark,
                    format!("a second test is called {}", quoted(name)),
                    format!("the first is on line {line}; rename one of them"),
                );
            }
            resolved.extend(self.test(test, node, mode));
        }
        resolved
    }

    fn test(&mut self, test: &document::Test, node: &Node, mode: Mode) -> Option<PacketTest> {
        self.findings.unknown_keys::<document::Test>(node, "a test");
        let name = self.findings.required(&test.name, node, "name", "a test");
        let packet = self
            .findings
            .required(&test.packet, node, "packet", "a test")
            .and_then(|packet| self.packet(packet, node.get("packet")));
        let expect = self
            .findings
            .required(&test.expect, node, "expect", "a test")
            .and_then(|expect| self.expect(expect, node.get("expect"), mode));
        Some(PacketTest {
            name: name?.clone(),
            packet: packet?,
            expect: expect?,
            line: node.mark.line,
        })
    }

    fn packet(&mut self, packet: &document::Packet, node: &Node) -> Option<PacketSpec> {
        let of = "a test's packet";
        self.findings.unknown_keys::<document::Packet>(node, of);
        let (interface, direction) = self.hook(&packet.interface, &packet.direction, node, of);
        let protocol = self.packet_protocol(packet, node);
        let from = self.socket(&packet.from, node, "from");
        let to = self.socket(&packet.to, node, "to");
        let flags = self.tcp_flags(&packet.tcp_flags, node, protocol);
        if let (Some((source, _)), Some((destination, _))) = (from, to)
            && source.is_ipv4() != destination.is_ipv4()
        {
            self.findings.help(
                node.get("to").mark,
                format!("the packet goes from {source} to {destination}, of another IP version"),
                "use two IPv4 addresses or two IPv6 addresses",
            );
        }
        let (protocol, (source, source_port), (destination, destination_port)) =
            (protocol?, from?, to?);
        self.packet_ports(node, protocol, source_port, destination_port);
        if is_ipv6_header(protocol) && source.is_ipv6() {
            self.findings.help(
                node.get("protocol").mark,
                format!("IPv6 has no protocol {protocol}: it is one of its own headers"),
                "use IPv4 addresses or another protocol",
            );
        }
        Some(PacketSpec {
            interface: interface?,
            direction: direction?,
            protocol,
            source,
            source_port: source_port.or_else(|| has_ports(protocol).then_some(SOURCE_PORT)),
            destination,
            destination_port,
            tcp_flags: flags.or_else(|| (protocol == 6).then_some(SYN)),
        })
    }

    fn packet_protocol(&mut self, packet: &document::Packet, node: &Node) -> Option<u8> {
        let of = "a test's packet";
        let scalar = self
            .findings
            .required(&packet.protocol, node, "protocol", of)?;
        let node = node.get("protocol");
        match self.protocol(scalar, node)? {
            Protocol::Number(protocol) => Some(protocol),
            Protocol::Any => {
                self.findings.help(
                    node.mark,
                    "a packet has one protocol, and 'any' is none",
                    "write tcp, udp, sctp, icmp, icmpv6 or a number",
                );
                None
            }
        }
    }

    fn socket(
        &mut self,
        field: &Field<String>,
        node: &Node,
        key: &str,
    ) -> Option<(IpAddr, Option<u16>)> {
        let text = self
            .findings
            .required(field, node, key, "a test's packet")?;
        match parse_socket(text) {
            Ok(socket) => Some(socket),
            Err(complaint) => {
                self.findings.complain(node.get(key).mark, &complaint);
                None
            }
        }
    }

    fn packet_ports(&mut self, node: &Node, protocol: u8, from: Option<u16>, to: Option<u16>) {
        if has_ports(protocol) {
            if to.is_none() {
                self.findings.help(
                    node.get("to").mark,
                    "the packet's destination has no port, and its protocol needs one",
                    "write ADDRESS:PORT, or \"[ADDRESS]:PORT\" for IPv6",
                );
            }
        } else if from.is_some() || to.is_some() {
            let key = if to.is_some() { "to" } else { "from" };
            self.findings.help(
                node.get(key).mark,
                format!("the packet has a port, and protocol {protocol} has none"),
                "write the address alone",
            );
        }
    }

    fn tcp_flags(
        &mut self,
        field: &Field<String>,
        node: &Node,
        protocol: Option<u8>,
    ) -> Option<u8> {
        let text = self.findings.optional(field, node, "tcp-flags")?;
        let mark = node.get("tcp-flags").mark;
        if protocol.is_some_and(|protocol| protocol != 6) {
            self.findings.help(
                mark,
                "the packet has TCP flags, and is not TCP",
                "remove 'tcp-flags', or write 'protocol: tcp'",
            );
        }
        match parse_tcp_flags(text) {
            Ok(flags) => Some(flags),
            Err(complaint) => {
                self.findings.add(mark, complaint.message, complaint.help);
                None
            }
        }
    }

    fn expect(
        &mut self,
        expect: &document::Expect,
        node: &Node,
        mode: Mode,
    ) -> Option<Expectation> {
        self.findings
            .unknown_keys::<document::Expect>(node, "'expect'");
        let action = self
            .findings
            .required_word(&expect.action, node, "action", "'expect'");
        let rule = match &expect.rule {
            Field::Absent => None,
            field => {
                let id = self.findings.optional(field, node, "rule")?;
                let mark = node.get("rule").mark;
                let counter = self.counter(id, mark, mode)?;
                self.agrees(action?, &counter, mark);
                Some(id.clone())
            }
        };
        Some(Expectation {
            action: action?,
            rule,
        })
    }

    /// The counter that a test names.
    fn counter(&mut self, id: &str, mark: Mark, mode: Mode) -> Option<CounterId> {
        if let Some(rule) = self.rule_ids.get(id) {
            if !rule.enabled {
                self.findings.help(
                    mark,
                    format!("the rule '{id}' stands in a group that is not enabled"),
                    "enable the group, or remove the test",
                );
                return None;
            }
            if rule.audit && rule.action == Some(Action::Drop) {
                self.findings.help(
                    mark,
                    format!("the drop rule '{id}' is in audit mode, and counts otherwise"),
                    format!("expect 'action: allow' and 'rule: \"audit:{id}\"'"),
                );
                return None;
            }
            return Some(CounterId::Rule(id.to_owned()));
        }
        let known = self.counters(mode);
        if let Some(counter) = known.iter().find(|counter| counter.to_string() == id) {
            return Some(counter.clone());
        }
        let mut names: Vec<String> = known.iter().map(ToString::to_string).collect();
        names.extend(self.rule_ids.keys().cloned());
        let help = suggest(id, names.iter().map(String::as_str)).or_else(|| {
            Some("write a rule's id, an essential's name, or a reason as 'drop:default'".to_owned())
        });
        self.findings.add(
            mark,
            format!("there is no rule or counter called {}", quoted(id)),
            help,
        );
        None
    }

    /// Every counter that this policy can move, its rules' own ones excepted.
    fn counters(&self, mode: Mode) -> Vec<CounterId> {
        let essentials = EssentialCounter::ALL.into_iter().map(CounterId::Essential);
        let reasons = DropReason::ALL.into_iter().map(|reason| match mode {
            Mode::Enforce => CounterId::Drop(reason),
            Mode::Audit => CounterId::AuditDrop(reason),
        });
        let audited = self
            .rule_ids
            .iter()
            .filter(|(_, rule)| rule.enabled && rule.audit && rule.action == Some(Action::Drop))
            .map(|(id, _)| CounterId::AuditRule(id.clone()));
        let answered = self
            .rule_ids
            .iter()
            .filter(|(_, rule)| rule.enabled && rule.action == Some(Action::Allow))
            .map(|(id, _)| CounterId::Reply(id.clone()));
        essentials
            .chain(reasons)
            .chain(audited)
            .chain(answered)
            .chain([CounterId::AllowDefault, CounterId::AllowUntracked])
            .collect()
    }

    /// A test whose two halves contradict each other could never pass.
    fn agrees(&mut self, action: Action, counter: &CounterId, mark: Mark) {
        let verdict = match counter {
            CounterId::Rule(id) => self.rule_ids.get(id).and_then(|rule| rule.action),
            other => other.action(),
        };
        if let Some(verdict) = verdict
            && verdict != action
        {
            self.findings.help(
                mark,
                format!("the test expects '{action}', and what '{counter}' counts is '{verdict}'"),
                "change the expected action, or the rule",
            );
        }
    }
}

/// Some of the six flags, separated by commas.
pub(in crate::policy) fn parse_tcp_flags(text: &str) -> Result<u8, Complaint> {
    let mut flags = 0;
    for word in text.split(',').map(str::trim) {
        let Some((_, bit)) = TCP_FLAGS.iter().find(|(name, _)| *name == word) else {
            return Err(Complaint::new(
                format!("{} is not a TCP flag", quoted(word)),
                "write some of fin, syn, rst, psh, ack and urg: \"syn,ack\"",
            ));
        };
        flags |= bit;
    }
    Ok(flags)
}

/// `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub(in crate::policy) fn parse_socket(text: &str) -> Result<(IpAddr, Option<u16>), Complaint> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    if let Ok(socket) = text.parse::<SocketAddr>()
        && let Some((_, port)) = text.rsplit_once(':')
    {
        return Ok((socket.ip(), Some(parse_one(port)?)));
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
    {
        parse_one(port)?;
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bracketed.and_then(|inner| inner.parse::<IpAddr>().ok()) {
        return Ok((address, None));
    }
    Err(Complaint::new(
        format!(
            "{} is neither an address nor an address with a port",
            quoted(text)
        ),
        "write one address: 192.0.2.1, \"192.0.2.1:443\" or \"[2001:db8::1]:443\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_with_and_without_a_port() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(parse_socket("192.0.2.1"), Ok((v4, None)));
        assert_eq!(parse_socket("192.0.2.1:443"), Ok((v4, Some(443))));
        assert_eq!(parse_socket("2001:db8::1"), Ok((v6, None)));
        assert_eq!(parse_socket("[2001:db8::1]"), Ok((v6, None)));
        assert_eq!(parse_socket("[2001:db8::1]:443"), Ok((v6, Some(443))));
    }

    #[test]
    fn ports_are_read_as_strictly_as_in_rules() {
        for text in [
            "192.0.2.1:0",
            "192.0.2.1:65536",
            "192.0.2.1:0443",
            "192.0.2.0/24",
            "any",
        ] {
            assert!(parse_socket(text).is_err(), "{text}");
        }
    }
}
