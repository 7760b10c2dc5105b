//! What stands at the receiving end: a filter, or a program that is none, on a lab of its
//! own, so that one can be measured in turn with another without a change to either.

use anyhow::{Context, Result, ensure};

use super::rate::Member;
use super::traffic::{Fate, Traffic};
use crate::lab::foreign::{Foreign, ForeignLink};
use crate::lab::product::Mode;
use crate::lab::{Lab, Plan, Shape, wire};

/// Something that receives frames at the outer device of a lab.
pub(super) trait Receiver: Sync {
    /// What a table calls it.
    fn name(&self) -> &str;

    /// Which of a series it is, if it is one of several that differ in their rules' number.
    fn member(&self) -> Option<Member> {
        None
    }

    /// Where it stands.
    fn lab(&self) -> &Lab;

    /// How many frames of `traffic` it has judged as it must, by its own counters.
    fn counted(&self, traffic: &Traffic) -> Result<u64>;
}

/// A program of two instructions.
pub(super) struct Reference {
    lab: Lab,
    name: &'static str,
    _link: ForeignLink,
}

/// edge-filter, as `apply` leaves it.
pub(super) struct Product {
    lab: Lab,
    name: String,
    member: Option<Member>,
}

/// A lab in which nobody has an address: what passes is discarded by the stack.
pub(super) fn lab() -> Result<Lab> {
    Lab::new(&Plan {
        external: Vec::new(),
        outside: Vec::new(),
        internal: Vec::new(),
        inside: Vec::new(),
        outside_queues: 1,
        shape: Shape::Host,
    })
}

impl Reference {
    /// The program that does with every frame what becomes of those of `fate`.
    pub(super) fn new(fate: Fate) -> Result<Self> {
        let lab = lab()?;
        let (name, program) = match fate {
            Fate::Dropped => ("XDP_DROP program", Foreign::load_dropping()?),
            Fate::Passed => ("XDP_PASS program", Foreign::load()?),
        };
        let link = program.attach(&lab.external.edge, true)?;
        Ok(Self {
            lab,
            name,
            _link: link,
        })
    }
}

impl Product {
    /// Applies `policy`, natively.
    pub(super) fn new(name: impl Into<String>, policy: &str) -> Result<Self> {
        let lab = lab()?;
        let file = lab.mounts.write("policy.yaml", policy)?;
        lab.apply(&file, Mode::Native)?;
        Ok(Self {
            lab,
            name: name.into(),
            member: None,
        })
    }

    /// The same as a member of a series.
    pub(super) fn in_series(self, rules: usize) -> Self {
        let member = Some(Member::new("edge-filter", rules));
        Self { member, ..self }
    }
}

impl Receiver for Reference {
    fn name(&self) -> &str {
        self.name
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn counted(&self, traffic: &Traffic) -> Result<u64> {
        let statistics = self.lab.external.edge.statistics()?;
        Ok(match traffic.fate {
            Fate::Dropped => statistics.dropped,
            Fate::Passed => statistics.received - statistics.dropped,
        })
    }
}

impl Receiver for Product {
    fn name(&self) -> &str {
        &self.name
    }

    fn member(&self) -> Option<Member> {
        self.member.clone()
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn counted(&self, traffic: &Traffic) -> Result<u64> {
        let counters = self.lab.counters()?;
        let hook = counters
            .hooks
            .iter()
            .find(|hook| hook.device == "external" && hook.direction == "inbound")
            .context("`counters --json` knows no inbound hook of external")?;
        let counter = hook.counters.iter().find(|part| part.id == traffic.counter);
        let counter = counter
            .with_context(|| format!("`counters --json` knows no counter {}", traffic.counter))?;
        ensure!(
            (counter.action == "drop") == (traffic.fate == Fate::Dropped),
            "{} says '{}'",
            counter.id,
            counter.action
        );
        Ok(wire::Traffic::from(counter.count).packets)
    }
}
