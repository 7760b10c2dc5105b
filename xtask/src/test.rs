//! `cargo xtask test`: everything that has to hold, step by step, on a machine
//! where nothing was set up; the first failure ends it.

use std::{
    fmt,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    build_ebpf::{self, Rebuild},
    packages, process,
    workspace::Workspace,
};

/// One step: its name, and what it does.
struct Step<'a> {
    name: &'static str,
    run: Box<dyn FnOnce() -> Result<()> + 'a>,
}

impl<'a> Step<'a> {
    fn new(name: &'static str, run: impl FnOnce() -> Result<()> + 'a) -> Self {
        Self {
            name,
            run: Box::new(run),
        }
    }
}

/// A step that has been run.
struct Done {
    name: &'static str,
    took: Duration,
    failed: bool,
}

/// Runs every step in turn and prints how long each took.
pub(crate) fn run(workspace: &Workspace, soak: bool) -> Result<ExitCode> {
    if !packages::is_root() {
        println!(
            "note: not running as root; the tests that load BPF programs or make network \
             namespaces will fail. To run them:\n    sudo -E env \"PATH=$PATH\" cargo xtask test\n"
        );
    }
    let mut done = Vec::new();
    let mut failure = None;
    for step in steps(workspace, soak) {
        println!("=== {}", step.name);
        let begin = Instant::now();
        let result = (step.run)();
        done.push(Done {
            name: step.name,
            took: begin.elapsed(),
            failed: result.is_err(),
        });
        if let Err(error) = result {
            failure = Some(error);
            break;
        }
    }
    print!("\n{}", summary(&done));
    match failure {
        Some(error) => Err(error),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn steps(workspace: &Workspace, soak: bool) -> Vec<Step<'_>> {
    let cargo = |args: &[&str]| {
        let mut command = workspace.cargo();
        command.args(args);
        command
    };
    let cargo_step = |name, command: Command| {
        let mut command = command;
        Step::new(name, move || process::run(&mut command))
    };
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.env_remove("EDGE_FILTER_SOAK");
    if soak {
        tests.env("EDGE_FILTER_SOAK", "1");
    }
    vec![
        Step::new("programs of the system", packages::ensure_programs),
        Step::new("rustfmt and clippy", || {
            packages::ensure_components(workspace)
        }),
        Step::new("BPF object", || {
            build_ebpf::check(workspace, "nightly", Rebuild::WhenSameTools)
        }),
        cargo_step("formatting", cargo(&["fmt", "--all", "--check"])),
        cargo_step(
            "lints",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-Dwarnings",
            ]),
        ),
        Step::new("tests", move || {
            // The tests of the other packages run the binary itself.
            let built = workspace.build(&["--package=edge-filter", "--bin=edge-filter"])?;
            process::run(tests.env("EDGE_FILTER_BIN", built.executable("edge-filter")?))
        }),
    ]
}

fn summary(done: &[Done]) -> String {
    let lines: Vec<_> = done.iter().map(Done::to_string).collect();
    lines.concat()
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.failed { "FAILED" } else { "ok" };
        let seconds = self.took.as_secs_f64();
        writeln!(f, "{:<24} {seconds:>8.1} s  {verdict}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_step_that_failed() {
        let done = [
            Done {
                name: "formatting",
                took: Duration::from_millis(1250),
                failed: false,
            },
            Done {
                name: "lints",
                took: Duration::from_secs(61),
                failed: true,
            },
        ];
        assert_eq!(
            summary(&done),
            "formatting                    1.2 s  ok\nlints                        61.0 s  FAILED\n"
        );
    }
}
