//! `cargo xtask bench`: what the program costs, by `BPF_PROG_TEST_RUN`, over a program
//! that does nothing.
//!
//! Everything is measured in rounds that go through all cases, forwards and backwards in
//! turn, so that a machine that becomes slower does so for all of them. A case's cost is
//! what it takes longer than the no-op of the same round; what is told is the median
//! over the rounds, with the least and the most.

mod documented;
mod reference;
mod report;

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};

use crate::bpf::test_run;
use crate::judge::require_root;
use crate::lab::mounts::Mounts;

pub use report::{Figure, Report};

use documented::Documented;
use reference::References;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How often each round runs a program on a frame.
    pub repeats: u32,
    /// How many rounds there are.
    pub rounds: u32,
}

/// A program, and a frame that it is run on.
struct Case<'p> {
    name: String,
    /// The counter that moves; of a reference, what it does.
    counter: String,
    program: BorrowedFd<'p>,
    frame: Vec<u8>,
    /// What the program answers.
    answer: u32,
    /// The no-op that it is held against.
    no_op: NoOp,
    /// Nanoseconds of a run, by rounds.
    rounds: Vec<f64>,
}

/// The no-ops, by the kind of program that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoOp {
    Xdp,
    Classifier,
}

/// Runs the benchmark.
///
/// # Errors
/// A program cannot be loaded or run, or does not judge a case as it should.
///
/// # Panics
/// This is not root.
pub fn run(effort: Effort) -> Result<Report> {
    require_root();
    ensure!(
        effort.repeats > 0 && effort.rounds > 0,
        "nothing is measured in {} rounds of {} runs",
        effort.rounds,
        effort.repeats
    );
    let mounts = Mounts::new()?;
    let references = References::load()?;
    let mut documented = Documented::load(&mounts)?;
    let verified = documented.verified_instructions();
    documented.judge()?;
    let mut cases = references.cases();
    cases.extend(documented.cases());
    for round in 0..effort.rounds {
        let mut order: Vec<&mut Case<'_>> = cases.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for case in order {
            case.measure(effort.repeats)?;
        }
    }
    Ok(Report::new(effort, verified, &cases))
}

impl Case<'_> {
    /// Adds a round.
    fn measure(&mut self, repeats: u32) -> Result<()> {
        let runs = test_run(self.program, &self.frame, repeats)
            .with_context(|| format!("run the program on '{}'", self.name))?;
        ensure!(
            runs.answer == self.answer,
            "'{}': the program answers {}, not {}",
            self.name,
            runs.answer,
            self.answer
        );
        self.rounds.push(f64::from(runs.nanoseconds));
        Ok(())
    }
}
