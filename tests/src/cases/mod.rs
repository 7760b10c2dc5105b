//! Frames that try to slip through, and the verdicts that they must meet: one
//! table, for everything that judges frames. It was written from
//! `docs/verdicts.md` and the RFCs alone.
//!
//! Each case begins with a frame that a rule or an essential admits, and
//! differs from it in the defect alone. [`cases`] repeats each of them with 0,
//! 1 and 2 VLAN tags, and every drop under audit mode, under `default_action:
//! allow`, and under a rule that allows everything: a fault of the frame may
//! not depend on any of these.

mod arp;
mod derive;
mod essentials;
mod ethernet;
mod extensions;
mod hosts;
mod icmp_errors;
mod ipv4;
mod ipv6;
mod ipv6_fragments;
mod martians;
mod options;
mod policies;
mod quotes;
mod row;
mod rules;
mod run;
mod sides;
mod tcp_flags;
mod transport;
mod valid;
mod vlans;

use edge_filter::policy::{Action, Policy};

pub use policies::{Kind, PolicyVariant, ROLE, policy};
pub use run::{Failure, Report, run, run_cases};
pub use sides::{outbound, runts, super_packets};
pub use valid::{ValidFrame, valid_frames};

/// A frame, its verdict, and the frame that it was made from.
#[derive(Debug, Clone)]
pub struct Case {
    /// Such as `ipv4/tag1/udp-length-7`.
    pub name: String,
    /// The policy that judges both frames.
    pub policy: PolicyVariant,
    /// A frame that passes.
    pub base: Vec<u8>,
    /// The counter that lets it pass.
    pub base_counter: &'static str,
    /// The same frame, with one difference.
    pub frame: Vec<u8>,
    /// The counter that it must move.
    pub counter: String,
    /// What must become of it.
    pub action: Action,
    /// Where that is written.
    pub reference: &'static str,
}

impl Case {
    /// The policy that judges both frames.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy.policy()
    }
}

/// The whole table for an inbound hook, ordered by policy, so that whoever
/// judges it has to change policies as seldom as can be.
#[must_use]
pub fn cases() -> Vec<Case> {
    let rows = [
        arp::rows(),
        essentials::rows(),
        ethernet::rows(),
        extensions::rows(),
        icmp_errors::rows(),
        ipv4::rows(),
        ipv6::rows(),
        ipv6_fragments::rows(),
        martians::rows(),
        options::rows(),
        quotes::rows(),
        rules::rows(),
        tcp_flags::rows(),
        transport::rows(),
        vlans::rows(),
    ];
    let written: Vec<Case> = rows
        .into_iter()
        .flatten()
        .flat_map(row::Row::with_tags)
        .collect();
    let mut cases: Vec<Case> = written.iter().flat_map(derive::variants).collect();
    cases.sort_by_key(|case| case.policy);
    cases
}
