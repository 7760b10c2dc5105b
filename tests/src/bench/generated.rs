//! Filter sets of `ClassBench`'s kinds and of any size: what a packet costs that is seen
//! again and again, what it costs where every packet is another, and what the costliest
//! ones do.

use std::collections::HashSet;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter::compile::compile;
use edge_filter::policy::Direction;

use super::case::{Case, NoOp};
use super::costliest::costliest;
use super::wrapper::{DISTINCT, Wrapper};
use crate::classbench::{Flavour, Form, Header, Packets, ROLE, Recipe, generate};
use crate::generate::seeded;
use crate::judge::{Hook, Judge as _, KernelJudge, ModelJudge, Verdict};

/// The inbound hook of a set.
pub(super) struct Generated {
    facts: Facts,
    /// Holds the program.
    judge: KernelJudge,
    /// Holds one that keeps nothing of recent packets.
    forgetful: KernelJudge,
    /// Packets for rules at even distances.
    hot: Vec<Packet>,
    /// The last of those that the wrapper makes.
    last: Packet,
    wrapper: Wrapper,
    /// The costliest that were found, the first of them the costliest.
    hostile: Vec<Packet>,
}

/// What is known of a set without running anything.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) flavour: Flavour,
    pub(super) rules: usize,
    pub(super) seed: u64,
    /// From the policy to its tables.
    pub(super) compiled_in: Duration,
    /// Of the tables.
    pub(super) bytes: usize,
    /// From the tables to a program that could be attached.
    pub(super) loaded_in: Duration,
    pub(super) verified_instructions: u32,
}

/// The cases of a set.
pub(super) struct SetCases<'g> {
    pub(super) facts: &'g Facts,
    pub(super) hot: Vec<Case<'g>>,
    pub(super) unknown: Vec<Case<'g>>,
    pub(super) distinct: Case<'g>,
    pub(super) hostile: Vec<Case<'g>>,
}

/// A packet, and what is to become of it.
struct Packet {
    frame: Vec<u8>,
    verdict: Verdict,
}

/// The dice of every set begin with this.
const SEED: u64 = 1;
/// How many packets are hot, and how many are measured as the costliest.
pub(super) const HOT: usize = 16;
const HOSTILE: usize = 3;
/// How many headers are drawn for a rule until it decides one.
const TRIES: usize = 64;
/// How many headers are drawn at most to find as many different ones as are needed.
const DRAWS: usize = 64 * DISTINCT;

