//! What was measured, as a table and as JSON.

use std::fmt;
use std::fs;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use nix::sys::utsname::uname;
use serde::Serialize;

use super::bar::Bar;
use super::peers::costs::{PORTS_ONLY, XDP_FILTER};
use super::runner::cores;
use super::spread::Spread;
use super::{Case, Effort, NoOp};

/// What the programs cost.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How often each round ran a program on a frame.
    pub repeats: u32,
    /// How many rounds there were.
    pub rounds: u32,
    /// How many instructions the verifier processed for the documented policy.
    pub verified_instructions: Verified,
    /// The figures, in the order of their cases.
    pub figures: Vec<Figure>,
}

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// How many cores the benchmark may run on.
    pub cores: usize,
    /// How many others wanted a core in the minute before, on average (proc(5)): figures
    /// of a machine that has something else to do are worth little.
    pub load: Option<f64>,
}

/// The load from which on it is worth a note. Building the benchmark makes one, too.
const BUSY: f64 = 2.0;

/// The packet that all of them let pass.
const HIT: &str = "a rule, IPv4";

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
    pub(super) fn new(effort: Effort, [inbound, outbound]: [u32; 2], cases: &[Case<'_>]) -> Self {
        let no_op = |kind: NoOp| cases.iter().find(|case| case.no_op == kind);
        let figures = cases.iter().map(|case| {
            let base = no_op(case.no_op).filter(|base| base.name != case.name);
            let rounds = case.rounds.iter().enumerate();
            let added = rounds.map(|(round, nanoseconds)| {
                nanoseconds - base.map_or(0.0, |base| base.rounds[round])
            });
            Figure::new(case, added.collect())
        });
        Self {
            repeats: effort.repeats,
            rounds: effort.rounds,
            verified_instructions: Verified { inbound, outbound },
            figures: figures.collect(),
        }
    }

    /// How much more, or how much less, xdp-filter is to cost.
    fn bars_of_others(&self) -> [Bar; 2] {
        let cost = |of: &str| self.median(&format!("{of}: {HIT}"));
        let [both, tcp] = XDP_FILTER;
        let over = |dividend: Option<f64>, divisor: Option<f64>| Some(dividend? / divisor?);
        [
            Bar::at_least(
                format!("{both} ÷ edge-filter, {HIT}"),
                5.0,
                over(cost(both), cost("inbound")),
            ),
            Bar::at_most(
                format!("edge-filter ({PORTS_ONLY}) ÷ {tcp}, {HIT}"),
                1.5,
                over(cost(PORTS_ONLY), cost(tcp)),
            ),
        ]
    }

    /// The median of a case.
    pub(super) fn median(&self, name: &str) -> Option<f64> {
        let figure = self.figures.iter().find(|figure| figure.name == name);
        figure.map(|figure| figure.median)
    }

    /// What it is held against.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let mut bars: Vec<Bar> = [
            ("inbound: a rule, IPv4", 15.0),
            ("inbound: no rule, IPv4", 15.0),
            ("inbound: a rule, IPv6", 25.0),
        ]
        .into_iter()
        .map(|(case, bar)| {
            Bar::at_most(format!("{case}: ns over the no-op"), bar, self.median(case))
        })
        .collect();
        let Verified { inbound, outbound } = self.verified_instructions;
        let verified = f64::from(inbound.max(outbound));
        bars.push(Bar::at_most(
            "verified instructions, documented policy",
            200_000.0,
            Some(verified),
        ));
        bars.extend(self.bars_of_others());
        bars
    }
}

impl Figure {
    fn new(case: &Case<'_>, rounds: Vec<f64>) -> Self {
        let Spread {
            median,
            least,
            most,
        } = Spread::of(rounds).expect("there is a round");
        Self {
            name: case.name.clone(),
            counter: case.counter.clone(),
            median,
            least,
            most,
        }
    }
}

impl Machine {
    pub(super) fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").ok();
        let release = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            processor: model.map_or_else(unknown, |(_, model)| model.to_owned()),
            kernel: release.unwrap_or_else(|_| unknown()),
            cores: cores().map_or(0, |cores| cores.len()),
            load: load.and_then(|load| load.split(' ').next()?.parse().ok()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            kernel,
            cores,
            load,
        } = self;
        write!(f, "{processor}, Linux {kernel}, {cores} cores")?;
        match load {
            Some(load) if *load >= BUSY => write!(
                f,
                "\nNOTE: a load of {load} before anything was measured: others use the cores, and \
                 the figures are worth little"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            repeats,
            rounds,
            verified_instructions: Verified { inbound, outbound },
            figures,
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
        writeln!(
            f,
            "{rounds} rounds of {repeats} runs; nanoseconds over the no-op, but for the no-ops"
        )?;
        writeln!(f, "{table}")?;
        write!(
            f,
            "verified instructions: {inbound} inbound, {outbound} outbound"
        )
    }
}
