//! The lab.

pub mod cases;
pub mod craft;
