//! Protocols and ports: the half of a rule that is about the transport header.

use std::ops::RangeInclusive;

use super::super::diagnostic::{Complaint, Mark, suggest};
use super::super::document::{self, Field, List, OneOrMany, Scalar};
use super::super::outline::Node;
use super::super::ports::{self, decimal};
use super::super::rule::{Ports, Transport};
use super::{Resolver, quoted};

/// The protocols that policies know by name (IANA protocol numbers).
pub(in crate::policy) const PROTOCOLS: [(&str, u8); 5] = [
    ("tcp", 6),
    ("udp", 17),
    ("sctp", 132),
    ("icmp", 1),
    ("icmpv6", 58),
];

/// Protocols that people name, and that policies have by number.
const BY_NUMBER: [(&str, u8); 9] = [
    ("igmp", 2),
    ("ipip", 4),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("udplite", 136),
];

/// What stands behind `protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum Protocol {
    Any,
    Number(u8),
}

/// Whether a protocol's header begins with two ports, as far as this language
/// is concerned: TCP, UDP and SCTP.
pub(in crate::policy) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132)
}

/// A protocol by its name.
pub(in crate::policy) fn parse_protocol(text: &str) -> Result<Protocol, Complaint> {
    if text == "any" {
        return Ok(Protocol::Any);
    }
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == text) {
        return Ok(Protocol::Number(*number));
    }
    let help = match BY_NUMBER
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
    {
        Some((_, number)) => Some(format!("write its number: {number}")),
        None => suggest(text, PROTOCOLS.iter().map(|(name, _)| *name).chain(["any"])),
    };
    Err(Complaint {
        message: format!("there is no protocol called {}", quoted(text)),
        help,
    })
}

/// Whether IPv6 reads a next header of this number as an extension header or as
/// the end of the chain, and so never as a protocol (IANA, "IPv6 Extension
/// Header Types"; RFC 8200 §4.7 for 59). ESP, 50, is a protocol here.
pub(in crate::policy) fn is_ipv6_header(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 51 | 59 | 60 | 135 | 139 | 140)
}

