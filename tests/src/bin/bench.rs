//! `cargo xtask bench`: what the program costs.

use std::fs;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

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

/// `bench REPEATS ROUNDS SETS [FILE]`: prints the tables, and writes the JSON to `FILE`.
/// `SETS` are numbers of rules, with commas between, or nothing.
fn measure() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut argument = |name: &str| -> Result<String> {
        let argument = arguments.next().with_context(|| format!("no {name}"))?;
        Ok(argument.to_string_lossy().into_owned())
    };
    let effort = Effort {
        repeats: number("repeats", &argument("number of repeats")?)?,
        rounds: number("rounds", &argument("number of rounds")?)?,
        sets: argument("sizes of filter sets")?
            .split_terminator(',')
            .map(|size| number("size of a filter set", size))
            .collect::<Result<_>>()?,
    };
    let file = arguments.next().map(PathBuf::from);
    let report = run(&effort)?;
    println!("{report}");
    if let Some(file) = file {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(&file, json + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

fn number<N: FromStr<Err = ParseIntError>>(name: &str, text: &str) -> Result<N> {
    let number = text.parse();
    number.with_context(|| format!("{name}: '{text}' is no number"))
}
