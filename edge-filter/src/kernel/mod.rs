//! The only place that touches BPF: load, attach, replace, pin, count.
//!
//! [`object`] turns a table image into a loaded program, [`attachment`] puts it on a
//! [`device`], [`pins`] says where everything lives on the BPF file system,
//! [`counters`] reads what was counted, [`flow_table`] what is remembered, and [`trial`] knows
//! which program decides next. Nothing here knows YAML, and
//! nothing decides when to do what: that is `generation`'s part.

pub mod addresses;
pub mod attachment;
pub mod boot;
mod btf;
mod clsact;
pub mod conntrack;
mod constants;
pub mod context;
pub mod counters;
pub mod device;
pub mod diagnostics;
mod error;
mod exhausted;
pub mod flow_table;
mod link;
pub mod link_events;
mod netlink;
pub mod object;
mod occupant;
pub mod offload;
pub mod pins;
mod privileges;
pub mod processes;
mod refused;
pub mod routes;
mod sections;
pub mod signals;
pub mod site;
pub mod sockets;
pub mod stack;
mod syscall;
pub mod timing;
pub mod trial;

pub use error::KernelError;
pub use link::unpin;
pub use syscall::wait_for_programs;
