//! Small policies: few networks, and few combinations of classes.
//!
//! Of a common frame ([`crate::common`]) such a policy says by four numbers what becomes of
//! it: one of each address, by its parts of 16 bits where these tell, and otherwise by the
//! [`Regions`] that the networks cut the addresses into; one of protocol and destination port;
//! one of the source port. They add up to the place of what
//! is [`Settled`]: the counter that moves, and the verdict. Whatever else has to be known of a
//! packet, or may have to be done with it, is left to the way of all policies: faults,
//! addresses that cannot be, and conversations that are recorded or looked up.

use core::hint::cold_path;
use core::mem::offset_of;

use crate::common::{
    ETHERNET, HEADER_V4, HEADER_V6, IPV4_PLAIN, IPV4_PLAIN_MASK, TCP, TCP_NUMBER, UDP, UDP_NUMBER,
    WHOLE_PACKET_MASK, WHOLE_V4, WHOLE_V6,
};
use crate::config::Constant;
use crate::counter::{BLOCK, Count, Counter};
use crate::frame::{Frame, Header, NO_TAG};
use crate::opaque;
use crate::packet::tcp::{ACK, PSH, SYN};
use crate::regions::{Halves, Regions};
use crate::tables::Tables;
use crate::transport::{LOW_SIX, VALID_FLAGS};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settled {
    /// Where in its block the counter lies that moves, in bytes; beyond the block if that is
    /// not known here.
    at: u16,
    /// [`Settled::DROP`] or [`Settled::PASS`].
    pub verdict: u16,
}

impl Settled {
    /// A verdict, numbered as XDP does.
    pub const DROP: u16 = 1;
    /// A verdict, numbered as XDP does.
    pub const PASS: u16 = 2;

    /// The way of all policies knows.
    pub const UNKNOWN: Self = Self {
        at: u16::MAX,
        verdict: Self::DROP,
    };

    /// A packet moves `counter`; [`Settled::UNKNOWN`] if that is not in the first block.
    #[must_use]
    pub const fn new(counter: Counter, passes: bool) -> Self {
        if counter.0 as usize >= BLOCK {
            return Self::UNKNOWN;
        }
        Self {
            at: (counter.0 as usize * size_of::<Count>()) as u16,
            verdict: if passes { Self::PASS } else { Self::DROP },
        }
    }

    /// Where in the first block the counter lies, in bytes.
    #[inline(always)]
    #[must_use]
    pub fn at(self) -> u16 {
        self.at
    }

    /// The counter that moves.
    #[inline(always)]
    #[must_use]
    pub fn counter(self) -> Counter {
        Counter(u32::from(self.at) / size_of::<Count>() as u32)
    }

    #[inline(always)]
    fn is_known(self) -> bool {
        self.at <= ((BLOCK - 1) * size_of::<Count>()) as u16
    }
}

/// What the transport header is to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP, but no bare SYN.
    Tcp,
    /// UDP.
    Udp,
    /// A bare SYN, which is never a reply.
    Opening,
}

/// Ethertype and version of IPv6.
const IPV6_PLAIN: u32 = 0x86dd_6000;
const IPV6_PLAIN_MASK: u32 = 0xffff_f000;

/// How many outcomes there can be.
pub const OUTCOMES: usize = 7680;

/// What each value of 16 bits adds to the place: indexed by the number that its two bytes are
/// to this machine.
pub type Numbers = [u16; 1 << 16];

/// What is added is below this.
const NUMBERS_END: u16 = (OUTCOMES * size_of::<Settled>()) as u16;

/// In place of what is added: it takes more to know. The other bits of an IPv4 address's
/// first half are the number of a table for its second half; an IPv6 address is looked for
/// among the regions.
pub const MORE: u16 = 1 << 15;

/// The most tables for second halves of IPv4 addresses.
pub const SECOND_HALVES: usize = 16;

