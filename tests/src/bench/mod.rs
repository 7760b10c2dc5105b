//! `cargo xtask bench`: what the program costs, by `BPF_PROG_TEST_RUN`, over a program
//! that does nothing; how many packets per second it takes across a wire; both beside
//! other filters; and how long an update of the rules takes.
//!
//! Everything is measured in rounds that go through all cases, forwards and backwards in
//! turn, so that a machine that becomes slower does so for all of them. A case's cost is
//! what it takes longer than the no-op of the same round, a rate is held against that
//! of a program that does nothing else; what is told is the median over the rounds, with
//! the least and the most.

mod assembly;
mod bar;
mod documented;
mod generator;
mod peers;
mod plan;
pub mod plot;
mod progress;
mod rate;
mod receiver;
mod reference;
mod report;
mod results;
mod ruleset;
mod runner;
mod spread;
mod throughput;
mod traffic;
mod updates;

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};

use crate::bpf::test_run;
use crate::judge::require_root;
use crate::lab::mounts::Mounts;

pub use bar::{Bar, Side};
pub use peers::Tool;
pub use plan::{Part, Plan, measure};
pub use rate::Rate;
pub use report::{Figure, Machine, Report};
pub use results::Results;
pub use runner::Volume;
pub use spread::Spread;
pub use updates::Update;

use documented::Documented;
use peers::costs::Costs;
use progress::say;
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

/// Measures what the programs cost.
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
    let mut others = Costs::load()?;
    others.judge(&documented)?;
    let mut cases = references.cases();
    cases.extend(documented.cases());
    cases.extend(others.cases(&documented));
    for round in 0..effort.rounds {
        say(format_args!(
            "what the programs cost: round {} of {}",
            round + 1,
            effort.rounds
        ));
        for case in in_turn(round, &mut cases) {
            case.measure(effort.repeats)?;
        }
    }
    Ok(Report::new(effort, verified, &cases))
}

/// The order of a round: forwards, then backwards, and so on.
fn in_turn<T>(round: u32, items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut order: Vec<T> = items.into_iter().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
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
