//! What edge-filter's end-to-end tests are made of: those that judge frames,
//! and the frames that they are asked about.

pub mod judge;
