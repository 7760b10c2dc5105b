//! The frames that are sent through a wire, by what is to become of them.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::generator::Stream;
use crate::craft::{Family, Mac};
use crate::lab::wire::End;

/// What becomes of every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is dropped.
    Dropped,
    /// It goes up the stack, which discards it: it bears another host's address.
    Passed,
}

/// Frames of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    /// What a table calls them.
    pub(super) name: &'static str,
    family: Family,
    port: Option<u16>,
    /// What becomes of them under the documented policy.
    pub(super) fate: Fate,
    /// The counter that moves there.
    pub(super) counter: &'static str,
}

/// The documented policy's Access Edge, by family.
const EDGE: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];

/// A host that is nobody here.
const STRANGER: Mac = [0x02, 0, 0, 0, 0, 0x77];

impl Traffic {
    /// Frames to ports that are open nowhere.
    pub(super) const NO_RULE: [Self; 2] = [
        Self::dropped("no rule, IPv4", Family::V4),
        Self::dropped("no rule, IPv6", Family::V6),
    ];

    /// Frames that clients send to sign in.
    pub(super) const A_RULE: [Self; 2] = [
        Self::passed("a rule, IPv4", Family::V4),
        Self::passed("a rule, IPv6", Family::V6),
    ];

    const fn dropped(name: &'static str, family: Family) -> Self {
        Self {
            name,
            family,
            port: None,
            fate: Fate::Dropped,
            counter: "drop:default",
        }
    }

    const fn passed(name: &'static str, family: Family) -> Self {
        Self {
            name,
            family,
            port: Some(443),
            fate: Fate::Passed,
            counter: "s4-client-sip-in",
        }
    }

    /// The same as they are sent to `end`.
    pub(super) fn stream(&self, end: &End) -> Result<Stream> {
        let [v4, v6] = EDGE;
        let to = match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        Ok(Stream {
            to: to.parse::<IpAddr>().context("an address")?,
            port: self.port,
            mac: match self.fate {
                Fate::Dropped => end.mac,
                Fate::Passed => STRANGER,
            },
        })
    }
}
