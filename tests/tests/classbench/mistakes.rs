//! A policy with a mistake is told from the set that it was made of: a comparison that
//! could not fail would prove nothing.

use std::collections::BTreeMap;

use edge_filter_tests::classbench::{Flavour, Form, Packets, ROLE, Recipe, generate};
use edge_filter_tests::generate::{Mistake, mutants, seeded};
use edge_filter_tests::judge::{Hook, HostJudge, Judge, ModelJudge};
use edge_filter_tests::soak;
use rand::RngExt;

/// Packets within which every mistake must have shown.
const BOUND: usize = 500_000;

#[test]
fn mistakes_in_the_rules_of_a_set_are_seen() {
    let first = soak::first_seed();
    let sets = soak::times(120);
    let mut seen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for seed in (first..).take(sets) {
        let dice = &mut seeded(seed);
        let recipe = Recipe {
            flavour: Flavour::ALL[dice.random_range(0..3)],
            filters: dice.random_range(70..=300),
            v6_percent: 20,
        };
        let set = generate(dice, &recipe);
        let original = set.policy(Form::default()).expect("a policy");
        let packets = Packets::new(Hook::inbound(&original, ROLE));
        let mut model = ModelJudge::new(Hook::inbound(&original, ROLE));
        for mutant in mutants(dice, &original) {
            let name = mutant.mistake.as_str();
            let mut host = HostJudge::new(Hook::inbound(&mutant.policy, ROLE));
            let shown = (1..=BOUND).find(|_| {
                let frame = packets.draw(dice);
                host.judge(&frame) != model.judge(&frame)
            });
            let shown = shown.unwrap_or_else(|| panic!("seed {seed}, {recipe:?}: {name} not seen"));
            seen.entry(name).or_default().push(shown);
        }
    }
    println!("{sets} sets from seed {first} on");
    for mistake in Mistake::ALL.map(Mistake::as_str) {
        let packets = seen.entry(mistake).or_default();
        packets.sort_unstable();
        let [first, .., last] = packets[..] else {
            panic!("{mistake}: seen {} times", packets.len());
        };
        println!(
            "{mistake}: seen in {} sets, after {first} packets at least, {} in the median, {last} at most",
            packets.len(),
            packets[packets.len() / 2]
        );
        assert!(
            2 * packets.len() >= sets,
            "{mistake}: seen {} times",
            packets.len()
        );
    }
}
