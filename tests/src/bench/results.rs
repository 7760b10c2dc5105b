//! A whole run: its parts, and what they are held against, as tables and as JSON.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::bar::{self, Bar};
use super::peers::{self, Tool};
use super::rate::{self, Rate};
use super::report::{Machine, Report};
use super::throughput;
use super::updates::{self, Update};

/// Everything that was measured. A part that was not asked for is absent.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// The machine, as it names itself.
    pub machine: Machine,
    /// What the programs cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Report>,
    /// Packets per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Vec<Rate>>,
    /// The same of other filters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<Rate>>,
    /// How long updates of the rules take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Vec<Update>>,
    /// The programs that set those up. What is not installed is not measured.
    pub tools: Vec<Tool>,
    /// What the figures are held against.
    pub bars: Vec<Bar>,
}

impl Results {
    /// What a packet costs over the number of rules, as SVG.
    ///
    /// # Errors
    /// It was not measured.
    pub fn picture(&self) -> Result<String> {
        peers::picture(self.peers.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if let Some(report) = &self.program {
            writeln!(f, "\nWhat the programs cost\n{report}")?;
        }
        if let Some(rates) = &self.throughput {
            writeln!(
                f,
                "\nPackets per second across a veth pair\n{}\n{}",
                throughput::SENT,
                rate::table(rates)
            )?;
        }
        if let Some(rates) = &self.peers {
            writeln!(
                f,
                "\nThe same of other filters\n{}\n{}",
                peers::COMPARED,
                rate::table(rates)
            )?;
        }
        if let Some(updates) = &self.updates {
            writeln!(
                f,
                "\nUpdates of the rules in force\n{}",
                updates::table(updates)
            )?;
        }
        writeln!(f, "\nOther filters")?;
        for tool in &self.tools {
            writeln!(f, "  {tool}")?;
        }
        if !self.bars.is_empty() {
            writeln!(f, "\nBars\n{}", bar::table(&self.bars))?;
        }
        Ok(())
    }
}
