//! What the daemon does, on a thread beside the one that listens: look, mend and reload.

use super::Given;
use crate::generation::Instance;
use crate::generation::apply::Source;
use crate::generation::keep::{self, Followed, Missing, Repaired, Standing, Wish};
use crate::generation::last_good::{self, Management, Ready, follow_anyway};
use crate::kernel::KernelError;

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

/// What a look has found: what there is to stand on, if that is not what it should be, and
/// how things stand.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) ready: Option<Ready>,
    pub(super) standing: Result<Option<Standing>, KernelError>,
}

/// What became of a repair; if it came to nothing, what there is to stand on.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) repaired: Repaired,
    pub(super) ready: Option<Ready>,
}

/// Looks at how things stand; where state cannot be read, does what is to be done about that.
pub(super) fn look(instance: &Instance, management: &Management) -> Found {
    let standing = keep::standing(instance);
    let is_emergency = instance.state.emergency().is_some();
    if !is_emergency && standing.is_ok() {
        return Found {
            ready: None,
            standing,
        };
    }
    match last_good::ready(instance, management) {
        Ok(ready) => Found {
            standing: match ready.standing.clone() {
                Some(standing) => Ok(Some(standing)),
                None => keep::standing(instance),
            },
            ready: Some(ready),
        },
        Err(error) => Found {
            ready: None,
            standing: Err(error),
        },
    }
}

/// Filters what is `missing`. If all of that fails, it may be for what the state holds, or for
/// want of room.
pub(super) fn mend(instance: &Instance, management: &Management, missing: Vec<Missing>) -> Mended {
    let mut repaired = keep::repair(instance, missing);
    let mut ready = None;
    if repaired.applied.is_empty() && !repaired.failed.is_empty() {
        match last_good::ready(instance, management) {
            Ok(found) => ready = Some(found),
            Err(error) => repaired.failed.push(error),
        }
    }
    Mended { repaired, ready }
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
    let reloaded = match follow_anyway(instance, wish) {
        Ok(followed) => Reloaded::Followed(followed),
        Err(error) => Reloaded::Refused(error),
    };
    (warnings, reloaded)
}
