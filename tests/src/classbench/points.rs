//! The addresses that a set's networks are cut from. A few are named again and again, and
//! most of the others lie in networks where others lie: so prefixes of many lengths nest,
//! as those of real sets do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rand::RngExt;

use crate::generate::pool::{Family, network, number};
use crate::generate::{Dice, any, chance};

/// How the addresses of one side are spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    /// How many networks in a hundred are cut from an address that was not there before.
    pub(super) fresh: u32,
    /// How many of those addresses in a hundred are near an earlier one.
    pub(super) near: u32,
}

/// The addresses of one side, and of one family, so far.
#[derive(Debug)]
pub(super) struct Points {
    crowd: Crowd,
    family: Family,
    known: Vec<IpAddr>,
}

/// The bits of a network that is a place, and of one that is a host or two: it is those
/// that are popular, else some would have networks of all lengths around them.
const PLACE: u8 = 14;
const HOSTS: u8 = 31;
/// A place is divided by every so many bits, which differ from place to place: else there
/// would be networks within networks of all lengths.
const STEP: u8 = 6;
/// The bits that addresses near each other have in common at least, of IPv4.
const COMMON: std::ops::RangeInclusive<u8> = 12..=28;

impl Points {
    pub(super) fn new(crowd: Crowd, family: Family) -> Self {
        Self {
            crowd,
            family,
            known: Vec::new(),
        }
    }

    /// A network of `bits` bits, counted as for IPv4.
    pub(super) fn network(&mut self, dice: &mut Dice, bits: u8) -> IpNet {
        // What is as wide as that is no place that a set knows.
        if bits < PLACE {
            let bits = self.family_bits(bits);
            return network(anywhere(dice, self.family), bits);
        }
        let point = if self.known.is_empty() || chance(dice, self.crowd.fresh) {
            let point = self.fresh(dice);
            self.known.push(point);
            point
        } else if bits < HOSTS {
            any(dice, &self.known)
        } else {
            self.known[early(dice, self.known.len())]
        };
        let bits = if bits < HOSTS {
            self.at(point, bits)
        } else {
            bits
        };
        network(point, self.family_bits(bits))
    }

    /// The length next to `bits` among those by which the place of `point` is divided.
    fn at(&self, point: IpAddr, bits: u8) -> u8 {
        let place = number(point) >> (self.family.bits() - self.family_bits(PLACE));
        let offset = u8::try_from(place % u128::from(STEP)).expect("below a byte");
        (bits + STEP / 2 - (bits + offset) % STEP).clamp(PLACE, HOSTS - 1)
    }

    fn fresh(&self, dice: &mut Dice) -> IpAddr {
        if self.known.is_empty() || !chance(dice, self.crowd.near) {
            return anywhere(dice, self.family);
        }
        let neighbour = self.known[early(dice, self.known.len())];
        let common = self.family_bits(dice.random_range(COMMON));
        let rest = u128::MAX >> (128 - self.family.bits() + common);
        let other = number(anywhere(dice, self.family));
        self.family
            .address(number(neighbour) & !rest | other & rest)
    }

    /// As many bits of this family as do for `bits` of IPv4: a site's /24 is a /64, and
    /// its /16 a /32.
    fn family_bits(&self, bits: u8) -> u8 {
        match (self.family, bits) {
            (Family::V4, _) | (_, 0..=2) => bits,
            (_, 3..=16) => bits * 2,
            (_, 17..=24) => 32 + (bits - 16) * 4,
            _ => 64 + (bits - 24) * 8,
        }
    }
}

/// A number below `count`, the first ones most often: 0 is about ln(`count`) times as
/// frequent as the average.
pub(super) fn early(dice: &mut Dice, count: usize) -> usize {
    let bound = dice.random_range(0..count);
    dice.random_range(0..=bound)
}

/// Any address of a host.
fn anywhere(dice: &mut Dice, family: Family) -> IpAddr {
    match family {
        Family::V4 => loop {
            let address = Ipv4Addr::from(dice.random_range(0x0100_0000..0xe000_0000));
            if !address.is_loopback() {
                return address.into();
            }
        },
        Family::V6 => Ipv6Addr::from(dice.random_range(0x2000_u128 << 112..0x4000 << 112)).into(),
    }
}
