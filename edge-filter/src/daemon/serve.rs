//! The daemon's loop: one thing at a time is done, on a thread of its own, while signals,
//! events and the watchdog are listened to.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::Given;
use super::debug::{self, Debug};
use super::log::{Log, Priority};
use super::notify::Notifier;
use super::pace::Pace;
use super::watch::{self, Watch};
use super::words::{first_line, in_words};
use super::work::{Found, Mended, Reloaded, look, mend, reload};
use crate::generation::Instance;
use crate::generation::applied::Applied;
use crate::generation::keep::{Followed, Standing, diagnose};
use crate::generation::last_good::{Ground, Management, Ready};
use crate::kernel::KernelError;
use crate::kernel::link_events::LinkEvents;

/// What takes longer than this has gone wrong: the watchdog is told nothing any more.
const LONGEST_WORK: Duration = Duration::from_mins(2);

/// How long after a trial's deadline the devices are looked at: the program notices it one
/// tick late at most.
const AFTER_DEADLINE: Duration = Duration::from_millis(20);

/// What is being done.
struct Work {
    since: Instant,
    done: JoinHandle<Outcome>,
}

/// What became of it.
enum Outcome {
    Looked(Found),
    Mended(Mended),
    Reloaded(Vec<String>, Reloaded),
    Watched(watch::Looked),
    /// What became of replacing the programs of a generation by ones that say what they do.
    Diagnosed(u64, Result<Option<Applied>, KernelError>),
}

struct Daemon<'a> {
    instance: &'a Instance,
    given: Option<Given>,
    management: Management,
    log: Log,
    notifier: Notifier,
    pace: Pace,
    watch: Watch,
    debug: Debug,
    work: Option<Work>,
    /// The given policy is to be applied, as soon as nothing else is done.
    reload: bool,
    /// Systemd waits to be told that it is ready.
    unready: bool,
    /// It was told once.
    started: bool,
    /// Why the given policy was not applied.
    idle_because: Option<KernelError>,
    /// What there is to stand on, where that is not as it should be.
    ground: Option<Ground>,
    /// What was said to be wrong beside it.
    warned: Vec<String>,
    /// The devices that were said not to be there.
    absent: Vec<String>,
    status: String,
    said: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// As [`super::run`].
