//! What the daemon does, on a thread beside the one that listens: repair and reload.

use std::time::{Duration, Instant};

use super::Given;
use crate::generation::Instance;
use crate::generation::applied::Applied;
use crate::generation::apply::Source;
use crate::generation::keep::{Followed, Missing, Wish, follow, restore};
use crate::kernel::KernelError;

/// What became of an attempt to filter what was missing.
#[derive(Debug)]
pub(super) struct Repaired {
    /// What was missing.
    pub(super) missing: Vec<Missing>,
    /// What was applied, and how long that took.
    pub(super) applied: Vec<(Applied, Duration)>,
    /// What failed, and for which device if it was tried by itself.
    pub(super) failed: Vec<(Option<String>, KernelError)>,
}

/// What became of a reload.
#[derive(Debug)]
pub(super) enum Reloaded {
    /// It was carried out, or there was nothing to do.
    Followed(Followed),
    /// The policy cannot be read, or is not valid.
    Invalid(String),
    /// It cannot be enforced.
    Refused(KernelError),
}

/// Filters again what is `missing`: all in one; if that fails each by itself, since a
/// device that cannot be filtered should leave no other one open.
pub(super) fn repair(instance: &Instance, missing: Vec<Missing>) -> Repaired {
    let mut repaired = Repaired {
        missing,
        applied: Vec::new(),
        failed: Vec::new(),
    };
    repaired.attempt(instance, None);
    if repaired.failed.is_empty() || repaired.missing.len() < 2 {
        return repaired;
    }
    repaired.failed.clear();
    for number in 0..repaired.missing.len() {
        let device = repaired.missing[number].device.clone();
        repaired.attempt(instance, Some(device));
    }
    repaired
}

impl Repaired {
    fn attempt(&mut self, instance: &Instance, only: Option<String>) {
        let begun = Instant::now();
        match restore(instance, only.as_deref()) {
            Ok(applied) => self
                .applied
                .extend(applied.map(|applied| (applied, begun.elapsed()))),
            Err(error) => self.failed.push((only, error)),
        }
    }
}

/// Applies the policy's file as it is now.
pub(super) fn reload(instance: &Instance, given: &Given) -> (Vec<String>, Reloaded) {
    let (checked, text) = match (given.read)() {
        Ok(read) => read,
        Err(message) => return (Vec::new(), Reloaded::Invalid(message)),
    };
    let warnings = checked.warnings.iter().map(ToString::to_string).collect();
    let wish = Wish {
        source: Source {
            policy: &checked.policy,
            text: &text,
        },
        overrides: &given.overrides,
        sites: given.sites,
        budget: given.budget,
    };
    let reloaded = match follow(instance, wish) {
        Ok(followed) => Reloaded::Followed(followed),
        Err(error) => Reloaded::Refused(error),
    };
    (warnings, reloaded)
}
