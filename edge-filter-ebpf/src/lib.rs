//! The data path of edge-filter: one pure `no_std` library that the kernel
//! runs as BPF, and that unit tests, property tests and fuzzers run on the
//! host. `docs/verdicts.md` is its contract.
//!
//! A packet's way: nearly every frame is [`common`], and read at once; a [`small`] policy
//! says at once, too, what becomes of it, by parts and [`regions`] of addresses. Of others the
//! [`ethernet`] header leads to [`ipv4`] or [`ipv6`], then to [`transport`] (which reads
//! what an ICMP error quotes, [`quote`]). The parsed [`packet::Packet`] meets [`decide`]:
//! addresses that cannot be, essentials, and the [`rules`], whose [`outcome`] is in the
//! [`cache`] if the packet's conversation is known, is known for the classes of [`classify`],
//! or is found by them in a [`search`]. What they allow may be recorded, and what they do not
//! may be a reply ([`replies`], [`flow`]). Every way ends in one [`counter::Counter`].
//!
//! Where the bytes and the tables come from is left to [`frame::Frame`] and
//! [`tables::Tables`]. Nothing here knows a kernel helper.

#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows one function best, and constants fold only within it"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "fields are cut out of words on purpose; checked conversions could panic"
)]

pub mod arp;
mod branchless;
#[cfg(test)]
mod by_hand;
pub mod cache;
pub mod classify;
pub mod common;
pub mod config;
pub mod counter;
pub mod decide;
pub mod ethernet;
pub mod flow;
pub mod frame;
pub mod ipv4;
pub mod ipv6;
#[cfg(not(target_arch = "bpf"))]
pub mod memory;
pub mod opaque;
pub mod outcome;
pub mod packet;
pub mod quote;
pub mod regions;
pub mod replies;
pub mod rules;
pub mod search;
pub mod small;
pub mod tables;
pub mod transport;
pub mod walks;

use counter::Counter;
use ethernet::Network;
use flow::Flows;
use packet::Packet;
use tables::Tables;
use walks::Walks;

/// Judges one frame: the counter that it moves, or [`Counter::NOT_LINEAR`] if
/// the frame's source must first bring more of it within reach.
///
/// [`Counter::passes`] tells whether the packet passes.
#[inline(always)]
pub fn judge<F: Walks, T: Tables + Flows>(frame: &mut F, tables: &T) -> Counter {
    if tables.is_small()
        && let Some(settled) = small::judge(frame, tables)
    {
        return settled.counter();
    }
    let counter = match common::judge(frame, tables) {
        Some(counter) => counter,
        None => judge_any(frame, tables),
    };
    counter.at_hook(tables)
}

/// What [`judge`] does with frames that are not common.
#[inline(always)]
pub fn judge_any<F: Walks, T: Tables + Flows>(frame: &mut F, tables: &T) -> Counter {
    match ethernet::read(frame, tables) {
        Err(counter) => counter,
        Ok(Network::Arp { at }) => arp::judge(frame, tables, at),
        // Once for each family, so that the compiler knows it from here on.
        Ok(Network::Ipv4 { at }) => decided(packet_v4(frame, tables, at), tables),
        Ok(Network::Ipv6 { at }) => decided(packet_v6(frame, tables, at), tables),
    }
}

/// What [`judge_any`] does first, for those who decide later: the packet that a frame holds.
///
/// # Errors
/// The counter of a frame that is decided already.
#[inline(always)]
pub fn parse<F: Walks, T: Tables + Flows>(frame: &mut F, tables: &T) -> Result<Packet, Counter> {
    match ethernet::read(frame, tables)? {
        Network::Arp { at } => Err(arp::judge(frame, tables, at)),
        Network::Ipv4 { at } => packet_v4(frame, tables, at),
        Network::Ipv6 { at } => packet_v6(frame, tables, at),
    }
}

#[inline(always)]
fn packet_v4<F: Walks, T: Tables + Flows>(
    frame: &mut F,
    tables: &T,
    at: u32,
) -> Result<Packet, Counter> {
    let ip = ipv4::read(frame, tables, at)?;
    transport::read(frame, ip, tables)
}

#[inline(always)]
fn packet_v6<F: Walks, T: Tables + Flows>(
    frame: &mut F,
    tables: &T,
    at: u32,
) -> Result<Packet, Counter> {
    let ip = ipv6::read(frame, tables, at)?;
    transport::read(frame, ip, tables)
}

