//! A receiver, and the generator that sends to it: one run, and whether it counts.
//!
//! It counts if every frame that was sent was received, and everything that was received
//! was counted by the receiver as it must be. Any other is discarded, and repeated a few
//! times.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use super::generator::Generator;
use super::progress::say;
use super::rate::Measured;
use super::receiver::Receiver;
use super::traffic::Traffic;
use crate::lab::threaded::poll_on;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Volume {
    /// About how long a run lasts.
    pub time: Duration,
    /// The most frames of a run.
    pub frames: u32,
    /// How many rounds there are.
    pub rounds: u32,
}

/// Where frames are sent from, and received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cores {
    /// On this one, in turn: nothing overflows.
    One(usize),
    /// Sent from the first, received on the second. Nothing tells the sender to wait:
    /// what the receiver does not get at overflows its ring, and is neither received nor
    /// counted.
    Two(usize, usize),
}

/// A receiver that is being measured.
pub(super) struct Runner<'r> {
    receiver: &'r dyn Receiver,
    traffic: Traffic,
    cores: Cores,
    generator: Generator<'r>,
    frames: u32,
    discarded: u32,
}

/// A run that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Frames received, and judged.
    pub(super) received: u64,
    /// Frames that found the ring full.
    pub(super) overflowed: u64,
    /// How much of the sending core's time it took.
    pub(super) took: Duration,
}

/// Frames since the receiver was made.
#[derive(Debug, Clone, Copy)]
struct Totals {
    received: u64,
    overflowed: u64,
    counted: u64,
}

/// How often a run is tried.
const ATTEMPTS: u32 = 5;
/// How long the last frames may take to be received.
const SETTLE: Duration = Duration::from_millis(500);
/// From so many frames it is reckoned how many a run has.
const TRIAL: u32 = 512;

/// The cores that this thread may run on.
pub(super) fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("ask for the cores")?;
    (0..CpuSet::count())
        .filter_map(|core| match allowed.is_set(core) {
            Ok(true) => Some(Ok(core)),
            Ok(false) => None,
            Err(error) => Some(Err(error.into())),
        })
        .collect()
}

impl Cores {
    /// How many they are.
    pub(super) fn count(self) -> u32 {
        match self {
            Self::One(_) => 1,
            Self::Two(..) => 2,
        }
    }
}

impl Run {
    /// Frames received in a second.
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some millions of frames")]
        let received = self.received as f64;
        received / self.took.as_secs_f64()
    }

    /// The part of the frames that found the ring full.
    pub(super) fn overflowed_part(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some millions of frames")]
        let part = self.overflowed as f64 / (self.received + self.overflowed) as f64;
        part
    }
}

impl<'r> Runner<'r> {
    /// Makes ready to send `traffic` to `receiver`, which from then on receives on the
    /// second of two cores, if there are two.
    pub(super) fn new(
        receiver: &'r dyn Receiver,
        traffic: Traffic,
        cores: Cores,
        volume: Volume,
    ) -> Result<Self> {
        let wire = &receiver.lab().external;
        if let Cores::Two(_, core) = cores {
            poll_on(&wire.edge, core)?;
        }
        let mut runner = Self {
            receiver,
            traffic,
            cores,
            generator: Generator::new(&wire.world, traffic.stream(&wire.edge)?)?,
            frames: TRIAL.min(volume.frames),
            discarded: 0,
        };
        // The first frames of all take longer than others, so that few tell little.
        for part in [8, 1] {
            let before = runner.totals()?;
            let each = runner.send()?.as_secs_f64() / f64::from(runner.frames);
            runner.settle(&before)?;
            let frames = (volume.time / part).as_secs_f64() / each.max(1e-9);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded off, and at most the largest there is"
            )]
            let frames = frames as u32;
            runner.frames = frames.max(runner.frames).min(volume.frames);
        }
        Ok(runner)
    }

    /// What its runs found.
    pub(super) fn measured(&self, rounds: Vec<Option<Run>>) -> Measured {
        Measured {
            receiver: self.receiver.name().to_owned(),
            member: self.receiver.member(),
            frames: self.frames,
            discarded: self.discarded,
            rounds,
        }
    }

    /// A run that counts, unless none of a few does.
    pub(super) fn run(&mut self) -> Result<Option<Run>> {
        for _ in 0..ATTEMPTS {
            let before = self.totals()?;
            let sent = self.send()?;
            if let Some(run) = self.judge(&before, sent)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// A run of both of two runners at once, each on its own core. It counts if both do:
    /// their frames together, in the time of the slower.
    pub(super) fn run_both(pair: &mut [Self; 2]) -> Result<Option<Run>> {
        for _ in 0..ATTEMPTS {
            let [one, other] = &mut *pair;
            let before = [one.totals()?, other.totals()?];
            let sent = thread::scope(|scope| {
                let other = scope.spawn(|| other.send());
                let sent = one.send();
                let other = other.join().expect("it does not panic");
                Ok::<_, anyhow::Error>([sent?, other?])
            })?;
            let first = one.judge(&before[0], sent[0])?;
            let second = other.judge(&before[1], sent[1])?;
            if let Some((first, second)) = first.zip(second) {
                return Ok(Some(Run {
                    received: first.received + second.received,
                    overflowed: first.overflowed + second.overflowed,
                    took: first.took.max(second.took),
                }));
            }
        }
        Ok(None)
    }

    /// What was sent as a run, if it counts.
    fn judge(&mut self, before: &Totals, took: Duration) -> Result<Option<Run>> {
        let moved = self.settle(before)?;
        let lossless = moved.overflowed == 0 || self.cores.count() == 2;
        if lossless && self.is_complete(&moved) {
            return Ok(Some(Run {
                received: moved.received,
                overflowed: moved.overflowed,
                took,
            }));
        }
        self.discarded += 1;
        say(format_args!(
            "a run of '{}' does not count: of {} frames {} were received, {} overflowed; {} were \
             counted",
            self.receiver.name(),
            self.frames,
            moved.received,
            moved.overflowed,
            moved.counted
        ));
        Ok(None)
    }

    fn send(&self) -> Result<Duration> {
        let (Cores::One(core) | Cores::Two(core, _)) = self.cores;
        self.generator.send(core, self.frames)
    }

    fn is_complete(&self, moved: &Totals) -> bool {
        moved.received + moved.overflowed == u64::from(self.frames)
            && moved.counted == moved.received
    }

    /// What moved since `before`, once it is everything or the last frames have had
    /// their time.
    fn settle(&self, before: &Totals) -> Result<Totals> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let now = self.totals()?;
            let moved = Totals {
                received: now.received - before.received,
                overflowed: now.overflowed - before.overflowed,
                counted: now.counted - before.counted,
            };
            if self.is_complete(&moved) || Instant::now() > deadline {
                return Ok(moved);
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn totals(&self) -> Result<Totals> {
        let wire = &self.receiver.lab().external;
        Ok(Totals {
            received: wire.edge.statistics()?.received,
            overflowed: wire.world.statistics()?.refused,
            counted: self
                .receiver
                .counted(&self.traffic)
                .with_context(|| format!("read what '{}' has counted", self.receiver.name()))?,
        })
    }
}
