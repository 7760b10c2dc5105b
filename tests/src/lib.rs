//! The lab of network namespaces, and the demonstration that runs in it.

pub mod demo;
pub mod lab;