/// The tables of a small policy, in one piece, so that one address leads to all of them.
#[derive(Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Small {
    /// What becomes of packets.
    pub outcomes: [Settled; OUTCOMES],
    /// The regions of IPv6 sources, and of IPv6 destinations.
    pub regions: [Regions; 2],
    /// By destination port, of each [`Kind`].
    pub transports: [Numbers; 3],
    /// By the first half of an IPv4 source, and of an IPv4 destination. Sources that may be
    /// martians add what leads to no outcome.
    pub first_halves: [Numbers; 2],
    /// By the third group of an IPv6 source, and of an IPv6 destination: where networks of
    /// sites differ.
    pub groups: [Numbers; 2],
    /// By source port.
    pub source_ports: Numbers,
    /// By the second half of an IPv4 address. Those behind [`Constant::SecondHalves`] are not
    /// there in the kernel.
    pub second_halves: [Numbers; SECOND_HALVES],
}

/// Which of the two addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where a packet comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// Judges a common frame by a small policy; `None` if it is none, or if more has to be known.
#[inline(always)]
pub fn judge<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Settled> {
    let small = tables.small();
    if frame.offloaded_tag() != NO_TAG {
        return None;
    }
    let header = frame.header::<WHOLE_V4>(0).ok()?;
    let begin = header.wire_u32::<12>();
    let (place, end) = if begin & IPV4_PLAIN_MASK.to_be() == IPV4_PLAIN.to_be() {
        let length = u32::from(header.u16::<16>());
        (place_v4(&header, length, small, tables)?, ETHERNET + length)
    } else if begin & IPV6_PLAIN_MASK.to_be() == IPV6_PLAIN.to_be() {
        let header = frame.header::<WHOLE_V6>(0).ok()?;
        let length = u32::from(header.u16::<18>());
        let place = place_v6(&header, length, small, tables)?;
        (place, ETHERNET + HEADER_V6 + length)
    } else {
        return None;
    };
    if !frame.holds(end) {
        return None;
    }
    let outcome = small.outcome(place);
    let settled = Settled {
        // SAFETY: it is a reference. The read is volatile so that it is the only one: of a
        // second one the verifier would not know that it is within the block.
        at: unsafe { (&raw const outcome.at).read_volatile() },
        verdict: outcome.verdict,
    };
    settled.is_known().then_some(settled)
}

#[cfg(not(target_arch = "bpf"))]
impl Small {
    /// Tables of nothing but zeroes. They are too large for many a stack.
    #[must_use]
    pub fn new() -> Box<Self> {
        // SAFETY: all of it are integers.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// As they lie in memory, with so many tables for second halves.
    #[must_use]
    pub fn bytes(&self, second_halves: usize) -> &[u8] {
        // What its fields take together is all of it: nothing lies between them.
        const {
            let numbers = 3 + 2 + 2 + 1 + SECOND_HALVES;
            let outcomes = OUTCOMES * size_of::<Settled>();
            let all = outcomes + 2 * size_of::<Regions>() + numbers * size_of::<Numbers>();
            assert!(size_of::<Self>() == all);
        }
        let left_out = (SECOND_HALVES - second_halves) * size_of::<Numbers>();
        let begin = core::ptr::from_ref(self).cast();
        // SAFETY: integers without gaps.
        unsafe { core::slice::from_raw_parts(begin, size_of::<Self>() - left_out) }
    }
}

impl Small {
    /// The `T` that lies `behind` bytes behind the place `at` bytes from the begin. The
    /// compiler does not see the place, so that the rest of the way is part of the load.
    ///
    /// # Safety
    /// It lies within.
    #[inline(always)]
    unsafe fn item<T>(&self, at: usize, behind: usize) -> &T {
        let place = opaque::sum(at as u64, core::ptr::from_ref(self) as u64) as *const Self;
        // SAFETY: the caller says so.
        unsafe { &*place.wrapping_byte_add(behind).cast() }
    }

    /// What becomes of packets whose numbers lead to `place` from the address of the tables on.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "it is in these tables")]
    fn outcome(&self, place: u64) -> &Settled {
        let place = place as *const Self;
        // SAFETY: four numbers of 16 bits lead nowhere beyond the tables, all of which may be
        // read as integers.
        unsafe { &*place.wrapping_byte_add(offset_of!(Self, outcomes)).cast() }
    }

    /// What `value`, as it stands on the wire, adds by the table that lies `table` bytes behind
    /// the begin.
    ///
    /// # Safety
    /// A table lies there.
    #[inline(always)]
    unsafe fn number(&self, table: usize, value: u16) -> u16 {
        // SAFETY: every value has its number.
        unsafe { *self.item(usize::from(value) * size_of::<u16>(), table) }
    }

