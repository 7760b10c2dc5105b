//! One policy after another under a stream of packets through every hook: each packet is
//! judged by one of two policies, whole, and counted once, by whatever command the policies
//! change, and though a trial ends by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::product::{Counters, Mode, counter};
use edge_filter_tests::lab::swaps::{Fates, KINDS, Kind, Stream, hooks, policies, rule};
use edge_filter_tests::lab::trial::until_deadline;
use edge_filter_tests::lab::{Lab, Plan};
use edge_filter_tests::soak;

/// Swaps in a soak run; a tenth otherwise.
const SWAPS: usize = 1000;
/// A trial that lapses takes a second, so there is one of them in so many swaps.
const LAPSES: usize = 100;
/// Packets in a soak run, of all hooks together; a tenth otherwise.
const PACKETS: usize = 10_000_000;

/// A way from one policy to the other, and perhaps back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// `apply`.
    Applied,
    /// `apply --confirm`, and `confirm`.
    Confirmed,
    /// `apply --confirm`, and `rollback`.
    TakenBack,
    /// `apply`, and `rollback`.
    RolledBack,
    /// `apply --confirm`, and nothing.
    Lapsed,
}

/// The ways in turn, but for [`Way::Lapsed`].
const WAYS: [Way; 14] = [
    Way::Applied,
    Way::Confirmed,
    Way::Applied,
    Way::TakenBack,
    Way::Confirmed,
    Way::Applied,
    Way::RolledBack,
    Way::TakenBack,
    Way::Applied,
    Way::Confirmed,
    Way::Confirmed,
    Way::TakenBack,
    Way::Applied,
    Way::RolledBack,
];

/// What changes policies.
struct Swapper<'l> {
    lab: &'l Lab,
    policies: [PathBuf; 2],
    /// Which of them is enforced.
    present: usize,
    /// How often another program took the place of one.
    swaps: usize,
    /// How many generations that made.
    generations: u64,
    ways: BTreeMap<Way, usize>,
    counters: Counters,
}

impl<'l> Swapper<'l> {
    fn new(lab: &'l Lab) -> Result<Self> {
        let [first, second] = policies();
        let policies = [
            lab.mounts.write("first.yaml", &first)?,
            lab.mounts.write("second.yaml", &second)?,
        ];
        lab.apply(&policies[0], Mode::Native)?;
        Ok(Self {
            lab,
            policies,
            present: 0,
            swaps: 0,
            generations: 1,
            ways: BTreeMap::new(),
            counters: lab.counters()?,
        })
    }

    /// Changes policies as it is the turn of.
    fn go_on(&mut self) -> Result<()> {
        let lapsed = self.ways.get(&Way::Lapsed).copied().unwrap_or(0);
        let way = if self.swaps >= lapsed * LAPSES {
            Way::Lapsed
        } else {
            let others = self.ways.values().sum::<usize>() - lapsed;
            WAYS[others % WAYS.len()]
        };
        self.go(way)
            .with_context(|| format!("{way:?}, after {} swaps", self.swaps))
    }

    fn go(&mut self, way: Way) -> Result<()> {
        let other = self.policies[1 - self.present].clone();
        match way {
            Way::Applied => {
                self.step(|lab| lab.apply(&other, Mode::Native).map(drop))?;
                self.present = 1 - self.present;
            }
            Way::Confirmed => {
                self.step(|lab| lab.try_out(&other, Mode::Native, "5m").map(drop))?;
                self.step(|lab| lab.run(&["confirm"], 0).map(drop))?;
                self.present = 1 - self.present;
            }
            Way::TakenBack => {
                self.step(|lab| lab.try_out(&other, Mode::Native, "5m").map(drop))?;
                self.step(|lab| lab.run(&["rollback"], 0).map(drop))?;
            }
            Way::RolledBack => {
                self.step(|lab| lab.apply(&other, Mode::Native).map(drop))?;
                self.step(|lab| lab.run(&["rollback"], 0).map(drop))?;
            }
            Way::Lapsed => {
                self.step(|lab| lab.try_out(&other, Mode::Native, "1s").map(drop))?;
                let left = until_deadline(self.lab, self.generations)?;
                sleep(Duration::from_secs_f64(left.max(0.0) + 0.1));
                self.swaps += 1;
                self.look()?;
            }
        }
        *self.ways.entry(way).or_default() += 1;
        Ok(())
    }

    fn step(&mut self, command: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
        command(self.lab)?;
        self.swaps += 1;
        self.generations += 1;
        self.look()
    }

