//! The daemon looks at the counters now and then, so that it is known when each one moved
//! last ([`last_hits`](crate::generation::last_hits)).

use std::time::{Duration, Instant};

use crate::generation::Instance;
use crate::generation::counted::counters;
use crate::generation::last_hits::{LastHits, Moment};
use crate::kernel::KernelError;

/// When to look, and what is known.
#[derive(Debug)]
pub(super) struct Watch {
    every: Duration,
    due: Instant,
    known: Option<LastHits>,
    /// The last look has failed, and that was said.
    failed: bool,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    known: Option<LastHits>,
    /// Why less is known, or kept, than could be.
    error: Option<KernelError>,
}

impl Watch {
    /// Due at once, and from then on `every` so often.
    pub(super) fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            due: now,
            known: None,
            failed: false,
        }
    }

    /// When to look.
    pub(super) fn next(&self) -> Instant {
        self.due
    }

    /// A look begins, with what is known.
    pub(super) fn begin(&mut self, now: Instant) -> Option<LastHits> {
        self.due = now + self.every;
        self.known.take()
    }

    /// What is known now; what went wrong, if that is news.
    pub(super) fn conclude(&mut self, looked: Looked) -> Option<KernelError> {
        self.known = looked.known;
        let was_said = std::mem::replace(&mut self.failed, looked.error.is_some());
        looked.error.filter(|_| !was_said)
    }
}

/// Looks at the counters, with what is `known` since the look before.
pub(super) fn look(instance: &Instance, known: Option<LastHits>) -> Looked {
    let read = counters(instance).and_then(|counters| Ok((counters, Moment::now()?)));
    let (counters, now) = match read {
        Ok(read) => read,
        Err(error) => {
            return Looked {
                known,
                error: Some(error),
            };
        }
    };
    if counters.hooks.is_empty() {
        return Looked {
            known: None,
            error: None,
        };
    }
    // Who removed the file wants what is counted from now on to begin anew, as `detach` does.
    let known = known.filter(|_| instance.state.has_last_hits());
    let (known, is_news) = if let Some(mut known) = known {
        let is_news = known.look(&counters, now);
        (known, is_news)
    } else {
        let kept = LastHits::known(instance, &counters, now.clone());
        (kept.unwrap_or_else(|| LastHits::new(&counters, now)), true)
    };
    let kept = if is_news {
        keep(instance, &known)
    } else {
        Ok(())
    };
    Looked {
        known: Some(known),
        error: kept.err(),
    }
}

fn keep(instance: &Instance, known: &LastHits) -> Result<(), KernelError> {
    instance.state.keep_last_hits(known)?;
    // After a `detach` in the meantime nothing may be left.
    if !instance.pins.exists() {
        instance.state.forget_last_hits()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_as_far_apart_as_asked_and_a_failure_is_said_once() {
        let start = Instant::now();
        let every = Duration::from_secs(10);
        let mut watch = Watch::new(every, start);
        assert_eq!(watch.next(), start);
        assert!(watch.begin(start).is_none());
        assert_eq!(watch.next(), start + every);
        let failed = || Looked {
            known: None,
            error: Some(KernelError::new("look")),
        };
        let fine = || Looked {
            known: None,
            error: None,
        };
        assert!(watch.conclude(failed()).is_some());
        assert!(watch.conclude(failed()).is_none());
        assert!(watch.conclude(fine()).is_none());
        assert!(watch.conclude(failed()).is_some());
    }
}
