//! `cargo xtask bench`: what the program costs, and how fast it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum as _};
use edge_filter_tests::bench::{Effort, Part, Plan, Volume, measure};

/// Measures what edge-filter costs, and how fast it is, beside other filters (needs root)
#[derive(Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// Measure only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// How often each round runs a program on a frame
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    repeats: u32,
    /// How many rounds go through all programs, forwards and backwards in turn
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: u32,
    /// How many rules the filter sets have, one of each flavour
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_values_t = [10, 100, 1_000, 10_000]
    )]
    sets: Vec<usize>,
    /// About how long a run of packets lasts
    #[arg(long, value_name = "MS", default_value_t = 200)]
    milliseconds: u64,
    /// How many rounds go through all receivers of packets
    #[arg(long, value_name = "N", default_value_t = 15)]
    wire_rounds: u32,
    /// How many updates of each kind there are
    #[arg(long, value_name = "N", default_value_t = 5)]
    updates: u32,
    /// Write the figures to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to this file, too, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw what a packet costs over the number of rules to this file, as SVG; `sets` and
    /// `peers` measure it
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// The most frames of a run.
const FRAMES: u32 = 50_000_000;

impl From<&Arguments> for Plan {
    fn from(arguments: &Arguments) -> Self {
        let parts = if arguments.only.is_empty() {
            Part::value_variants()
        } else {
            &arguments.only
        };
        Self {
            parts: parts.iter().copied().collect(),
            effort: Effort {
                repeats: arguments.repeats,
                rounds: arguments.rounds,
            },
            sets: arguments.sets.clone(),
            volume: Volume {
                time: Duration::from_millis(arguments.milliseconds),
                frames: FRAMES,
                rounds: arguments.wire_rounds,
            },
            updates: arguments.updates,
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints the tables, and writes the files.
fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan::from(arguments);
    let drawn = [Part::Sets, Part::Peers];
    ensure!(
        arguments.plot.is_none() || drawn.iter().any(|part| plan.parts.contains(part)),
        "--plot draws what the parts `sets` and `peers` measure, which --only leaves out"
    );
    let results = measure(&plan)?;
    print!("{results}");
    if let Some(file) = &arguments.json {
        write(file, &(serde_json::to_string_pretty(&results)? + "\n"))?;
    }
    if let Some(file) = &arguments.markdown {
        write(file, &results.markdown())?;
    }
    if let Some(file) = &arguments.plot {
        write(file, &results.picture()?)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}