    /// The address of the tables, and what the destination port of a packet of `kind` adds.
    #[inline(always)]
    fn transport(&self, kind: Kind, port: u16) -> u64 {
        let number = |kind: Kind| {
            let table = offset_of!(Self, transports) + kind as usize * size_of::<Numbers>();
            // SAFETY: each kind has its table.
            let number = unsafe { self.number(table, port) };
            opaque::sum(number.into(), core::ptr::from_ref(self) as u64)
        };
        // For each by itself, so that it is known where its table is.
        match kind {
            Kind::Tcp => number(Kind::Tcp),
            Kind::Udp => number(Kind::Udp),
            Kind::Opening => number(Kind::Opening),
        }
    }

    /// `place`, and what an IPv4 address adds, whose first half is `first`, and whose second one
    /// `second` reads.
    #[inline(always)]
    fn add_address_v4<T: Tables>(
        &self,
        place: u64,
        side: Side,
        first: u16,
        second: impl Fn() -> u16,
        tables: &T,
    ) -> u64 {
        let table = offset_of!(Self, first_halves) + side as usize * size_of::<Numbers>();
        // SAFETY: each side has its table.
        let number = unsafe { self.number(table, first) };
        if number < NUMBERS_END {
            if side == Side::Destination {
                // Destinations are mostly what the policy names.
                cold_path();
            }
            return opaque::sum(place, number.into());
        }
        let number = tables.masked_by_second_halves(number.into()) as usize;
        let at = number * size_of::<Numbers>() + usize::from(second()) * size_of::<u16>();
        // SAFETY: the tables up to the last are there.
        let number: &u16 = unsafe { self.item(at, offset_of!(Self, second_halves)) };
        opaque::sum(place, (*number).into())
    }

    /// `place`, and what an IPv6 address adds, whose third group is `group`, and which `address`
    /// reads where that does not tell.
    #[inline(always)]
    fn add_address_v6<T: Tables, L: Fn() -> u64>(
        &self,
        place: u64,
        side: Side,
        group: u16,
        address: impl Fn() -> Halves<L>,
        tables: &T,
    ) -> u64 {
        let (groups, steps) = match side {
            Side::Source => (Constant::GroupsSourceV6, Constant::StepsSourceV6),
            Side::Destination => (Constant::GroupsDestinationV6, Constant::StepsDestinationV6),
        };
        if tables.constant(groups) != 0 {
            let table = offset_of!(Self, groups) + side as usize * size_of::<Numbers>();
            // SAFETY: each side has its table.
            let number = unsafe { self.number(table, group) };
            if number < NUMBERS_END {
                return opaque::sum(place, number.into());
            }
        }
        self.regions[side as usize].add_leaf(place, &address(), tables.constant(steps))
    }

