//! The compiled tables against the reference model: random policies, random
//! frames, no disagreement; and seeded mistakes, each of which must show as one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use edge_filter::policy::{Direction, Policy};
use edge_filter_ebpf::config::Constant;
use edge_filter_tests::generate::{
    Damage, Dice, Frames, MAIN_ROLE, Mistake, damage, giant, mutants, policy, seeded, turn,
};
use edge_filter_tests::judge::{Hook, HostJudge, Judge, ModelJudge, Verdict, hex};
use edge_filter_tests::shrink::smallest;
use edge_filter_tests::soak;
use rand::RngExt;
use rand::seq::IndexedRandom;

/// Frames drawn for each policy: 100,000 in all, a million in a soak run.
const FRAMES: usize = 250;
/// Frames within which every seeded mistake must have shown.
const BOUND: usize = 200_000;
/// Around the ends of 64-rule words, of chunks with and without aggregate words,
/// and of the first aggregate word.
const EDGES: [usize; 14] = [
    1, 2, 63, 64, 65, 127, 128, 129, 448, 449, 512, 513, 4_096, 4_097,
];

/// Policies of so many rules mostly have few classes.
const FEW_RULES: usize = 6;

/// A hook with about as many rules as were asked for, and its dice.
struct Subject {
    seed: u64,
    policy: Policy,
    direction: Direction,
    software_lengths: bool,
}

impl Subject {
    /// The subject of `seed`; every hundredth has 5,000 rules, and every third so few that
    /// all outcomes are known.
    fn new(seed: u64, dice: &mut Dice) -> Self {
        let rules = match seed % 100 {
            0 => 5_000,
            n if n % 10 == 3 => *EDGES.choose(dice).expect("there are some"),
            n if n % 3 == 1 => dice.random_range(1..=FEW_RULES),
            _ => dice.random_range(1..=700),
        };
        let mut policy = policy(dice, rules);
        let direction = if dice.random_ratio(1, 3) {
            turn(&mut policy);
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        Self {
            seed,
            policy,
            direction,
            software_lengths: dice.random(),
        }
    }

    fn hook(&self) -> Hook<'_> {
        Hook {
            policy: &self.policy,
            interface: MAIN_ROLE,
            direction: self.direction,
            software_lengths: self.software_lengths,
        }
    }

    /// What `frame` is judged to be where the judges disagree, with the fewest
    /// rules that still make them.
    fn disagreement(&self, frame: &[u8]) -> String {
        let verdicts = |policy: &Policy| {
            let hook = Hook {
                policy,
                ..self.hook()
            };
            let model = ModelJudge::new(hook).judge(frame);
            (model, HostJudge::new(hook).judge(frame))
        };
        let policy = smallest(&self.policy, |policy| {
            let (model, host) = verdicts(policy);
            model != host
        });
        let (model, host) = verdicts(&policy);
        let Self {
            seed,
            direction,
            software_lengths,
            ..
        } = self;
        let mut report = format!(
            "EDGE_FILTER_SEED={seed}: {direction}, software lengths {software_lengths}\n\
             frame {}\nmodel {model}\nhost  {host}\n{:?}, {:?}, default {}, ethertypes {:x?}\n",
            hex(frame),
            policy.mode,
            policy.essentials,
            policy.default_action,
            policy.ethertypes,
        );
        for interface in &policy.interfaces {
            let _ = writeln!(report, "{interface:?}");
        }
        for rule in &policy.rules {
            let _ = writeln!(report, "{rule:?}");
        }
        report
    }
}

/// The rules' numbers by the counters that they can move.
fn numbers<'p>(hook: Hook<'p>) -> HashMap<String, usize> {
    let rules: Vec<&'p str> = hook
        .policy
        .rules_of(hook.interface, hook.direction)
        .map(|rule| rule.id.as_str())
        .collect();
    let own = rules.iter().map(|id| (*id).to_owned()).zip(0..);
    let audit = rules.iter().map(|id| format!("audit:{id}")).zip(0..);
    own.chain(audit).collect()
}

