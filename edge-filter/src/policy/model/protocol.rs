//! Protocol numbers (IANA), and the protocols that have ports.

use super::word;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;

/// Whether packets of this protocol have ports.
pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

/// Source and destination port, the first four bytes of every header that has
/// ports.
pub(super) fn ports_of(header: &[u8]) -> (u16, u16) {
    (word(header, 0), word(header, 2))
}