/// What becomes of a packet, if nothing has been decided yet. A function, and no closure:
/// LLVM makes functions of those that are large.
#[inline(always)]
fn decided<T: Tables + Flows>(packet: Result<Packet, Counter>, tables: &T) -> Counter {
    match packet {
        Ok(packet) => decide::decide(&packet, tables),
        Err(counter) => counter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::{self, ByHand};
    use crate::config::{Constant, essential};
    use crate::memory::Memory;

    /// Wherever the first buffer ends, a frame is judged as it would be whole,
    /// or not yet; and once it could be judged, more bytes change nothing.
    fn assert_alike_at_every_linear_length(frame: &[u8], tables: &ByHand, counter: Counter) {
        let mut judged = false;
        for linear in 0..=frame.len() {
            let answer = judge(&mut Memory::with_linear(frame, linear), tables);
            if answer == Counter::NOT_LINEAR {
                assert!(!judged, "{linear} bytes are fewer than were enough");
            } else {
                assert_eq!(answer, counter, "{linear} linear");
                judged = true;
            }
        }
        assert!(judged);
    }

    #[test]
    fn the_first_buffer_may_end_anywhere() {
        let rules = ByHand::new().with_rules(1, &[]).with(
            Constant::Essentials,
            essential::ICMP_ERRORS | essential::ARP,
        );
        let tcp = by_hand::tcp();
        let quoted = [&[3, 0, 0, 0, 0, 0, 0, 0][..], &{
            let mut mirror = by_hand::ipv4(6, &[], &tcp);
            let (source, destination) = ([192, 0, 2, 10], [203, 0, 113, 5]);
            mirror[12..16].copy_from_slice(&source);
            mirror[16..20].copy_from_slice(&destination);
            mirror
        }]
        .concat();
        let chain = [&[43, 0, 0, 0, 0, 0, 0, 0, 6, 0, 4, 0, 0, 0, 0, 0][..], &tcp].concat();
        let mut tagged = vec![0, 5, 0x81, 0, 0, 7, 8, 0];
        tagged.extend(by_hand::ipv4(6, &[1; 8], &tcp));
        for (frame, counter) in [
            (
                by_hand::ethernet(0x0800, &by_hand::ipv4(6, &[], &tcp)),
                Counter::rule(0),
            ),
            (
                by_hand::ethernet(0x0800, &by_hand::ipv4(6, &[131, 3, 4, 0], &tcp)),
                Counter::OPTIONS,
            ),
            (by_hand::ethernet(0x88a8, &tagged), Counter::rule(0)),
            (
                by_hand::ethernet(0x86dd, &by_hand::ipv6(6, &tcp)),
                Counter::rule(0),
            ),
            (
                by_hand::ethernet(0x86dd, &by_hand::ipv6(0, &chain)),
                Counter::rule(0),
            ),
            (
                by_hand::ethernet(0x86dd, &by_hand::ipv6(59, &tcp)),
                Counter::NO_NEXT_HEADER,
            ),
            (
                by_hand::ethernet(0x0800, &by_hand::ipv4(1, &[], &quoted)),
                Counter::ICMP_ERROR,
            ),
            (by_hand::ethernet(0x0806, &[0; 28]), Counter::MALFORMED),
            (by_hand::ethernet(0x8847, &[0; 28]), Counter::ETHERTYPE),
            (
                by_hand::ethernet(0x0100, &[0xaa, 0xaa, 3]),
                Counter::ETHERTYPE,
            ),
        ] {
            assert_alike_at_every_linear_length(&frame, &rules, counter);
        }
    }

    /// Of a quote that ends with the packet nothing is missing; one byte less
    /// is too little, though the frame goes on.
    #[test]
    fn a_quote_ends_with_the_packet() {
        let tables = ByHand::new().with_rules(1, &[]);
        for length in 0..=36 {
            let quoted = by_hand::ipv4(6, &[], &by_hand::tcp());
            let error = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &quoted[..length]].concat();
            let mut frame = by_hand::ethernet(0x0800, &by_hand::ipv4(1, &[], &error));
            frame.extend([0x45; 64]);
            let counter = judge(&mut Memory::new(&frame), &tables);
            let expected = if length < 28 {
                Counter::MALFORMED
            } else {
                Counter::rule(0)
            };
            assert_eq!(counter, expected, "{length} bytes quoted");
        }
    }
}
