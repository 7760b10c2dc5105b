//! `edge-filter`: see `edge-filter help`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: edge_filter::memory::OrExit = edge_filter::memory::OrExit;

fn main() -> ExitCode {
    edge_filter::cli::main()
}
