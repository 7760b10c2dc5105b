//! A program that is run on one frame again and again, in rounds, and what it costs over
//! the program that does nothing, which is run right before it.

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
    /// What a run takes, by rounds.
    pub(super) rounds: Vec<Round>,
}

/// Nanoseconds of a run in one round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    took: f64,
    /// The same of the no-op before it; of a no-op, nothing.
    no_op: f64,
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
    /// Nanoseconds over the no-op, unless it is one: the median over the rounds of what a run
    /// took over the no-op before it, and the most. The least is what the quickest run of all
    /// took over the quickest of the no-op, which is what remains where nothing disturbs.
    #[serde(flatten)]
    pub cost: Spread,
    /// The costs, by rounds.
    pub rounds: Vec<f64>,
}

/// Measures `cases` of `what`, and `no_ops` beside them.
pub(super) fn measure(
    effort: Effort,
    what: &str,
    no_ops: &mut [Case<'_>],
    cases: &mut [&mut Case<'_>],
) -> Result<()> {
    let Effort { repeats, rounds } = effort;
    for round in 0..rounds {
        say(format_args!("{what}: round {} of {rounds}", round + 1));
        for case in in_turn(round, &mut *cases) {
            let no_op = no_ops.iter_mut().find(|no_op| no_op.no_op == case.no_op);
            case.measure(repeats, no_op.context("there is a no-op of its kind")?)?;
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
    /// Adds a round, to this and to the no-op, which runs right before it, so that whatever
    /// slows the machine down for a while slows both down. Each call takes the kernel some
    /// milliseconds beside the runs, so that there are no more of them.
    fn measure(&mut self, repeats: u32, no_op: &mut Case<'_>) -> Result<()> {
        let before = no_op.run(repeats)?;
        let took = self.run(repeats)?;
        self.rounds.push(Round {
            took,
            no_op: before,
        });
        no_op.rounds.push(Round {
            took: before,
            no_op: 0.0,
        });
        Ok(())
    }

    /// Nanoseconds of one of so many runs.
    fn run(&self, repeats: u32) -> Result<f64> {
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
        Ok(runs.nanoseconds)
    }

    /// What it costs.
    ///
    /// # Panics
    /// There is no round.
    pub(super) fn figure(&self) -> Figure {
        let rounds: Vec<f64> = self
            .rounds
            .iter()
            .map(|round| round.took - round.no_op)
            .collect();
        let least = |of: fn(&Round) -> f64| {
            let least = self.rounds.iter().map(of).reduce(f64::min);
            least.expect("there is a round")
        };
        Figure {
            name: self.name.clone(),
            counter: self.counter.clone(),
            cost: Spread {
                least: least(|round| round.took) - least(|round| round.no_op),
                ..Spread::of(rounds.iter().copied()).expect("there is a round")
            },
            rounds,
        }
    }
}
