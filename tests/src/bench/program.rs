//! What the programs cost on the documented policy's packets, beside xdp-filter's on the
//! same.

use anyhow::Result;
use serde::Serialize;

use super::bar::Bar;
use super::case::{self, Case, Effort, Figure};
use super::documented::Documented;
use super::peers::costs::{Costs, PORTS_ONLY, XDP_FILTER};
use super::reference::References;
use super::section::{Section, columns, table};
use super::spread::Spread;
use crate::lab::mounts::Mounts;

/// What they cost.
#[derive(Debug, Clone, Serialize)]
pub struct Programs {
    /// How much was measured.
    #[serde(flatten)]
    pub effort: Effort,
    /// How many instructions the verifier processed for the documented policy.
    pub verified_instructions: Verified,
    /// The figures, in the order of their cases.
    pub figures: Vec<Figure>,
}

/// How many instructions the verifier processed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Verified {
    /// For the program that is attached by XDP.
    pub inbound: u32,
    /// For the one by TCX.
    pub outbound: u32,
}

/// The packet that all of them let pass.
const HIT: &str = "a rule, IPv4";

/// Measures them.
pub(super) fn measure(effort: Effort) -> Result<Programs> {
    let mounts = Mounts::new()?;
    let references = References::load()?;
    let mut documented = Documented::load(&mounts)?;
    let [inbound, outbound] = documented.verified_instructions();
    documented.judge()?;
    let mut others = Costs::load()?;
    others.judge(&documented)?;
    let mut no_ops = references.no_ops();
    let mut cases = vec![references.lookup()];
    cases.extend(documented.cases());
    cases.extend(others.cases(&documented));
    let mut order: Vec<&mut Case<'_>> = cases.iter_mut().collect();
    case::measure(effort, "what the programs cost", &mut no_ops, &mut order)?;
    Ok(Programs {
        effort,
        verified_instructions: Verified { inbound, outbound },
        figures: no_ops.iter().chain(&cases).map(Case::figure).collect(),
    })
}

impl Programs {
    /// What a case costs.
    pub(super) fn cost(&self, name: &str) -> Option<Spread> {
        self.figure(name).map(|figure| figure.cost)
    }

    fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// What the verifier processed for the program that it had most to do with.
    pub(super) fn most_verified(&self) -> u32 {
        let Verified { inbound, outbound } = self.verified_instructions;
        inbound.max(outbound)
    }

    /// What the figures are held against.
    pub(super) fn bars(&self) -> Vec<Bar> {
        let median = |case: &str| self.cost(case).map(|cost| cost.median);
        let mut bars: Vec<Bar> = [
            ("inbound: a rule, IPv4", 15.0),
            ("inbound: no rule, IPv4", 15.0),
            ("inbound: a rule, IPv6", 25.0),
        ]
        .into_iter()
        .map(|(case, bar)| Bar::at_most(format!("{case}: ns over the no-op"), bar, median(case)))
        .collect();
        // How much more, or how much less, xdp-filter is to cost in the same round.
        let hit = |of: &str| self.figure(&format!("{of}: {HIT}"));
        let over = |dividend: Option<&Figure>, divisor: Option<&Figure>| {
            let rounds = dividend?.rounds.iter().zip(&divisor?.rounds);
            let ratios = rounds.map(|(dividend, divisor)| dividend / divisor);
            Some(Spread::of(ratios)?.median)
        };
        let [both, tcp] = XDP_FILTER;
        bars.push(Bar::at_least(
            format!("{both} ÷ edge-filter, {HIT}"),
            5.0,
            over(hit(both), hit("inbound")),
        ));
        bars.push(Bar::at_most(
            format!("edge-filter ({PORTS_ONLY}) ÷ {tcp}, {HIT}"),
            1.5,
            over(hit(PORTS_ONLY), hit(tcp)),
        ));
        bars
    }

    /// The figures as a section.
    pub(super) fn section(&self) -> Section {
        let Self {
            effort,
            verified_instructions: Verified { inbound, outbound },
            figures,
        } = self;
        let mut table = table(&["case", "counter", "median ns", "least", "most"], 2..5);
        for Figure {
            name,
            counter,
            cost,
            ..
        } in figures
        {
            let mut row = vec![name.clone(), counter.clone()];
            row.extend(columns(*cost, |number| format!("{number:.1}")));
            table.add_row(row);
        }
        Section {
            title: "What the programs cost",
            about: format!(
                "{effort}; nanoseconds over the no-op, but for the no-ops.\n\
                 Verified instructions: {inbound} inbound, {outbound} outbound."
            ),
            table,
        }
    }
}
