//! What the generators promise, measured on the reference model.

use std::collections::{BTreeMap, BTreeSet};

use edge_filter::policy::model::Model;
use edge_filter::policy::{
    Action, CounterId, Direction, DropReason, EssentialCounter, Outbound, Policy, Rule,
};

use super::{Frames, MAIN_ROLE, Mistake, mutants, policy, seeded};

/// Rules on the main hook: within a word of 64, at its edge, and beyond 512.
const SIZES: [usize; 9] = [1, 10, 63, 64, 65, 100, 200, 400, 700];
const SEEDS: u64 = 12;
const FRAMES: usize = 400;

/// How many frames fared how.
#[derive(Debug, Default)]
struct Figures {
    frames: usize,
    well_formed: usize,
    /// Decided by a rule.
    hit: usize,
    /// Drawn for a hook of more than 64 rules, and decided by rule 65 or later.
    frames_deep: usize,
    hit_deep: usize,
    /// Decided by rule 513 or later.
    hit_deepest: usize,
    /// Rules there were, and rules that decided at least one frame.
    rules: usize,
    rules_hit: usize,
    counters: BTreeMap<String, usize>,
}

impl Figures {
    /// Counts one frame; the place of the rule that decided it.
    fn count(&mut self, counter: &CounterId, rules: &[&Rule]) -> Option<usize> {
        self.frames += 1;
        self.frames_deep += usize::from(rules.len() > 64);
        let fault = match counter {
            CounterId::Drop(reason) | CounterId::AuditDrop(reason) => {
                *reason != DropReason::Default
            }
            _ => false,
        };
        self.well_formed += usize::from(!fault);
        let mut place = None;
        let name = match counter {
            CounterId::Rule(id) | CounterId::AuditRule(id) => {
                place = rules.iter().position(|rule| rule.id == *id);
                self.hit += 1;
                self.hit_deep += usize::from(place >= Some(64));
                self.hit_deepest += usize::from(place >= Some(512));
                "a rule".to_owned()
            }
            CounterId::AuditDrop(reason) => CounterId::Drop(*reason).to_string(),
            other => other.to_string(),
        };
        *self.counters.entry(name).or_default() += 1;
        place
    }

    fn percent(part: usize, whole: usize) -> usize {
        100 * part / whole.max(1)
    }
}

fn model(policy: &Policy) -> Model<'_> {
    Model::new(policy, MAIN_ROLE, Direction::Inbound, false).expect("the role is there")
}

#[test]
fn frames_are_mostly_well_formed_and_mostly_hit_rules_the_late_ones_too() {
    let mut figures = Figures::default();
    for size in SIZES {
        for seed in 0..SEEDS {
            let dice = &mut seeded(seed << 16 | size as u64);
            let policy = policy(dice, size);
            let rules: Vec<&Rule> = policy.rules_of(MAIN_ROLE, Direction::Inbound).collect();
            assert_eq!(rules.len(), size, "seed {seed}");
            let frames = Frames::new(&policy, MAIN_ROLE, Direction::Inbound);
            let mut places = BTreeSet::new();
            for _ in 0..FRAMES {
                let frame = frames.draw(dice);
                assert!(
                    (14..=1500).contains(&frame.len()),
                    "seed {seed}: {} bytes",
                    frame.len()
                );
                places.extend(figures.count(&model(&policy).judge(&frame).counter, &rules));
            }
            figures.rules += size;
            figures.rules_hit += places.len();
        }
    }
    let well_formed = Figures::percent(figures.well_formed, figures.frames);
    let hit = Figures::percent(figures.hit, figures.frames);
    let deep = Figures::percent(figures.hit_deep, figures.frames_deep);
    println!("{figures:#?}\nwell-formed {well_formed} %, hit {hit} %, rule 65 or later {deep} %");
    assert!(well_formed >= 60, "{well_formed} % are well-formed");
    assert!(hit >= 50, "{hit} % hit a rule");
    assert!(deep >= 10, "{deep} % hit rule 65 or later");
    assert!(figures.hit_deepest > 0, "none hit rule 513 or later");
    let spread = Figures::percent(figures.rules_hit, figures.rules);
    assert!(spread >= 25, "{spread} % of all rules were hit");

    let reasons = DropReason::ALL
        .into_iter()
        .filter(|reason| *reason != DropReason::Internal);
    let expected = reasons
        .map(CounterId::Drop)
        .chain(EssentialCounter::ALL.map(CounterId::Essential))
        .chain([CounterId::AllowDefault]);
    for counter in expected {
        assert!(
            figures.counters.contains_key(&counter.to_string()),
            "no frame counts {counter}"
        );
    }
}

#[test]
fn every_hook_of_every_role_gets_frames() {
    for seed in 0..40 {
        let dice = &mut seeded(seed);
        let policy = policy(dice, 5);
        for interface in &policy.interfaces {
            for direction in [Direction::Inbound, Direction::Outbound] {
                let frames = Frames::new(&policy, &interface.name, direction);
                let model = Model::new(&policy, &interface.name, direction, false).unwrap();
                let tracks =
                    direction == Direction::Outbound && interface.outbound == Outbound::Track;
                for _ in 0..50 {
                    let verdict = model.judge(&frames.draw(dice));
                    if tracks {
                        assert_eq!(verdict.action, Action::Allow, "seed {seed}: {verdict:?}");
                    } else {
                        assert_ne!(verdict.counter, CounterId::AllowUntracked, "seed {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_seed_says_it_all() {
    let draw = |seed| {
        let dice = &mut seeded(seed);
        let policy = policy(dice, 80);
        let frame = super::frame(dice, &policy, MAIN_ROLE, Direction::Inbound);
        (policy, frame)
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn frames_of_the_original_tell_every_mutant_from_it() {
    /// Frames until a mutant must have been told.
    const BOUND: usize = 40_000;
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..8 {
        let dice = &mut seeded(seed);
        let original = policy(dice, 100);
        let frames = Frames::new(&original, MAIN_ROLE, Direction::Inbound);
        let mutants = mutants(dice, &original);
        let mistakes: Vec<Mistake> = mutants.iter().map(|mutant| mutant.mistake).collect();
        assert_eq!(mistakes, Mistake::ALL, "seed {seed}");
        for mutant in mutants {
            let name = mutant.mistake.as_str();
            let told = (1..=BOUND).find(|_| {
                let frame = frames.draw(dice);
                model(&original).judge(&frame) != model(&mutant.policy).judge(&frame)
            });
            let told = told.unwrap_or_else(|| panic!("seed {seed}: {name} was not told"));
            let most = latest.entry(name).or_default();
            *most = told.max(*most);
        }
    }
    println!("frames until the slowest mutant of each kind was told: {latest:#?}");
}
