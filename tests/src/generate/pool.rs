//! Addresses, networks and ports from few roots, so that overlaps, neighbours
//! and near misses are common.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Dice, any, chance};

const ROOTS_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(192, 0, 2, 10),
    Ipv4Addr::new(198, 51, 100, 128),
    Ipv4Addr::new(203, 0, 113, 255),
    Ipv4Addr::new(10, 0, 0, 1),
    Ipv4Addr::new(172, 31, 255, 254),
    Ipv4Addr::new(223, 255, 255, 255),
];
const ROOTS_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff),
    Ipv6Addr::new(0x2001, 0xdb8, 0x8000, 0, 0, 0, 0, 0),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x20a),
];
/// Further roots of each family for every thousand rules.
const ROOTS_A_THOUSAND: usize = 20;
const PORTS: [u16; 12] = [
    1, 53, 80, 443, 1023, 3478, 5060, 5061, 32_768, 50_000, 59_999, 65_535,
];

/// What one policy draws from.
#[derive(Debug)]
pub(crate) struct Pool {
    roots: Vec<IpAddr>,
    /// What has been drawn, for others to be near it.
    networks: Vec<IpNet>,
}

/// How much a rule may cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// Little, so that the rules behind it are still met.
    Narrow,
    /// Anything, up to everything.
    Any,
}

/// The addresses that networks are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(crate) fn either(dice: &mut Dice) -> Self {
        any(dice, &[Self::V4, Self::V6])
    }

    /// The address of the low bits of `number`.
    pub(crate) fn address(self, number: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(low_word(number)).into(),
            Self::V6 => Ipv6Addr::from(number).into(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low word is what is asked for"
)]
fn low_word(number: u128) -> u32 {
    number as u32
}

/// The address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address `distance` further on, round the end of the family.
pub(crate) fn stepped(address: IpAddr, distance: i128) -> IpAddr {
    Family::of(address).address(number(address).wrapping_add_signed(distance))
}

/// The network of `length` bits that holds `address`.
pub(crate) fn network(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length)
        .expect("the length is one of the family")
        .trunc()
}

impl Pool {
    /// What a policy of `rules` rules draws from. Past a thousand rules, a few
    /// roots would hold too little for the last rules to be met at all.
    pub(crate) fn new(dice: &mut Dice, rules: usize) -> Self {
        let mut roots: Vec<IpAddr> = ROOTS_V4
            .sample(dice, 3)
            .copied()
            .map(IpAddr::from)
            .collect();
        roots.extend(ROOTS_V6.sample(dice, 3).copied().map(IpAddr::from));
        for _ in 0..rules / 1000 * ROOTS_A_THOUSAND {
            roots.push(Ipv4Addr::from(dice.random_range(0x0b00_0000..0x6400_0000)).into());
            let global = dice.random_range(0x2400_u128 << 112..0x2d00 << 112);
            roots.push(Ipv6Addr::from(global).into());
        }
        Self {
            roots,
            networks: Vec::new(),
        }
    }

    /// A network, often beside, inside or around one drawn before.
    pub(crate) fn network(&mut self, dice: &mut Dice, family: Family, width: Width) -> IpNet {
        let bits = family.bits();
        let (address, length) = if chance(dice, 40) {
            self.relative(dice, family)
        } else {
            None
        }
        .unwrap_or_else(|| self.fresh(dice, family));
        let shortest = match width {
            Width::Narrow => bits - bits / 4,
            Width::Any => 0,
        };
        let drawn = network(address, length.clamp(shortest, bits));
        self.networks.push(drawn);
        drawn
    }

    /// A network of any length around a root, or around what differs from one
    /// in a single bit.
    fn fresh(&self, dice: &mut Dice, family: Family) -> (IpAddr, u8) {
        let roots: Vec<IpAddr> = self
            .roots
            .iter()
            .copied()
            .filter(|root| Family::of(*root) == family)
            .collect();
        let mut address = any(dice, &roots);
        if chance(dice, 70) {
            let bit = dice.random_range(0..family.bits() / 2);
            address = family.address(number(address) ^ (1 << bit));
        }
        let bits = family.bits();
        let length = match dice.random_range(0..10) {
            0..4 => bits,
            4..6 => any(dice, &[bits / 4, bits / 2, bits - bits / 4]),
            6 => any(dice, &[0, 1, bits - 1]),
            _ => dice.random_range(0..=bits),
        };
        (address, length)
    }

    /// A network next to, within or around an earlier one, or that one again.
    fn relative(&self, dice: &mut Dice, family: Family) -> Option<(IpAddr, u8)> {
        let known: Vec<IpNet> = self
            .networks
            .iter()
            .copied()
            .filter(|network| Family::of(network.addr()) == family)
            .collect();
        let one = *known.choose(dice)?;
        let (first, length, bits) = (one.network(), one.prefix_len(), family.bits());
        let flipped = |bit: u8| family.address(number(first) ^ (1 << (bits - bit)));
        Some(match dice.random_range(0..6) {
            0 if length > 0 => (flipped(length), length),
            1 => (first, length.saturating_sub(1)),
            2 if length < bits => (first, length + 1),
            3 if length < bits => (flipped(length + 1), length + 1),
            4 => (stepped(one.broadcast(), 1), length),
            _ => (first, length),
        })
    }
}

/// A port that policies like to name, or one next to it.
pub(crate) fn port(dice: &mut Dice) -> u16 {
    let port = any(dice, &PORTS);
    match dice.random_range(0..8) {
        0 => port.wrapping_add(1),
        1 => port.wrapping_sub(1),
        2 => dice.random(),
        _ => port,
    }
}

/// One port, a few, or (of any width) a long range.
pub(crate) fn port_range(dice: &mut Dice, width: Width) -> RangeInclusive<u16> {
    let low = port(dice);
    match dice.random_range(0..10) {
        0..5 => low..=low,
        5 if width == Width::Any => 0..=low,
        6 if width == Width::Any => low..=u16::MAX,
        7 if width == Width::Any => {
            let other = port(dice);
            low.min(other)..=low.max(other)
        }
        _ => low..=low.saturating_add(dice.random_range(1..200)),
    }
}
