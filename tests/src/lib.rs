//! What the tests of the whole share: hostile frames with their verdicts
//! ([`cases`]), and the builder that makes frames ([`craft`]).

pub mod cases;
pub mod craft;
