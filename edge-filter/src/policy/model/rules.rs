//! Section 10: the rules of one hook, asked one after the other.

use std::net::IpAddr;

use super::Flow;
use crate::policy::{Endpoint, Ports, Rule, Transport};

/// The first of `rules` that matches `flow`.
pub(super) fn first_match<'p>(rules: &[&'p Rule], flow: &Flow) -> Option<&'p Rule> {
    rules.iter().copied().find(|rule| matches(rule, flow))
}

fn matches(rule: &Rule, flow: &Flow) -> bool {
    holds(&rule.from, flow.source)
        && holds(&rule.to, flow.destination)
        && port_matches(&rule.from.ports, flow.ports.map(|(source, _)| source))
        && transport_matches(&rule.transports, flow)
}

fn holds(side: &Endpoint, address: IpAddr) -> bool {
    let held = match &side.networks {
        None => true,
        Some(networks) => networks.iter().any(|network| network.contains(&address)),
    };
    held && !side.except.iter().any(|network| network.contains(&address))
}

fn transport_matches(transports: &[Transport], flow: &Flow) -> bool {
    transports.is_empty()
        || transports.iter().any(|transport| {
            transport.protocol == flow.protocol
                && port_matches(
                    &transport.ports,
                    flow.ports.map(|(_, destination)| destination),
                )
        })
}

/// No range asks for nothing; any range asks for a port.
fn port_matches(ranges: &Ports, port: Option<u16>) -> bool {
    ranges.is_empty() || port.is_some_and(|port| ranges.iter().any(|range| range.contains(&port)))
}
