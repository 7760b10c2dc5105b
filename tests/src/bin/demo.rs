//! `cargo xtask demo`: the shipped policy, enforced on real packets.

use std::process::ExitCode;

fn main() -> ExitCode {
    match edge_filter_tests::demo::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
