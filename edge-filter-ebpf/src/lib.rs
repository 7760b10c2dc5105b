//! The data path of edge-filter.
#![cfg_attr(target_arch = "bpf", no_std)]
