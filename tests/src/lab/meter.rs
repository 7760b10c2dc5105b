//! What was sent, against what was counted: the one comparison that every
//! end-to-end test makes.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Lab;
use super::packet::{Seen, Tap};
use super::product::{CounterName, Counters, Moved, Passed, difference};
use super::wire::Traffic;

/// How long the last packets of a conversation may take to be counted.
const SETTLE: Duration = Duration::from_millis(1500);

/// Compares the taps at the far ends with the filter's counters.
#[derive(Debug)]
pub struct Meter<'lab> {
    lab: &'lab Lab,
    taps: Vec<(&'static str, Tap)>,
    last_seen: Vec<Seen>,
    last: Counters,
}

/// What the far end of each wire sent, or received, by role.
pub type ByRole = BTreeMap<&'static str, Traffic>;

/// What moved since the reading before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// By the taps: what came towards the edge. Silent wires are absent.
    pub sent: ByRole,
    /// By the taps: what came from the edge. Silent wires are absent.
    pub received: ByRole,
    /// By the filter.
    pub counted: Moved,
    /// By the filter: what it let pass.
    passed: Passed,
    /// The roles that have an outbound hook.
    outbound: Vec<String>,
}

impl<'lab> Meter<'lab> {
    /// A meter that reads from now on. The filter must be in place.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        let mut taps = Vec::new();
        for wire in lab.wires() {
            taps.push((wire.edge.device, Tap::new(&wire.world)?));
        }
        Ok(Self {
            lab,
            last_seen: vec![Seen::default(); taps.len()],
            taps,
            last: lab.counters()?,
        })
    }

    /// What was sent, received and counted since the last reading, once all agree or
    /// the filter has had its time.
    pub fn read(&mut self) -> Result<Reading> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let counters = self.lab.counters()?;
            let mut seen = Vec::new();
            for (_, tap) in &mut self.taps {
                seen.push(tap.seen()?);
            }
            let reading = self.reading(&counters, &seen);
            if reading.agrees() || Instant::now() > deadline {
                self.last_seen = seen;
                self.last = counters;
                return Ok(reading);
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn reading(&self, counters: &Counters, seen: &[Seen]) -> Reading {
        let by_role = |of: fn(&Seen) -> Traffic| -> ByRole {
            let roles = self.taps.iter().map(|(role, _)| *role);
            roles
                .zip(seen.iter().zip(&self.last_seen))
                .map(|(role, (now, last))| (role, of(now) - of(last)))
                .filter(|(_, traffic)| *traffic != Traffic::default())
                .collect()
        };
        let outbound = counters
            .hooks
            .iter()
            .filter(|hook| hook.direction == "outbound");
        Reading {
            sent: by_role(|seen| seen.sent),
            received: by_role(|seen| seen.received),
            counted: difference(&self.last.moved(), &counters.moved()),
            passed: difference(&self.last.passed(), &counters.passed()),
            outbound: outbound.map(|hook| hook.interface.clone()).collect(),
        }
    }
}

impl Reading {
    /// Whether each packet that was sent was counted inbound, and each that was
    /// received was let pass outbound, and nothing else was.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let mut inbound: BTreeMap<&str, Traffic> = BTreeMap::new();
        for ((role, direction, _), traffic) in &self.counted {
            if direction == "inbound" {
                let sum = inbound.entry(role).or_default();
                *sum = *sum + *traffic;
            }
        }
        let outbound = self
            .passed
            .iter()
            .filter(|((_, direction), _)| direction == "outbound")
            .map(|((role, _), traffic)| (&**role, *traffic));
        let received = self
            .received
            .iter()
            .filter(|(role, _)| self.outbound.iter().any(|with| with == *role))
            .map(|(role, traffic)| (*role, *traffic));
        inbound
            .into_iter()
            .eq(self.sent.iter().map(|(role, sent)| (*role, *sent)))
            && outbound.eq(received)
    }

    /// Whether these counters, and no others, counted everything, byte for byte.
    #[must_use]
    pub fn is(&self, counters: &[CounterName]) -> bool {
        let mut expected: Vec<&CounterName> = counters.iter().collect();
        expected.sort();
        self.agrees() && self.counted.keys().eq(expected)
    }
}
