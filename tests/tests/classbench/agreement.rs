//! Many sets, and many packets of each: the reference model and the data path on the host
//! judge them alike, and so does the program in the kernel, as far as it is asked.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use edge_filter::policy::{Direction, Policy};
use edge_filter_tests::classbench::{Flavour, Form, Packets, ROLE, Recipe, Set, generate};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::judge::{Hook, HostJudge, Judge, KernelJudge, ModelJudge, Verdict, hex};
use edge_filter_tests::soak;
use rand::RngExt;

use crate::real;

/// How many sets are made up, and how many packets each judges in a soak run.
const SETS: usize = 200;
const PACKETS: usize = 10_000;
/// How many of them the kernel judges, where it is asked.
const KERNEL_PACKETS: usize = 2_000;
/// Of so many sets the kernel judges one, and the first of each sort; in a soak run all.
const KERNEL_SETS: u64 = 10;

/// A set, and how it is tried.
struct Subject {
    seed: u64,
    set: Set,
    form: Form,
    /// Whether the kernel judges, too.
    kernel: bool,
}

/// What came of one set, or of many.
#[derive(Debug, Default)]
struct Figures {
    sets: usize,
    rules: usize,
    packets: usize,
    /// Packets that a rule decided.
    hits: usize,
    /// Those of them that one of the last quarter of the rules did.
    late_hits: usize,
    /// Different rules that decided one.
    rules_hit: usize,
    kernel_sets: usize,
    kernel_packets: usize,
    /// What a program took at most.
    verified_instructions: u32,
    loaded_in: Duration,
}

impl Figures {
    fn add(&mut self, other: &Self) {
        self.sets += other.sets;
        self.rules += other.rules;
        self.packets += other.packets;
        self.hits += other.hits;
        self.late_hits += other.late_hits;
        self.rules_hit += other.rules_hit;
        self.kernel_sets += other.kernel_sets;
        self.kernel_packets += other.kernel_packets;
        self.verified_instructions = self.verified_instructions.max(other.verified_instructions);
        self.loaded_in = self.loaded_in.max(other.loaded_in);
    }
}

/// How large the set of a seed is: mostly up to 1,000 filters, of some thousands one in
/// ten, of 10,000 one in thirty-four.
fn class(seed: u64) -> usize {
    match seed {
        seed if seed % 34 == 0 => 2,
        seed if seed % 10 == 7 => 1,
        _ => 0,
    }
}

fn flavour(seed: u64) -> Flavour {
    Flavour::ALL[usize::try_from(seed % 3).expect("below 3")]
}

impl Subject {
    /// The set of a seed; one in four has IPv6, too, and one in five stands outbound.
    fn made_up(seed: u64, kernel: bool) -> Self {
        let dice = &mut seeded(seed);
        let filters = match class(seed) {
            0 => dice.random_range(10..=1_000),
            1 => dice.random_range(1_001..=5_000),
            _ => 10_000,
        };
        let recipe = Recipe {
            flavour: flavour(seed),
            filters,
            v6_percent: if seed % 4 == 1 { 30 } else { 0 },
        };
        let direction = if seed % 5 == 2 {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        Self {
            seed,
            set: generate(dice, &recipe),
            form: Form {
                direction,
                ..Form::default()
            },
            kernel,
        }
    }

    fn judge(&self) -> Figures {
        let policy = self.set.policy(self.form);
        let policy = policy.unwrap_or_else(|error| panic!("{}: {error:#}", self.set.name));
        let hook = self.hook(&policy);
        let (mut model, mut host) = (ModelJudge::new(hook), HostJudge::new(hook));
        let mut kernel = self.kernel.then(|| KernelJudge::new(hook));
        let packets = Packets::new(hook);
        let dice = &mut seeded(self.seed);
        let mut hit = HashSet::new();
        let mut figures = Figures {
            sets: 1,
            rules: policy.rules.len(),
            packets: soak::times(PACKETS),
            ..Figures::default()
        };
        for _ in 0..figures.packets {
            let frame = packets.draw(dice);
            let expected = model.judge(&frame);
            self.check("the host", &frame, &expected, &host.judge(&frame));
            let asked = figures.kernel_packets < soak::times(KERNEL_PACKETS);
            if let Some(kernel) = kernel
                .as_mut()
                .filter(|kernel| asked && kernel.takes(&frame))
            {
                let verdict = kernel.judge_expecting(&frame, frame.len(), &expected.counter);
                self.check("the kernel", &frame, &expected, &verdict);
                figures.kernel_packets += 1;
            }
            if let Some(number) = number(&expected) {
                figures.hits += 1;
                figures.late_hits += usize::from(4 * number > 3 * figures.rules);
                hit.insert(number);
            }
        }
        figures.rules_hit = hit.len();
        if let Some(mut kernel) = kernel {
            kernel.settle();
            figures.kernel_sets = 1;
            figures.loaded_in = kernel.loaded_in();
            figures.verified_instructions = kernel.verified_instructions();
        }
        figures
    }

    fn hook<'p>(&self, policy: &'p Policy) -> Hook<'p> {
        Hook {
            direction: self.form.direction,
            software_lengths: self.form.direction == Direction::Outbound,
            ..Hook::inbound(policy, ROLE)
        }
    }

    /// Fails unless `verdict` is as expected, with all that it takes to see it again.
    fn check(&self, judge: &str, frame: &[u8], expected: &Verdict, verdict: &Verdict) {
        if verdict == expected {
            return;
        }
        let mut report = format!(
            "EDGE_FILTER_SEED={}: {} {}\nframe {}\nthe model: {expected}\n{judge}: {verdict}\n",
            self.seed,
            self.set.name,
            self.form.direction,
            hex(frame),
        );
        for number in [expected, verdict].into_iter().filter_map(number) {
            let _ = writeln!(report, "r{number}: {}", self.set.filters[number - 1]);
        }
        panic!("{report}");
    }
}

