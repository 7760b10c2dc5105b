//! Packets for the rules of a hook: some that each of them asks for, and some that just
//! come along.

use std::net::IpAddr;

use edge_filter::policy::Rule;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::Header;
use crate::generate::draft::Draft;
use crate::generate::flow::{Flow, has_ports};
use crate::generate::{Dice, any, chance};
use crate::judge::Hook;

/// Where the packets come from.
#[derive(Debug, Clone)]
pub struct Packets<'p> {
    rules: Vec<&'p Rule>,
}

/// How often a rule is chosen anew because no packet can match it.
const TRIES: usize = 12;

impl<'p> Packets<'p> {
    /// Those for `hook`.
    #[must_use]
    pub fn new(hook: Hook<'p>) -> Self {
        let rules = hook.policy.rules_of(hook.interface, hook.direction);
        Self {
            rules: rules.collect(),
        }
    }

    /// A frame. Seven in ten are inside a rule, any of them, at the ends of its networks
    /// and of its ranges of ports more often than not; two are a step beside one; the rest
    /// is anything.
    #[must_use]
    pub fn draw(&self, dice: &mut Dice) -> Vec<u8> {
        let flow = self.flow(dice);
        Draft::of(dice, &flow).frame()
    }

    /// The header of such a frame.
    pub(crate) fn header(&self, dice: &mut Dice) -> Header {
        loop {
            if let Some(header) = Header::of(&self.flow(dice)) {
                return header;
            }
        }
    }

    /// A header that the rule asks for that is `number`, counted from 0; `None` where no
    /// packet of IPv4 can match it.
    pub(crate) fn header_for(&self, dice: &mut Dice, number: usize) -> Option<Header> {
        let rule = self.rules.get(number)?;
        (0..TRIES).find_map(|_| Header::of(&self.inside(dice, rule)?))
    }

    fn flow(&self, dice: &mut Dice) -> Flow {
        match dice.random_range(0..10) {
            0 => anything(dice),
            1..=2 => self.at_any(dice, |dice, rule| Flow::beside(dice, rule, &self.rules)),
            _ => self.at_any(dice, |dice, rule| self.inside(dice, rule)),
        }
    }

    /// A flow that `rule` asks for, from any port where it asks for none: that is where
    /// packets differ most.
    fn inside(&self, dice: &mut Dice, rule: &Rule) -> Option<Flow> {
        let mut flow = Flow::inside(dice, rule, &self.rules)?;
        if let Some((source, _)) = &mut flow.ports
            && rule.from.ports.is_empty()
        {
            *source = dice.random();
        }
        Some(flow)
    }

    /// A flow at some rule, or anything where none has any.
    fn at_any(&self, dice: &mut Dice, at: impl Fn(&mut Dice, &Rule) -> Option<Flow>) -> Flow {
        let flow = (0..TRIES).find_map(|_| {
            let rule = self.rules.choose(dice)?;
            at(dice, rule)
        });
        flow.unwrap_or_else(|| anything(dice))
    }
}

/// A flow between any two addresses.
fn anything(dice: &mut Dice) -> Flow {
    let (source, destination): (IpAddr, IpAddr) = if chance(dice, 80) {
        let [source, destination] = dice.random::<[[u8; 4]; 2]>();
        (source.into(), destination.into())
    } else {
        let [source, destination] = dice.random::<[[u8; 16]; 2]>();
        (source.into(), destination.into())
    };
    let protocol = any(dice, &[6, 17, 132, 47]);
    Flow {
        source,
        destination,
        protocol,
        ports: has_ports(protocol).then(|| (dice.random(), dice.random())),
    }
}