    /// Fails if a counter is lower than it was.
    fn look(&mut self) -> Result<()> {
        let now = self.lab.counters()?;
        let (before, after) = (self.counters.moved(), now.moved());
        for (name, count) in &before {
            let present = after.get(name).copied().unwrap_or_default();
            ensure!(
                present.packets >= count.packets && present.bytes >= count.bytes,
                "{name:?} was {count:?} and is {present:?}"
            );
        }
        self.counters = now;
        Ok(())
    }
}

/// Fails unless each frame was judged by one of the policies and counted as what became of it.
fn settle(counters: &Counters, stream: &Stream, fates: &Fates) -> Result<()> {
    let (role, direction) = (stream.role, stream.direction);
    let moved = counters.moved();
    let counted = |id: &str| {
        let count = moved.get(&counter(role, direction, id));
        count.map_or(0, |count| count.packets)
    };
    let [sent, arrived, refused] = [fates.sent, fates.arrived, fates.refused];
    ensure!(
        arrived[Kind::Both as usize] == sent[Kind::Both as usize],
        "lost, though both policies allow it: {fates:?}"
    );
    ensure!(
        arrived[Kind::Neither as usize] == 0,
        "passed, though neither policy allows it: {fates:?}"
    );
    for kind in [Kind::First, Kind::Second] {
        let (sent, arrived) = (sent[kind as usize], arrived[kind as usize]);
        ensure!(
            0 < arrived && arrived < sent,
            "one policy alone has decided: {fates:?}"
        );
    }
    for kind in [Kind::Both, Kind::First, Kind::Second] {
        let counted = counted(&rule(role, direction, kind));
        ensure!(
            counted == arrived[kind as usize],
            "{kind:?}: {counted} counted, {fates:?}"
        );
    }
    let sum = |counts: [u64; 4]| counts.iter().sum::<u64>();
    let dropped = sum(sent) - sum(arrived);
    ensure!(
        counted("drop:default") == dropped,
        "{} counted as dropped, and {dropped} were: {fates:?}",
        counted("drop:default")
    );
    // Who sends is told of what is dropped there, and of nothing else.
    let expected = KINDS.map(|kind| match direction {
        "outbound" => sent[kind as usize] - arrived[kind as usize],
        _ => 0,
    });
    ensure!(refused == expected, "not dropped by the filter: {fates:?}");
    let of_hook = moved
        .iter()
        .filter(|((of, side, _), _)| of == role && side == direction);
    let all: u64 = of_hook.map(|(_, count)| count.packets).sum();
    ensure!(all == sum(sent), "{all} counted in all: {fates:?}");
    Ok(())
}

#[test]
fn each_packet_across_many_swaps_is_judged_by_one_policy() -> Result<()> {
    let (swaps, packets) = (soak::times(SWAPS), soak::times(PACKETS));
    let lab = Lab::new(&Plan::default())?;
    let mut swapper = Swapper::new(&lab)?;
    let streams = Stream::all(&lab, &mut seeded(soak::first_seed()))?;
    let least = (packets / hooks().count()) as u64;
    let (begun, stop) = (Instant::now(), AtomicBool::new(false));
    let fates = thread::scope(|scope| -> Result<Vec<Fates>> {
        let sending: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(|| stream.send(least, &stop)))
            .collect();
        // A stream that ends before it is told to has failed.
        let mut changed = Ok(());
        while changed.is_ok()
            && swapper.swaps < swaps
            && !sending.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            changed = swapper.go_on();
        }
        stop.store(true, Ordering::Relaxed);
        let fates = sending
            .into_iter()
            .map(|sending| sending.join().expect("it does not panic"))
            .collect();
        changed?;
        fates
    })?;
    let took = begun.elapsed();
    assert_eq!(lab.status()?.policy.generation, swapper.generations);
    assert_eq!(swapper.ways.len(), 5, "{:?}", swapper.ways);
    let counters = lab.counters()?;
    for (stream, fates) in streams.iter().zip(&fates) {
        println!("{} {}: {fates:?}", stream.role, stream.direction);
        settle(&counters, stream, fates)
            .with_context(|| format!("{} {}", stream.role, stream.direction))?;
    }
    let sent: u64 = fates.iter().flat_map(|fates| fates.sent).sum();
    println!(
        "{} swaps ({:?}) under {sent} packets in {:.1} s: {} packets a swap",
        swapper.swaps,
        swapper.ways,
        took.as_secs_f64(),
        sent / swapper.swaps as u64
    );
    assert!(swapper.swaps >= swaps && sent >= packets as u64);
    Ok(())
}