#[derive(Debug, Default)]
struct Figures {
    frames: usize,
    hit: usize,
    /// Drawn for hooks of more than 64 rules, and decided by rule 65 or later.
    frames_deep: usize,
    hit_deep: usize,
    /// Decided by a rule beyond the first 64 words.
    hit_deepest: usize,
    giants: usize,
    outbound: usize,
    /// Policies whose outcomes are all known, and those that are small besides.
    known: usize,
    small: usize,
}

#[test]
fn compiled_tables_say_what_the_model_says() {
    let first = soak::first_seed();
    let policies = soak::times(4_000);
    let mut figures = Figures::default();
    for seed in (first..).take(policies) {
        let dice = &mut seeded(seed);
        let subject = Subject::new(seed, dice);
        compare(dice, &subject, &mut figures);
    }
    println!("{policies} policies from seed {first} on: {figures:#?}");
    let Figures {
        frames,
        hit,
        frames_deep,
        hit_deep,
        ..
    } = figures;
    assert_eq!(frames, policies * FRAMES);
    assert!(2 * hit >= frames, "{hit} of {frames} frames hit a rule");
    assert!(
        10 * hit_deep >= frames_deep,
        "{hit_deep} of {frames_deep} frames hit rule 65 or later"
    );
    assert!(figures.hit_deepest > 0, "no frame hit rule 4,097 or later");
    assert!(figures.giants > 0, "no super-packet");
    assert!(figures.outbound > 0, "no outbound frame");
    assert!(
        10 * figures.known > policies,
        "{} policies are known",
        figures.known
    );
    assert!(
        50 * figures.small > policies,
        "{} policies are small",
        figures.small
    );
}

fn compare(dice: &mut Dice, subject: &Subject, figures: &mut Figures) {
    let hook = subject.hook();
    let numbers = numbers(hook);
    let rules = numbers.len() / 2;
    let frames = Frames::new(hook.policy, hook.interface, hook.direction);
    let (mut model, mut host) = (ModelJudge::new(hook), HostJudge::new(hook));
    let config = &host.image().config;
    figures.known += usize::from(config.get(Constant::Outcomes) != 0);
    figures.small += usize::from(config.get(Constant::Small) != 0);
    for _ in 0..FRAMES {
        let mut frame = frames.draw(dice);
        if dice.random_ratio(1, 100)
            && let Some(giant) = giant(dice, &frame)
        {
            frame = giant;
            figures.giants += 1;
        }
        let expected = model.judge(&frame);
        assert!(
            host.judge(&frame) == expected,
            "{}",
            subject.disagreement(&frame)
        );
        let number = numbers.get(&expected.counter).copied();
        figures.frames += 1;
        figures.hit += usize::from(number.is_some());
        figures.outbound += usize::from(subject.direction == Direction::Outbound);
        figures.hit_deepest += usize::from(number >= Some(4_096));
        if rules > 64 {
            figures.frames_deep += 1;
            figures.hit_deep += usize::from(number >= Some(64));
        }
    }
}