pub(super) async fn serve(
    instance: &Instance,
    given: Option<Given>,
    management: Management,
    (every, debug): (Duration, bool),
    log: Log,
) -> Result<(), KernelError> {
    let mut events = LinkEvents::listen()?;
    let mut terminated = listen(SignalKind::terminate())?;
    let mut interrupted = listen(SignalKind::interrupt())?;
    let mut hang_ups = listen(SignalKind::hangup())?;
    let mut watchdog = Notifier::watchdog().map(interval);
    if let Some(watchdog) = &mut watchdog {
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut daemon = Daemon {
        instance,
        reload: given.is_some(),
        given,
        management,
        log,
        notifier: Notifier::new(log),
        pace: Pace::new(Instant::now()),
        watch: Watch::new(every, Instant::now()),
        debug: Debug::new(debug),
        work: None,
        unready: true,
        started: false,
        idle_because: None,
        ground: None,
        warned: Vec::new(),
        absent: Vec::new(),
        status: String::new(),
        said: None,
    };
    let mut hearing = daemon.debug.is_wanted().then(|| interval(debug::PAUSE));
    loop {
        daemon.begin_due();
        let next = daemon.pace.next().min(daemon.watch.next());
        let is_idle = daemon.work.is_none();
        tokio::select! {
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            _ = hang_ups.recv() => daemon.hang_up(),
            changed = events.changed() => {
                changed?;
                daemon.pace.event(Instant::now());
            }
            outcome = finished(&mut daemon.work) => daemon.conclude(outcome?)?,
            () = sleep_until(next.into()), if is_idle => {}
            () = tick(&mut watchdog) => daemon.tell_watchdog(),
            () = tick(&mut hearing) => daemon.debug.flush(),
        }
    }
    daemon.end().await
}

fn listen(kind: SignalKind) -> Result<Signal, KernelError> {
    signal(kind).map_err(|error| KernelError::new("listen for signals").because(error))
}

/// The next tick; never where there is none.
async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// What became of the work, when it is done; never while there is none.
async fn finished(work: &mut Option<Work>) -> Result<Outcome, KernelError> {
    let Some(running) = work else {
        return std::future::pending().await;
    };
    let outcome = (&mut running.done).await;
    *work = None;
    outcome.map_err(|error| KernelError::new("go on").because(io::Error::other(error)))
}

impl Daemon<'_> {
    /// Begins what is due, if nothing else is being done.
    fn begin_due(&mut self) {
        if self.work.is_some() {
            return;
        }
        let now = Instant::now();
        if let Some(given) = self.given.clone().filter(|_| self.reload) {
            self.reload = false;
            self.begin(move |instance| {
                let (warnings, reloaded) = reload(instance, &given);
                Outcome::Reloaded(warnings, reloaded)
            });
        } else if self.pace.next() <= now {
            self.pace.look(now);
            let management = self.management.clone();
            self.begin(move |instance| Outcome::Looked(look(instance, &management)));
        } else if self.watch.next() <= now {
            let known = self.watch.begin(now);
            self.begin(|instance| Outcome::Watched(watch::look(instance, known)));
        }
    }

    fn begin(&mut self, work: impl FnOnce(&Instance) -> Outcome + Send + 'static) {
        let instance = self.instance.clone();
        self.work = Some(Work {
            since: Instant::now(),
            done: spawn_blocking(move || work(&instance)),
        });
    }

    fn hang_up(&mut self) {
        self.notifier.reloading();
        self.unready = true;
        self.pace.not_after(Instant::now());
        // Whoever asks is told all of it once more.
        self.warned.clear();
        self.absent.clear();
        if self.given.is_some() {
            self.reload = true;
        } else {
            let text = match self.ground {
                Some(Ground::LastResort(_)) => "SIGHUP: reading the management rules again",
                _ => "SIGHUP: there is no policy to read again; looking after what is enforced",
            };
            self.log.say(Priority::Notice, text);
        }
    }

    fn tell_watchdog(&self) {
        let is_stuck = |work: &Work| work.since.elapsed() > LONGEST_WORK;
        if !self.work.as_ref().is_some_and(is_stuck) {
            self.notifier.alive();
        }
    }

    fn conclude(&mut self, outcome: Outcome) -> Result<(), KernelError> {
        match outcome {
            Outcome::Looked(found) => self.looked(found)?,
            Outcome::Mended(mended) => self.mended(mended),
            Outcome::Reloaded(warnings, reloaded) => self.reloaded(&warnings, reloaded),
            Outcome::Diagnosed(generation, diagnosed) => self.diagnosed(generation, diagnosed),
            Outcome::Watched(looked) => {
                if let Some(error) = self.watch.conclude(looked) {
                    let text = format!("when counters move last is not known: {error}");
                    self.log.say(Priority::Warning, &text);
                }
                // No event says that somebody has replaced the programs.
                if self.debug.is_wanted() {
                    self.pace.event(Instant::now());
                }
            }
        }
        Ok(())
    }

    fn looked(&mut self, found: Found) -> Result<(), KernelError> {
        let now = Instant::now();
        self.stand_on(found.ready, now);
        let standing = match found.standing {
            Ok(standing) => standing,
            Err(error) => {
                let pause = self.pace.failed(Vec::new(), now);
                self.complain(&error, pause);
                return self.tell(&format!("cannot look: {}", first_line(&error)), false);
            }
        };
        let Some(standing) = standing else {
            if let Some(Ground::LastResort(_)) = self.ground {
                let text = "LAST RESORT: no device is closed";
                return self.tell(text, false);
            }
            self.pace.succeeded();
            return self.tell("nothing is enforced, and nothing was committed", true);
        };
        self.miss(&standing.absent);
        if let Some(duration) = standing.trial_ends_in {
            self.pace.not_after(now + duration + AFTER_DEADLINE);
        }
        if standing.missing.is_empty() {
            self.pace.succeeded();
            self.said = None;
        } else if self.pace.may_try(&standing.missing, now) {
            let missing = standing.missing;
            let management = self.management.clone();
            self.begin(move |instance| Outcome::Mended(mend(instance, &management, missing)));
            return Ok(());
        }
        self.tell(&in_words(&standing, self.ground.as_ref()), false)?;
        self.debug(&standing);
        Ok(())
    }

    /// Names the devices that are not there, where that is news.
    fn miss(&mut self, absent: &[String]) {
        for device in absent.iter().filter(|name| !self.absent.contains(name)) {
            let text = format!("warning: {device} is not there: it is filtered when it comes");
            self.log.say(Priority::Warning, &text);
        }
        self.absent = absent.to_vec();
    }

    /// Sees to it that the programs say what they do, if that is wanted, and are heard.
    fn debug(&mut self, standing: &Standing) {
        let generation = standing.generation;
        match self.debug.next(standing) {
            debug::Next::Nothing => {}
            debug::Next::Replace => {
                self.begin(move |instance| {
                    Outcome::Diagnosed(generation, diagnose(instance, true))
                });
            }
            debug::Next::Listen => {
                if let Err(error) = self.debug.listen(self.instance, generation, self.log) {
                    self.debug.failed(generation);
                    self.log.say(Priority::Error, &format!("error: {error}"));
                }
            }
        }
    }

    fn diagnosed(&mut self, generation: u64, diagnosed: Result<Option<Applied>, KernelError>) {
        match diagnosed {
            Ok(Some(applied)) => {
                self.say_applied("with diagnostics", &applied);
                // Who is to be listened to is seen then.
                self.pace.event(Instant::now());
            }
            // A trial has begun in the meantime, or somebody took everything away.
            Ok(None) => {}
            Err(error) => {
                self.debug.failed(generation);
                let text = format!("error: {error}\n  there are no diagnostics");
                self.log.say(Priority::Error, &text);
            }
        }
    }

    /// Says what there is to stand on, if that is news, and what was done for it.
    fn stand_on(&mut self, ready: Option<Ready>, now: Instant) {
        let Some(ready) = ready else {
            self.ground = None;
            self.warned.clear();
            return;
        };
        for applied in &ready.applied {
            self.say_applied("applied", applied);
        }
        if self.ground.as_ref() != Some(&ready.ground) {
            self.warned.clear();
            if let Some(text) = ready.ground.in_words() {
                self.log.say(Priority::Error, &format!("error: {text}"));
            }
        }
        self.ground = Some(ready.ground);
        let is_news = |warning: &&String| !self.warned.contains(warning);
        for warning in ready.warnings.iter().filter(is_news) {
            let text = format!("warning: {warning}");
            self.log.say(Priority::Warning, &text);
        }
        self.warned = ready.warnings;
        for error in &ready.failed {
            let pause = self.pace.failed(Vec::new(), now);
            self.complain(error, pause);
        }
    }

    fn mended(&mut self, Mended { repaired, ready }: Mended) {
        let now = Instant::now();
        for (applied, took) in &repaired.applied {
            self.say_applied("filtered again", applied);
            self.log.say(
                Priority::Info,
                &format!("that took {} ms", took.as_millis()),
            );
        }
        let is_new_ground = ready.as_ref().is_some_and(Ready::is_new);
        if ready.is_some() {
            self.stand_on(ready, now);
        }
        if repaired.failed.is_empty() || is_new_ground {
            self.pace.succeeded();
        } else {
            let pause = self.pace.failed(repaired.missing, now);
            for error in &repaired.failed {
                self.complain(error, pause);
            }
        }
        // How things stand now.
        self.pace.event(now);
    }

    fn reloaded(&mut self, warnings: &[String], reloaded: Reloaded) {
        for warning in warnings {
            self.log.say(Priority::Warning, warning);
        }
        self.idle_because = None;
        let error = match reloaded {
            Reloaded::Followed(Followed::Applied(applied)) => {
                self.say_applied("applied", &applied);
                None
            }
            Reloaded::Followed(Followed::Unchanged) => {
                let text = "the policy is the one that was committed last";
                self.log.say(Priority::Info, text);
                None
            }
            Reloaded::Followed(Followed::OnTrial(deadline)) => {
                self.log.say(
                    Priority::Warning,
                    &format!(
                        "the policy is not applied: a trial is running until {deadline}\n  help: \
                         `edge-filter confirm` keeps it, `edge-filter rollback` ends it; reload \
                         after that"
                    ),
                );
                None
            }
            Reloaded::Invalid(message) => {
                self.log.say(Priority::Error, &message);
                Some(KernelError::new("apply the policy").because("it is not valid"))
            }
            Reloaded::Refused(error) => {
                self.log.say(Priority::Error, &format!("error: {error}"));
                Some(error)
            }
        };
        if error.is_some() {
            let text = "what is enforced stays";
            self.log.say(Priority::Error, text);
        }
        self.idle_because = error;
        self.pace.not_after(Instant::now());
    }

    /// Tells systemd how things stand, if that is news. Having nothing to look after is no
    /// way to start for a daemon whose own policy was refused.
    fn tell(&mut self, status: &str, is_idle: bool) -> Result<(), KernelError> {
        if self.unready && !self.reload {
            self.unready = false;
            let cannot_begin = is_idle && !self.started;
            if let Some(error) = self.idle_because.take().filter(|_| cannot_begin) {
                return Err(error);
            }
            self.started = true;
            self.log.say(Priority::Info, status);
            self.notifier.ready(status);
        } else if self.status != status {
            self.log.say(Priority::Info, status);
            self.notifier.status(status);
        }
        status.clone_into(&mut self.status);
        Ok(())
    }

    fn say_applied(&self, what: &str, applied: &Applied) {
        for warning in &applied.warnings {
            self.log
                .say(Priority::Warning, &format!("warning: {warning}"));
        }
        let hooks: Vec<String> = applied
            .hooks
            .iter()
            .map(|hook| {
                format!(
                    "{} {} by {}",
                    hook.device,
                    hook.direction,
                    hook.site.in_words()
                )
            })
            .collect();
        let Applied {
            policy, generation, ..
        } = applied;
        let hooks = match &*hooks {
            [] => "no device is filtered".to_owned(),
            hooks => hooks.join(", "),
        };
        let text = format!("{what}: policy '{policy}' as generation {generation}: {hooks}");
        self.log.say(Priority::Notice, &text);
    }

    /// The same words again are not worth an error.
    fn complain(&mut self, error: &KernelError, pause: Duration) {
        let text = format!("error: {error}");
        let priority = match &self.said {
            Some(said) if *said == text => Priority::Info,
            _ => Priority::Error,
        };
        let again = format!("{text}\n  trying again in {pause:?}");
        self.log.say(priority, &again);
        self.said = Some(text);
    }

    /// What was begun is finished first: it is whole or not at all, but quickly done.
    async fn end(mut self) -> Result<(), KernelError> {
        self.notifier.stopping();
        if self.work.is_some() {
            let outcome = finished(&mut self.work).await?;
            self.unready = false;
            if !matches!(outcome, Outcome::Looked(_) | Outcome::Watched(_)) {
                self.conclude(outcome)?;
            }
        }
        if self.debug.is_wanted() {
            self.debug.flush();
            self.begin(|instance| Outcome::Diagnosed(0, diagnose(instance, false)));
            if let Outcome::Diagnosed(_, Err(error)) = finished(&mut self.work).await? {
                let text =
                    format!("error: {error}\n  help: `edge-filter apply` ends the diagnostics");
                self.log.say(Priority::Error, &text);
            }
        }
        let text = "ended; what is enforced stays enforced";
        self.log.say(Priority::Notice, text);
        Ok(())
    }
}
