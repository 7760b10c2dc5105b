//! What is to be measured, and the parts in their order.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::bar::Bar;
use super::case::Effort;
use super::machine::Machine;
use super::program::Programs;
use super::results::Results;
use super::runner::Volume;
use super::sets::Sets;
use super::{peers, program, sets, throughput, updates};
use crate::judge::require_root;

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// What the programs cost under the documented policy
    Program,
    /// The same under filter sets of any size
    Sets,
    /// Packets per second across a veth pair
    Throughput,
    /// The same of other filters
    Peers,
    /// How long updates of the rules take
    Updates,
}

/// What is to be measured, and how much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The parts.
    pub parts: BTreeSet<Part>,
    /// For the programs.
    pub effort: Effort,
    /// How many rules the filter sets have, one of each flavour.
    pub sets: Vec<usize>,
    /// For packets per second.
    pub volume: Volume,
    /// How many updates of each kind there are.
    pub updates: u32,
}

/// The most instructions that the verifier is to process for a program.
const VERIFIED: f64 = 200_000.0;

impl Plan {
    /// Fails where there is nothing to measure, before minutes are spent on the rest.
    fn ensure_something(&self) -> Result<()> {
        let Self { effort, volume, .. } = self;
        ensure!(
            effort.repeats > 0 && effort.rounds > 0,
            "nothing is measured in {effort}"
        );
        ensure!(
            !self.sets.contains(&0),
            "nothing is measured of a set without rules"
        );
        ensure!(
            volume.rounds > 0 && volume.frames > 0,
            "nothing is measured in {} rounds of {} frames",
            volume.rounds,
            volume.frames
        );
        ensure!(self.updates > 0, "nothing is measured in no updates");
        Ok(())
    }

    /// What `measure` finds of `part`, if it is wanted.
    fn part<T>(&self, part: Part, measure: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        self.parts.contains(&part).then(measure).transpose()
    }
}

/// Runs the benchmark.
///
/// # Errors
/// Something cannot be made or run, or does not judge as it should.
///
/// # Panics
/// This is not root.
pub fn measure(plan: &Plan) -> Result<Results> {
    require_root();
    plan.ensure_something()?;
    let Plan { effort, volume, .. } = *plan;
    let machine = Machine::this();
    let mut results = Results {
        machine,
        program: plan.part(Part::Program, || program::measure(effort))?,
        sets: plan.part(Part::Sets, || sets::measure(effort, &plan.sets))?,
        throughput: plan.part(Part::Throughput, || throughput::measure(volume))?,
        peers: plan.part(Part::Peers, || peers::measure(volume))?,
        updates: plan.part(Part::Updates, || updates::measure(plan.updates))?,
        tools: peers::tools(),
        bars: Vec::new(),
    };
    results.bars = bars(&results);
    Ok(results)
}

/// What everything that was measured is held against.
fn bars(results: &Results) -> Vec<Bar> {
    let Results { program, sets, .. } = results;
    let mut bars = Vec::new();
    bars.extend(program.iter().flat_map(Programs::bars));
    bars.extend(sets.iter().flat_map(Sets::bars));
    let verified = program.iter().map(Programs::most_verified);
    let verified = verified.chain(sets.iter().map(Sets::most_verified));
    if let Some(verified) = verified.max() {
        bars.push(Bar::at_most(
            "verified instructions, of any program measured",
            VERIFIED,
            Some(verified.into()),
        ));
    }
    bars.extend(
        results
            .throughput
            .iter()
            .flat_map(|rates| throughput::bars(rates)),
    );
    bars.extend(results.peers.iter().flat_map(|rates| peers::bars(rates)));
    bars
}
