//! What was sent, against what was counted: the one comparison that every
//! end-to-end test makes.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Lab;
use super::packet::Tap;
use super::product::{Moved, difference};
use super::wire::Traffic;

/// How long the last packets of a conversation may take to be counted.
const SETTLE: Duration = Duration::from_millis(1500);

/// Compares the taps at the far ends with the filter's counters.
#[derive(Debug)]
pub struct Meter<'lab> {
    lab: &'lab Lab,
    taps: Vec<(&'static str, Tap)>,
    last_sent: Sent,
    last_counted: Moved,
}

/// What the world put on each wire, by role.
pub type Sent = BTreeMap<&'static str, Traffic>;

/// What moved since the reading before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// By the taps. Roles on whose wire nothing was sent are absent.
    pub sent: Sent,
    /// By the filter.
    pub counted: Moved,
}

impl<'lab> Meter<'lab> {
    /// A meter that reads from now on. The filter must be in place.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        let mut taps = Vec::new();
        for wire in lab.wires() {
            taps.push((wire.edge.device, Tap::new(&wire.world)?));
        }
        let last_counted = lab.counters()?.moved();
        Ok(Self {
            lab,
            taps,
            last_sent: Sent::new(),
            last_counted,
        })
    }

    /// What was sent and counted since the last reading, once both agree or the
    /// filter has had its time.
    pub fn read(&mut self) -> Result<Reading> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let counted = self.lab.counters()?.moved();
            let mut sent = Sent::new();
            for (role, tap) in &mut self.taps {
                sent.insert(role, tap.sent()?);
            }
            let reading = Reading {
                sent: sent
                    .iter()
                    .map(|(role, total)| {
                        (
                            *role,
                            *total - self.last_sent.get(role).copied().unwrap_or_default(),
                        )
                    })
                    .filter(|(_, sent)| *sent != Traffic::default())
                    .collect(),
                counted: difference(&self.last_counted, &counted),
            };
            if reading.agrees() || Instant::now() > deadline {
                self.last_sent = sent;
                self.last_counted = counted;
                return Ok(reading);
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Reading {
    /// Whether each packet that was sent was counted, and nothing else was.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let mut counted = Sent::new();
        for ((role, _), traffic) in &self.counted {
            let Some((role, _)) = self.sent.get_key_value(role.as_str()) else {
                return false;
            };
            let sum = counted.entry(role).or_default();
            *sum = *sum + *traffic;
        }
        counted == self.sent
    }

    /// Whether one counter, of the role on whose wire the packets were sent,
    /// counted them all, byte for byte.
    #[must_use]
    pub fn is_all(&self, role: &str, id: &str) -> bool {
        let key = (role.to_owned(), id.to_owned());
        self.agrees() && self.counted.len() == 1 && self.counted.contains_key(&key)
    }
}
