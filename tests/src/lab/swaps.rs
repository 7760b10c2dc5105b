//! Two policies that take turns, and frames that tell which of them judged: allowed by both,
//! by one of them alone, or by neither.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt;

use super::packet::Injector;
use super::sink::{KIND_AT, Sink};
use super::wire::{End, Wire};
use super::{Lab, Plan};
use crate::craft::{Frame, Ip, udp};
use crate::generate::Dice;

/// What a frame is to the two policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Both allow it.
    Both,
    /// The first alone allows it.
    First,
    /// The second alone allows it.
    Second,
    /// Neither does.
    Neither,
}

/// Frames by their [`Kind`].
pub type ByKind = [u64; 4];

/// Every kind, at its place in [`ByKind`].
pub const KINDS: [Kind; 4] = [Kind::Both, Kind::First, Kind::Second, Kind::Neither];

/// Both directions, as they are written.
pub const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];

/// One hook, and what is sent through it.
#[derive(Debug)]
pub struct Stream {
    /// The role.
    pub role: &'static str,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    injector: Injector,
    sink: Sink,
    batches: Vec<Vec<(Kind, Vec<u8>)>>,
}

/// What became of the frames of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates {
    /// What was sent.
    pub sent: ByKind,
    /// What arrived behind the hook.
    pub arrived: ByKind,
    /// What the sender was told was dropped. Nobody tells a sender what is dropped where it
    /// arrives.
    pub refused: ByKind,
}

/// The port of the first kind; that of each other one is one more than the one before.
const PORTS: [u16; 2] = [7000, 8000];
/// Rules of the second policy that no frame meets: more than one word of them, so that the
/// policies do not judge in the same way.
const OTHERS: u16 = 80;
/// Frames that are on their way at a time: fewer than a veth's ring holds.
const BATCH: usize = 64;
/// So many different batches are sent in turn.
const BATCHES: usize = 16;
/// Between two batches.
const PACE: Duration = Duration::from_millis(8);
/// How long a frame that both policies allow may take.
const PATIENCE: Duration = Duration::from_secs(5);

impl Kind {
    /// What the counters of its rules end with; none for frames without a rule.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::First => "first",
            Self::Second => "second",
            Self::Neither => "neither",
        }
    }
}

/// The rule that allows frames of `kind` at a hook.
#[must_use]
pub fn rule(role: &str, direction: &str, kind: Kind) -> String {
    format!("{role}-{direction}-{}", kind.name())
}

/// The two policies.
#[must_use]
pub fn policies() -> [String; 2] {
    let head = r#"version: 1
name: swaps
interfaces:
  external: { devices: [external], outbound: enforce, vlans: [untagged] }
  internal: { devices: [internal], outbound: enforce, vlans: [untagged] }
networks:
  external: [192.0.2.10, "2001:db8::10"]
  internal: [192.0.2.130, "2001:db8:0:1::10"]
default_action: drop
groups:
  - name: frames
    rules:
"#;
    let mut texts = [head.to_owned(), head.to_owned()];
    for number in 0..OTHERS {
        let _ = writeln!(
            texts[1],
            "      - {{ id: other-{number}, interface: external, direction: inbound, from: {{ \
             networks: [198.18.{number}.0/24] }}, to: {{ ports: [{}] }}, protocol: tcp, action: \
             drop }}",
            20_000 + number
        );
    }
    let alone = [Kind::First, Kind::Second];
    for (text, own) in texts.iter_mut().zip(alone) {
        // The order differs, too.
        let kinds = match own {
            Kind::First => [own, Kind::Both],
            _ => [Kind::Both, own],
        };
        for (role, direction, kind) in hooks().flat_map(|(role, direction)| {
            kinds.into_iter().map(move |kind| (role, direction, kind))
        }) {
            let id = rule(role, direction, kind);
            let sides = match direction {
                "inbound" => format!("to: {{ networks: [{role}], ports: [{}] }}", port(0, kind)),
                _ => format!(
                    "from: {{ networks: [{role}] }}, to: {{ ports: [{}] }}",
                    port(1, kind)
                ),
            };
            let _ = writeln!(
                text,
                "      - {{ id: {id}, interface: {role}, direction: {direction}, {sides}, protocol: \
                 udp, action: allow }}"
            );
        }
    }
    texts
}

