//! Protocols and ports: which rules does each of them satisfy?

use std::collections::BTreeMap;

use edge_filter_ebpf::packet::protocol::{SCTP, TCP, UDP, has_ports};

use super::classes::Classes;
use super::patterns::{Pattern, Patterns};
use crate::policy::{Ports, Rule};

/// The classes of protocols and destination ports, in the order of
/// [`transport_index`](edge_filter_ebpf::tables::transport_index).
pub(super) fn transports(patterns: &Patterns<'_>, classes: &mut Classes) -> Vec<u32> {
    let mut table: Vec<u32> = [TCP, UDP, SCTP]
        .into_iter()
        .flat_map(|protocol| by_port(patterns, classes, |rule| destination_spans(rule, protocol)))
        .collect();
    for protocol in 0..=u8::MAX {
        let mut satisfied = patterns.none();
        for pattern in patterns.iter() {
            if !has_ports(protocol) && matches_without_ports(&pattern.rule, protocol) {
                satisfied.insert(pattern.bit);
            }
        }
        table.push(classes.number(satisfied));
    }
    table
}

/// The classes of source ports, if any rule names them.
pub(super) fn source_ports(patterns: &Patterns<'_>, classes: &mut Classes) -> Option<Vec<u32>> {
    if patterns
        .iter()
        .all(|pattern| pattern.rule.from.ports.is_empty())
    {
        return None;
    }
    Some(by_port(patterns, classes, |rule| spans(&rule.from.ports)))
}

/// Ranges of ports, ends included, that neither overlap nor touch.
type Spans = Vec<(u16, u16)>;

const ALL_PORTS: (u16, u16) = (0, u16::MAX);

/// The destination ports at which `rule` may match `protocol`, which has ports.
fn destination_spans(rule: &Rule, protocol: u8) -> Spans {
    if rule.transports.is_empty() {
        return vec![ALL_PORTS];
    }
    let mut wanted = rule
        .transports
        .iter()
        .filter(|transport| transport.protocol == protocol);
    if wanted.clone().any(|transport| transport.ports.is_empty()) {
        return vec![ALL_PORTS];
    }
    if wanted.clone().next().is_none() {
        return Vec::new();
    }
    let ports: Ports = wanted
        .by_ref()
        .flat_map(|transport| transport.ports.clone())
        .collect();
    spans(&ports)
}

/// `ports`, merged; every port if there are none.
fn spans(ports: &Ports) -> Spans {
    if ports.is_empty() {
        return vec![ALL_PORTS];
    }
    let mut sorted: Spans = ports
        .iter()
        .map(|range| (*range.start(), *range.end()))
        .collect();
    sorted.sort_unstable();
    let mut merged: Spans = Vec::new();
    for (begin, end) in sorted {
        match merged.last_mut() {
            Some((_, last)) if begin <= last.saturating_add(1) => *last = end.max(*last),
            _ => merged.push((begin, end)),
        }
    }
    merged
}

/// Whether `rule` may match a packet of `protocol`, which has no ports.
fn matches_without_ports(rule: &Rule, protocol: u8) -> bool {
    rule.from.ports.is_empty()
        && (rule.transports.is_empty()
            || rule
                .transports
                .iter()
                .any(|transport| transport.protocol == protocol && transport.ports.is_empty()))
}

/// The class of every port; `spans` tells the ports of a rule.
fn by_port(
    patterns: &Patterns<'_>,
    classes: &mut Classes,
    spans: impl Fn(&Rule) -> Spans,
) -> Vec<u32> {
    // Which rules begin, and which end, at each port where that changes.
    let mut edges: BTreeMap<u32, Vec<(usize, bool)>> = BTreeMap::from([(0, Vec::new())]);
    for Pattern { bit, rule } in patterns.iter() {
        for (begin, end) in spans(rule) {
            edges.entry(begin.into()).or_default().push((*bit, true));
            edges
                .entry(u32::from(end) + 1)
                .or_default()
                .push((*bit, false));
        }
    }
    let mut satisfied = patterns.none();
    let mut table = vec![0; 65_536];
    for (port, changes) in edges {
        for (rule, begins) in changes {
            if begins {
                satisfied.insert(rule);
            } else {
                satisfied.remove(rule);
            }
        }
        if let Some(rest) = table.get_mut(port as usize..)
            && !rest.is_empty()
        {
            rest.fill(classes.number(satisfied.clone()));
        }
    }
    table
}

#[cfg(test)]
mod tests;
