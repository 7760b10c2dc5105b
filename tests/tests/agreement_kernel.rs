//! The program in the kernel against the reference model: random policies and
//! random frames, whole and in two buffers, and what the verifier makes of it.

use std::time::Duration;

use edge_filter::policy::Direction;
use edge_filter_tests::generate::{Frames, MAIN_ROLE, policy, seeded, turn};
use edge_filter_tests::judge::{Hook, Judge, KernelJudge, ModelJudge, hex};
use edge_filter_tests::soak;
use rand::RngExt;

/// The most instructions that the verifier may process, of the million that the
/// kernel allows (`BPF_COMPLEXITY_LIMIT_INSNS`), for hooks of up to so many rules.
/// It follows the search through every 64-rule word, so the larger hooks here are
/// only held to load at all.
const INSTRUCTIONS: [(usize, u32); 2] = [(700, 200_000), (4_096, 350_000)];
/// What a hook reads at once at least: an Ethernet header.
const SMALLEST_BUFFER: usize = 14;

/// One loaded program.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    rules: usize,
    instructions: u32,
    took: Duration,
}

#[test]
fn the_kernel_says_what_the_model_says() {
    let first = soak::first_seed();
    let policies = soak::times(400);
    let frames = soak::times(2_000);
    let mut loaded = Vec::new();
    for seed in (first..).take(policies) {
        let rules = seeded(seed).random_range(1..=700);
        loaded.push(compare(seed, rules, frames));
    }
    println!(
        "{policies} policies from seed {first} on, {frames} frames each, in one buffer and in two"
    );
    report(&loaded);
}

#[test]
fn thousands_of_rules() {
    let first = soak::first_seed();
    let frames = soak::times(4_000);
    let loaded = [4_096, 5_000, 16_384].map(|rules| compare(first, rules, frames));
    println!("seed {first}, {frames} frames each, in one buffer and in two");
    report(&loaded);
}

/// Judges `count` frames under a policy of `rules` rules, each whole, and with a
/// first buffer that ends somewhere in it.
fn compare(seed: u64, rules: usize, count: usize) -> Loaded {
    let dice = &mut seeded(seed);
    let mut policy = policy(dice, rules);
    let outbound = dice.random_ratio(1, 3);
    if outbound {
        turn(&mut policy);
    }
    let hook = Hook {
        policy: &policy,
        interface: MAIN_ROLE,
        direction: if outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        },
        software_lengths: outbound || dice.random(),
    };
    let frames = Frames::new(&policy, MAIN_ROLE, hook.direction);
    let (mut model, mut kernel) = (ModelJudge::new(hook), KernelJudge::new(hook));
    let mut refused = 0;
    for _ in 0..count {
        let frame = frames.draw(dice);
        let expected = model.judge(&frame);
        if !kernel.takes(&frame) {
            refused += 1;
            continue;
        }
        // A test run's socket buffer is always of one piece.
        let cut = if outbound {
            frame.len()
        } else {
            dice.random_range(SMALLEST_BUFFER..=frame.len())
        };
        for linear in [frame.len(), cut] {
            let verdict = kernel.judge_expecting(&frame, linear, &expected.counter);
            assert!(
                verdict == expected,
                "EDGE_FILTER_SEED={seed}: {rules} rules, {}, software lengths {}, first buffer {linear}\n\
                 frame  {}\nmodel  {expected}\nkernel {verdict}",
                hook.direction,
                hook.software_lengths,
                hex(&frame),
            );
        }
    }
    kernel.settle();
    assert!(
        refused * 10 <= count,
        "{refused} of {count} frames were not run"
    );
    Loaded {
        rules,
        instructions: kernel.verified_instructions(),
        took: kernel.loaded_in(),
    }
}

/// Prints what loading took by the number of rules, and holds the verifier's
/// work to its bound.
fn report(loaded: &[Loaded]) {
    for sizes in [
        1..=64,
        65..=512,
        513..=700,
        701..=4_096,
        4_097..=8_192,
        8_193..=65_536,
    ] {
        let of_size: Vec<&Loaded> = loaded
            .iter()
            .filter(|one| sizes.contains(&one.rules))
            .collect();
        let mut instructions: Vec<u32> = of_size.iter().map(|one| one.instructions).collect();
        let mut took: Vec<Duration> = of_size.iter().map(|one| one.took).collect();
        instructions.sort_unstable();
        took.sort_unstable();
        let (Some(least), Some(most)) = (instructions.first(), instructions.last()) else {
            continue;
        };
        let middle = of_size.len() / 2;
        println!(
            "{sizes:?} rules, {} programs: verified instructions {least} / {} / {most}, \
             loaded in {:.1?} / {:.1?} / {:.1?} (least / median / most)",
            of_size.len(),
            instructions[middle],
            took[0],
            took[middle],
            took[took.len() - 1],
        );
    }
    for one in loaded {
        assert!(one.instructions > 0, "the kernel tells: {one:?}");
        for (rules, most) in INSTRUCTIONS {
            assert!(one.rules > rules || one.instructions <= most, "{one:?}");
        }
    }
}

/// A judge that is told to expect the wrong counter finds the right one.
#[test]
fn a_wrong_expectation_is_no_verdict() {
    let dice = &mut seeded(1);
    let policy = policy(dice, 10);
    let frames = Frames::new(&policy, MAIN_ROLE, Direction::Inbound);
    let hook = Hook::inbound(&policy, MAIN_ROLE);
    let (mut model, mut kernel) = (ModelJudge::new(hook), KernelJudge::new(hook));
    for _ in 0..50 {
        let frame = frames.draw(dice);
        for expected in ["drop:internal", "no such counter"] {
            let verdict = kernel.judge_expecting(&frame, frame.len(), expected);
            assert_eq!(verdict, model.judge(&frame));
        }
    }
    kernel.settle();
}
