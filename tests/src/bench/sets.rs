//! What the programs cost under filter sets of any size, beside what it takes to compile
//! and to load them.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::bar::Bar;
use super::case::{self, Case, Effort, Figure};
use super::generated::{Generated, HOT, SetCases};
use super::plot::{Line, Series};
use super::progress::say;
use super::reference::References;
use super::section::{Section, cell, table};
use super::spread::Spread;
use super::wrapper::DISTINCT;
use crate::classbench::Flavour;

/// What was measured of filter sets.
#[derive(Debug, Clone, Serialize)]
pub struct Sets {
    /// How much was measured.
    #[serde(flatten)]
    pub effort: Effort,
    /// What nothing costs: by itself, and behind the wrapper that changes headers.
    pub no_ops: [Figure; 2],
    /// The sets.
    pub sets: Vec<SetFigures>,
}

/// The figures of one set.
#[derive(Debug, Clone, Serialize)]
pub struct SetFigures {
    /// What the set is called: its flavour, and how many rules it has.
    pub name: String,
    /// Its flavour, as `ClassBench` calls it.
    pub flavour: &'static str,
    /// How many rules it has.
    pub rules: usize,
    /// The seed of its dice.
    pub seed: u64,
    /// Milliseconds from the policy to its tables.
    pub compile_milliseconds: f64,
    /// Bytes of the tables.
    pub table_bytes: usize,
    /// Milliseconds from the tables to a program that could be attached.
    pub load_milliseconds: f64,
    /// How many instructions the verifier processed.
    pub verified_instructions: u32,
    /// One packet again and again, for packets that are meant for rules at even distances.
    pub hot: Vec<Figure>,
    /// The same packets, for a program that keeps nothing of what it has found.
    pub unknown: Vec<Figure>,
    /// Another header each time.
    pub distinct: Figure,
    /// One packet again and again, for the costliest that a search found, and a program that
    /// keeps nothing: whoever sends them need not send one twice.
    pub hostile: Vec<Figure>,
}

/// The ways in which a set is measured.
pub(super) const WAYS: [&str; 4] = [
    "hot packet",
    "unknown packet",
    "other headers",
    "costliest found",
];

/// The most that a hot packet is to cost, by the number of rules.
const HOT_BARS: [(usize, f64); 2] = [(1_000, 35.0), (10_000, 60.0)];
/// The number of rules that the other bars are about.
const MANY: usize = 10_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Measures sets of so many rules, of each flavour.
pub(super) fn measure(effort: Effort, sizes: &[usize]) -> Result<Sets> {
    let references = References::load()?;
    let mut generated = Vec::new();
    for rules in sizes {
        for flavour in Flavour::ALL {
            say(format_args!("a filter set: {}-{rules}", flavour.as_str()));
            generated.push(Generated::load(flavour, *rules)?);
        }
    }
    let mut no_ops = references.no_ops_of_sets();
    let mut sets: Vec<SetCases<'_>> = generated.iter().map(Generated::cases).collect();
    let of_sets = sets.iter_mut().flat_map(SetCases::iter_mut);
    let mut order: Vec<&mut Case<'_>> = of_sets.collect();
    case::measure(effort, "what filter sets cost", &mut no_ops, &mut order)?;
    Ok(Sets {
        effort,
        sets: sets.iter().map(SetFigures::new).collect(),
        no_ops: no_ops.each_ref().map(Case::figure),
    })
}

impl SetFigures {
    fn new(cases: &SetCases<'_>) -> Self {
        let facts = cases.facts;
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let figures = |cases: &[Case<'_>]| cases.iter().map(Case::figure).collect();
        Self {
            name: facts.name.clone(),
            flavour: facts.flavour.as_str(),
            rules: facts.rules,
            seed: facts.seed,
            compile_milliseconds: milliseconds(facts.compiled_in),
            table_bytes: facts.bytes,
            load_milliseconds: milliseconds(facts.loaded_in),
            verified_instructions: facts.verified_instructions,
            hot: figures(&cases.hot),
            unknown: figures(&cases.unknown),
            distinct: cases.distinct.figure(),
            hostile: figures(&cases.hostile),
        }
    }

    /// The hot packet in the middle, and the costliest.
    ///
    /// # Panics
    /// None was measured.
    #[must_use]
    pub fn hot_middle_and_most(&self) -> [&Figure; 2] {
        middle_and_most(&self.hot)
    }

    /// The costliest packet of those that the search found.
    ///
    /// # Panics
    /// None was measured.
    #[must_use]
    pub fn costliest(&self) -> &Figure {
        let by_median = |one: &&Figure, other: &&Figure| {
            let [one, other] = [one, other].map(|figure| figure.cost.median);
            one.total_cmp(&other)
        };
        self.hostile
            .iter()
            .max_by(by_median)
            .expect("there are some")
    }

    /// What a packet costs in each of the [`WAYS`].
    pub(super) fn ways(&self) -> [Spread; 4] {
        let [hot, _] = self.hot_middle_and_most();
        let [unknown, _] = middle_and_most(&self.unknown);
        [hot, unknown, &self.distinct, self.costliest()].map(|figure| figure.cost)
    }
}

/// Of packets of one kind, the one in the middle and the costliest.
fn middle_and_most(figures: &[Figure]) -> [&Figure; 2] {
    let mut sorted: Vec<&Figure> = figures.iter().collect();
    sorted.sort_by(|one, other| one.cost.median.total_cmp(&other.cost.median));
    [sorted[sorted.len() / 2], sorted[sorted.len() - 1]]
}

impl Sets {
    /// The numbers of rules that sets have.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.sets.iter().map(|set| set.rules).collect();
        sizes.dedup();
        sizes
    }

