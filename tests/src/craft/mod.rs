//! Frames, byte for byte. Every builder makes a valid header, with lengths and
//! checksums that fit, and lets any field be overridden afterwards, so that a
//! hostile frame reads as the one thing that is wrong with it:
//! `Ipv4::carrying(tcp()).total_length(19)`.
//!
//! The bytes are laid by hand, because crates that build packets refuse to
//! build broken ones, and know neither SCTP nor arbitrary chains of extension
//! headers. This module's tests hold the valid ones against `etherparse`.

mod arp;
mod checksum;
mod ethernet;
mod extension;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
mod segment;
#[cfg(test)]
mod tests;

pub use arp::Arp;
pub use ethernet::{Frame, Mac, Tag};
pub use extension::{
    Extension, authentication, destination_options, extension, fragment, hop_by_hop, routing,
};
pub use icmp::{Neighbour, echo, error, icmp, icmpv6, listener, listener_report, neighbour};
pub use ip::{Family, Ip};
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use segment::{Segment, flag, raw, sctp, tcp, udp};

/// The source of every frame: a locally administered address.
pub const SOURCE_MAC: Mac = [0x02, 0, 0, 0, 0, 0x01];
/// The destination of every frame that says nothing else.
pub const DESTINATION_MAC: Mac = [0x02, 0, 0, 0, 0, 0x02];
/// The port from which TCP, UDP and SCTP come.
pub const SOURCE_PORT: u16 = 40_000;
