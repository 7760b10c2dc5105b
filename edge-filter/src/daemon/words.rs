//! The words of `STATUS=`.

use crate::generation::keep::Standing;
use crate::kernel::KernelError;

/// The first line of an error.
pub(super) fn first_line(error: &KernelError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// How things stand, in a line.
pub(super) fn in_words(standing: &Standing) -> String {
    let Standing {
        policy, generation, ..
    } = standing;
    let on_trial = match standing.trial_ends_in {
        Some(_) => ", on trial",
        None => "",
    };
    let filtered = match &*standing.filtered {
        [] => "no device is filtered".to_owned(),
        devices => format!("filtered: {}", devices.join(", ")),
    };
    let missing: Vec<&str> = standing
        .missing
        .iter()
        .map(|missing| &*missing.device)
        .collect();
    let missing = match &*missing {
        [] => String::new(),
        devices => format!("; NOT FILTERED: {}", devices.join(", ")),
    };
    format!("policy '{policy}', generation {generation}{on_trial}: {filtered}{missing}")
}
