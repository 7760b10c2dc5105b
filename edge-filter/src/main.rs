//! `edge-filter`: see `edge-filter help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    edge_filter::cli::main()
}
