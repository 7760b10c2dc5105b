//! Small policies: few networks, and few combinations of classes.
//!
//! Of a common frame ([`crate::common`]) such a policy says by four numbers what becomes of
//! it: one of each address, by the [`Regions`] that the networks cut the addresses into; one
//! of protocol and destination port; one of the source port. They add up to the place of what
//! is [`Settled`]: the counter that moves, and the verdict. Whatever else has to be known of a
//! packet, or may have to be done with it, is left to the way of all policies: faults,
//! addresses that cannot be, and conversations that are recorded or looked up.

use core::mem::offset_of;

use crate::common::{
    ETHERNET, HEADER_V4, HEADER_V6, IPV4_PLAIN, IPV4_PLAIN_MASK, TCP, TCP_NUMBER, UDP, UDP_NUMBER,
    WHOLE_PACKET_MASK, WHOLE_V4, WHOLE_V6,
};
use crate::config::Constant;
use crate::frame::{Frame, Header, NO_TAG};
use crate::opaque;
use crate::packet::tcp::{ACK, PSH, SYN};
use crate::regions::{AddressV6, Halves, Regions};
use crate::tables::{PORTS, Tables, Trie};
use crate::transport::{LOW_SIX, VALID_FLAGS};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Settled {
    /// The number of the counter that moves; [`Settled::ASK`] if that is not known here.
    pub counter: u32,
    /// [`Settled::DROP`] or [`Settled::PASS`].
    pub verdict: u32,
}

impl Settled {
    /// In place of a counter: the way of all policies knows.
    pub const ASK: u32 = u32::MAX;
    /// A verdict, numbered as XDP does.
    pub const DROP: u32 = 1;
    /// A verdict, numbered as XDP does.
    pub const PASS: u32 = 2;

    /// What a table holds where nothing is known.
    pub const UNKNOWN: Self = Self {
        counter: Self::ASK,
        verdict: Self::DROP,
    };
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

/// How many outcomes there can be: such that a load reaches all tables up to the first of the
/// ports' from their common begin on.
pub const OUTCOMES: usize = 3840;

/// The tables of a small policy, in one piece, so that one address leads to all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Small {
    /// What becomes of packets.
    pub outcomes: [Settled; OUTCOMES],
    /// The regions of IPv6 sources.
    pub source_v6: Regions<AddressV6>,
    /// The same of IPv6 destinations.
    pub destination_v6: Regions<AddressV6>,
    /// The same of IPv4 sources.
    pub source_v4: Regions<u32>,
    /// The same of IPv4 destinations.
    pub destination_v4: Regions<u32>,
    /// What each destination port adds to the place, of each [`Kind`]: indexed by the number
    /// that the port's two bytes are to this machine.
    pub transports: [[u16; PORTS as usize]; 3],
    /// The same of source ports.
    pub source_ports: [u16; PORTS as usize],
}

/// Judges a common frame; `None` if it is none, or if more has to be known.
#[inline(always)]
pub fn judge<'t, F: Frame, T: Tables>(frame: &mut F, tables: &'t T) -> Option<&'t Settled> {
    let small = tables.small()?;
    if frame.offloaded_tag() != NO_TAG {
        return None;
    }
    let length = frame.length();
    let header = frame.header::<WHOLE_V4>(0).ok()?;
    let begin = header.wire_u32::<12>();
    let place = if begin & IPV4_PLAIN_MASK.to_be() == IPV4_PLAIN.to_be() {
        place_v4(&header, length, small, tables)?
    } else if begin & IPV6_PLAIN_MASK.to_be() == IPV6_PLAIN.to_be() {
        let header = frame.header::<WHOLE_V6>(0).ok()?;
        place_v6(&header, length, small, tables)?
    } else {
        return None;
    };
    let outcome = small.outcome(place);
    if outcome.counter == Settled::ASK {
        return None;
    }
    Some(outcome)
}

