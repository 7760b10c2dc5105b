//! From one generation to the next: everything is loaded first, then the
//! devices change hands one by one, and any failure takes all of it back.

use super::change::{Change, Former};
use super::flows::{self, Flows};
use super::plan::HookPlan;
use super::planned::Planned;
use super::record::{HookRecord, PolicyRecord, Record, SlotRecord};
use super::{Instance, tally};
use crate::kernel::KernelError;
use crate::kernel::site::Site;
use crate::policy::{Direction, Policy};

/// Where XDP programs may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeChoice {
    /// In the driver; in the network stack where the driver cannot.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// What runs programs on what leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressChoice {
    /// TCX; the clsact qdisc where the kernel has no TCX.
    Auto,
    /// TCX (Linux 6.6), or not at all.
    Tcx,
    /// The clsact qdisc.
    Clsact,
}

/// Where programs may run, on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sites {
    /// Inbound.
    pub mode: ModeChoice,
    /// Outbound.
    pub egress: EgressChoice,
}

/// A policy and what it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// Its text.
    pub text: &'p str,
    /// The plan that it is applied by, which must hold still.
    pub planned: Option<&'p Planned>,
}

/// What was applied.
#[derive(Debug)]
pub struct Applied {
    /// The number of the generation.
    pub generation: u64,
    /// Each hook, in the order of the policy.
    pub hooks: Vec<AppliedHook>,
    /// The sides of devices that are not filtered any more.
    pub released: Vec<(String, Direction)>,
    /// What did not matter enough to take everything back.
    pub warnings: Vec<String>,
}

/// A hook that was applied.
#[derive(Debug)]
pub struct AppliedHook {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    pub direction: Direction,
    /// Where the program runs.
    pub site: Site,
    /// Why it does not run where `auto` tried first.
    pub fallback: Option<String>,
}

/// Applies `plans`, the hooks of the policy of `source`.
///
/// # Errors
/// Whatever failed; what was enforced before is enforced still.
pub fn apply(
    instance: &Instance,
    source: Source<'_>,
    plans: Vec<HookPlan>,
    sites: Sites,
) -> Result<Applied, KernelError> {
    let fresh = !instance.pins.exists();
    let lock = instance.pins.lock()?;
    let result = locked(instance, source, plans, sites);
    if result.is_err() && fresh {
        // Nothing of this instance was there before.
        let _ = instance.pins.remove();
    }
    drop(lock);
    result
}

fn locked(
    instance: &Instance,
    source: Source<'_>,
    plans: Vec<HookPlan>,
    sites: Sites,
) -> Result<Applied, KernelError> {
    if let Some(planned) = source.planned {
        planned.must_hold(instance, &plans)?;
    }
    let records = instance.state.records()?;
    let generation = next_generation(instance, &records)?;
    let mut former = Former::all(instance)?;
    let table = records.first().and_then(|record| record.flows);
    let flows = Flows::prepare(instance, source.policy, generation, table)?;
    let mut next = Next {
        instance,
        source,
        generation,
        flows,
        changes: Vec::with_capacity(plans.len()),
        warnings: Vec::new(),
    };
    if let Err(error) = next
        .load(plans, sites, &mut former)
        .and_then(|()| next.swap())
    {
        next.take_back();
        return Err(error);
    }
    Ok(next.settle(former))
}

/// No generation's number is used twice.
fn next_generation(instance: &Instance, records: &[Record]) -> Result<u64, KernelError> {
    let recorded = records.first().map(|record| record.generation);
    let (counters, attachments, tables) = (
        instance.pins.pinned_counters()?,
        instance.pins.attachments()?,
        instance.pins.flow_tables()?,
    );
    let last = recorded
        .into_iter()
        .chain(counters.iter().map(|(generation, ..)| *generation))
        .chain(attachments.iter().map(|pin| pin.generation))
        .chain(tables.iter().map(|(generation, _)| *generation))
        .chain([instance.state.tally()?.folded])
        .max();
    Ok(last.unwrap_or(0) + 1)
}

/// A generation on its way.
struct Next<'a> {
    instance: &'a Instance,
    source: Source<'a>,
    generation: u64,
    flows: Option<Flows>,
    changes: Vec<Change>,
    warnings: Vec<String>,
}