/// The rule that decided, counted from 1.
fn number(verdict: &Verdict) -> Option<usize> {
    verdict.counter.strip_prefix('r')?.parse().ok()
}

/// Tries `count` subjects, as many at a time as there are processors. Each is made when
/// its turn comes.
fn judge_all(count: usize, make: impl Fn(usize) -> Subject + Sync) -> Figures {
    let next = AtomicUsize::new(0);
    let work = || {
        let turns = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mut figures = Figures::default();
        for turn in turns.take_while(|turn| *turn < count) {
            figures.add(&make(turn).judge());
        }
        figures
    };
    let mut figures = Figures::default();
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            // The thread has told what it found.
            figures.add(&thread.join().expect("no disagreement"));
        }
    });
    figures
}

/// Prints the figures, and fails where they prove little.
fn report(what: &str, figures: &Figures, begin: Instant) {
    println!("{what}, in {:.1?}: {figures:#?}", begin.elapsed());
    let Figures {
        packets,
        hits,
        late_hits,
        ..
    } = figures;
    assert!(
        10 * hits >= 6 * packets,
        "{hits} of {packets} packets hit a rule"
    );
    assert!(
        10 * late_hits >= *packets,
        "{late_hits} of {packets} packets hit a late rule"
    );
}

#[test]
fn made_up_sets_are_judged_alike() {
    let begin = Instant::now();
    let first = soak::first_seed();
    let seeds: Vec<u64> = (first..).take(SETS).collect();
    let mut sorts = HashSet::new();
    let firsts: Vec<bool> = seeds
        .iter()
        .map(|seed| sorts.insert((class(*seed), flavour(*seed))))
        .collect();
    assert_eq!(sorts.len(), 9, "three sizes of three flavours");
    let figures = judge_all(SETS, |turn| {
        let seed = seeds[turn];
        let kernel = firsts[turn] || soak::is_on() || seed.is_multiple_of(KERNEL_SETS);
        Subject::made_up(seed, kernel)
    });
    report(
        &format!("{SETS} sets from seed {first} on"),
        &figures,
        begin,
    );
    assert!(figures.kernel_sets >= 9, "{figures:?}");
}

#[test]
fn the_sets_of_classbench_are_judged_alike() {
    let begin = Instant::now();
    let sets = real::sets("the comparison of verdicts");
    if sets.is_empty() {
        return;
    }
    let figures = judge_all(sets.len(), |turn| Subject {
        seed: soak::first_seed(),
        set: sets[turn].clone(),
        form: Form::default(),
        kernel: true,
    });
    report("the sets of ClassBench", &figures, begin);
    assert_eq!(figures.kernel_sets, sets.len());
}
