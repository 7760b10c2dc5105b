//! What the kernel says of a hook's program, which is loaded for that and attached to
//! nothing.

use std::io;

use serde::Serialize;
use thiserror::Error;

use super::packets::at_the_end;
use super::{Cost, Family};
use crate::compile::budget::CompiledHook;
use crate::kernel::KernelError;
use crate::kernel::object::load;
use crate::kernel::timing::NoOp;
use crate::policy::{PacketSpec, Policy, packet};

/// What the kernel says of a program. There is no flow table behind it: what would ask one
/// costs less than it will. But for [`What::Known`] nothing is kept of recent packets either,
/// so that each is looked up anew.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// How many instructions the verifier processed, of a million.
    pub verified_instructions: u32,
    /// What packets took.
    pub packets: Vec<Timed>,
}

/// What a packet took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timed {
    /// Which packet it is.
    pub packet: What,
    /// Nanoseconds over a program that does nothing.
    pub nanoseconds: f64,
}

/// Which packet was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One for the hook's first rule, as if others of its conversation had come before.
    Known,
    /// One for the hook's first rule.
    FirstRule,
    /// One for its last.
    LastRule,
    /// The costliest of IPv4 that was found.
    CostliestIpv4,
    /// The costliest of IPv6.
    CostliestIpv6,
}

/// Why nothing was measured.
#[derive(Debug, Error)]
pub enum Unmeasured {
    /// The kernel lets root alone load programs, or processes with the capabilities.
    #[error("needs root")]
    NeedsRoot,
    /// The kernel does not make such a program, or run it.
    #[error("the kernel refuses: {0}")]
    NotRun(#[from] io::Error),
    /// The kernel does not load the program. Then `apply` will fail, too.
    #[error("{0}")]
    NotLoaded(#[from] KernelError),
}

impl What {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Known,
        Self::FirstRule,
        Self::LastRule,
        Self::CostliestIpv4,
        Self::CostliestIpv6,
    ];

    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::FirstRule => "first rule",
            Self::LastRule => "last rule",
            Self::CostliestIpv4 => "costliest IPv4",
            Self::CostliestIpv6 => "costliest IPv6",
        }
    }
}

/// Loads the program of `hook`, and runs it on packets for its first and last rule and on
/// the costliest of `costs`.
///
/// # Errors
/// [`Unmeasured`]; nothing is left behind.
pub fn measure(
    policy: &Policy,
    hook: &CompiledHook,
    costs: &[Cost],
) -> Result<Measured, Unmeasured> {
    let no_op = NoOp::load(hook.known.direction).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unmeasured::NeedsRoot,
        _ => error.into(),
    })?;
    let direction = hook.known.direction;
    let mut program = load(&hook.image, direction, false, None)?;
    let forgetful = load(&hook.image.without_cache(), direction, false, None)?;
    let ends = [
        (What::Known, false),
        (What::FirstRule, false),
        (What::LastRule, true),
    ];
    let ends =
        ends.map(|(what, last)| at_the_end(policy, &hook.known, last).map(|spec| (what, spec)));
    let costliest = costs.iter().map(|cost| {
        let what = match cost.family {
            Family::IPv4 => What::CostliestIpv4,
            Family::IPv6 => What::CostliestIpv6,
        };
        (what, cost.costliest_packet.clone())
    });
    let packets: Vec<(What, PacketSpec)> = ends.into_iter().flatten().chain(costliest).collect();
    let mut timed = Vec::new();
    for (what, spec) in packets {
        let Ok(frame) = packet::frame(policy, &spec) else {
            continue;
        };
        let program = if what == What::Known {
            &program
        } else {
            &forgetful
        };
        timed.push(Timed {
            packet: what,
            nanoseconds: tenths(no_op.nanoseconds_above(program.descriptor(), &frame)?),
        });
    }
    Ok(Measured {
        verified_instructions: program.facts()?.verified_instructions,
        packets: timed,
    })
}

/// To the tenth: nothing behind it is more than chance.
fn tenths(nanoseconds: f64) -> f64 {
    (nanoseconds * 10.0).round() / 10.0
}
