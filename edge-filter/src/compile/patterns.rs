//! What the bits of the vectors stand for: first the hook's own rules, then the
//! lists that tell replies (`docs/verdicts.md` §13), turned round where they are
//! asked about a packet's mirror.

use std::borrow::Cow;

use super::rule_set::RuleSet;
use crate::policy::{Endpoint, Rule, Transport};
use edge_filter_ebpf::packet::protocol::{SCTP, TCP, UDP, has_ports};

/// One bit of the vectors, and the packets that have it.
#[derive(Debug, Clone)]
pub(super) struct Pattern<'p> {
    pub(super) bit: usize,
    pub(super) rule: Cow<'p, Rule>,
}

/// The bits of one hook. Not every bit stands for something: a list begins at a
/// word of its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns<'p> {
    patterns: Vec<Pattern<'p>>,
    words: usize,
}

impl<'p> Patterns<'p> {
    /// One bit for each of `rules`, from the first word on.
    pub(super) fn of(rules: &[&'p Rule]) -> Self {
        let mut patterns = Self::default();
        for (bit, rule) in rules.iter().enumerate() {
            patterns.push(bit, Cow::Borrowed(*rule));
        }
        patterns
    }

    /// Adds a bit behind all there are.
    pub(super) fn push(&mut self, bit: usize, rule: Cow<'p, Rule>) {
        self.words = bit / 64 + 1;
        self.patterns.push(Pattern { bit, rule });
    }

    /// Gives every bit the number that `number` says, below [`Self::bits`].
    pub(super) fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        for pattern in &mut self.patterns {
            pattern.bit = number(pattern.bit);
        }
    }

    /// How many 64-bit words they take.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// How many bits there are, those between the lists included.
    pub(super) fn bits(&self) -> usize {
        self.words * 64
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern<'p>> {
        self.patterns.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// No bit.
    pub(super) fn none(&self) -> RuleSet {
        RuleSet::empty(self.bits())
    }

    /// Every bit that stands for something.
    pub(super) fn every(&self) -> RuleSet {
        let mut set = self.none();
        self.iter().for_each(|pattern| set.insert(pattern.bit));
        set
    }
}

/// The rules that match exactly the packets whose mirror `rule` matches. They are
/// several where the ports that it names go with different protocols: what was the
/// destination's port is the source's now, and that is asked of all protocols alike.
pub(super) fn mirrored(rule: &Rule) -> Vec<Rule> {
    let with = |transports: Vec<Transport>, source_ports| Rule {
        from: Endpoint {
            networks: rule.to.networks.clone(),
            except: rule.to.except.clone(),
            ports: source_ports,
        },
        to: Endpoint {
            ports: Vec::new(),
            ..rule.from.clone()
        },
        transports,
        ..rule.clone()
    };
    let to = |protocol| Transport {
        protocol,
        ports: rule.from.ports.clone(),
    };
    if rule.transports.is_empty() {
        let transports = if rule.from.ports.is_empty() {
            Vec::new()
        } else {
            [TCP, UDP, SCTP].map(to).to_vec()
        };
        return vec![with(transports, Vec::new())];
    }
    let mut turned: Vec<Rule> = Vec::new();
    for transport in &rule.transports {
        // A protocol without ports never has the port that the rule asks for.
        let asks_for_ports = !rule.from.ports.is_empty() || !transport.ports.is_empty();
        if asks_for_ports && !has_ports(transport.protocol) {
            continue;
        }
        match turned
            .iter_mut()
            .find(|turned| turned.from.ports == transport.ports)
        {
            Some(alike) => alike.transports.push(to(transport.protocol)),
            None => turned.push(with(vec![to(transport.protocol)], transport.ports.clone())),
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use super::*;

    fn transport(protocol: u8, ports: &[u16]) -> Transport {
        Transport {
            protocol,
            ports: ports.iter().map(|&port| port..=port).collect(),
        }
    }

    #[test]
    fn addresses_and_ports_change_places() {
        let mut original = rule(0);
        original.from.networks = Some(vec!["192.0.2.10/32".parse().unwrap()]);
        original.from.except = vec!["192.0.2.11/32".parse().unwrap()];
        original.from.ports = vec![1000..=2000];
        original.to.except = vec!["198.51.100.0/24".parse().unwrap()];
        original.transports = vec![transport(TCP, &[443]), transport(UDP, &[443])];
        let [turned] = &mirrored(&original)[..] else {
            panic!("protocols with the same ports stay one rule");
        };
        assert_eq!(turned.to.networks, original.from.networks);
        assert_eq!(turned.to.except, original.from.except);
        assert_eq!(turned.from.networks, None);
        assert_eq!(turned.from.except, original.to.except);
        assert_eq!(turned.from.ports, vec![443..=443]);
        assert_eq!(turned.to.ports, Vec::new(), "they stand in the transports");
        let to = |protocol| Transport {
            protocol,
            ports: vec![1000..=2000],
        };
        assert_eq!(turned.transports, [to(TCP), to(UDP)]);
    }

    #[test]
    fn protocols_with_ports_of_their_own_come_apart() {
        let mut original = rule(0);
        original.transports = vec![
            transport(TCP, &[5061]),
            transport(UDP, &[3478]),
            transport(1, &[]),
            transport(SCTP, &[5061]),
        ];
        let turned = mirrored(&original);
        let ports: Vec<_> = turned.iter().map(|rule| rule.from.ports.clone()).collect();
        assert_eq!(ports, [vec![5061..=5061], vec![3478..=3478], Vec::new()]);
        assert_eq!(
            turned[0].transports,
            [transport(TCP, &[]), transport(SCTP, &[])]
        );
        assert_eq!(turned[2].transports, [transport(1, &[])]);
    }

    #[test]
    fn any_protocol_stays_any() {
        let turned = mirrored(&rule(0));
        assert_eq!(turned.len(), 1);
        assert!(turned[0].transports.is_empty() && turned[0].from.ports.is_empty());
    }

    /// A rule that matches nothing has a mirror that matches nothing.
    #[test]
    fn a_port_of_a_protocol_without_ports_is_never_there() {
        let mut original = rule(0);
        original.from.ports = vec![7..=7];
        original.transports = vec![transport(47, &[])];
        assert!(mirrored(&original).is_empty());
    }

    #[test]
    fn bits_between_lists_stand_for_nothing() {
        let rules = [rule(0), rule(1)];
        let mut patterns = Patterns::of(&[&rules[0]]);
        patterns.push(64, Cow::Borrowed(&rules[1]));
        assert_eq!((patterns.words(), patterns.bits()), (2, 128));
        assert_eq!(patterns.every().words(), [1, 1]);
        assert_eq!(patterns.none().words(), [0, 0]);
    }
}
