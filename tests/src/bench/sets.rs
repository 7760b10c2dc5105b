//! What was measured of filter sets, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::Figure;
use super::generated::{HOT, SetCases};
use super::report::Bases;
use super::wrapper::DISTINCT;

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
    /// Another header each time.
    pub distinct: Figure,
    /// One packet again and again, for the costliest that a search found.
    pub hostile: Vec<Figure>,
}

impl SetFigures {
    pub(super) fn new(bases: &Bases<'_, '_>, cases: &SetCases<'_>) -> Self {
        let facts = cases.facts;
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            name: facts.name.clone(),
            flavour: facts.flavour.as_str(),
            rules: facts.rules,
            seed: facts.seed,
            compile_milliseconds: milliseconds(facts.compiled_in),
            table_bytes: facts.bytes,
            load_milliseconds: milliseconds(facts.loaded_in),
            verified_instructions: facts.verified_instructions,
            hot: cases.hot.iter().map(|case| bases.figure(case)).collect(),
            distinct: bases.figure(&cases.distinct),
            hostile: cases
                .hostile
                .iter()
                .map(|case| bases.figure(case))
                .collect(),
        }
    }

    /// The hot packet in the middle, and the costliest.
    ///
    /// # Panics
    /// None was measured.
    #[must_use]
    pub fn hot_middle_and_most(&self) -> [&Figure; 2] {
        let mut hot: Vec<&Figure> = self.hot.iter().collect();
        hot.sort_by(|one, other| one.median.total_cmp(&other.median));
        [hot[hot.len() / 2], hot[hot.len() - 1]]
    }

    /// The costliest packet of those that the search found.
    ///
    /// # Panics
    /// None was measured.
    #[must_use]
    pub fn costliest(&self) -> &Figure {
        let by_median = |one: &&Figure, other: &&Figure| one.median.total_cmp(&other.median);
        self.hostile
            .iter()
            .max_by(by_median)
            .expect("there are some")
    }
}

/// Many of them, as a table.
pub(super) struct Sets<'s>(pub(super) &'s [SetFigures]);

impl fmt::Display for Sets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header([
            "set",
            "hot packet",
            "costliest hot",
            "other headers",
            "costliest found",
            "compile ms",
            "tables KiB",
            "load ms",
            "verified",
        ]);
        for set in self.0 {
            let [middle, most] = set.hot_middle_and_most();
            table.add_row([
                set.name.clone(),
                spread(middle),
                spread(most),
                spread(&set.distinct),
                spread(set.costliest()),
                format!("{:.1}", set.compile_milliseconds),
                set.table_bytes.div_ceil(1024).to_string(),
                format!("{:.1}", set.load_milliseconds),
                set.verified_instructions.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(
            f,
            "filter sets; nanoseconds over the no-op, as median (least to most). Hot: one \
             packet again and\nagain, of {HOT} for rules at even distances; other headers: \
             {DISTINCT} in turn; costliest found: by\na search for what asks the tables most"
        )?;
        write!(f, "{table}")
    }
}

fn spread(figure: &Figure) -> String {
    let Figure {
        median,
        least,
        most,
        ..
    } = figure;
    format!("{median:.1} ({least:.1} to {most:.1})")
}