/// How many frames it took to see each mistake, by its name.
#[derive(Default)]
struct Caught(BTreeMap<&'static str, Vec<usize>>);

impl Caught {
    /// Draws frames until `wrong` is seen to disagree with `right`.
    fn see(
        &mut self,
        name: &'static str,
        seed: u64,
        mut draw: impl FnMut() -> Vec<u8>,
        mut right: impl FnMut(&[u8]) -> Verdict,
        wrong: &mut HostJudge,
    ) {
        let frames = (1..=BOUND).find(|_| {
            let frame = draw();
            right(&frame) != wrong.judge(&frame)
        });
        let frames =
            frames.unwrap_or_else(|| panic!("seed {seed}: {name} was not seen in {BOUND} frames"));
        self.0.entry(name).or_default().push(frames);
    }

    /// Prints the figures, and demands that each of `names` was seen in at least
    /// `times` policies.
    fn report(&mut self, names: &[&'static str], times: usize) {
        for name in names {
            let frames = self.0.entry(name).or_default();
            frames.sort_unstable();
            let [first, .., last] = frames[..] else {
                panic!("{name}: seen {} times", frames.len());
            };
            println!(
                "{name}: seen in all {} policies, after {first} frames at least, {} in the median, {last} at most",
                frames.len(),
                frames[frames.len() / 2],
            );
            assert!(frames.len() >= times, "{name}: seen {} times", frames.len());
        }
    }
}

/// The tables of a policy with a mistake disagree with the model of the policy
/// without it.
#[test]
fn mistakes_in_rules_are_seen() {
    let first = soak::first_seed();
    let policies = soak::times(240);
    let mut caught = Caught::default();
    for seed in (first..).take(policies) {
        let dice = &mut seeded(seed);
        let size = dice.random_range(70..=300);
        let original = policy(dice, size);
        let frames = Frames::new(&original, MAIN_ROLE, Direction::Inbound);
        for mutant in mutants(dice, &original) {
            let mut model = ModelJudge::new(Hook::inbound(&original, MAIN_ROLE));
            let mut host = HostJudge::new(Hook::inbound(&mutant.policy, MAIN_ROLE));
            caught.see(
                mutant.mistake.as_str(),
                seed,
                || frames.draw(dice),
                |frame| model.judge(frame),
                &mut host,
            );
        }
    }
    println!("{policies} policies from seed {first} on");
    caught.report(&Mistake::ALL.map(Mistake::as_str), policies / 2);
}

/// Places for damage that are tried, and the frames that are asked whether it
/// shows at all there, and how many must say so: a rule that others hide can be
/// damaged without any packet noticing.
const PLACES: usize = 200;
const WITNESSES: usize = 600;
const WITNESSES_NEEDED: usize = 2;

/// Damaged tables disagree with the model of the policy that they were made of.
#[test]
fn damage_in_tables_is_seen() {
    let first = soak::first_seed();
    let policies = soak::times(160);
    let mut caught = Caught::default();
    for seed in (first..).take(policies) {
        let dice = &mut seeded(seed);
        let size = if seed % 2 == 0 {
            dice.random_range(70..=700)
        } else {
            dice.random_range(1..=FEW_RULES)
        };
        let policy = policy(dice, size);
        let hook = Hook::inbound(&policy, MAIN_ROLE);
        let frames = Frames::new(&policy, MAIN_ROLE, Direction::Inbound);
        let (mut model, mut whole) = (ModelJudge::new(hook), HostJudge::new(hook));
        let witnesses: Vec<(Vec<u8>, Verdict)> = (0..WITNESSES)
            .map(|_| {
                let frame = frames.draw(dice);
                let verdict = whole.judge(&frame);
                (frame, verdict)
            })
            .collect();
        for kind in Damage::ALL {
            let damaged = (0..PLACES).find_map(|_| {
                let mut damaged = HostJudge::over(damage(dice, whole.image(), kind)?);
                let tell =
                    |(frame, verdict): &&(Vec<u8>, Verdict)| damaged.judge(frame) != *verdict;
                let telling = witnesses.iter().filter(tell).take(WITNESSES_NEEDED).count();
                (telling == WITNESSES_NEEDED).then_some(damaged)
            });
            if let Some(mut damaged) = damaged {
                caught.see(
                    kind.as_str(),
                    seed,
                    || frames.draw(dice),
                    |frame| model.judge(frame),
                    &mut damaged,
                );
            }
        }
    }
    println!("{policies} policies from seed {first} on");
    caught.report(&Damage::ALL.map(Damage::as_str), policies / 4);
}
