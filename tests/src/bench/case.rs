//! A program that is run on one frame again and again, in rounds, and what it costs over
//! the program that does nothing.

use std::fmt;
use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::in_turn;
use super::progress::say;
use super::spread::Spread;
use super::wrapper::DISTINCT;
use crate::bpf::test_run;

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Effort {
    /// How often each round runs a program on a frame.
    pub repeats: u32,
    /// How many rounds there are.
    pub rounds: u32,
}

/// A program, and a frame that it is run on.
pub(super) struct Case<'p> {
    pub(super) name: String,
    /// The counter that moves; of a reference, what it does.
    pub(super) counter: String,
    pub(super) program: BorrowedFd<'p>,
    pub(super) frame: Vec<u8>,
    /// What the program answers.
    pub(super) answer: u32,
    /// The no-op that it is held against.
    pub(super) no_op: NoOp,
    /// Nanoseconds of a run, by rounds.
    pub(super) rounds: Vec<f64>,
}

/// The no-ops, by the kind of program that they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoOp {
    Xdp,
    Classifier,
    /// Behind the wrapper that changes headers.
    Wrapped,
}

/// What one case costs.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The case.
    pub name: String,
    /// The counter that moves.
    pub counter: String,
    /// Nanoseconds over the no-op, unless it is one.
    #[serde(flatten)]
    pub cost: Spread,
}

/// Measures `cases` of `what`.
pub(super) fn measure(effort: Effort, what: &str, cases: &mut [&mut Case<'_>]) -> Result<()> {
    let Effort { repeats, rounds } = effort;
    for round in 0..rounds {
        say(format_args!("{what}: round {} of {rounds}", round + 1));
        for case in in_turn(round, &mut *cases) {
            case.measure(repeats)?;
        }
    }
    Ok(())
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repeats, rounds } = self;
        write!(f, "{rounds} rounds of {repeats} runs")
    }
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

    /// What it costs over the least that its no-op takes, the first of `bases` of that kind;
    /// the no-op itself over nothing. What disturbs a round makes it longer, and only that:
    /// no cost is told that is too small because its no-op was disturbed.
    pub(super) fn figure(&self, bases: &[Case<'_>]) -> Figure {
        let base = bases.iter().find(|base| base.no_op == self.no_op);
        let base = base.filter(|base| base.name != self.name);
        let least = base.and_then(|base| base.rounds.iter().copied().reduce(f64::min));
        let least = least.unwrap_or_default();
        let added = self.rounds.iter().map(|nanoseconds| nanoseconds - least);
        Figure {
            name: self.name.clone(),
            counter: self.counter.clone(),
            cost: Spread::of(added).expect("there is a round"),
        }
    }
}
