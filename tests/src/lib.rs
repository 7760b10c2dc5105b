//! What edge-filter's end-to-end tests are made of: those that judge frames, and
//! the frames and filter sets that they are asked about; the lab of network namespaces,
//! and the demonstration that runs in it; and the benchmark.

pub mod bench;
mod bpf;
pub mod captures;
pub mod cases;
pub mod classbench;
pub mod craft;
pub mod demo;
pub mod generate;
pub mod judge;
pub mod lab;
pub mod shrink;
pub mod soak;
pub mod writing;
