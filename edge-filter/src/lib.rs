//! edge-filter: a packet filter for Linux edge hosts.
//!
//! A rule's way runs through the modules in this order: [`policy`] (what was
//! written, checked, and the reference model of what it means), [`compile`]
//! (one table image per hook), [`kernel`] (load, attach, count). [`generation`] goes
//! from one policy to the next, and [`guard`] keeps one from being applied that would lock
//! its administrator out. [`daemon`] watches the devices. [`cost`] tells what packets cost by
//! such tables. [`memory`] says what happens when there is none left. [`cli`] holds one file
//! per command.

pub mod cli;
pub mod compile;
pub mod cost;
pub mod daemon;
pub mod generation;
pub mod guard;
pub mod kernel;
pub mod memory;
pub mod policy;
