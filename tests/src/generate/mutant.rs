//! Policies with one seeded mistake each: the mistakes that a compiler of rules
//! is likely to make. A comparison that misses one of them proves little.

use edge_filter::policy::model::Model;
use edge_filter::policy::{Direction, Endpoint, Policy, Rule};
use ipnet::IpNet;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::frame::Frames;
use super::pool::network;
use super::{Dice, MAIN_ROLE, any, chance};

/// How many places for a mistake are tried.
const TRIES: usize = 400;
/// How many frames around the changed rules are asked whether it shows, and
/// how many of them must say so.
const WITNESSES: usize = 64;
const WITNESSES_NEEDED: usize = 4;

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// A port range begins or ends one port too early or too late.
    Port,
    /// A prefix is one bit longer or shorter.
    PrefixLength,
    /// Two adjacent rules of different verdicts have changed places.
    Order,
    /// A rule has lost one of its exceptions, or got one more.
    Except,
    /// The matches of rules 63, 64 and 65, counted from 1, are reported as
    /// those of their neighbours: the first word of 64 rules ends among them.
    WordBoundary,
}

/// A policy that means something else than the one it was made from.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// What is wrong with it.
    pub mistake: Mistake,
    /// The policy with the mistake.
    pub policy: Policy,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Port,
        Self::PrefixLength,
        Self::Order,
        Self::Except,
        Self::WordBoundary,
    ];

    /// Its name, for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Port => "off-by-one port",
            Self::PrefixLength => "prefix length",
            Self::Order => "rule order",
            Self::Except => "except",
            Self::WordBoundary => "word boundary",
        }
    }

    /// Makes the mistake somewhere in `rules`, the rules of one hook, and says
    /// which of them it touched.
    fn make(self, dice: &mut Dice, rules: &mut [&mut Rule]) -> Option<Vec<usize>> {
        let at = dice.random_range(0..rules.len());
        match self {
            Self::Port => wrong_port(dice, rules[at]).map(|()| vec![at]),
            Self::PrefixLength => wrong_prefix(dice, rules[at]).map(|()| vec![at]),
            Self::Order => {
                let [first, second, ..] = &mut rules[at..] else {
                    return None;
                };
                if first.action == second.action {
                    return None;
                }
                std::mem::swap(*first, *second);
                Some(vec![at, at + 1])
            }
            Self::Except => wrong_exception(dice, rules[at]).map(|()| vec![at]),
            Self::WordBoundary => {
                let [a, b, c] = rules.get_mut(62..65)? else {
                    return None;
                };
                swap_matches(a, b);
                swap_matches(b, c);
                Some(vec![62, 63, 64])
            }
        }
    }
}

/// A mutant of each kind that `policy` has room for, on the inbound hook of
/// [`MAIN_ROLE`]. Frames around the changed rules have shown each to mean
/// something else.
///
/// With 65 rules or more there is mostly one of each kind. Where earlier rules
/// hide all of rules 63 to 65 there is none at the word boundary.
#[must_use]
pub fn mutants(dice: &mut Dice, policy: &Policy) -> Vec<Mutant> {
    Mistake::ALL
        .into_iter()
        .filter_map(|mistake| mutant(dice, policy, mistake))
        .collect()
}

fn mutant(dice: &mut Dice, policy: &Policy, mistake: Mistake) -> Option<Mutant> {
    (0..TRIES).find_map(|_| {
        let mut mutated = policy.clone();
        let mut rules: Vec<&mut Rule> = mutated
            .rules
            .iter_mut()
            .filter(|rule| rule.interface == MAIN_ROLE && rule.direction == Direction::Inbound)
            .collect();
        let touched = mistake.make(dice, &mut rules)?;
        shows(dice, policy, &mutated, &touched).then_some(Mutant {
            mistake,
            policy: mutated,
        })
    })
}

/// Whether frames around the `touched` rules of `original` fare differently
/// under `mutated`.
fn shows(dice: &mut Dice, original: &Policy, mutated: &Policy, touched: &[usize]) -> bool {
    let model =
        |policy| Model::new(policy, MAIN_ROLE, Direction::Inbound, false).expect("it has the role");
    let (right, wrong) = (model(original), model(mutated));
    let frames = Frames::new(original, MAIN_ROLE, Direction::Inbound);
    let rules: Vec<&Rule> = original.rules_of(MAIN_ROLE, Direction::Inbound).collect();
    let told = (0..WITNESSES)
        .filter_map(|_| {
            let touched = any(dice, touched);
            frames.around(dice, rules[touched])
        })
        .filter(|frame| right.judge(frame) != wrong.judge(frame))
        .count();
    told >= WITNESSES_NEEDED
}

/// Moves one end of a port range by one port.
fn wrong_port(dice: &mut Dice, rule: &mut Rule) -> Option<()> {
    let destination = rule
        .transports
        .iter_mut()
        .flat_map(|transport| &mut transport.ports);
    let mut ranges: Vec<_> = rule.from.ports.iter_mut().chain(destination).collect();
    let range = choose(dice, &mut ranges)?;
    let (low, high) = (*range.start(), *range.end());
    **range = match dice.random_range(0..4) {
        0 => low.checked_sub(1)?..=high,
        1 => low..=high.checked_add(1)?,
        2 if low < high => low + 1..=high,
        3 if low < high => low..=high - 1,
        _ => return None,
    };
    Some(())
}

/// Makes one prefix a bit longer or shorter.
fn wrong_prefix(dice: &mut Dice, rule: &mut Rule) -> Option<()> {
    let side = any_side(dice, rule);
    let mut networks: Vec<&mut IpNet> = side
        .networks
        .iter_mut()
        .flatten()
        .chain(&mut side.except)
        .collect();
    let changed = choose(dice, &mut networks)?;
    let length = changed.prefix_len();
    let wrong = if chance(dice, 50) {
        length.checked_sub(1)?
    } else {
        length + 1
    };
    if wrong > changed.max_prefix_len() {
        return None;
    }
    **changed = network(changed.addr(), wrong);
    Some(())
}

/// Drops one exception, or makes one of half of a network that the side holds.
fn wrong_exception(dice: &mut Dice, rule: &mut Rule) -> Option<()> {
    let side = any_side(dice, rule);
    if !side.except.is_empty() && chance(dice, 50) {
        side.except
            .swap_remove(dice.random_range(0..side.except.len()));
        return Some(());
    }
    let whole = *side.networks.as_ref()?.choose(dice)?;
    let edge = any(dice, &[whole.network(), whole.broadcast()]);
    let length = (whole.prefix_len() + 1).min(whole.max_prefix_len());
    side.except.push(network(edge, length));
    Some(())
}

fn any_side<'r>(dice: &mut Dice, rule: &'r mut Rule) -> &'r mut Endpoint {
    if chance(dice, 50) {
        &mut rule.from
    } else {
        &mut rule.to
    }
}

/// Exchanges what two rules match; what they are called and what they decide
/// stays in its place.
fn swap_matches(one: &mut Rule, other: &mut Rule) {
    std::mem::swap(&mut one.from, &mut other.from);
    std::mem::swap(&mut one.to, &mut other.to);
    std::mem::swap(&mut one.transports, &mut other.transports);
}

/// Any one of `choices`, to be changed.
fn choose<'c, T>(dice: &mut Dice, choices: &'c mut [T]) -> Option<&'c mut T> {
    let count = choices.len();
    (count > 0).then(|| &mut choices[dice.random_range(0..count)])
}
