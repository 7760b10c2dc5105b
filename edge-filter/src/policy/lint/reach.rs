//! Rules that no packet can reach, and packets that nobody can answer.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::check::is_ipv6_header;
use super::super::diagnostic::Findings;
use super::super::{Action, Direction, Trust};
use super::region::{Side, contained};
use super::{Rules, Seen};

/// What is left of a side, by family.
#[derive(Clone, Copy)]
struct Families {
    v4: bool,
    v6: bool,
}

/// Warns of rules that can match no packet; says of each rule whether it can.
pub(super) fn dead_rules(rules: &Rules<'_>, findings: &mut Findings<'_>) -> Vec<bool> {
    let fault = |seen: &Seen<'_>| {
        no_address_left(seen)
            .or_else(|| families_apart(seen))
            .or_else(|| wrong_icmp(seen))
            .or_else(|| header_as_protocol(seen))
            .or_else(|| source_is_refused(rules, seen))
    };
    let mut alive = Vec::with_capacity(rules.rules.len());
    for seen in &rules.rules {
        let fault = fault(seen);
        alive.push(fault.is_none());
        if let Some((message, help)) = fault {
            seen.warn(findings, message, help);
        }
    }
    alive
}

fn no_address_left(seen: &Seen<'_>) -> Option<(String, &'static str)> {
    let empty = |side: &Side| side.left().next().is_none();
    let side = match (empty(&seen.region.from), empty(&seen.region.to)) {
        (true, _) => "from",
        (_, true) => "to",
        _ => return None,
    };
    Some((
        format!("it can match no packet: '{side}.except' takes away every address"),
        "make 'except' smaller, or remove the rule",
    ))
}

fn families_apart(seen: &Seen<'_>) -> Option<(String, &'static str)> {
    let (from, to) = (
        Families::of(&seen.region.from),
        Families::of(&seen.region.to),
    );
    if (from.v4 && to.v4) || (from.v6 && to.v6) {
        return None;
    }
    Some((
        format!(
            "it can match no packet: 'from' is {} and 'to' is {}",
            from.name(),
            to.name()
        ),
        "give both sides addresses of the same IP version",
    ))
}

/// ICMP under IPv6 and `ICMPv6` under IPv4 are numbers that no stack sends.
fn wrong_icmp(seen: &Seen<'_>) -> Option<(String, &'static str)> {
    let (from, to) = (
        Families::of(&seen.region.from),
        Families::of(&seen.region.to),
    );
    let protocols: Vec<u8> = seen
        .rule
        .transports
        .iter()
        .map(|transport| transport.protocol)
        .collect();
    let only = |protocol| protocols.iter().all(|other| *other == protocol);
    if protocols.is_empty() {
        None
    } else if only(1) && !(from.v4 && to.v4) {
        Some((
            "it is for icmp, and its addresses are IPv6".to_owned(),
            "write 'protocol: icmpv6'",
        ))
    } else if only(58) && !(from.v6 && to.v6) {
        Some((
            "it is for icmpv6, and its addresses are IPv4".to_owned(),
            "write 'protocol: icmp'",
        ))
    } else {
        None
    }
}

/// Numbers that IPv6 never hands on as a protocol.
fn header_as_protocol(seen: &Seen<'_>) -> Option<(String, &'static str)> {
    let (from, to) = (
        Families::of(&seen.region.from),
        Families::of(&seen.region.to),
    );
    let transports = &seen.rule.transports;
    let headers = || {
        transports
            .iter()
            .all(|transport| is_ipv6_header(transport.protocol))
    };
    let first = transports
        .first()
        .filter(|_| headers() && !(from.v4 && to.v4))?;
    Some((
        format!(
            "it can match no packet: {} is a header of IPv6, and no protocol",
            first.protocol
        ),
        "headers of IPv6 are passed over; name the protocol behind them",
    ))
}

