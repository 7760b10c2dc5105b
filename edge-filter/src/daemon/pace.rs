//! When the daemon looks at the devices: soon after something happened to one, but once
//! for all that happens at a time; later and later while a device cannot be filtered; and
//! now and then without being told.

use std::time::{Duration, Instant};

use crate::generation::keep::Missing;

/// A burst of events is over when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(5);
/// The longest that a burst puts off the look.
const LONGEST_BURST: Duration = Duration::from_millis(50);
/// The first pause after a failure; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long nobody looks if nothing happens: some changes come without an event.
const ROUTINE: Duration = Duration::from_mins(1);

/// When to look next.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the events began that nobody has looked at, and when the last one came.
    burst: Option<(Instant, Instant)>,
    /// When a look is due without any event.
    due: Instant,
    failures: u32,
    /// What the last attempt failed with, and until when it is not tried again.
    failed: Option<(Vec<Missing>, Instant)>,
}

impl Pace {
    /// Due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            burst: None,
            due: now,
            failures: 0,
            failed: None,
        }
    }

    /// Something happened to a device.
    pub(super) fn event(&mut self, now: Instant) {
        let (begun, _) = self.burst.unwrap_or((now, now));
        self.burst = Some((begun, now));
    }

    /// When to look.
    pub(super) fn next(&self) -> Instant {
        let burst = self
            .burst
            .map(|(begun, last)| (last + QUIET).min(begun + LONGEST_BURST));
        burst.map_or(self.due, |burst| burst.min(self.due))
    }

    /// A look begins: what happened until now is what it sees.
    pub(super) fn look(&mut self, now: Instant) {
        self.burst = None;
        self.due = now + ROUTINE;
    }

    /// Whether to try to filter what is `missing`: not again so soon after it failed,
    /// unless other devices are missing now.
    pub(super) fn may_try(&mut self, missing: &[Missing], now: Instant) -> bool {
        match &self.failed {
            Some((failed, until)) if failed == missing && now < *until => {
                self.due = self.due.min(*until);
                false
            }
            Some((failed, _)) if failed == missing => true,
            _ => {
                self.failures = 0;
                true
            }
        }
    }

    /// It failed; the pause until the next attempt.
    pub(super) fn failed(&mut self, missing: Vec<Missing>, now: Instant) -> Duration {
        let pause = FIRST_PAUSE
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(LONGEST_PAUSE);
        self.failures += 1;
        self.failed = Some((missing, now + pause));
        self.due = self.due.min(now + pause);
        pause
    }

    /// Nothing is missing.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.failed = None;
    }

    /// Looks at `time` at the latest.
    pub(super) fn not_after(&mut self, time: Instant) {
        self.due = self.due.min(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(index: u32) -> Vec<Missing> {
        vec![Missing {
            device: "eth0".to_owned(),
            index,
            instead: None,
        }]
    }

    #[test]
    fn a_burst_is_looked_at_once_and_not_put_off_for_ever() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.next(), start);
        pace.look(start);
        assert_eq!(pace.next(), start + ROUTINE);
        for milliseconds in 0..100 {
            pace.event(start + Duration::from_millis(milliseconds));
        }
        assert_eq!(pace.next(), start + LONGEST_BURST);
        pace.look(start + LONGEST_BURST);
        let last = start + Duration::from_millis(200);
        pace.event(last);
        assert_eq!(pace.next(), last + QUIET);
    }

    #[test]
    fn pauses_grow_until_another_device_is_missing() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.look(start);
        assert!(pace.may_try(&missing(1), start));
        let mut now = start;
        for expected in [100, 200, 400, 800] {
            let pause = pace.failed(missing(1), now);
            assert_eq!(pause, Duration::from_millis(expected));
            assert_eq!(pace.next(), now + pause);
            assert!(!pace.may_try(&missing(1), now));
            now += pause;
            pace.look(now);
            assert!(pace.may_try(&missing(1), now));
        }
        for _ in 0..40 {
            assert!(pace.failed(missing(1), now) <= LONGEST_PAUSE);
        }
        // The same name, and another device.
        assert!(pace.may_try(&missing(2), now));
        assert_eq!(pace.failed(missing(2), now), FIRST_PAUSE);
    }

    #[test]
    fn an_event_during_a_pause_does_not_lose_the_next_attempt() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.look(start);
        let pause = pace.failed(missing(1), start);
        pace.event(start);
        pace.look(start + QUIET);
        assert!(!pace.may_try(&missing(1), start + QUIET));
        assert_eq!(pace.next(), start + pause);
    }
}
