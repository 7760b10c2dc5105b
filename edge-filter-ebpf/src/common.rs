//! The common frame: an untagged IPv4 packet without options or an IPv6 packet without
//! extension headers, whose payload is TCP or UDP, and whose headers all lie in the first
//! buffer.
//!
//! Nearly every frame is one, so it is read by itself: one bounds check for all of its
//! headers, and every field at an offset that is known beforehand. Whatever else a frame
//! may be, a fault in one of these headers included, is left to the parser of all frames,
//! which makes of a common frame exactly the packet that is read here.

use crate::config::Constant;
use crate::counter::Counter;
use crate::decide::decide;
use crate::ethernet::IPV6;
use crate::flow::Flows;
use crate::frame::{Frame, Header, NO_TAG};
use crate::ipv4::FRAGMENT;
use crate::packet::tcp::{ACK, PSH};
use crate::packet::{Address, Family, Key, NO_ICMP, Packet, protocol};
use crate::tables::Tables;
use crate::transport::{LOW_SIX, VALID_FLAGS};

pub(crate) const ETHERNET: u32 = 14;
/// An IPv4 header without options.
pub(crate) const HEADER_V4: u32 = 20;
pub(crate) const HEADER_V6: u32 = 40;
/// The shortest TCP header.
pub(crate) const TCP: u32 = 20;
pub(crate) const UDP: u32 = 8;

/// Ethernet, and the shortest headers of IPv4 and TCP: no wire carries less
/// (IEEE 802.3 pads to 60 bytes).
pub(crate) const WHOLE_V4: usize = 54;
/// Ethernet, and the shortest headers of IPv6 and TCP.
pub(crate) const WHOLE_V6: usize = 74;

/// Ethertype, version and IHL of IPv4 without options.
pub(crate) const IPV4_PLAIN: u32 = 0x0800_4500;
pub(crate) const IPV4_PLAIN_MASK: u32 = 0xffff_ff00;
/// Fragment fields, TTL and protocol, the TTL apart.
pub(crate) const WHOLE_PACKET_MASK: u32 = (FRAGMENT as u32) << 16 | 0xff;

/// Judges a common frame; `None` if it is not one.
#[inline(always)]
pub fn judge<F: Frame, T: Tables + Flows>(frame: &mut F, tables: &T) -> Option<Counter> {
    if frame.offloaded_tag() != NO_TAG || tables.constant(Constant::TaggedOnly) != 0 {
        return None;
    }
    let length = frame.length();
    let header = frame.header::<WHOLE_V4>(0).ok()?;
    // Once for each family, so that the compiler knows it from here on.
    if header.u32::<12>() & IPV4_PLAIN_MASK == IPV4_PLAIN {
        return Some(decide(&read_v4(&header, length)?, tables));
    }
    if header.u16::<12>() == IPV6 {
        let header = frame.header::<WHOLE_V6>(0).ok()?;
        return Some(decide(&read_v6(&header, length)?, tables));
    }
    None
}

#[inline(always)]
fn read_v4<H: Header>(header: &H, frame: u32) -> Option<Packet> {
    let total_length = u32::from(header.u16::<16>());
    if total_length + ETHERNET > frame {
        return None;
    }
    let tcp_flags = match header.u32::<20>() & WHOLE_PACKET_MASK {
        TCP_NUMBER => {
            let (offset, flags) = (header.u8::<46>(), header.u8::<47>());
            tcp(offset, flags, total_length, HEADER_V4)?
        }
        UDP_NUMBER => udp(header.u16::<38>(), total_length, HEADER_V4)?,
        _ => return None,
    };
    let key = Key {
        family: Family::V4,
        source: Address::left(header.left_u32::<26>()),
        destination: Address::left(header.left_u32::<30>()),
        protocol: header.u8::<23>(),
        source_port: header.number::<34>(),
        destination_port: header.number::<36>(),
    };
    Some(packet(key, header.u8::<22>(), tcp_flags))
}

#[inline(always)]
fn read_v6<H: Header>(header: &H, frame: u32) -> Option<Packet> {
    let payload_length = u32::from(header.u16::<18>());
    if header.u8::<14>() >> 4 != 6 || payload_length + ETHERNET + HEADER_V6 > frame {
        return None;
    }
    let tcp_flags = match u32::from(header.u8::<20>()) {
        TCP_NUMBER => tcp(header.u8::<66>(), header.u8::<67>(), payload_length, 0)?,
        UDP_NUMBER => udp(header.u16::<58>(), payload_length, 0)?,
        _ => return None,
    };
    let key = Key {
        family: Family::V6,
        source: Address {
            high: header.u64::<22>(),
            low: header.u64::<30>(),
        },
        destination: Address {
            high: header.u64::<38>(),
            low: header.u64::<46>(),
        },
        protocol: header.u8::<20>(),
        source_port: header.number::<54>(),
        destination_port: header.number::<56>(),
    };
    Some(packet(key, header.u8::<21>(), tcp_flags))
}

pub(crate) const TCP_NUMBER: u32 = protocol::TCP as u32;
pub(crate) const UDP_NUMBER: u32 = protocol::UDP as u32;

/// The low six flags of a TCP header without fault, which stands `before` bytes into the
/// `length` bytes of its packet.
#[inline(always)]
fn tcp(data_offset: u8, flags: u8, length: u32, before: u32) -> Option<u8> {
    let offset = u32::from(data_offset >> 4) * 4;
    if offset < TCP || offset + before > length {
        return None;
    }
    let flags = flags & LOW_SIX;
    // Nearly every segment acknowledges, and does nothing else but push.
    if flags & !PSH != ACK && VALID_FLAGS >> flags & 1 == 0 {
        return None;
    }
    Some(flags)
}

/// That a UDP header, which stands `before` bytes into the `length` bytes of its packet, is
/// without fault. It has no flags.
#[inline(always)]
fn udp(declared: u16, length: u32, before: u32) -> Option<u8> {
    let declared = u32::from(declared);
    if declared < UDP || declared + before > length {
        return None;
    }
    Some(0)
}

#[inline(always)]
fn packet(key: Key, hop_limit: u8, tcp_flags: u8) -> Packet {
    Packet {
        key,
        hop_limit,
        fragment_header: false,
        icmp: NO_ICMP,
        identifier: 0,
        tcp_flags,
        mirrors_allowed: false,
    }
}
