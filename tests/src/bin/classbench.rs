//! `cargo xtask classbench`: a `ClassBench` filter set as a policy.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use edge_filter_tests::classbench::{Form, Set};

fn main() -> ExitCode {
    match convert() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `classbench FILE [POLICY]`: prints the policy, or writes it to `POLICY`.
fn convert() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let file = arguments.next().context("no FILE")?;
    let set = Set::read(&file)?;
    let form = Form::default();
    // What the product's own reader makes of it is what counts.
    let rules = set.policy(form)?.rules.len();
    let text = set.yaml(form);
    match arguments.next() {
        Some(output) => {
            fs::write(&output, text).with_context(|| format!("write {}", output.display()))?;
            eprintln!("{}: {rules} rules", output.display());
        }
        None => print!("{text}"),
    }
    Ok(())
}
