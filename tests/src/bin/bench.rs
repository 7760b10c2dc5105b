//! `cargo xtask bench`: what the program costs.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use edge_filter_tests::bench::{Effort, run};

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `bench REPEATS ROUNDS [FILE]`: prints the table, and writes the JSON to `FILE`.
fn measure() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut number = |name: &str| -> Result<u32> {
        let argument = arguments.next().with_context(|| format!("no {name}"))?;
        let argument = argument.to_string_lossy();
        let number = argument.parse();
        number.with_context(|| format!("{name}: '{argument}' is no number"))
    };
    let effort = Effort {
        repeats: number("number of repeats")?,
        rounds: number("number of rounds")?,
    };
    let file = arguments.next().map(PathBuf::from);
    let report = run(effort)?;
    println!("{report}");
    if let Some(file) = file {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(&file, json + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