impl Generated {
    /// Makes a set of `rules` rules, loads its program, and has it judge every packet.
    pub(super) fn load(flavour: Flavour, rules: usize) -> Result<Self> {
        let recipe = Recipe {
            flavour,
            filters: rules,
            v6_percent: 0,
        };
        let dice = &mut seeded(SEED);
        let set = generate(dice, &recipe);
        let policy = set.policy(Form::default())?;
        let hook = Hook::inbound(&policy, ROLE);
        let role = policy.interface(ROLE).context("the policy has the role")?;

        let begin = Instant::now();
        let image = compile(&policy, role, Direction::Inbound)?;
        let compiled_in = begin.elapsed();
        let program = |image| KernelJudge::over(image, Direction::Inbound, false, None);
        let mut judge = program(&image);
        let mut forgetful = program(&image.without_cache());

        let packets = Packets::new(hook);
        let mut model = ModelJudge::new(hook);
        let hot = (0..HOT).map(|number| {
            let middle = (2 * number + 1) * rules / (2 * HOT);
            let meant = format!("r{}", middle + 1);
            let found = (0..TRIES)
                .filter_map(|_| packets.header_for(dice, middle))
                .find(|header| model.judge(&header.frame()).counter == meant);
            // Earlier rules may hide it.
            found.unwrap_or_else(|| packets.header(dice))
        });
        let hot: Vec<Header> = hot.collect();
        let mut drawn = HashSet::new();
        let headers = (0..DRAWS).map(|_| packets.header(dice));
        let headers: Vec<Header> = headers
            .filter(|header| drawn.insert(*header))
            .take(DISTINCT)
            .collect();
        ensure!(
            headers.len() == DISTINCT,
            "{}: {} different headers in {DRAWS}",
            set.name,
            headers.len()
        );
        let hostile = costliest(dice, &image, &headers, HOSTILE);
        let [hot, hostile] = [hot, hostile].map(|headers| judged(hook, &headers));
        for packet in hot.iter().chain(&hostile) {
            let Packet { frame, verdict } = packet;
            for judge in [&mut judge, &mut forgetful] {
                let found = judge.judge_expecting(frame, frame.len(), &verdict.counter);
                ensure!(found == *verdict, "{}: {found}, not {verdict}", set.name);
            }
        }
        let wrapper = Wrapper::load(&headers, judge.descriptor())?;
        let mut all = judged(hook, &headers);
        for Packet { frame, verdict } in &all {
            judge.expect(frame, &verdict.counter);
        }
        let last = all.pop().context("there are headers")?;
        wrapper.run(&last.frame)?;
        judge.settle();
        let facts = Facts {
            name: set.name,
            flavour,
            rules,
            seed: SEED,
            compiled_in,
            bytes: image.bytes(),
            loaded_in: judge.loaded_in(),
            verified_instructions: judge.verified_instructions(),
        };
        Ok(Self {
            facts,
            judge,
            forgetful,
            hot,
            last,
            wrapper,
            hostile,
        })
    }

    /// The cases.
    pub(super) fn cases<'g>(&'g self) -> SetCases<'g> {
        let cases = |what: &str, judge: &'g KernelJudge, packets: &[Packet]| {
            let packets = packets.iter().zip(1..);
            let cases = packets.map(|(packet, number)| Case {
                name: format!("{}: {what} packet {number}", self.facts.name),
                counter: packet.verdict.counter.clone(),
                program: judge.descriptor(),
                frame: packet.frame.clone(),
                answer: packet.answer(),
                no_op: NoOp::Xdp,
                rounds: Vec::new(),
            });
            cases.collect()
        };
        SetCases {
            facts: &self.facts,
            hot: cases("hot", &self.judge, &self.hot),
            unknown: cases("unknown", &self.forgetful, &self.hot),
            distinct: Case {
                name: format!("{}: {DISTINCT} headers", self.facts.name),
                counter: "as the model says".to_owned(),
                program: self.wrapper.descriptor(),
                frame: self.last.frame.clone(),
                answer: self.last.answer(),
                no_op: NoOp::Wrapped,
                rounds: Vec::new(),
            },
            hostile: cases("costly", &self.forgetful, &self.hostile),
        }
    }
}

impl<'g> SetCases<'g> {
    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Case<'g>> {
        let distinct = std::iter::once(&mut self.distinct);
        let alone = self.hot.iter_mut().chain(&mut self.unknown);
        alone.chain(distinct).chain(&mut self.hostile)
    }
}

impl Packet {
    /// What the program answers.
    fn answer(&self) -> u32 {
        KernelJudge::answer(Direction::Inbound, self.verdict.action)
    }
}

/// What the model makes of packets of `headers`, in their order. It asks one rule after
/// the other, so all processors do it.
fn judged(hook: Hook<'_>, headers: &[Header]) -> Vec<Packet> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let judge = |headers: &[Header]| {
        let mut model = ModelJudge::new(hook);
        let packets = headers.iter().map(|header| {
            let frame = header.frame();
            let verdict = model.judge(&frame);
            Packet { frame, verdict }
        });
        packets.collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let parts = headers.chunks(headers.len().div_ceil(threads).max(1));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || judge(part))).collect();
        let judged = parts
            .into_iter()
            .map(|part| part.join().expect("the model judges"));
        judged.flatten().collect()
    })
}
