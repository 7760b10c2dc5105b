//! How long the tests of random frames run: `EDGE_FILTER_SOAK=1` asks for ten
//! times as much as a test does otherwise.

use std::env;

/// How many times something is done: `full` in a soak run, a tenth of it, but
/// at least once, otherwise.
#[must_use]
pub fn times(full: usize) -> usize {
    if is_on() { full } else { (full / 10).max(1) }
}

/// Whether this is a soak run: `EDGE_FILTER_SOAK` is set, and neither empty
/// nor `0`.
#[must_use]
pub fn is_on() -> bool {
    env::var_os("EDGE_FILTER_SOAK").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The seed that a test begins with: 1, or what `EDGE_FILTER_SEED` says, to see
/// a failure again or to go where no run has been.
///
/// # Panics
/// `EDGE_FILTER_SEED` is no number below 2⁶⁴.
#[must_use]
pub fn first_seed() -> u64 {
    let Some(text) = env::var_os("EDGE_FILTER_SEED") else {
        return 1;
    };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("EDGE_FILTER_SEED={}: not a number", text.display()))
}
