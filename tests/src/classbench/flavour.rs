//! What filter sets of each kind are like, in figures. They were taken from sets that
//! `ClassBench` had made of the seeds `acl1`, `fw1` and `ipc1`, each with about 1,000 and
//! with about 8,000 filters: shares in percent, both sizes being alike where one number
//! stands.

use std::ops::RangeInclusive;

use super::points::Crowd;

/// A kind of filter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavour {
    /// An access list: hosts that may reach services of hosts. Half of all filters name
    /// two single addresses, and none a source port.
    Acl,
    /// A firewall: two in three filters have one side of at most two bits, and the other
    /// names a host or a handful; a third of them any port.
    Firewall,
    /// A chain of iptables: networks of all sizes on both sides, a third of them for any
    /// protocol, a sixth with a source port.
    IpChain,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Acl, Self::Firewall, Self::IpChain];

    /// As `ClassBench` calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acl => "acl",
            Self::Firewall => "fw",
            Self::IpChain => "ipc",
        }
    }

    pub(super) fn habits(self) -> &'static Habits {
        match self {
            Self::Acl => &ACL,
            Self::Firewall => &FIREWALL,
            Self::IpChain => &IP_CHAIN,
        }
    }
}

/// What the filters of one kind are drawn from. Every list ends in weights.
pub(super) struct Habits {
    /// Lengths of source and destination prefixes, in bits of IPv4, by pairs: that one
    /// side is wide says much about the other.
    pub(super) lengths: &'static [(Bits, Bits, u32)],
    /// Protocols, with what is asked of the two ports.
    pub(super) services: &'static [(Option<u8>, Asked, Asked, u32)],
    /// The single ports that are named most, in this order.
    pub(super) ports: &'static [u16],
    /// How many more there are, of nobody's.
    pub(super) more_ports: usize,
    /// How many ranges of ports there are besides 1024 to 65535.
    pub(super) ranges: usize,
    /// How many filters in a hundred are for networks that an earlier one is for, with
    /// something else behind them.
    pub(super) again: u32,
    /// The addresses of either side.
    pub(super) crowds: [Crowd; 2],
}

type Bits = RangeInclusive<u8>;

/// What a filter asks of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// 1024 to 65535.
    High,
    /// One port.
    One,
    /// Another range.
    Range,
}

use Asked::{High, Nothing, One, Range};

pub(super) const ICMP: Option<u8> = Some(1);
const TCP: Option<u8> = Some(6);
const UDP: Option<u8> = Some(17);
const GRE: Option<u8> = Some(47);
const ESP: Option<u8> = Some(50);

/// Of 959 and 7,665 filters: distinct sources 61 and 2,524, destinations 380 and 700, in
/// 4 and 98, 124 and 242 different /16; 32 ranges of ports; TCP 87, any 8, ICMP 3, UDP 1.
static ACL: Habits = Habits {
    lengths: &[
        (32..=32, 32..=32, 48),
        (31..=31, 32..=32, 13),
        (32..=32, 31..=31, 12),
        (31..=31, 31..=31, 3),
        (29..=30, 31..=32, 4),
        (31..=32, 29..=30, 3),
        (22..=24, 31..=32, 6),
        (31..=32, 21..=25, 7),
        (22..=24, 14..=17, 2),
        (29..=30, 22..=25, 1),
        (30..=32, 6..=8, 1),
    ],
    services: &[
        (TCP, Nothing, One, 55),
        (TCP, Nothing, Nothing, 19),
        (TCP, Nothing, Range, 13),
        (None, Nothing, Nothing, 8),
        (ICMP, Nothing, Nothing, 3),
        (UDP, Nothing, One, 1),
    ],
    ports: &[
        1521, 1526, 1221, 1433, 135, 1525, 20, 21, 23, 25, 53, 80, 389, 443, 445,
    ],
    more_ports: 60,
    ranges: 32,
    again: 38,
    crowds: [
        Crowd {
            fresh: 20,
            near: 93,
        },
        Crowd {
            fresh: 25,
            near: 75,
        },
    ],
};

