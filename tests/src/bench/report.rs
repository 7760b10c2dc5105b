//! What was measured, as a table and as JSON.

use std::fmt;
use std::fs;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use nix::sys::utsname::uname;
use serde::Serialize;

use super::generated::SetCases;
use super::sets::{self, SetFigures};
use super::{Case, Effort};

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The machine, as it names itself.
    pub machine: Machine,
    /// How often each round ran a program on a frame.
    pub repeats: u32,
    /// How many rounds there were.
    pub rounds: u32,
    /// How many instructions the verifier processed for the documented policy.
    pub verified_instructions: Verified,
    /// The figures, in the order of their cases.
    pub figures: Vec<Figure>,
    /// Those of the filter sets that were made up.
    pub sets: Vec<SetFigures>,
}

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
}

/// How many instructions the verifier processed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Verified {
    /// For the program that is attached by XDP.
    pub inbound: u32,
    /// For the one by TCX.
    pub outbound: u32,
}

/// What one case costs: nanoseconds, over the no-op unless it is one.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// The case.
    pub name: String,
    /// The counter that moves.
    pub counter: String,
    /// The median of the rounds.
    pub median: f64,
    /// The least of them.
    pub least: f64,
    /// The most of them.
    pub most: f64,
}

impl Report {
    pub(super) fn new(
        effort: &Effort,
        [inbound, outbound]: [u32; 2],
        cases: &[Case<'_>],
        sets: &[SetCases<'_>],
    ) -> Self {
        let bases = Bases(cases);
        Self {
            machine: Machine::this(),
            repeats: effort.repeats,
            rounds: effort.rounds,
            verified_instructions: Verified { inbound, outbound },
            figures: cases.iter().map(|case| bases.figure(case)).collect(),
            sets: sets
                .iter()
                .map(|set| SetFigures::new(&bases, set))
                .collect(),
        }
    }
}

/// What cases are held against: the first of their kind is the no-op.
pub(super) struct Bases<'c, 'p>(&'c [Case<'p>]);

impl Bases<'_, '_> {
    /// What `case` costs over its no-op in each round; the no-op itself over nothing.
    pub(super) fn figure(&self, case: &Case<'_>) -> Figure {
        let base = self.0.iter().find(|base| base.no_op == case.no_op);
        let base = base.filter(|base| base.name != case.name);
        let rounds = case.rounds.iter().enumerate();
        let added = rounds
            .map(|(round, nanoseconds)| nanoseconds - base.map_or(0.0, |base| base.rounds[round]));
        Figure::new(case, added.collect())
    }
}

impl Figure {
    fn new(case: &Case<'_>, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.len() / 2;
        let median = if rounds.len() % 2 == 1 {
            rounds[middle]
        } else {
            f64::midpoint(rounds[middle - 1], rounds[middle])
        };
        Self {
            name: case.name.clone(),
            counter: case.counter.clone(),
            median,
            least: rounds[0],
            most: rounds[rounds.len() - 1],
        }
    }
}

impl Machine {
    fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let release = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            processor: model.map_or_else(unknown, |(_, model)| model.to_owned()),
            kernel: release.unwrap_or_else(|_| unknown()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            repeats,
            rounds,
            verified_instructions: Verified { inbound, outbound },
            figures,
            sets,
        } = self;
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["case", "counter", "median ns", "least", "most"]);
        for figure in figures {
            let [median, least, most] =
                [figure.median, figure.least, figure.most].map(|number| format!("{number:.1}"));
            table.add_row([&figure.name, &figure.counter, &median, &least, &most]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{}, Linux {}", machine.processor, machine.kernel)?;
        writeln!(
            f,
            "{rounds} rounds of {repeats} runs; nanoseconds over the no-op, but for the no-ops"
        )?;
        writeln!(f, "{table}")?;
        write!(
            f,
            "verified instructions: {inbound} inbound, {outbound} outbound"
        )?;
        if !sets.is_empty() {
            write!(f, "\n\n{}", sets::Sets(sets))?;
        }
        Ok(())
    }
}
