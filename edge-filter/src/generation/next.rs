//! A generation on its way to the devices.

use super::Instance;
use super::applied::{Applied, AppliedHook, ReleasedHook};
use super::apply::{Manner, Source};
use super::change::{Change, Former, Loading};
use super::emergency;
use super::files::Staged;
use super::flows::{self, Flows};
use super::history;
use super::owner;
use super::plan::HookPlan;
use super::record::{HookRecord, PolicyRecord, Record, SlotRecord, TrialRecord};
use super::reserve;
use super::rules::RuleChanges;
use super::tally::{self, await_programs};
use super::trial::{Opened, remove_successors, remove_unused_successors};
use crate::kernel::KernelError;
use crate::kernel::attachment::Whereabouts;
use crate::policy::Direction;

/// A generation on its way.
pub(super) struct Next<'a> {
    instance: &'a Instance,
    source: Source<'a>,
    generation: u64,
    manner: Manner,
    /// Known from the moment when the trial begins.
    trial: Option<TrialRecord>,
    flows: Option<Flows>,
    changes: Vec<Change>,
    /// The hooks that a trial leaves open.
    opened: Vec<Opened>,
    /// What the history will hold of it, unless it is a trial.
    kept: Option<Staged>,
    /// The hooks whose new program could be put back no more: what names it is kept.
    stuck: Vec<(String, Direction)>,
    warnings: Vec<String>,
}

