//! What is being done, on standard error: a run takes minutes.

use std::fmt::Display;

/// Says it.
pub(super) fn say(what: impl Display) {
    eprintln!("bench: {what}");
}