/// Of 812 and 7,824 filters: distinct sources 120 and 3,308, destinations 130 and 5,928,
/// in 9 and 3,255, 28 and 5,921 different /16; TCP 53 and 58, UDP 36 and 32, GRE 6 and 5,
/// ICMP 4, any 1. Any source, any destination and both: 25, 15 and 1.
static FIREWALL: Habits = Habits {
    lengths: &[
        (0..=0, 30..=32, 24),
        (1..=1, 31..=32, 22),
        (2..=2, 31..=32, 6),
        (30..=32, 0..=0, 8),
        (31..=32, 1..=2, 9),
        (32..=32, 32..=32, 5),
        (30..=31, 31..=32, 5),
        (31..=32, 30..=31, 5),
        (26..=29, 26..=32, 6),
        (28..=32, 20..=23, 3),
        (20..=28, 0..=0, 4),
        (7..=19, 31..=32, 1),
        (0..=0, 0..=0, 1),
        (1..=1, 0..=0, 1),
    ],
    services: &[
        (TCP, Nothing, One, 38),
        (UDP, Nothing, One, 15),
        (TCP, Nothing, Nothing, 12),
        (UDP, One, Nothing, 10),
        (GRE, Nothing, Nothing, 6),
        (TCP, High, High, 5),
        (ICMP, Nothing, Nothing, 4),
        (UDP, High, High, 2),
        (UDP, One, One, 2),
        (UDP, One, High, 2),
        (UDP, High, One, 2),
        (UDP, High, Range, 1),
        (None, Nothing, Nothing, 1),
    ],
    ports: &[
        22, 53, 123, 25, 80, 161, 21, 750, 544, 67, 69, 88, 443, 23, 162, 2105, 7648, 110, 514,
    ],
    more_ports: 25,
    ranges: 2,
    again: 15,
    crowds: [Crowd {
        fresh: 60,
        near: 50,
    }; 2],
};

/// Of 969 and 7,534 filters: distinct sources 335 and 1,107, destinations 460 and 2,173,
/// in 54 and 120, 92 and 228 different /16; UDP 36 and 39, any 36 and 33, TCP 27, ICMP 1.
static IP_CHAIN: Habits = Habits {
    lengths: &[
        (32..=32, 32..=32, 15),
        (30..=31, 31..=32, 8),
        (31..=32, 30..=31, 6),
        (22..=26, 31..=32, 16),
        (31..=32, 22..=26, 13),
        (23..=25, 23..=25, 16),
        (22..=26, 25..=29, 9),
        (26..=29, 22..=26, 5),
        (15..=18, 15..=26, 4),
        (20..=24, 15..=17, 4),
        (0..=1, 14..=27, 4),
        (0..=2, 0..=2, 1),
        (15..=24, 0..=1, 3),
    ],
    services: &[
        (None, Nothing, Nothing, 34),
        (UDP, Nothing, One, 22),
        (TCP, Nothing, One, 13),
        (TCP, One, Nothing, 7),
        (UDP, One, Nothing, 7),
        (UDP, Nothing, High, 6),
        (TCP, Nothing, Nothing, 2),
        (TCP, Nothing, Range, 2),
        (TCP, Range, Nothing, 2),
        (UDP, Nothing, Range, 1),
        (UDP, One, One, 1),
        (UDP, High, Nothing, 1),
        (ICMP, Nothing, Nothing, 1),
        (ESP, Nothing, Nothing, 1),
    ],
    ports: &[
        514, 69, 161, 80, 53, 9003, 25, 1433, 137, 143, 22, 123, 445, 110, 993, 389, 138,
    ],
    more_ports: 25,
    ranges: 6,
    again: 12,
    crowds: [
        Crowd {
            fresh: 20,
            near: 90,
        },
        Crowd {
            fresh: 35,
            near: 90,
        },
    ],
};
