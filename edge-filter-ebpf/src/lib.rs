//! The data path of edge-filter: one pure `no_std` library that the kernel
//! runs as BPF, and that unit tests, property tests and fuzzers run on the
//! host. `docs/verdicts.md` is its contract.
//!
//! A packet's way: [`judge`] reads the [`ethernet`] header and hands on to
//! [`ipv4`] or [`ipv6`], then to [`transport`] (which reads what an ICMP error
//! quotes, [`quote`]); the parsed [`packet::Packet`] meets [`decide`]:
//! addresses that cannot be, essentials, and the rules by [`classify`]. Every
//! way ends in one [`counter::Counter`].
//!
//! Where the bytes and the tables come from is left to [`frame::Frame`] and
//! [`tables::Tables`]. Nothing here knows a kernel helper.

#![cfg_attr(target_arch = "bpf", no_std)]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows one function best, and constants fold only within it"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "fields are cut out of words on purpose; checked conversions could panic"
)]

pub mod arp;
#[cfg(test)]
mod by_hand;
pub mod classify;
pub mod config;
pub mod counter;
pub mod decide;
pub mod ethernet;
pub mod frame;
pub mod ipv4;
pub mod ipv6;
pub mod packet;
pub mod quote;
pub mod tables;
pub mod transport;
pub mod walks;

use counter::Counter;
use ethernet::Network;
use tables::Tables;
use walks::Walks;

/// Judges one frame: the counter that it moves, or [`Counter::NOT_LINEAR`] if
/// the frame's source must first bring more of it within reach.
///
/// [`Counter::passes`] tells whether the packet passes.
#[inline(always)]
pub fn judge<F: Walks, T: Tables>(frame: &mut F, tables: &T) -> Counter {
    match parse(frame, tables) {
        Ok(packet) => decide::decide(&packet, tables),
        Err(counter) => counter,
    }
}

#[inline(always)]
fn parse<F: Walks, T: Tables>(frame: &mut F, tables: &T) -> Result<packet::Packet, Counter> {
    match ethernet::read(frame, tables)? {
        Network::Arp { at } => Err(arp::judge(frame, tables, at)),
        Network::Ipv4 { at } => {
            let ip = ipv4::read(frame, tables, at)?;
            transport::read(frame, ip, tables)
        }
        Network::Ipv6 { at } => {
            let ip = ipv6::read(frame, tables, at)?;
            transport::read(frame, ip, tables)
        }
    }
}
