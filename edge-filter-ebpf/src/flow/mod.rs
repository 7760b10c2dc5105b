//! The flow table: the conversations that the trusted side has opened
//! (`docs/verdicts.md` §13 and §14).

use crate::packet::{Address, Family};

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