#[cfg(not(target_arch = "bpf"))]
impl Small {
    /// Tables of nothing but zeroes. They are too large for many a stack.
    #[must_use]
    pub fn new() -> Box<Self> {
        // SAFETY: all of it are integers.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// As they lie in memory.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // What its fields take together is all of it: nothing lies between them.
        const {
            let regions = 2 * (size_of::<Regions<AddressV6>>() + size_of::<Regions<u32>>());
            let ports = 4 * 2 * PORTS as usize;
            assert!(size_of::<Self>() == regions + ports + OUTCOMES * size_of::<Settled>());
        }
        // SAFETY: integers without gaps.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
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

    /// What becomes of packets whose numbers add up to `place`.
    #[inline(always)]
    fn outcome(&self, place: u64) -> &Settled {
        // SAFETY: four numbers of 16 bits lead nowhere beyond the tables, all of which may be
        // read as integers.
        unsafe { self.item(place as usize, offset_of!(Self, outcomes)) }
    }

    /// `place`, and what the destination port of a packet of `kind` adds.
    #[inline(always)]
    fn add_transport(&self, place: u64, kind: Kind, port: u16) -> u64 {
        let add = |kind: Kind| {
            let table = offset_of!(Self, transports) + kind as usize * PORTS as usize * 2;
            // SAFETY: every port has its number.
            let number: &u16 = unsafe { self.item(usize::from(port) * 2, table) };
            opaque::sum(place, (*number).into())
        };
        // For each by itself, so that it is known where its table is.
        match kind {
            Kind::Tcp => add(Kind::Tcp),
            Kind::Udp => add(Kind::Udp),
            Kind::Opening => add(Kind::Opening),
        }
    }

    /// What the source port says.
    #[inline(always)]
    fn source_port<T: Tables>(&self, port: u16, tables: &T) -> u64 {
        if tables.constant(Constant::SourcePorts) == 0 {
            return 0;
        }
        let table = offset_of!(Self, source_ports);
        // SAFETY: every port has its number.
        let number: &u16 = unsafe { self.item(usize::from(port) * 2, table) };
        (*number).into()
    }
}

#[inline(always)]
fn place_v4<H: Header, T: Tables>(
    header: &H,
    length: u32,
    small: &Small,
    tables: &T,
) -> Option<u64> {
    let total_length = u32::from(header.u16::<16>());
    if total_length + ETHERNET > length {
        return None;
    }
    let what = header.wire_u32::<20>() & WHOLE_PACKET_MASK.to_be();
    let place = small.source_port(header.wire_u16::<34>(), tables);
    let kind = if what == TCP_NUMBER.to_be() {
        tcp(header.wire_u16::<46>(), total_length, HEADER_V4)?
    } else if what == UDP_NUMBER.to_be() {
        udp(header.u16::<38>(), total_length, HEADER_V4)?
    } else {
        return None;
    };
    let place = small.add_transport(place, kind, header.wire_u16::<36>());
    let (source, destination) = (header.ordered_u32::<26>(), header.ordered_u32::<30>());
    if source == destination || may_be_martian_v4(source) {
        return None;
    }
    let steps = |trie: Trie| tables.constant(trie.steps());
    let place = small
        .source_v4
        .add_leaf(place, &source, steps(Trie::SourceV4));
    let place = small
        .destination_v4
        .add_leaf(place, &destination, steps(Trie::DestinationV4));
    Some(place)
}

#[inline(always)]
fn place_v6<H: Header, T: Tables>(
    header: &H,
    length: u32,
    small: &Small,
    tables: &T,
) -> Option<u64> {
    let payload_length = u32::from(header.u16::<18>());
    if payload_length + ETHERNET + HEADER_V6 > length {
        return None;
    }
    let place = small.source_port(header.wire_u16::<54>(), tables);
    let kind = match u32::from(header.u8::<20>()) {
        TCP_NUMBER => tcp(header.wire_u16::<66>(), payload_length, 0)?,
        UDP_NUMBER => udp(header.u16::<58>(), payload_length, 0)?,
        _ => return None,
    };
    let place = small.add_transport(place, kind, header.wire_u16::<56>());
    let source = Halves {
        high: header.ordered_u64::<22>(),
        low: || header.ordered_u64::<30>(),
    };
    let destination = Halves {
        high: header.ordered_u64::<38>(),
        low: || header.ordered_u64::<46>(),
    };
    // Those that differ in their first half are not the same.
    if may_be_martian_v6(source.high)
        || (source.high == destination.high && (source.low)() == (destination.low)())
    {
        return None;
    }
    let steps = |trie: Trie| tables.constant(trie.steps());
    let place = small
        .source_v6
        .add_leaf(place, &source, steps(Trie::SourceV6));
    let place = small
        .destination_v6
        .add_leaf(place, &destination, steps(Trie::DestinationV6));
    Some(place)
}

/// Whether an IPv4 address is in a network that holds any which can be no source.
#[inline(always)]
fn may_be_martian_v4(address: u32) -> bool {
    // As signed numbers, 128/8 to 223/8 are the lowest, which takes one comparison.
    let signed = address.cast_signed();
    signed >= 0xe000_0000_u32.cast_signed() && !(0x0100_0000..0x7f00_0000).contains(&signed)
}

/// The same of IPv6, by the address's first half.
#[inline(always)]
fn may_be_martian_v6(high: u64) -> bool {
    let first = (high >> 56) as u32;
    first.wrapping_sub(1) >= 0xfe
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
            return None;
        }
        return Some(Kind::Tcp);
    }
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