/// Every hook: role and direction.
pub fn hooks() -> impl Iterator<Item = (&'static str, &'static str)> {
    let roles = ["external", "internal"].into_iter();
    roles.flat_map(|role| DIRECTIONS.map(|direction| (role, direction)))
}

fn port(direction: usize, kind: Kind) -> u16 {
    PORTS[direction] + kind as u16
}

impl Stream {
    /// One through each hook of a lab of the default plan.
    pub fn all(lab: &Lab, dice: &mut Dice) -> Result<Vec<Self>> {
        let plan = Plan::default();
        let wires = [
            (&lab.external, &plan.external),
            (&lab.internal, &plan.internal),
        ];
        let mut streams = Vec::new();
        for (wire, own) in wires {
            for direction in DIRECTIONS {
                streams.push(Self::new(wire, own, direction, dice)?);
            }
        }
        Ok(streams)
    }

    fn new(wire: &Wire, own: &[IpAddr], direction: &'static str, dice: &mut Dice) -> Result<Self> {
        let inbound = direction == "inbound";
        let (from, to) = if inbound {
            (&wire.world, &wire.edge)
        } else {
            (&wire.edge, &wire.world)
        };
        let mut frame = |kind| (kind, frame(own, to, inbound, kind, dice));
        let batches = (0..BATCHES).map(|_| {
            // What ends a batch arrives in any case, and so tells that the batch is through.
            let kinds = KINDS.iter().rev().cycle();
            kinds.take(BATCH).map(|kind| frame(*kind)).collect()
        });
        Ok(Self {
            role: wire.edge.device,
            direction,
            batches: batches.collect(),
            injector: Injector::new(from)?,
            sink: Sink::new(to)?,
        })
    }

    /// Sends `least` frames, and more until told to stop.
    ///
    /// # Errors
    /// A frame that both policies allow did not arrive.
    pub fn send(&self, least: u64, stop: &AtomicBool) -> Result<Fates> {
        let mut fates = Fates::default();
        for batch in self.batches.iter().cycle() {
            for (kind, frame) in batch {
                fates.sent[*kind as usize] += 1;
                if !self.injector.offer(frame)? {
                    fates.refused[*kind as usize] += 1;
                }
            }
            self.await_all(fates.sent[Kind::Both as usize])?;
            if !stop.load(Ordering::Relaxed) {
                sleep(PACE);
            } else if fates.sent.iter().sum::<u64>() >= least {
                break;
            }
        }
        fates.arrived = self.arrived()?;
        Ok(fates)
    }

    /// Waits until `expected` frames that both policies allow have arrived.
    fn await_all(&self, expected: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let arrived = self.arrived()?[Kind::Both as usize];
            if arrived == expected {
                return Ok(());
            }
            ensure!(
                arrived < expected && begun.elapsed() < PATIENCE,
                "{} {}: of {expected} frames that both policies allow {arrived} arrived",
                self.role,
                self.direction
            );
            yield_now();
        }
    }

    fn arrived(&self) -> Result<ByKind> {
        let [both, first, second, neither, others @ ..] = self.sink.arrived()?;
        ensure!(
            others.iter().all(|count| *count == 0),
            "{} {}: somebody else's frames arrived",
            self.role,
            self.direction
        );
        Ok([both, first, second, neither])
    }
}

/// A frame of this kind, from or to anywhere.
fn frame(own: &[IpAddr], to: &End, inbound: bool, kind: Kind, dice: &mut Dice) -> Vec<u8> {
    let own = own[dice.random_range(0..own.len())];
    // Outside of everything that the machine or the filter calls its own.
    let far = match own {
        IpAddr::V4(_) => IpAddr::from([11, 20, dice.random(), dice.random_range(1..255)]),
        IpAddr::V6(_) => IpAddr::from([0x2600, 0x1f, dice.random(), 0, 0, 0, 0, 9]),
    };
    let port_from = dice.random_range(40_000..60_000);
    let (from, to_address, port) = if inbound {
        (far, own, port(0, kind))
    } else {
        (own, far, port(1, kind))
    };
    let packet = Ip::new(from, to_address, udp().ports(port_from, port));
    let mut bytes = Frame::from(packet).to(to.mac).bytes();
    bytes[KIND_AT] = kind as u8;
    bytes
}
