//! The program in the kernel against the reference model: random policies and
//! random frames, whole and in two buffers, and what the verifier makes of it.

use std::fmt::Write as _;
use std::time::Duration;

use edge_filter::kernel::flow_table::FlowTable;
use edge_filter::policy::{self, Direction, Policy};
use edge_filter_tests::generate::{self, Dice, Frames, MAIN_ROLE, seeded, turn};
use edge_filter_tests::judge::{Hook, Judge, KernelJudge, ModelJudge, hex};
use edge_filter_tests::lab::mounts::Mounts;
use edge_filter_tests::soak;
use rand::RngExt;

/// The most instructions that the verifier may process, of the million that the
/// kernel allows (`BPF_COMPLEXITY_LIMIT_INSNS`), for hooks of up to so many rules.
const INSTRUCTIONS: [(usize, u32); 2] = [(700, 250_000), (16_384, 350_000)];
/// Policies of so many rules mostly have few classes.
const FEW_RULES: usize = 6;
/// The entries of the flow table.
const ENTRIES: u32 = 4096;
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
        // Every third has so few that all outcomes are known.
        let rules = seeded(seed).random_range(if seed % 3 == 1 {
            1..=FEW_RULES
        } else {
            1..=700
        });
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
    let loaded = [449, 4_096, 5_000, 16_384].map(|rules| compare(first, rules, frames));
    println!("seed {first}, {frames} frames each, in one buffer and in two");
    report(&loaded);
}

/// As many lists as replies may have to be looked for in: of 63 outer roles and an
/// inner one, each with a drop before what it allows.
#[test]
fn as_many_lists_as_there_may_be() {
    let policy = many_lists();
    let frames = soak::times(4_000);
    for role in ["r0", "r62", "inner"] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let hook = Hook {
                policy: &policy,
                interface: role,
                direction,
                software_lengths: direction == Direction::Outbound,
            };
            let seed = soak::first_seed();
            let name = format!("EDGE_FILTER_SEED={seed}: {role}");
            let loaded = judge(&name, hook, &mut seeded(seed), frames);
            println!(
                "{role} {direction}: verified instructions {}, loaded in {:.1?}",
                loaded.instructions, loaded.took
            );
            assert!(
                loaded.instructions < 350_000,
                "{role} {direction}: {loaded:?}"
            );
        }
    }
}

fn many_lists() -> Policy {
    let names: Vec<String> = (0..63).map(|number| format!("r{number}")).collect();
    let mut text = String::from(
        "version: 1\nname: many-lists\ndefault_action: drop\n\
         essentials: { ping: allow, dhcp-client: allow, router-advertisements: [\"fe80::/64\"] }\n\
         ethertypes: [0x8847]\ninterfaces:\n  inner: { devices: [i0], trust: trusted, outbound: enforce }\n",
    );
    for name in &names {
        let role = "outbound: enforce, vlans: [untagged, 5], protects: [10.9.0.0/16]";
        writeln!(text, "  {name}: {{ devices: [{name}], {role} }}").expect("a string grows");
    }
    text += "groups:\n  - name: all\n    rules:\n";
    for (number, name) in names.iter().enumerate() {
        for (side, way) in [("inbound", "from"), ("outbound", "to")] {
            let hook = format!("interface: {name}, direction: {side}");
            let drop = format!(
                "{{ networks: [10.0.{number}.0/24, \"2001:db8:{number}::/48\"], ports: [{}-{}] }}",
                number + 1,
                number + 8
            );
            let allow = format!("{{ networks: [11.0.0.{number}, \"2001:db8:aaaa::{number}\"] }}");
            let rule = format!("{hook}, protocol: tcp, {way}");
            for (suffix, end, action) in
                [("-drop", drop, "drop, replies: drop"), ("", allow, "allow")]
            {
                let id = format!("{name}-{side}{suffix}");
                let rule = format!("{{ id: {id}, {rule}: {end}, action: {action} }}");
                writeln!(text, "      - {rule}").expect("a string grows");
            }
        }
    }
    text += "      - { id: inner-out, interface: inner, direction: outbound, protocol: udp, action: allow }\n      \
                   - { id: inner-in, interface: inner, direction: inbound, protocol: udp, action: allow }\n";
    match policy::read("many-lists.yaml", &text, jiff::civil::date(2026, 1, 1)) {
        Ok(read) => read.policy,
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// Judges `count` frames under a random policy of `rules` rules.
fn compare(seed: u64, rules: usize, count: usize) -> Loaded {
    let dice = &mut seeded(seed);
    let mut policy = generate::policy(dice, rules);
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
    let loaded = judge(&format!("EDGE_FILTER_SEED={seed}"), hook, dice, count);
    Loaded { rules, ..loaded }
}

/// Judges `count` frames at `hook`, each whole, and with a first buffer that ends
/// somewhere in it.
fn judge(name: &str, hook: Hook<'_>, dice: &mut Dice, count: usize) -> Loaded {
    let outbound = hook.direction == Direction::Outbound;
    let rules = hook.policy.rules.len();
    let frames = Frames::new(hook.policy, hook.interface, hook.direction);
    let mut model = ModelJudge::new(hook);
    // With a flow table, as it is enforced: without one the verifier skips what asks it.
    let mounts = Mounts::new().expect("private mounts");
    let table = FlowTable::create(&mounts.outside("bpffs/flows"), ENTRIES).expect("a flow table");
    // The frames of a few rules are so alike that one would be a reply to another, or an
    // error about it, which this model does not remember; sequences are judged elsewhere.
    let remembers = !outbound || rules > 2 * FEW_RULES;
    let mut kernel = KernelJudge::with_flows(hook, remembers.then_some(&table));
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
                "{name}: {rules} rules, {}, software lengths {}, first buffer {linear}\n\
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
    let policy = generate::policy(dice, 10);
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
