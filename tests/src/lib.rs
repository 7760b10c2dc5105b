//! The lab.

pub mod generate;