impl<'a> Next<'a> {
    /// One that consists of nothing yet.
    pub(super) fn new(
        instance: &'a Instance,
        source: Source<'a>,
        generation: u64,
        manner: Manner,
        flows: Option<Flows>,
    ) -> Self {
        Self {
            instance,
            source,
            generation,
            manner,
            trial: None,
            flows,
            changes: Vec::new(),
            opened: Vec::new(),
            kept: None,
            stuck: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Loads its programs.
    pub(super) fn load(
        &mut self,
        plans: Vec<HookPlan>,
        former: &mut Vec<Former>,
    ) -> Result<(), KernelError> {
        let loading = Loading {
            instance: self.instance,
            generation: self.generation,
            sites: self.manner.sites,
            flows: self.flows.as_ref().map(Flows::table),
            on_trial: self.manner.is_trial(),
            diagnostics: self.manner.diagnostics,
        };
        for plan in plans {
            let change = Change::load(plan, loading, former)?;
            self.changes.push(change);
        }
        Ok(())
    }

    /// A trial releases no hook: who decided there decides there again afterwards.
    pub(super) fn load_opened(
        &mut self,
        former: &mut Vec<Former>,
        records: &[Record],
    ) -> Result<(), KernelError> {
        if self.manner.is_trial() {
            // What is left belongs to devices that are gone.
            let there = former.extract_if(.., |former| former.whereabouts != Whereabouts::Nowhere);
            for former in there {
                let opened = Opened::load(self.instance, self.generation, former, records)?;
                self.opened.extend(opened);
            }
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
    pub(super) fn swap(&mut self) -> Result<Record, KernelError> {
        let (instance, generation) = (self.instance, self.generation);
        reserve::ensure()?;
        for change in &self.changes {
            change.pin_counters(instance, generation)?;
        }
        self.begin_trial()?;
        self.enter_open()?;
        self.attach(true)?;
        self.enter_open()?;
        self.attach(false)?;
        let record = self.record()?;
        instance.state.write_record(&record)?;
        if self.trial.is_none() {
            self.kept = Some(history::stage(instance, &record)?);
        }
        // New attachments hold descriptors by now.
        reserve::ensure()?;
        for change in &mut self.changes {
            change.pin(instance, generation)?;
        }
        self.replace()?;
        Ok(record)
    }

    /// Sets the deadline, everywhere the same: what takes time is behind us. What confirms
    /// a trial must not come too late.
    fn begin_trial(&mut self) -> Result<(), KernelError> {
        if let Some(confirmed) = self.manner.confirms
            && confirmed.is_over()?
        {
            return Err(KernelError::new("confirm the trial")
                .because(format!("it was over at {}", confirmed.deadline))
                .try_this("apply the policy again, with a longer --confirm"));
        }
        let trial = match (self.manner.continues, self.manner.trial) {
            (Some(trial), _) if trial.is_over()? => {
                return Err(KernelError::new("go on with the trial")
                    .because(format!("it was over at {}", trial.deadline)));
            }
            (Some(trial), _) => trial,
            (None, Some(duration)) => TrialRecord::of(duration)?,
            (None, None) => return Ok(()),
        };
        for change in &mut self.changes {
            change.set_deadline(trial.since_boot())?;
        }
        for opened in &mut self.opened {
            opened.set_deadline(trial.since_boot())?;
        }
        self.trial = Some(trial);
        Ok(())
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
        let (mut replaced, mut opened) = (Vec::new(), 0);
        let Err(error) = self.replace_all(&mut replaced, &mut opened) else {
            return Ok(());
        };
        let changed = replaced.into_iter().map(|number: usize| {
            let change = &mut self.changes[number];
            (change.side(), change.put_back())
        });
        let opened = self.opened[..opened].iter_mut();
        let opened = opened.map(|opened| (opened.side(), opened.put_back()));
        let mut second = None;
        for (side, put_back) in changed.chain(opened) {
            if let Err(refused) = put_back {
                second.get_or_insert(refused);
                self.stuck.push(side);
            }
        }
        let Some(second) = second else {
            return Err(error);
        };
        let names: Vec<String> = self
            .stuck
            .iter()
            .map(|(device, direction)| format!("{device} {direction}"))
            .collect();
        let (names, second) = (names.join(", "), second.without_remedy());
        Err(error
            .leaving(format!(
                "{names} has the new policy, because it could not be given the former one back \
                 ({second})"
            ))
            .try_this(
                "`edge-filter status` shows who decides where; `edge-filter apply` again finishes \
                 it, `edge-filter rollback` undoes it",
            ))
    }

    fn replace_all(
        &mut self,
        replaced: &mut Vec<usize>,
        opened: &mut usize,
    ) -> Result<(), KernelError> {
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
        for hook in &mut self.opened {
            hook.replace(self.instance, self.generation)?;
            *opened += 1;
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
                passes: false,
            })
        });
        let opened = self.opened.iter_mut().map(Opened::record);
        let hooks = hooks.chain(opened).collect::<Result<_, KernelError>>()?;
        let Source { policy, text } = self.source;
        let policy = PolicyRecord {
            name: policy.name.clone(),
            hash: policy.hash.clone(),
            text: text.to_owned(),
        };
        let mut record = Record::new(self.generation, policy, self.manner.sites);
        record.pin_root = Some(owner::pin_root(self.instance));
        record.hooks = hooks;
        record.flows = self.flows.as_ref().map(Flows::made_by);
        record.trial = self.trial;
        record.restores = self.manner.restores;
        record.repairs = self.manner.repairs;
        record.absent = self.manner.absent.clone();
        record.diagnostics = self.manner.diagnostics && self.trial.is_none();
        record.last_resort = self.manner.last_resort;
        Ok(record)
    }

    /// Detaches and removes what a failed `swap` made, but for what still decides somewhere.
    pub(super) fn take_back(&mut self) {
        let stuck = |side: &(String, Direction)| self.stuck.contains(side);
        for change in &mut self.changes {
            if !stuck(&change.side()) {
                change.take_back(self.instance, self.generation);
            }
        }
        let _ = remove_successors(self.instance, |generation, device, direction| {
            generation == self.generation && !stuck(&(device.to_owned(), direction))
        });
        self.kept = None;
        if !self.stuck.is_empty() {
            return;
        }
        if let Some(flows) = &self.flows {
            flows.take_back();
        }
        let _ = self.instance.state.remove_record(self.generation);
    }

    /// Warns of the sides that what was committed last should filter, and does not: a trial
    /// gives them back as they are now, open.
    pub(super) fn warn_of_open_sides(&mut self, committed: Option<&Record>) {
        let Some(committed) = committed.filter(|_| self.manner.trial.is_some()) else {
            return;
        };
        for change in self.changes.iter().filter(|change| !change.is_present()) {
            let (device, direction) = change.side();
            let mut hooks = committed.hooks.iter();
            let mut absent = committed.absent.values().flatten();
            if hooks.any(|hook| (&hook.device, hook.direction) == (&device, direction))
                || absent.any(|name| *name == device)
            {
                self.warnings.push(format!(
                    "{device} {direction} is not filtered now, though generation {} should filter \
                     it: it is open again after the trial, unless `edge-filter run` looks after \
                     it\n  help: `edge-filter rollback`, then `edge-filter apply --last-good` \
                     filter it; try the policy out again after that",
                    committed.generation
                ));
            }
        }
    }

    /// Ends what the generation before had and this one has not; during a trial nothing
    /// ends but what decided in an earlier one.
    pub(super) fn settle(
        mut self,
        former: Vec<Former>,
        record: &Record,
        before: Option<&Record>,
    ) -> Applied {
        let (instance, own) = (self.instance, self.generation);
        let released = if self.trial.is_some() {
            for former in former {
                let gone = former.release();
                self.warnings
                    .extend(gone.err().map(|error| error.to_string()));
            }
            let gone = await_programs().and_then(|()| remove_unused_successors(instance));
            self.warnings
                .extend(gone.err().map(|error| error.to_string()));
            self.opened.iter().map(Opened::side).collect()
        } else {
            self.commit(former, record)
        };
        self.warnings
            .extend(self.changes.iter().flat_map(Change::warnings));
        let hooks = self.changes.into_iter().map(|change| AppliedHook {
            interface: change.plan.interface,
            device: change.plan.device.name,
            direction: change.plan.direction,
            site: change.site,
            fallback: change.fallback,
        });
        let released = released
            .into_iter()
            .map(|(device, direction)| ReleasedHook { device, direction });
        Applied {
            policy: record.policy.name.clone(),
            generation: own,
            restores: record.restores,
            confirm_deadline: self.trial.map(|trial| trial.deadline),
            hooks: hooks.collect(),
            released: released.collect(),
            rules: RuleChanges::between(before, record),
            warnings: self.warnings,
        }
    }

    /// Whether what was filtered before stays so, though it has no part in this generation: a
    /// device that nobody can see from here, if nobody asked for the policy; one that is left out
    /// for now; and whatever would be opened by the policy that closes the host.
    fn leaves(&self, former: &Former) -> bool {
        let Manner {
            repairs,
            last_resort,
            absent,
            ..
        } = &self.manner;
        match &former.whereabouts {
            Whereabouts::Nowhere => false,
            Whereabouts::Elsewhere => repairs.is_some() || *last_resort,
            Whereabouts::On(device) => {
                let is_left_out = absent.values().flatten().any(|name| *name == device.name);
                is_left_out || *last_resort && former.pin.direction == Direction::Inbound
            }
        }
    }

    /// Ends all generations before this one; the sides of devices that were filtered.
    fn commit(&mut self, former: Vec<Former>, record: &Record) -> Vec<(String, Direction)> {
        let instance = self.instance;
        let mut released = Vec::new();
        let mut all_ended = true;
        // First of all: from here on this is the policy to go back to.
        if let Some(staged) = self.kept.take() {
            let kept = history::commit(instance, record, staged);
            self.warnings
                .extend(kept.err().map(|error| error.to_string()));
        }
        for former in former {
            let direction = former.pin.direction;
            if self.leaves(&former) {
                all_ended = false;
                continue;
            }
            match former.release() {
                Ok(device) => released.extend(device.map(|device| (device, direction))),
                Err(error) => {
                    self.warnings.push(error.to_string());
                    all_ended = false;
                }
            }
        }
        // A program that could not be taken off counts on, and remembers.
        if all_ended {
            let kept = self.flows.as_ref().map(Flows::made_by);
            for settled in [
                tally::fold(instance, self.generation),
                flows::remove_others(instance, kept),
                remove_successors(instance, |_, _, _| true),
            ] {
                self.warnings
                    .extend(settled.err().map(|error| error.to_string()));
            }
        }
        // What keeps up what was enforced is nobody's wish.
        if self.manner.repairs.is_none() && !self.manner.last_resort {
            let ended = emergency::end(&instance.state, &mut self.warnings);
            self.warnings.extend(ended.err());
        }
        released
    }
}