impl Resolver<'_> {
    /// A protocol; `None` if it holds an error.
    pub(super) fn protocol(&mut self, scalar: &Scalar, node: &Node) -> Option<Protocol> {
        let text = match scalar {
            Scalar::Text(text) if decimal(text).is_none() => text,
            _ => return self.protocol_number(scalar, node).map(Protocol::Number),
        };
        match parse_protocol(text) {
            Ok(protocol) => Some(protocol),
            Err(complaint) => {
                self.findings
                    .add(node.mark, complaint.message, complaint.help);
                None
            }
        }
    }

    fn protocol_number(&mut self, scalar: &Scalar, node: &Node) -> Option<u8> {
        let number = self.findings.number(scalar, node, "the protocol")?;
        let protocol = u8::try_from(number).ok();
        if protocol.is_none() {
            self.findings.help(
                node.mark,
                format!("there is no protocol {number}"),
                "protocol numbers are 0 to 255; ports stand under 'ports'",
            );
        }
        protocol
    }

    /// A list of ports; `None` if it holds an error.
    pub(super) fn ports(&mut self, list: &List<Scalar>, node: &Node) -> Option<Ports> {
        let before = self.findings.count();
        self.not_empty(
            list,
            node,
            "the list of ports",
            "an empty list would match no port; leave it out for any port",
        );
        let mut ranges: Ports = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            if self
                .findings
                .item(item, node, "an entry of the list of ports")
                .is_none()
            {
                continue;
            }
            match ports::parse(node.typed()) {
                Ok(range) => {
                    self.no_overlap(&ranges, &range, node.mark);
                    ranges.push(range);
                }
                Err(complaint) => self.findings.complain(node.mark, &complaint),
            }
        }
        (self.findings.count() == before).then_some(ranges)
    }

    fn no_overlap(&mut self, ranges: &Ports, range: &RangeInclusive<u16>, mark: Mark) {
        let twice = ranges
            .iter()
            .find(|other| other.start() <= range.end() && range.start() <= other.end());
        if let Some(other) = twice {
            let port = other.start().max(range.start());
            self.findings.help(
                mark,
                format!("port {port} is in this list twice"),
                "join the ranges, or remove one of them",
            );
        }
    }

    /// Whether a protocol may have ports, if there are any.
    pub(super) fn ports_fit(&mut self, protocol: u8, ports: &Ports, mark: Mark) -> bool {
        let fit = ports.is_empty() || has_ports(protocol);
        if !fit {
            self.findings.help(
                mark,
                format!("protocol {protocol} has no ports"),
                "ports go with tcp, udp and sctp; remove them",
            );
        }
        fit
    }

    /// What a rule says about the transport header, from `service` or from
    /// `protocol` and `to.ports`. Empty means any protocol; `None` means that
    /// it holds an error.
    pub(super) fn transports(
        &mut self,
        rule: &document::Rule,
        node: &Node,
        to_ports: Option<Ports>,
        from_ports: &Ports,
    ) -> Option<Vec<Transport>> {
        if rule.service.is_written() {
            return self.service_transports(rule, node, from_ports);
        }
        let to_ports = to_ports?;
        let protocol = match &rule.protocol {
            Field::Absent => Protocol::Any,
            field => {
                let scalar = self.findings.optional(field, node, "protocol")?;
                self.protocol(scalar, node.get("protocol"))?
            }
        };
        let side = if to_ports.is_empty() { "from" } else { "to" };
        let mark = node.get(side).key("ports");
        match protocol {
            Protocol::Number(protocol) => {
                let both = if to_ports.is_empty() {
                    from_ports
                } else {
                    &to_ports
                };
                self.ports_fit(protocol, both, mark).then(|| {
                    vec![Transport {
                        protocol,
                        ports: to_ports,
                    }]
                })
            }
            Protocol::Any if to_ports.is_empty() && from_ports.is_empty() => Some(Vec::new()),
            Protocol::Any => {
                self.findings.help(
                    mark,
                    "there are ports here, and no protocol that has ports",
                    "add 'protocol: tcp', 'udp' or 'sctp'",
                );
                None
            }
        }
    }

    fn service_transports(
        &mut self,
        rule: &document::Rule,
        node: &Node,
        from_ports: &Ports,
    ) -> Option<Vec<Transport>> {
        let before = self.findings.count();
        if rule.protocol.is_written() {
            self.findings.help(
                node.key("protocol"),
                "the rule has both 'service' and 'protocol', and a service names its own protocols",
                "keep one of them",
            );
        }
        if rule.to.given().is_some_and(|to| to.ports.is_written()) {
            self.findings.help(
                node.get("to").key("ports"),
                "the rule has both 'service' and 'to.ports', and a service names its own ports",
                "keep one of them; 'protocol' goes with 'to.ports'",
            );
        }
        let transports = self.service_list(rule, node);
        if !from_ports.is_empty()
            && let Some(other) = transports
                .iter()
                .find(|transport| !has_ports(transport.protocol))
        {
            self.findings.help(
                node.get("from").key("ports"),
                format!(
                    "the rule has 'from.ports', and its service includes protocol {}, which has \
                     no ports",
                    other.protocol
                ),
                "use services of tcp, udp and sctp alone, or split the rule",
            );
        }
        (self.findings.count() == before).then_some(transports)
    }

    fn service_list(&mut self, rule: &document::Rule, node: &Node) -> Vec<Transport> {
        let Some(service) = self.findings.optional(&rule.service, node, "service") else {
            return Vec::new();
        };
        let node = node.get("service");
        let list = match service {
            OneOrMany::One(name) => return self.named_service(name, node),
            OneOrMany::Many(list) => list,
        };
        self.not_empty(
            list,
            node,
            "the list of services",
            "an empty list would match no service; leave it out for any",
        );
        let mut transports = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            let Some(name) = self
                .findings
                .item(item, node, "an entry of the list of services")
            else {
                continue;
            };
            if seen.contains(&name.as_str()) {
                self.findings.help(
                    node.mark,
                    format!("the service '{name}' is in this list twice"),
                    "remove one of them",
                );
            }
            seen.push(name);
            transports.extend(self.named_service(name, node));
        }
        transports
    }

    fn named_service(&mut self, name: &str, node: &Node) -> Vec<Transport> {
        if let Some(service) = self.services.get_mut(name) {
            service.used = true;
            return service.value.clone();
        }
        let help = if PROTOCOLS.iter().any(|(protocol, _)| *protocol == name) || name == "any" {
            Some(format!("write 'protocol: {name}'"))
        } else {
            suggest(name, self.services.keys().map(String::as_str))
        };
        let help = help.or_else(|| Some("define it under 'services'".to_owned()));
        self.findings.add(
            node.mark,
            format!("there is no service called {}", quoted(name)),
            help,
        );
        Vec::new()
    }
}
