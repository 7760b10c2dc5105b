//! Conversations: random sequences of packets in both directions, at all hooks of a
//! policy and over hours, judged by the reference model, by the data path on the host
//! and by the programs in the kernel. After each sequence all three remember the same.

use std::fmt::Write as _;

use anyhow::Result;
use edge_filter::kernel::flow_table::{FlowTable as KernelTable, addresses};
use edge_filter::policy::Policy;
use edge_filter::policy::model::conversations::{Conversations, State};
use edge_filter_ebpf::flow::life::state;
use edge_filter_ebpf::flow::memory::FlowTable;
use edge_filter_tests::generate::sequence::{Step, conversational, hooks, sequence};
use edge_filter_tests::generate::{Dice, seeded};
use edge_filter_tests::judge::{
    Entry, Hook, HostJudge, KernelClock, KernelJudge, ModelJudge, Verdict, hex, require_root,
};
use edge_filter_tests::lab::mounts::Mounts;
use edge_filter_tests::soak;

/// Sequences of one policy.
const SEQUENCES: usize = 500;
/// Policies that the model and the host are held against each other with: 100,000
/// sequences.
const POLICIES: usize = 200;
/// The same with the kernel, which has to load their programs: 100,000 in a soak run.
const KERNEL_POLICIES: usize = 200;
/// Entries of the table; no sequence opens nearly as many conversations.
const ENTRIES: u32 = 64;
/// The second in which sequences begin on the host.
const BEGIN: u32 = 1_000_000;

/// How often what happened.
#[derive(Debug, Default)]
struct Figures {
    packets: usize,
    replies: usize,
    errors: usize,
    remembered: usize,
    expired: usize,
}

impl Figures {
    fn add(&mut self, verdict: &Verdict) {
        self.packets += 1;
        self.replies += usize::from(verdict.counter.ends_with("/reply"));
        self.errors += usize::from(verdict.counter == "icmp-error");
    }

    /// A test in which nothing of interest happens shows nothing.
    fn check(&self) {
        println!("{self:?}");
        let Self {
            packets,
            replies,
            errors,
            remembered,
            expired,
        } = *self;
        assert!(replies * 60 > packets, "too few replies");
        assert!(errors * 400 > packets, "too few errors that pass");
        assert!(remembered * 100 > packets, "too little is remembered");
        assert!(expired * 1000 > packets, "too little is forgotten");
    }
}

fn model_hooks(policy: &Policy) -> Vec<Hook<'_>> {
    let hook = |(interface, direction)| Hook {
        policy,
        interface,
        direction,
        software_lengths: true,
    };
    hooks(policy).into_iter().map(hook).collect()
}

/// What the model remembers, as the table would.
fn remembered(conversations: &Conversations, now: u64) -> Vec<String> {
    let entries = conversations.live(now).map(|(tuple, conversation)| {
        let state = match conversation.state {
            State::Open => state::OPEN,
            State::Closing => state::CLOSING,
            State::Reset => state::RESET,
        };
        entry(
            (tuple.source, tuple.destination, tuple.protocol, tuple.ports),
            now - conversation.made,
            now - conversation.used,
            state,
        )
    });
    sorted(entries.collect())
}

fn entry(tuple: impl std::fmt::Debug, age: u64, idle: u64, state: u8) -> String {
    format!("{tuple:?} {age} s old, {idle} s idle, state {state}")
}

fn table_entry(found: &Entry) -> String {
    let Entry {
        tuple,
        age,
        idle,
        state,
    } = *found;
    let (source, destination) = addresses(&tuple);
    let ports = (tuple.source_port, tuple.destination_port);
    let tuple = (source, destination, tuple.protocol, ports);
    entry(tuple, age, idle.into(), state)
}

fn sorted(mut entries: Vec<String>) -> Vec<String> {
    entries.sort();
    entries
}

/// The sequence up to a step, for messages.
fn told(steps: &[Step], verdicts: &[Verdict], policy: &Policy) -> String {
    let mut text = String::new();
    let hooks = hooks(policy);
    for (step, verdict) in steps.iter().zip(verdicts) {
        let (role, direction) = hooks[step.hook];
        let frame = hex(&step.frame);
        let _ = writeln!(
            text,
            "+{} s, {role} {direction}: {frame}: {verdict}",
            step.wait
        );
    }
    for interface in &policy.interfaces {
        let _ = writeln!(text, "{interface:?}");
    }
    for rule in &policy.rules {
        let _ = writeln!(text, "{rule:?}");
    }
    text
}

