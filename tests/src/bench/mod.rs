//! `cargo xtask bench`: what the program costs, by `BPF_PROG_TEST_RUN`, over a program
//! that does nothing.
//!
//! Everything is measured in rounds that go through all cases, forwards and backwards in
//! turn, so that a machine that becomes slower does so for all of them. A case's cost is
//! what it takes longer than the no-op of the same round; what is told is the median
//! over the rounds, with the least and the most.
//!
//! What is measured are the references, the documented policy's packets, and filter sets
//! of any size: there one packet again and again, another header each time, and the
//! costliest packets that a search finds.

mod costliest;
mod documented;
mod generated;
mod instructions;
mod reference;
mod report;
mod sets;
mod wrapper;

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};

use crate::bpf::test_run;
use crate::classbench::Flavour;
use crate::judge::require_root;
use crate::lab::mounts::Mounts;

pub use report::{Figure, Report};
pub use sets::SetFigures;

use documented::Documented;
use generated::{Generated, SetCases};
use reference::References;
use wrapper::DISTINCT;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    /// How often each round runs a program on a frame.
    pub repeats: u32,
    /// How many rounds there are.
    pub rounds: u32,
    /// How many rules the filter sets have that are made up, one of each flavour.
    pub sets: Vec<usize>,
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
    /// Behind the wrapper that changes headers.
    Wrapped,
}

/// Runs the benchmark.
///
/// # Errors
/// A program cannot be loaded or run, or does not judge a case as it should.
///
/// # Panics
/// This is not root.
pub fn run(effort: &Effort) -> Result<Report> {
    require_root();
    ensure!(
        effort.repeats > 0 && effort.rounds > 0,
        "nothing is measured in {} rounds of {} runs",
        effort.rounds,
        effort.repeats
    );
    ensure!(
        !effort.sets.contains(&0),
        "nothing is measured of a set without rules"
    );
    let mounts = Mounts::new()?;
    let references = References::load()?;
    let mut documented = Documented::load(&mounts)?;
    let verified = documented.verified_instructions();
    documented.judge()?;
    let generated = effort
        .sets
        .iter()
        .flat_map(|rules| Flavour::ALL.map(|flavour| Generated::load(flavour, *rules)));
    let generated = generated.collect::<Result<Vec<_>>>()?;
    let mut cases = references.cases();
    cases.extend(documented.cases());
    let mut sets: Vec<SetCases<'_>> = generated.iter().map(Generated::cases).collect();
    for round in 0..effort.rounds {
        let of_sets = sets.iter_mut().flat_map(SetCases::iter_mut);
        let mut order: Vec<&mut Case<'_>> = cases.iter_mut().chain(of_sets).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for case in order {
            case.measure(effort.repeats)?;
        }
    }
    Ok(Report::new(effort, verified, &cases, &sets))
}

impl Case<'_> {
    /// Adds a round.
    fn measure(&mut self, repeats: u32) -> Result<()> {
        let repeats = match self.no_op {
            NoOp::Xdp | NoOp::Classifier => repeats,
            // All headers equally often.
            NoOp::Wrapped => repeats.next_multiple_of(u32::try_from(DISTINCT)?),
        };
        let runs = test_run(self.program, &self.frame, repeats)
            .with_context(|| format!("run the program on '{}'", self.name))?;
        ensure!(
            runs.answer == self.answer,
            "'{}': the program answers {}, not {}",
            self.name,
            runs.answer,
            self.answer
        );
        self.rounds.push(runs.nanoseconds);
        Ok(())
    }
}
