//! The flow table: the conversations that the trusted side has opened
//! (`docs/verdicts.md` §13 and §14).
//!
//! [`table`] is the table, over [`bucket`]s that lie in a BPF array or in memory;
//! [`life`] says how long an entry lives. The kernel runs the same code as the host.

pub mod bucket;
pub mod hash;
pub mod life;
#[cfg(not(target_arch = "bpf"))]
pub mod memory;
pub mod table;
pub mod word;

use crate::packet::{Address, Family, Key};

/// A conversation, as its opener sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// The family of both addresses.
    pub family: Family,
    /// The opener's address.
    pub source: Address,
    /// The other side's address.
    pub destination: Address,
    /// The IP protocol number.
    pub protocol: u8,
    /// The opener's port; the identifier of an ICMP echo; 0 if the protocol has
    /// neither.
    pub source_port: u16,
    /// The other side's port; of an ICMP echo, the identifier once more.
    pub destination_port: u16,
}

/// A tuple in five words: both addresses, and [`Tuple::transport`].
pub type Words = [u64; 5];

/// A conversation that userspace knows of: its [`Words`], and the TCP flags of the
/// opener's packet that would say the same.
pub type Seed = [u64; 6];

/// The most seeds that are handed over at once.
pub const SEED_BATCH: u32 = 64;

/// Where conversations are remembered: the flow table in the kernel, or one in
/// memory.
pub trait Flows {
    /// Records a packet of the opener (§14.3). `tcp_flags` are those of the
    /// packet, 0 if it is not TCP.
    fn record(&self, tuple: &Tuple, tcp_flags: u8);

    /// Whether a packet of the other side with `tcp_flags` answers a live
    /// conversation; RST leaves its mark on it (§14.4).
    fn is_answered(&self, tuple: &Tuple, tcp_flags: u8) -> bool;

    /// Whether there is a live entry. Nothing changes.
    fn is_live(&self, tuple: &Tuple) -> bool;
}

impl Tuple {
    /// That of a packet with ports.
    #[inline(always)]
    #[must_use]
    pub const fn of(key: &Key) -> Self {
        Self {
            family: key.family,
            source: key.source,
            destination: key.destination,
            protocol: key.protocol,
            source_port: key.source_port,
            destination_port: key.destination_port,
        }
    }

    /// The fields of its packets.
    #[inline(always)]
    #[must_use]
    pub const fn key(&self) -> Key {
        Key {
            family: self.family,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            source_port: self.source_port,
            destination_port: self.destination_port,
        }
    }

    /// Ports, protocol and family in one word: 16, 16, 8 (at bit 8) and 8 bits, the
    /// opener's port highest. Bits 16 to 31 are free.
    #[inline(always)]
    #[must_use]
    pub const fn transport(&self) -> u64 {
        let family = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        (self.source_port as u64) << 48
            | (self.destination_port as u64) << 32
            | (self.protocol as u64) << 8
            | family
    }

    /// The tuple in five words.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> Words {
        [
            self.source.high,
            self.source.low,
            self.destination.high,
            self.destination.low,
            self.transport(),
        ]
    }

    /// The tuple of five words.
    #[must_use]
    pub const fn from_words(words: Words) -> Self {
        let [
            source_high,
            source_low,
            destination_high,
            destination_low,
            transport,
        ] = words;
        Self {
            family: if transport & 0xff == 4 {
                Family::V4
            } else {
                Family::V6
            },
            source: Address {
                high: source_high,
                low: source_low,
            },
            destination: Address {
                high: destination_high,
                low: destination_low,
            },
            protocol: (transport >> 8) as u8,
            source_port: (transport >> 48) as u16,
            destination_port: (transport >> 32) as u16,
        }
    }
}