#[test]
fn the_host_remembers_what_the_model_remembers() {
    let first = soak::first_seed();
    let mut figures = Figures::default();
    for seed in (first..).take(POLICIES * soak::times(10)) {
        let dice = &mut seeded(seed);
        let policy = conversational(dice);
        let hooks = model_hooks(&policy);
        let models: Vec<ModelJudge<'_>> = hooks.iter().map(|hook| ModelJudge::new(*hook)).collect();
        let hosts: Vec<HostJudge> = hooks.iter().map(|hook| HostJudge::new(*hook)).collect();
        for _ in 0..SEQUENCES {
            let steps = sequence(dice, hooks.len());
            let (mut conversations, flows) =
                (Conversations::default(), FlowTable::new(ENTRIES, seed));
            let mut now = BEGIN;
            let mut verdicts = Vec::new();
            for step in &steps {
                let before = conversations.live(now.into()).count();
                now += step.wait;
                figures.expired += before - conversations.live(now.into()).count();
                flows.set_now(now);
                let expected =
                    models[step.hook].judge_at(&step.frame, now.into(), &mut conversations);
                let verdict = hosts[step.hook].judge_with(&step.frame, &flows);
                figures.add(&expected);
                verdicts.push(expected);
                assert!(
                    Some(&verdict) == verdicts.last(),
                    "EDGE_FILTER_SEED={seed}: the host says {verdict}\n{}",
                    told(&steps, &verdicts, &policy)
                );
            }
            let expected = remembered(&conversations, now.into());
            figures.remembered += expected.len();
            let found = flows.live().len();
            assert_eq!(
                found,
                expected.len(),
                "EDGE_FILTER_SEED={seed}: {expected:?}\n{}",
                told(&steps, &verdicts, &policy)
            );
            assert_eq!(flows.evicted(), 0);
        }
    }
    figures.check();
}

/// What the kernel and the model are held against each other with, of one policy.
struct Subject<'p> {
    models: Vec<ModelJudge<'p>>,
    kernels: Vec<KernelJudge>,
    clock: KernelClock,
}

/// What a sequence came to.
struct Run {
    expected: Vec<Verdict>,
    found: Vec<Verdict>,
    remembered: Vec<String>,
    entries: Vec<String>,
    expired: usize,
}

impl Subject<'_> {
    /// Runs `steps`; `None` if the kernel's clock went on meanwhile.
    fn run(&mut self, steps: &[Step]) -> Result<Option<Run>> {
        self.clock.clear()?;
        let begin = KernelClock::now()?;
        let mut run = Run {
            expected: Vec::new(),
            found: Vec::new(),
            remembered: Vec::new(),
            entries: Vec::new(),
            expired: 0,
        };
        let mut conversations = Conversations::default();
        let mut now = u64::from(begin);
        for step in steps {
            let before = conversations.live(now).count();
            if step.wait > 0 {
                self.clock.pass(step.wait)?;
                now += u64::from(step.wait);
            }
            run.expired += before - conversations.live(now).count();
            let expected = self.models[step.hook].judge_at(&step.frame, now, &mut conversations);
            let kernel = &mut self.kernels[step.hook];
            let found = kernel.judge_expecting(&step.frame, step.frame.len(), &expected.counter);
            run.expected.push(expected);
            run.found.push(found);
        }
        run.remembered = remembered(&conversations, now);
        run.entries = sorted(self.clock.entries()?.iter().map(table_entry).collect());
        Ok((KernelClock::now()? == begin).then_some(run))
    }
}

#[test]
fn the_kernel_remembers_what_the_model_remembers() -> Result<()> {
    require_root();
    let first = soak::first_seed();
    let mounts = Mounts::new()?;
    let mut figures = Figures::default();
    for seed in (first..).take(soak::times(KERNEL_POLICIES)) {
        let dice: &mut Dice = &mut seeded(seed);
        let policy = conversational(dice);
        let path = mounts.outside(&format!("bpffs/{seed}"));
        let table = KernelTable::create(&path, ENTRIES)?;
        let hooks = model_hooks(&policy);
        let mut subject = Subject {
            models: hooks.iter().map(|hook| ModelJudge::new(*hook)).collect(),
            kernels: hooks
                .iter()
                .map(|hook| KernelJudge::with_flows(*hook, Some(&table)))
                .collect(),
            clock: KernelClock::new(&path)?,
        };
        for _ in 0..SEQUENCES {
            let steps = sequence(dice, hooks.len());
            let run = loop {
                if let Some(run) = subject.run(&steps)? {
                    break run;
                }
            };
            figures.expired += run.expired;
            figures.remembered += run.remembered.len();
            run.expected.iter().for_each(|verdict| figures.add(verdict));
            assert!(
                run.found == run.expected && run.entries == run.remembered,
                "EDGE_FILTER_SEED={seed}\nkernel {:?}\nkernel remembers {:#?}\nmodel remembers {:#?}\n{}",
                run.found,
                run.entries,
                run.remembered,
                told(&steps, &run.expected, &policy)
            );
        }
        subject.kernels.iter().for_each(KernelJudge::settle);
        assert_eq!(table.list()?.evicted, 0);
    }
    figures.check();
    Ok(())
}
