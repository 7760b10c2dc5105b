//! What is to be measured, and the parts in their order.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::report::Machine;
use super::runner::Volume;
use super::{Effort, Results, peers, run, throughput, updates};

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the programs cost.
    Program,
    /// Packets per second.
    Throughput,
    /// Packets per second of other filters.
    Peers,
    /// How long updates take.
    Updates,
}

/// What is to be measured, and how much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The parts.
    pub parts: BTreeSet<Part>,
    /// For the programs.
    pub effort: Effort,
    /// For packets per second.
    pub volume: Volume,
    /// How many updates of each kind there are.
    pub updates: u32,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Program, Self::Throughput, Self::Peers, Self::Updates];
}

/// Runs the benchmark.
///
/// # Errors
/// Something cannot be made or run, or does not judge as it should.
///
/// # Panics
/// This is not root.
pub fn measure(plan: &Plan) -> Result<Results> {
    ensure!(
        plan.volume.rounds > 0 && plan.volume.frames > 0,
        "nothing is measured in {} rounds of {} frames",
        plan.volume.rounds,
        plan.volume.frames
    );
    let wanted = |part| plan.parts.contains(&part);
    let program = wanted(Part::Program)
        .then(|| run(plan.effort))
        .transpose()?;
    let throughput = wanted(Part::Throughput)
        .then(|| throughput::measure(plan.volume))
        .transpose()?;
    let peers = wanted(Part::Peers)
        .then(|| peers::measure(plan.volume))
        .transpose()?;
    let updates = wanted(Part::Updates)
        .then(|| updates::measure(plan.updates))
        .transpose()?;
    let mut bars = Vec::new();
    if let Some(report) = &program {
        bars.extend(report.bars());
    }
    if let Some(rates) = &throughput {
        bars.extend(throughput::bars(rates));
    }
    if let Some(rates) = &peers {
        bars.extend(peers::bars(rates));
    }
    Ok(Results {
        machine: Machine::this(),
        program,
        throughput,
        peers,
        updates,
        tools: peers::tools(),
        bars,
    })
}
