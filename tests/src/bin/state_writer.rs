//! Writes state to the directory that it is given, until it is killed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use edge_filter::generation::state_dir::StateDir;
use edge_filter_tests::writing::write_for_ever;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).context("name a directory")?;
    let state = StateDir::new(PathBuf::from(directory));
    write_for_ever(&state, std::io::stdout())
}
