//! What administrators of Lync edges got wrong most often: one port opened for
//! three services, and a policy that federates and lacks what federation needs.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::super::diagnostic::Findings;
use super::super::{Action, Direction, Rule};
use super::{Rules, Seen};

const TCP: u8 = 6;
const UDP: u8 = 17;

const SIP: u16 = 5061;
const HTTPS: u16 = 443;
const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Warns where TCP 443 is let in to every address.
pub(super) fn shared_port(rules: &Rules<'_>, findings: &mut Findings<'_>) {
    for seen in &rules.rules {
        let rule = seen.rule;
        if allows(rule, Direction::Inbound)
            && names_port(rule, TCP, HTTPS)
            && rule.to.networks.is_none()
        {
            seen.warn(
                findings,
                "it lets TCP 443 in to any address",
                "an edge's three services share this port, and only the destination tells them \
                 apart: list it under 'to.networks'",
            );
        }
    }
}

/// Warns of a policy that federates over SIP and cannot do so: the ten
/// documented rows alone are such a policy.
pub(super) fn incomplete(rules: &Rules<'_>, findings: &mut Findings<'_>) {
    let sip = |seen: &&Seen<'_>| seen.rule.action == Action::Allow && is_sip(seen.rule);
    let Some(first) = rules.rules.iter().find(sip) else {
        return;
    };
    let has = |direction, protocol, port| {
        rules
            .rules
            .iter()
            .any(|seen| allows(seen.rule, direction) && covers_port(seen.rule, protocol, port))
    };
    let mut missing = Vec::new();
    if !has(Direction::Outbound, UDP, DNS) {
        missing.push("DNS (port 53 outbound)");
    }
    if !has(Direction::Outbound, TCP, HTTP) {
        missing.push("certificate revocation lists (TCP 80 outbound)");
    }
    match edges_on_https(rules) {
        0 => missing.push("clients (TCP 443 inbound)"),
        1 | 2 => {
            missing.push("all three of Access, Web Conferencing and A/V on TCP 443");
        }
        _ => {}
    }
    if !missing.is_empty() {
        findings.help(
            first.mark,
            format!(
                "this is not a complete edge policy: it federates over SIP ('{}') and has no rule \
                 for {}",
                first.rule.id,
                missing.join(", nor for ")
            ),
            "config/lync-2013-edge.yaml is the complete policy; a host that does without these \
             can ignore this",
        );
    }
}

/// How many addresses of one family TCP 443 is let in to; three if it is any.
fn edges_on_https(rules: &Rules<'_>) -> usize {
    let mut v4: BTreeSet<&IpNet> = BTreeSet::new();
    let mut v6: BTreeSet<&IpNet> = BTreeSet::new();
    for seen in &rules.rules {
        if !(allows(seen.rule, Direction::Inbound) && covers_port(seen.rule, TCP, HTTPS)) {
            continue;
        }
        for net in &seen.region.to.networks {
            // A prefix that is more than one address may be all of them.
            if net.prefix_len() < net.max_prefix_len() {
                return 3;
            }
            match net {
                IpNet::V4(_) => v4.insert(net),
                IpNet::V6(_) => v6.insert(net),
            };
        }
    }
    v4.len().max(v6.len())
}

fn allows(rule: &Rule, direction: Direction) -> bool {
    rule.action == Action::Allow && rule.direction == direction
}

/// Whether the rule is there for SIP among others, and not for ports at large.
fn is_sip(rule: &Rule) -> bool {
    rule.transports
        .iter()
        .any(|transport| transport.protocol == TCP && transport.ports.contains(&(SIP..=SIP)))
}

/// Whether the rule lists this port.
fn names_port(rule: &Rule, protocol: u8, port: u16) -> bool {
    rule.transports.iter().any(|transport| {
        transport.protocol == protocol && transport.ports.iter().any(|range| range.contains(&port))
    })
}

/// Whether the rule lists this port, or ports of any number.
fn covers_port(rule: &Rule, protocol: u8, port: u16) -> bool {
    rule.transports.is_empty()
        || names_port(rule, protocol, port)
        || rule
            .transports
            .iter()
            .any(|transport| transport.protocol == protocol && transport.ports.is_empty())
}