impl Next<'_> {
    fn load(
        &mut self,
        plans: Vec<HookPlan>,
        sites: Sites,
        former: &mut Vec<Former>,
    ) -> Result<(), KernelError> {
        let flows = self.flows.as_ref().map(Flows::table);
        for plan in plans {
            let change = Change::load(plan, sites, flows, former, self.instance)?;
            self.changes.push(change);
        }
        Ok(())
    }

    /// Attaches what is new, then replaces what is there: new attachments come first,
    /// they are what can fail.
    ///
    /// The record is on disk before any packet meets a program that would outlive
    /// this process: a new attachment ends with it until it is pinned.
    ///
    /// Hooks that remember conversations come before those that ask for them. Those
    /// that are open are entered before the first and once more in between, so that
    /// none falls through.
    fn swap(&mut self) -> Result<(), KernelError> {
        let (instance, generation) = (self.instance, self.generation);
        for change in &self.changes {
            change.pin_counters(instance, generation)?;
        }
        self.enter_open()?;
        self.attach(true)?;
        self.enter_open()?;
        self.attach(false)?;
        instance.state.write_record(&self.record()?)?;
        for change in &mut self.changes {
            change.pin(instance, generation)?;
        }
        self.replace()
    }

    /// Attaches the hooks that have no attachment yet: those that remember
    /// conversations, or the others.
    fn attach(&mut self, tracking: bool) -> Result<(), KernelError> {
        let flows = self.flows.as_ref().map(Flows::table);
        for change in &mut self.changes {
            if !change.is_present() && change.is_tracking() == tracking {
                change.attach(self.instance, self.generation, flows)?;
            }
        }
        Ok(())
    }

    /// Replaces the programs of all attachments there are; on failure, those already
    /// replaced get their old program back.
    fn replace(&mut self) -> Result<(), KernelError> {
        let mut replaced = Vec::new();
        let Err(error) = self.replace_all(&mut replaced) else {
            return Ok(());
        };
        for number in replaced {
            let change = &mut self.changes[number];
            if let Err(second) = change.put_back() {
                let device = &change.plan.device.name;
                return Err(error.try_this(format!("{device} has the new policy: {second}")));
            }
        }
        Err(error)
    }

    fn replace_all(&mut self, replaced: &mut Vec<usize>) -> Result<(), KernelError> {
        for tracking in [true, false] {
            if !tracking && !replaced.is_empty() {
                self.enter_open()?;
            }
            for (number, change) in self.changes.iter_mut().enumerate() {
                if change.is_present() && change.is_tracking() == tracking {
                    change.replace(self.instance, self.generation)?;
                    replaced.push(number);
                }
            }
        }
        Ok(())
    }

    fn enter_open(&mut self) -> Result<(), KernelError> {
        if let Some(flows) = &mut self.flows {
            for warning in flows.enter_open(self.source.policy)? {
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
        }
        Ok(())
    }

    fn record(&mut self) -> Result<Record, KernelError> {
        let hooks = self.changes.iter_mut().map(|change| {
            let program_id = change.program.facts()?.id;
            let plan = &change.plan;
            Ok(HookRecord {
                interface: plan.interface.clone(),
                device: plan.device.name.clone(),
                direction: plan.direction,
                program_id,
                counters: plan.image.counters.iter().map(SlotRecord::from).collect(),
            })
        });
        let hooks = hooks.collect::<Result<_, KernelError>>()?;
        let Source { policy, text, .. } = self.source;
        let policy = PolicyRecord {
            name: policy.name.clone(),
            hash: policy.hash.clone(),
            text: text.to_owned(),
        };
        let flows = self.flows.as_ref().map(Flows::made_by);
        Ok(Record::new(self.generation, policy, hooks, flows))
    }

    /// Detaches and removes what a failed `swap` made.
    fn take_back(&mut self) {
        for change in &mut self.changes {
            change.take_back(self.instance, self.generation);
        }
        if let Some(flows) = &self.flows {
            flows.take_back();
        }
        let _ = self.instance.state.remove_record(self.generation);
    }

    /// Ends what the generation before had and this one has not.
    fn settle(self, former: Vec<Former>) -> Applied {
        let mut warnings = self.warnings;
        let mut released = Vec::new();
        let mut all_ended = true;
        for former in former {
            let direction = former.pin.direction;
            match former.release() {
                Ok(device) => released.extend(device.map(|device| (device, direction))),
                Err(error) => {
                    warnings.push(error.to_string());
                    all_ended = false;
                }
            }
        }
        // A program that could not be taken off counts on, and remembers.
        if all_ended {
            let kept = self.flows.as_ref().map(Flows::made_by);
            for settled in [
                tally::fold(self.instance, self.generation),
                flows::remove_others(self.instance, kept),
            ] {
                warnings.extend(settled.err().map(|error| error.to_string()));
            }
        }
        warnings.extend(self.changes.iter().flat_map(Change::warnings));
        let hooks = self.changes.into_iter().map(|change| AppliedHook {
            interface: change.plan.interface,
            device: change.plan.device.name,
            direction: change.plan.direction,
            site: change.site,
            fallback: change.fallback,
        });
        Applied {
            generation: self.generation,
            hooks: hooks.collect(),
            released,
            warnings,
        }
    }
}