/// Sources that are dropped before any rule is asked.
fn source_is_refused(rules: &Rules<'_>, seen: &Seen<'_>) -> Option<(String, &'static str)> {
    let role = rules.policy.interface(&seen.rule.interface)?;
    let mut sources = seen.region.from.left();
    if sources.all(|net| contained(net, &impossible_sources())) {
        return Some((
            "it can match no packet: no packet may come from its sources".to_owned(),
            "loopback and multicast addresses are dropped as 'drop:martian'",
        ));
    }
    let inbound = seen.rule.direction == Direction::Inbound && role.trust == Trust::Untrusted;
    let protected = IpNet::aggregate(&role.protects);
    let mut sources = seen.region.from.left();
    if inbound && sources.all(|net| contained(net, &protected)) {
        return Some((
            format!(
                "it can match no packet: the role '{}' protects all of its sources",
                role.name
            ),
            "an address under 'protects' never comes in; change the rule or the role",
        ));
    }
    None
}

/// Loopback and multicast, in both families. The unspecified addresses are
/// missing: DHCP and duplicate address detection use them.
fn impossible_sources() -> [IpNet; 4] {
    [
        Ipv4Net::new_assert([127, 0, 0, 0].into(), 8).into(),
        Ipv4Net::new_assert([224, 0, 0, 0].into(), 4).into(),
        Ipv6Net::new_assert([0, 0, 0, 0, 0, 0, 0, 1].into(), 128).into(),
        Ipv6Net::new_assert([0xff00, 0, 0, 0, 0, 0, 0, 0].into(), 8).into(),
    ]
}

/// RFC 1918 and RFC 4193.
fn private() -> [IpNet; 4] {
    [
        Ipv4Net::new_assert([10, 0, 0, 0].into(), 8).into(),
        Ipv4Net::new_assert([172, 16, 0, 0].into(), 12).into(),
        Ipv4Net::new_assert([192, 168, 0, 0].into(), 16).into(),
        Ipv6Net::new_assert([0xfc00, 0, 0, 0, 0, 0, 0, 0].into(), 7).into(),
    ]
}

/// Warns of rules that let packets to private addresses leave towards
/// outsiders. A role whose rules all deal with private peers is an inside,
/// however little it is trusted, and is left in peace.
pub(super) fn private_destinations(rules: &Rules<'_>, findings: &mut Findings<'_>) {
    let private = private();
    let public = |seen: &Seen<'_>| {
        let peers = match seen.rule.direction {
            Direction::Inbound => &seen.region.from,
            Direction::Outbound => &seen.region.to,
        };
        peers.networks.iter().any(|net| !contained(net, &private))
    };
    for role in rules
        .policy
        .interfaces
        .iter()
        .filter(|role| role.trust == Trust::Untrusted)
    {
        let on_role = || {
            rules
                .rules
                .iter()
                .filter(|seen| seen.rule.interface == role.name)
        };
        if !on_role().any(public) {
            continue;
        }
        for seen in on_role() {
            let leaves =
                seen.rule.direction == Direction::Outbound && seen.rule.action == Action::Allow;
            let to = seen
                .region
                .to
                .networks
                .iter()
                .find(|net| contained(net, &private));
            if leaves && let Some(to) = to {
                seen.warn(
                    findings,
                    format!(
                        "it lets packets to the private network {to} leave through the untrusted \
                         role '{}'",
                        role.name
                    ),
                    "nobody answers there; name the role on the inside, or the public addresses",
                );
            }
        }
    }
}

impl Families {
    fn of(side: &Side) -> Self {
        let mut families = Self {
            v4: false,
            v6: false,
        };
        for net in side.left() {
            match net {
                IpNet::V4(_) => families.v4 = true,
                IpNet::V6(_) => families.v6 = true,
            }
        }
        families
    }

    fn name(self) -> &'static str {
        if self.v4 { "IPv4" } else { "IPv6" }
    }
}
