//! Rules that an earlier rule leaves nothing for. The comparison is with one
//! rule at a time: several that only together cover a later one go unnoticed,
//! and a warning is never wrong.

use std::collections::HashMap;

use ipnet::IpNet;

use super::super::Direction;
use super::super::diagnostic::Findings;
use super::region::{Region, Side};
use super::{Rules, Seen};

/// A range of more ports than this is not listed port by port.
const NARROW: u16 = 8;

/// The earlier rules of one hook. Only those can hold a region that hold one
/// packet of it, so each is listed under its networks and under its ports, and
/// the shortest of the three lists is looked through: ten thousand rules are
/// read in a moment, not in a minute.
#[derive(Default)]
struct Earlier<'a> {
    rules: Vec<&'a Seen<'a>>,
    by_source: HashMap<IpNet, Vec<usize>>,
    by_destination: HashMap<IpNet, Vec<usize>>,
    by_port: HashMap<(u8, u16), Vec<usize>>,
    /// Those of any port, or of many.
    of_many_ports: Vec<usize>,
}

/// Warns of each rule, of those that are `alive`, that cannot decide.
pub(super) fn shadowed_rules(rules: &Rules<'_>, alive: &[bool], findings: &mut Findings<'_>) {
    let mut hooks: HashMap<(&str, Direction), Earlier<'_>> = HashMap::new();
    for (seen, alive) in rules.rules.iter().zip(alive) {
        if !alive {
            continue;
        }
        let earlier = hooks
            .entry((&seen.rule.interface, seen.rule.direction))
            .or_default();
        match earlier.holding(&seen.region) {
            Some(by) => seen.warn(
                findings,
                format!(
                    "it never decides: '{}' on line {} matches all of its packets before it",
                    by.rule.id, by.rule.line
                ),
                "put it before that rule, or remove it",
            ),
            None => earlier.add(seen),
        }
    }
}

impl<'a> Earlier<'a> {
    fn add(&mut self, seen: &'a Seen<'a>) {
        let index = self.rules.len();
        self.rules.push(seen);
        for net in &seen.region.from.networks {
            self.by_source.entry(*net).or_default().push(index);
        }
        for net in &seen.region.to.networks {
            self.by_destination.entry(*net).or_default().push(index);
        }
        let narrow = |range: &std::ops::RangeInclusive<u16>| range.end() - range.start() < NARROW;
        let transports = &seen.region.transports;
        let listed = |ports: &super::super::Ports| !ports.is_empty() && ports.iter().all(narrow);
        if transports.is_empty() || !transports.iter().all(|transport| listed(&transport.ports)) {
            self.of_many_ports.push(index);
            return;
        }
        for transport in transports {
            for port in transport.ports.iter().cloned().flatten() {
                self.by_port
                    .entry((transport.protocol, port))
                    .or_default()
                    .push(index);
            }
        }
    }

    /// The first rule that matches all that `region` does.
    fn holding(&self, region: &Region) -> Option<&'a Seen<'a>> {
        let lists = [
            above(&self.by_source, &region.from),
            above(&self.by_destination, &region.to),
            self.at_port(region),
        ];
        let shortest = lists
            .into_iter()
            .min_by_key(|lists| lists.iter().map(|one| one.len()).sum::<usize>())?;
        let holding = shortest
            .into_iter()
            .flatten()
            .filter(|index| self.rules[**index].region.holds(region));
        holding.min().map(|index| self.rules[*index])
    }

    /// The rules that hold the first port of a region.
    fn at_port(&self, region: &Region) -> Vec<&[usize]> {
        let mut lists = vec![self.of_many_ports.as_slice()];
        if let Some(transport) = region.transports.first()
            && let Some(range) = transport.ports.first()
            && let Some(list) = self.by_port.get(&(transport.protocol, *range.start()))
        {
            lists.push(list);
        }
        lists
    }
}

/// The rules whose networks hold the first network of a side.
fn above<'i>(index: &'i HashMap<IpNet, Vec<usize>>, side: &Side) -> Vec<&'i [usize]> {
    let mut lists = Vec::new();
    let mut net = side.left().next().copied();
    while let Some(prefix) = net {
        lists.extend(index.get(&prefix).map(Vec::as_slice));
        net = prefix.supernet();
    }
    lists
}
