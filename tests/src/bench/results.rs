//! A whole run: its parts, and what they are held against, as tables, as Markdown, as
//! JSON and as a picture.

use std::fmt::{self, Write as _};

use anyhow::Result;
use serde::Serialize;

use super::bar::{self, Bar};
use super::machine::Machine;
use super::peers::{self, Tool};
use super::program::Programs;
use super::rate::{self, Rate};
use super::section::{Markdown, Section};
use super::sets::Sets;
use super::updates::{self, Update};
use super::{budget, picture, throughput};

/// Everything that was measured. A part that was not asked for is absent.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// The machine, as it names itself.
    pub machine: Machine,
    /// What the programs cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Programs>,
    /// What they cost under filter sets of any size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sets: Option<Sets>,
    /// Packets per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Vec<Rate>>,
    /// The same of other filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<Rate>>,
    /// How long updates of the rules take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Vec<Update>>,
    /// The programs that set other filters up. What is not installed is not measured.
    pub tools: Vec<Tool>,
    /// What the figures are held against.
    pub bars: Vec<Bar>,
}

/// What stands above the tables in Markdown.
const HEAD: &str = "\
# Figures

One run of `cargo xtask bench --markdown docs/figures.md --plot docs/performance.svg`, which
writes this file. [performance.md](performance.md) says how they are measured, and what
they mean.
";

impl Results {
    /// What a packet costs over the number of rules, as SVG.
    ///
    /// # Errors
    /// It was not measured.
    pub fn picture(&self) -> Result<String> {
        let rates = self.peers.as_deref().unwrap_or_default();
        picture::picture(self.sets.as_ref(), rates)
    }

    /// The tables as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("{HEAD}\n{}\n", self.machine);
        for section in self.sections() {
            let _ = write!(text, "{}", Markdown(&section));
        }
        text
    }

    fn sections(&self) -> Vec<Section> {
        let (program, sets) = (self.program.as_ref(), self.sets.as_ref());
        let mut sections = Vec::new();
        sections.extend(program.map(Programs::section));
        sections.extend(sets.map(Sets::section));
        if program.is_some() || sets.is_some() {
            sections.push(budget::section(program, sets));
        }
        let rates = [
            (
                &self.throughput,
                "Packets per second across a veth pair",
                throughput::SENT,
            ),
            (&self.peers, "The same of other filters", peers::COMPARED),
        ];
        for (rates, title, about) in rates {
            sections.extend(rates.as_ref().map(|rates| Section {
                title,
                about: about.to_owned(),
                table: rate::table(rates),
            }));
        }
        sections.extend(self.updates.as_deref().map(updates::section));
        sections.push(peers::section(&self.tools));
        if !self.bars.is_empty() {
            sections.push(bar::section(&self.bars));
        }
        sections
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        for section in self.sections() {
            write!(f, "{section}")?;
        }
        Ok(())
    }
}
