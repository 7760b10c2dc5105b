//! Word to systemd (`sd_notify(3)`); without `NOTIFY_SOCKET` nobody is told.
//!
//! A message waits for as long as systemd has not read those before it, and nothing that
//! filters a device may wait for that: messages are sent from a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::log::{Log, Priority};

/// How many messages may be unsent; what comes then is lost.
const UNSENT: usize = 256;

/// How long the last message may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Tells systemd.
#[derive(Debug)]
pub(super) struct Notifier {
    log: Log,
    messages: SyncSender<String>,
    unsent: Arc<AtomicUsize>,
}

impl Notifier {
    /// Begins the thread that sends. It inherits what its maker may do.
    pub(super) fn new(log: Log) -> Self {
        let (messages, sent) = sync_channel(UNSENT);
        let unsent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&unsent);
        thread::spawn(move || send(log, &sent, &count));
        Self {
            log,
            messages,
            unsent,
        }
    }

    /// How often the watchdog wants to hear: twice in the time that it waits.
    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|waits| waits / 2)
    }

    /// The daemon has started, or has reloaded.
    pub(super) fn ready(&self, status: &str) {
        self.queue(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// How things stand.
    pub(super) fn status(&self, status: &str) {
        self.queue(&[NotifyState::Status(status)]);
    }

    /// It reloads; `ready` follows.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.queue(&[NotifyState::Reloading, now]),
            Err(error) => self.log.say(
                Priority::Warning,
                &format!("cannot read the clock: {error}"),
            ),
        }
    }

    /// It ends. This waits until systemd knows, but not for long.
    pub(super) fn stopping(&self) {
        self.queue(&[NotifyState::Stopping]);
        let begun = Instant::now();
        while self.unsent.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_WORD {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// It is alive. While systemd reads nothing, once is enough.
    pub(super) fn alive(&self) {
        if self.unsent.load(Ordering::Acquire) == 0 {
            self.queue(&[NotifyState::Watchdog]);
        }
    }

    fn queue(&self, states: &[NotifyState<'_>]) {
        let lines: Vec<String> = states.iter().map(ToString::to_string).collect();
        self.unsent.fetch_add(1, Ordering::AcqRel);
        if self.messages.try_send(lines.join("\n")).is_err() {
            self.unsent.fetch_sub(1, Ordering::AcqRel);
            let text = "systemd does not read what it is told";
            self.log.say(Priority::Warning, text);
        }
    }
}

/// Sends what comes, until nobody is left who could say anything.
fn send(log: Log, messages: &Receiver<String>, unsent: &AtomicUsize) {
    for message in messages {
        if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&message)]) {
            let text = format!("cannot tell systemd how things stand: {error}");
            log.say(Priority::Warning, &text);
        }
        unsent.fetch_sub(1, Ordering::AcqRel);
    }
}
