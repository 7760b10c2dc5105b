//! The only place that touches BPF: load, attach, replace, pin, count.
//!
//! [`object`] turns a table image into a loaded program, [`link`] attaches it
//! to a [`device`], [`pins`] says where everything lives on the BPF file system
//! and [`counters`] reads what was counted. Nothing here knows YAML, and
//! nothing decides when to do what: that is `generation`'s part.

pub mod counters;
pub mod device;
mod error;
pub mod flow_table;
pub mod link;
pub mod object;
pub mod offload;
pub mod pins;
mod syscall;

pub use error::KernelError;
pub use syscall::wait_for_programs;
