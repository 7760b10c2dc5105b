//! The set of packets that a rule is about, in a form that can be compared:
//! prefixes joined as far as they go, so that a prefix lies in a set exactly if
//! one of the set's prefixes contains it.

use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::{Endpoint, Ports, Rule, Transport};

/// The packets that a rule matches.
pub(super) struct Region {
    pub(super) from: Side,
    pub(super) to: Side,
    /// Empty for any protocol; otherwise one entry per protocol, in order.
    pub(super) transports: Vec<Transport>,
}

/// The addresses and ports of one side.
pub(super) struct Side {
    /// Every address is two prefixes of length 0.
    pub(super) networks: Vec<IpNet>,
    except: Vec<IpNet>,
    /// Empty for any.
    ports: Ports,
}

impl Region {
    pub(super) fn of(rule: &Rule) -> Self {
        let mut transports: Vec<Transport> = Vec::new();
        for transport in &rule.transports {
            match transports
                .iter_mut()
                .find(|known| known.protocol == transport.protocol)
            {
                // No ports are all ports, and stay so.
                Some(known) if known.ports.is_empty() || transport.ports.is_empty() => {
                    known.ports.clear();
                }
                Some(known) => known.ports.extend_from_slice(&transport.ports),
                None => transports.push(transport.clone()),
            }
        }
        for transport in &mut transports {
            transport.ports = join(&transport.ports);
        }
        Self {
            from: Side::of(&rule.from),
            to: Side::of(&rule.to),
            transports,
        }
    }

    /// Whether every packet of `other` is one of these.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.holds_transports(other) && self.from.holds(&other.from) && self.to.holds(&other.to)
    }

    fn holds_transports(&self, other: &Self) -> bool {
        if self.transports.is_empty() {
            return true;
        }
        !other.transports.is_empty()
            && other.transports.iter().all(|inner| {
                self.transports.iter().any(|outer| {
                    outer.protocol == inner.protocol && holds_ports(&outer.ports, &inner.ports)
                })
            })
    }
}

impl Side {
    fn of(endpoint: &Endpoint) -> Self {
        let networks = match &endpoint.networks {
            Some(networks) => IpNet::aggregate(networks),
            None => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        };
        let except = IpNet::aggregate(&endpoint.except);
        Self {
            networks,
            except,
            ports: join(&endpoint.ports),
        }
    }

    /// The networks of which `except` leaves something.
    pub(super) fn left(&self) -> impl Iterator<Item = &IpNet> {
        self.networks
            .iter()
            .filter(|net| !contained(net, &self.except))
    }

    fn holds(&self, other: &Self) -> bool {
        holds_ports(&self.ports, &other.ports)
            && other.left().all(|net| contained(net, &self.networks))
            && self.except.iter().all(|hole| {
                contained(hole, &other.except) || other.left().all(|net| apart(hole, net))
            })
    }
}

/// Whether one of the prefixes contains `net`.
pub(super) fn contained(net: &IpNet, prefixes: &[IpNet]) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(net))
}

fn apart(a: &IpNet, b: &IpNet) -> bool {
    !a.contains(b) && !b.contains(a)
}

fn holds_ports(outer: &Ports, inner: &Ports) -> bool {
    outer.is_empty()
        || !inner.is_empty()
            && inner.iter().all(|range| {
                outer
                    .iter()
                    .any(|held| held.start() <= range.start() && range.end() <= held.end())
            })
}

/// Sorts ranges and joins those that touch.
fn join(ranges: &Ports) -> Ports {
    let mut sorted: Vec<(u16, u16)> = ranges
        .iter()
        .map(|range| (*range.start(), *range.end()))
        .collect();
    sorted.sort_unstable();
    let mut joined: Vec<RangeInclusive<u16>> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match joined.last_mut() {
            Some(before) if first <= before.end().saturating_add(1) => {
                *before = *before.start()..=last.max(*before.end());
            }
            _ => joined.push(first..=last),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(networks: &[&str], except: &[&str], ports: &[RangeInclusive<u16>]) -> Side {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let networks = if networks.is_empty() {
            None
        } else {
            Some(nets(networks))
        };
        Side::of(&Endpoint {
            networks,
            except: nets(except),
            ports: ports.to_vec(),
        })
    }

    #[test]
    fn halves_hold_the_whole() {
        let halves = side(&["192.0.2.0/25", "192.0.2.128/25"], &[], &[]);
        assert!(halves.holds(&side(&["192.0.2.0/24"], &[], &[])));
        assert!(!halves.holds(&side(&["192.0.2.0/23"], &[], &[])));
        assert!(side(&[], &[], &[]).holds(&halves));
        assert!(side(&["0.0.0.0/0", "::/0"], &[], &[]).holds(&side(&[], &[], &[])));
        assert!(!side(&["0.0.0.0/0"], &[], &[]).holds(&side(&[], &[], &[])));
    }

    #[test]
    fn a_hole_matters_only_where_the_other_has_none() {
        let holed = side(&["192.0.2.0/24"], &["192.0.2.7/32"], &[]);
        assert!(!holed.holds(&side(&["192.0.2.0/24"], &[], &[])));
        assert!(holed.holds(&side(&["192.0.2.128/25"], &[], &[])));
        assert!(holed.holds(&side(&["192.0.2.0/24"], &["192.0.2.0/28"], &[])));
    }

    #[test]
    fn ports_join_where_they_touch() {
        let joined = side(&[], &[], &[10..=19, 20..=29, 5..=12]);
        assert!(joined.holds(&side(&[], &[], &[5..=29])));
        assert!(!joined.holds(&side(&[], &[], &[5..=30])));
        assert!(!joined.holds(&side(&[], &[], &[])));
        assert!(side(&[], &[], &[]).holds(&joined));
    }
}