    /// `place`, and what the source port adds.
    #[inline(always)]
    fn add_source_port<T: Tables>(&self, place: u64, port: u16, tables: &T) -> u64 {
        if tables.constant(Constant::SourcePorts) == 0 {
            return place;
        }
        // SAFETY: the table of source ports.
        let number = unsafe { self.number(offset_of!(Self, source_ports), port) };
        opaque::sum(place, number.into())
    }
}

/// The place of what becomes of an IPv4 packet of `total_length` bytes.
#[inline(always)]
fn place_v4<H: Header, T: Tables>(
    header: &H,
    total_length: u32,
    small: &Small,
    tables: &T,
) -> Option<u64> {
    let what = header.wire_u32::<20>() & WHOLE_PACKET_MASK.to_be();
    let kind = if what == TCP_NUMBER.to_be() {
        tcp(header.wire_u16::<46>(), total_length, HEADER_V4)?
    } else if what == UDP_NUMBER.to_be() {
        udp(header.u16::<38>(), total_length, HEADER_V4)?
    } else {
        return None;
    };
    let place = small.transport(kind, header.wire_u16::<36>());
    let place = small.add_source_port(place, header.wire_u16::<34>(), tables);
    if header.wire_u32::<26>() == header.wire_u32::<30>() {
        return None;
    }
    let place = if tables.constant(Constant::LooksUpSourceV4) != 0 {
        let first = header.wire_u16::<26>();
        let second = || header.wire_u16::<28>();
        small.add_address_v4(place, Side::Source, first, second, tables)
    } else if may_be_martian_v4(header.ordered_u32::<26>()) {
        return None;
    } else {
        place
    };
    if tables.constant(Constant::LooksUpDestinationV4) == 0 {
        return Some(place);
    }
    let first = header.wire_u16::<30>();
    let second = || header.wire_u16::<32>();
    Some(small.add_address_v4(place, Side::Destination, first, second, tables))
}

/// The same of an IPv6 packet with `payload_length` bytes behind its header.
#[inline(always)]
fn place_v6<H: Header, T: Tables>(
    header: &H,
    payload_length: u32,
    small: &Small,
    tables: &T,
) -> Option<u64> {
    let kind = match u32::from(header.u8::<20>()) {
        TCP_NUMBER => tcp(header.wire_u16::<66>(), payload_length, 0)?,
        UDP_NUMBER => udp(header.u16::<58>(), payload_length, 0)?,
        _ => return None,
    };
    let place = small.transport(kind, header.wire_u16::<56>());
    let place = small.add_source_port(place, header.wire_u16::<54>(), tables);
    // Those that differ in their first half are not the same.
    if may_be_martian_v6(header.u8::<22>())
        || (header.wire_u64::<22>() == header.wire_u64::<38>()
            && header.wire_u64::<30>() == header.wire_u64::<46>())
    {
        return None;
    }
    let source = || Halves {
        high: header.ordered_u64::<22>(),
        low: || header.ordered_u64::<30>(),
    };
    let destination = || Halves {
        high: header.ordered_u64::<38>(),
        low: || header.ordered_u64::<46>(),
    };
    let group = header.wire_u16::<26>();
    let place = small.add_address_v6(place, Side::Source, group, source, tables);
    let group = header.wire_u16::<42>();
    Some(small.add_address_v6(place, Side::Destination, group, destination, tables))
}

/// Whether an IPv4 address is in a network that holds any which can be no source.
#[must_use]
#[inline(always)]
pub fn may_be_martian_v4(address: u32) -> bool {
    // As signed numbers, 128/8 to 223/8 are the lowest, which takes one comparison.
    let signed = address.cast_signed();
    signed >= 0xe000_0000_u32.cast_signed() && !(0x0100_0000..0x7f00_0000).contains(&signed)
}

/// The same of IPv6, by the address's first byte.
#[inline(always)]
fn may_be_martian_v6(first: u8) -> bool {
    u32::from(first).wrapping_sub(1) >= 0xfe
}

/// What a TCP segment without fault adds to the place. `start` are the bytes of its data
/// offset and its flags, and its header stands `before` bytes into the `length` bytes of its
/// packet.
#[inline(always)]
fn tcp(start: u16, length: u32, before: u32) -> Option<Kind> {
    // Flags above, data offset below: of a segment that acknowledges, and does nothing else
    // but push, the difference to the least is how much longer its header is.
    let start = u32::from(u16::from_le(start));
    let longer = (start & (FLAGS << 8 | OFFSET)).wrapping_sub(ACK_ALONE << 8 | SHORTEST);
    if longer <= LONGEST - SHORTEST {
        if before + TCP + longer / 4 > length {
            cold_path();
            return None;
        }
        return Some(Kind::Tcp);
    }
    cold_path();
    let (offset, flags) = ((start & OFFSET) / 4, (start >> 8) as u8 & LOW_SIX);
    if offset < TCP || before + offset > length || VALID_FLAGS >> flags & 1 == 0 {
        return None;
    }
    let opens = flags & (SYN | ACK) == SYN;
    Some(if opens { Kind::Opening } else { Kind::Tcp })
}

/// The flags that tell what a segment does.
const FLAGS: u32 = (LOW_SIX & !PSH) as u32;
const ACK_ALONE: u32 = ACK as u32;
/// The data offset, in words of four bytes, in its byte.
const OFFSET: u32 = 0xf0;
/// That of the shortest header.
const SHORTEST: u32 = (TCP / 4) << 4;
/// That of the longest.
const LONGEST: u32 = OFFSET;

/// What a UDP datagram without fault adds to the place.
#[inline(always)]
fn udp(declared: u16, length: u32, before: u32) -> Option<Kind> {
    let declared = u32::from(declared);
    if declared < UDP || before + declared > length {
        return None;
    }
    Some(Kind::Udp)
}
