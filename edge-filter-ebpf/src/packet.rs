//! What the parser makes of a frame: the packet that the rules are asked about.

/// The two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An address as a left-aligned 128-bit string in two halves: an IPv4 address
/// is the first 32 bits of `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The first 64 bits.
    pub high: u64,
    /// The last 64 bits.
    pub low: u64,
}

/// What rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The family of both addresses.
    pub family: Family,
    /// The source address.
    pub source: Address,
    /// The destination address.
    pub destination: Address,
    /// The IP protocol number.
    pub protocol: u8,
    /// The source port; 0 if the protocol has none.
    pub source_port: u16,
    /// The destination port; 0 if the protocol has none.
    pub destination_port: u16,
}

/// A packet whose headers hold no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// What rules look at.
    pub key: Key,
    /// The TTL or hop limit.
    pub hop_limit: u8,
    /// Whether there was an IPv6 fragment header, of an atomic fragment.
    pub fragment_header: bool,
    /// Type and code (type in the high byte) if it is ICMP under IPv4 or
    /// ICMPv6 under IPv6; else [`NO_ICMP`].
    pub icmp: u32,
    /// What stands behind type, code and checksum: of an echo, its identifier.
    pub identifier: u16,
    /// The low six flags of TCP (RFC 9293); 0 if it is not TCP.
    pub tcp_flags: u8,
    /// Whether it is an ICMP error about a conversation that is allowed. Only
    /// looked at where such errors are let through.
    pub mirrors_allowed: bool,
}

/// Stands for type and code in a packet that has none.
///
/// No `Option` here: its empty half would stay unwritten, and the verifier
/// refuses to copy what was never written.
pub const NO_ICMP: u32 = u32::MAX;

/// What stands behind all extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The protocol.
    pub protocol: u8,
    /// The offset of its header in the frame.
    pub payload: u32,
    /// Whether a fragment header was among the extension headers.
    pub fragment_header: bool,
}

/// An IP header, read.
#[derive(Debug, Clone, Copy)]
pub struct Ip {
    /// The family.
    pub family: Family,
    /// The source address.
    pub source: Address,
    /// The destination address.
    pub destination: Address,
    /// The protocol behind all extension headers.
    pub protocol: u8,
    /// The TTL or hop limit.
    pub hop_limit: u8,
    /// Whether there was an IPv6 fragment header, of an atomic fragment.
    pub fragment_header: bool,
    /// The offset of the payload in the frame.
    pub payload: u32,
    /// The offset of the packet's end in the frame.
    pub end: u32,
}

impl Address {
    /// An IPv4 address from its number.
    #[inline(always)]
    #[must_use]
    pub const fn v4(number: u32) -> Self {
        Self {
            high: (number as u64) << 32,
            low: 0,
        }
    }

    /// An IPv4 address as the first half has it.
    #[inline(always)]
    #[must_use]
    pub const fn left(high: u64) -> Self {
        Self { high, low: 0 }
    }

    /// The byte at `position`, counted from the first.
    #[inline(always)]
    #[must_use]
    pub const fn byte(self, position: u32) -> u32 {
        let half = if position & 8 == 0 {
            self.high
        } else {
            self.low
        };
        (half >> (56 - 8 * (position & 7))) as u32 & 0xff
    }
}

impl Key {
    /// The same of the packet that would run the other way.
    #[inline(always)]
    #[must_use]
    pub const fn mirror(&self) -> Self {
        Self {
            family: self.family,
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// The TCP flags (RFC 9293).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Hand on what there is.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// The protocol numbers that the data path knows (IANA).
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;

    /// Whether the protocol is the ICMP of `family`.
    #[inline(always)]
    #[must_use]
    pub const fn is_icmp(family: super::Family, protocol: u8) -> bool {
        match family {
            super::Family::V4 => protocol == ICMP,
            super::Family::V6 => protocol == ICMPV6,
        }
    }

    /// Whether the protocol has ports that rules can name.
    #[inline(always)]
    #[must_use]
    pub const fn has_ports(protocol: u8) -> bool {
        matches!(protocol, TCP | UDP | SCTP)
    }
}
