//! What is being done, on standard error, and since when: a run takes minutes.

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Instant;

/// When the first thing was said.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Says it.
pub(super) fn say(what: impl Display) {
    eprintln!("bench: {:3} s: {what}", BEGIN.elapsed().as_secs());
}
