//! All hooks of a policy, within a budget of memory.
//!
//! The tables of a hook count once for every program that is loaded over them: one for
//! each device and direction. What they take is known before they are made, and what
//! does not fit is never made.

use std::fmt;
use std::time::{Duration, Instant};

use super::facts::{Facts, grouped};
use super::limits::MAX_TABLE;
use super::size::Kind;
use super::{CompileError, TableImage, draft};
use crate::policy::{Direction, Interface, Policy};

/// The memory that the tables of a policy may take, all hooks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In bytes.
    pub bytes: usize,
}

/// What is known of one hook that would be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFacts {
    /// The role.
    pub interface: String,
    /// The side.
    pub direction: Direction,
    /// How many programs are loaded over its tables: one for each device.
    pub programs: usize,
    /// Its tables.
    pub facts: Facts,
    /// How long it took to make them, or to learn that they are too large.
    pub compiled_in: Duration,
}

/// A hook and its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledHook {
    /// What is known of it.
    pub known: HookFacts,
    /// The tables.
    pub image: TableImage,
}

/// The hooks of a policy whose tables need more memory than they may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverBudget {
    /// Every hook.
    pub hooks: Vec<HookFacts>,
    /// What they may take.
    pub budget: Budget,
}

impl Budget {
    /// That of everybody who says nothing else, in MiB.
    pub const DEFAULT_MEBIBYTES: u32 = 256;

    /// What fits once fits again.
    pub const UNLIMITED: Self = Self { bytes: usize::MAX };

    /// So many MiB.
    #[must_use]
    pub const fn of_mebibytes(mebibytes: u32) -> Self {
        Self {
            bytes: (mebibytes as usize).saturating_mul(1 << 20),
        }
    }
}

impl HookFacts {
    /// The memory of all its programs, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.facts.bytes.total() * self.programs
    }
}

/// Compiles every hook of `policy` that is attached (`docs/verdicts.md` §15), in its order;
/// `devices` tells how many devices play a role.
///
/// # Errors
/// [`CompileError`] if the rules of a hook do not fit, or all of them not the budget.
pub fn compile_all(
    policy: &Policy,
    devices: impl Fn(&Interface) -> usize,
    budget: Budget,
) -> Result<Vec<CompiledHook>, CompileError> {
    let mut hooks = Vec::new();
    let mut images = Vec::new();
    let mut left = Some(budget.bytes);
    for interface in &policy.interfaces {
        // A role whose devices are not known yet has one at least.
        let programs = devices(interface).max(1);
        for direction in [Direction::Inbound, Direction::Outbound] {
            if !policy.is_attached(&interface.name, direction) {
                continue;
            }
            let begin = Instant::now();
            let room = left.map_or(0, |left| left / programs).min(MAX_TABLE);
            let draft = draft(policy, interface, direction, room)?;
            let facts = draft.facts.clone();
            left = left.and_then(|left| left.checked_sub(facts.bytes.total() * programs));
            if left.is_some() {
                images.push(draft.finish());
            } else {
                images.clear();
            }
            hooks.push(HookFacts {
                interface: interface.name.clone(),
                direction,
                programs,
                facts,
                compiled_in: begin.elapsed(),
            });
        }
    }
    if left.is_none() {
        return Err(CompileError::OverBudget(Box::new(OverBudget {
            hooks,
            budget,
        })));
    }
    let compiled = hooks.into_iter().zip(images);
    Ok(compiled
        .map(|(known, image)| CompiledHook { known, image })
        .collect())
}

impl OverBudget {
    /// What all programs need, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.hooks.iter().map(HookFacts::bytes).sum()
    }

    /// The hook that takes most.
    fn largest(&self) -> &HookFacts {
        let hooks = self.hooks.iter();
        hooks
            .max_by_key(|hook| hook.bytes())
            .expect("without hooks nothing is too large")
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let allow = format!(
            "allow more with --max-memory {} (`edge-filter check --stats` shows every table)",
            mebibytes(self.bytes())
        );
        match self.largest().facts.bytes.largest().0 {
            Kind::Vectors | Kind::AddressRows | Kind::AddressPaths => format!(
                "merge neighbouring networks or port ranges, split the rules over several \
                 roles, or {allow}"
            ),
            Kind::Ports | Kind::RuleNumbers | Kind::Sets | Kind::Outcomes => allow,
        }
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HookFacts {
            interface,
            direction,
            programs,
            facts,
            ..
        } = self.largest();
        let (kind, bytes) = facts.bytes.largest();
        write!(
            f,
            "its tables need {} MiB, and may take {} MiB: the largest are the {} of {interface} \
             {direction}, {} MiB",
            grouped(mebibytes(self.bytes())),
            grouped(self.budget.bytes >> 20),
            kind.as_str(),
            grouped(mebibytes(bytes * programs)),
        )?;
        if *programs > 1 {
            write!(f, " on {programs} devices")?;
        }
        write!(f, " ({})", facts.shape(kind))
    }
}

/// In MiB, rounded up.
fn mebibytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests;