    /// The most of a figure over the sets of so many rules.
    pub(super) fn most(&self, rules: usize, figure: impl Fn(&SetFigures) -> f64) -> Option<f64> {
        let sets = self.sets.iter().filter(|set| set.rules == rules);
        sets.map(figure).reduce(f64::max)
    }

    /// What the verifier processed for the program that it had most to do with.
    pub(super) fn most_verified(&self) -> u32 {
        let verified = self.sets.iter().map(|set| set.verified_instructions);
        verified.max().unwrap_or_default()
    }

    /// What the figures are held against: each the worst of the flavours.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let hot = |set: &SetFigures| set.ways()[0].median;
        let mut bars = Vec::new();
        for (rules, bar) in HOT_BARS {
            bars.push(Bar::at_most(
                format!("{rules} rules: a hot packet, ns over the no-op"),
                bar,
                self.most(rules, hot),
            ));
        }
        for (rules, _) in HOT_BARS {
            let times = self.most(rules, |set| set.distinct.cost.median / hot(set));
            let name = format!("{rules} rules: {DISTINCT} headers ÷ a hot packet");
            bars.push(Bar::at_most(name, 2.0, times).as_aim());
        }
        #[expect(clippy::cast_precision_loss, reason = "some millions of bytes")]
        let memory = self.most(MANY, |set| set.table_bytes as f64 / MIB);
        let swap = |set: &SetFigures| (set.compile_milliseconds + set.load_milliseconds) / 1e3;
        bars.push(Bar::at_most(
            format!("{MANY} rules: tables, MiB"),
            64.0,
            memory,
        ));
        bars.push(Bar::at_most(
            format!("{MANY} rules: to compile and load, s"),
            2.0,
            self.most(MANY, swap),
        ));
        bars
    }

    /// What a packet costs over the number of rules, by flavour.
    pub(super) fn series(&self) -> Vec<Series> {
        let lines =
            WAYS.into_iter()
                .zip([Line::Solid, Line::ShortDashed, Line::Dashed, Line::Dotted]);
        let mut series = Vec::new();
        for (color, flavour) in Flavour::ALL.iter().enumerate() {
            let flavour = flavour.as_str();
            for (way, (name, line)) in lines.clone().enumerate() {
                let sets = self.sets.iter().filter(|set| set.flavour == flavour);
                series.push(Series {
                    name: format!("edge-filter, {flavour}: {name}"),
                    points: sets
                        .map(|set| (set.rules, set.ways()[way].median))
                        .collect(),
                    color,
                    line,
                });
            }
        }
        series
    }

    /// The figures as a section.
    pub(super) fn section(&self) -> Section {
        let [hot, unknown, other, found] = WAYS;
        let columns = [
            "set",
            hot,
            "costliest hot",
            unknown,
            other,
            found,
            "compile ms",
            "tables KiB",
            "load ms",
            "verified",
        ];
        let mut table = table(&columns, 1..columns.len());
        for set in &self.sets {
            let [hot, unknown, other, found] = set.ways().map(cell);
            let [_, most] = set.hot_middle_and_most();
            table.add_row([
                set.name.clone(),
                hot,
                cell(most.cost),
                unknown,
                other,
                found,
                format!("{:.1}", set.compile_milliseconds),
                set.table_bytes.div_ceil(1024).to_string(),
                format!("{:.1}", set.load_milliseconds),
                set.verified_instructions.to_string(),
            ]);
        }
        let [alone, wrapped] = &self.no_ops;
        Section {
            title: "Filter sets",
            about: format!(
                "{}; nanoseconds over the no-op, as median (least to most). Hot: one packet\n\
                 again and again, the middle and the costliest of {HOT} for rules at even \
                 distances. Unknown:\n\
                 the same by a program that keeps nothing of what it has found. Other headers: \
                 {DISTINCT} in turn.\n\
                 Costliest found: by a search for what asks the tables most, kept by none. The \
                 no-op itself\n\
                 takes {} ns, and {} ns with other headers.",
                self.effort,
                cell(alone.cost),
                cell(wrapped.cost)
            ),
            table,
        }
    }
}
