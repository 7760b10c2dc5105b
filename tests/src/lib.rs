//! The lab of network namespaces, and the demonstration that runs in it.

pub mod lab;
