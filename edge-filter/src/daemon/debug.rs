//! `--debug-bpf`: the programs are replaced by ones that say what becomes of frames, for as
//! long as the daemon runs, and what they say goes to the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use super::log::{Log, Priority};
use crate::generation::Instance;
use crate::generation::keep::Standing;
use crate::kernel::KernelError;
use crate::kernel::diagnostics::Diagnostics;

/// How often the programs are listened to: less than what their rings hold comes meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// What is to be done about diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// The programs are to be replaced.
    Replace,
    /// They are to be listened to.
    Listen,
}

/// Who is listened to.
pub(super) struct Debug {
    wanted: bool,
    /// The generation whose programs are listened to,
    heard: Option<u64>,
    /// and they.
    programs: Vec<Diagnostics>,
    /// The generation whose programs could not be replaced, or not be listened to.
    failed: Option<u64>,
}

/// What a program says of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said<'s> {
    processor: u32,
    /// The number of the frame on that processor.
    frame: u64,
    counter: usize,
    passes: bool,
    bytes: u32,
    /// Protocol, source and its port, destination and its port.
    packet: Option<[&'s str; 5]>,
}

impl Debug {
    /// Nobody, yet.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            heard: None,
            programs: Vec::new(),
            failed: None,
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// What is to be done where things stand so.
    pub(super) fn next(&self, standing: &Standing) -> Next {
        let generation = Some(standing.generation);
        if !self.wanted || self.failed == generation || self.heard == generation {
            Next::Nothing
        } else if standing.diagnostics {
            Next::Listen
        } else if standing.trial_ends_in.is_none() && standing.missing.is_empty() {
            Next::Replace
        } else {
            Next::Nothing
        }
    }

    /// It did not work for this generation, and is not tried again.
    pub(super) fn failed(&mut self, generation: u64) {
        self.failed = Some(generation);
    }

    /// Listens to the programs of a generation.
    ///
    /// # Errors
    /// They cannot be listened to.
    pub(super) fn listen(
        &mut self,
        instance: &Instance,
        generation: u64,
        log: Log,
    ) -> Result<(), KernelError> {
        self.programs.clear();
        self.heard = Some(generation);
        let records = instance.state.records()?;
        let record = records
            .into_iter()
            .find(|record| record.generation == generation);
        for hook in record.into_iter().flat_map(|record| record.hooks) {
            let place = format!("{} {}", hook.device, hook.direction);
            let names = hook.counters.into_iter().map(|slot| slot.id).collect();
            let listener = Listener::new(place, names);
            let hear = move |text: &str| log.say(Priority::Info, &listener.in_words(text));
            self.programs
                .push(Diagnostics::of(hook.program_id, Box::new(hear))?);
        }
        Ok(())
    }

    /// Writes down what was said since the last time.
    pub(super) fn flush(&mut self) {
        for program in &mut self.programs {
            program.flush();
        }
    }
}

/// What is needed to put into words what a program says.
struct Listener {
    place: String,
    names: Vec<String>,
    /// The number of the last frame that was described, by processor.
    last: Mutex<BTreeMap<u32, u64>>,
}

impl Listener {
    fn new(place: String, names: Vec<String>) -> Self {
        Self {
            place,
            names,
            last: Mutex::default(),
        }
    }

    fn in_words(&self, text: &str) -> String {
        let Some(said) = Said::read(text) else {
            return format!("{}: {text}", self.place);
        };
        let Said {
            processor,
            frame,
            counter,
            passes,
            bytes,
            packet,
        } = said;
        let before = {
            let mut last = match self.last.lock() {
                Ok(last) => last,
                Err(poisoned) => poisoned.into_inner(),
            };
            last.insert(processor, frame).unwrap_or(0)
        };
        let name = match self.names.get(counter) {
            Some(name) => name.clone(),
            None => format!("counter {counter}"),
        };
        let verb = if passes { "passes" } else { "drops" };
        let mut words = format!("{}: {name} {verb} {bytes} bytes", self.place);
        if let Some([protocol, from, from_port, to, to_port]) = packet {
            let (name, has_ports) = match protocol {
                "6" => ("TCP".to_owned(), true),
                "17" => ("UDP".to_owned(), true),
                "132" => ("SCTP".to_owned(), true),
                number => (format!("protocol {number}"), false),
            };
            let _ = if has_ports {
                write!(
                    words,
                    ", {name} from {from} port {from_port} to {to} port {to_port}"
                )
            } else {
                write!(words, ", {name} from {from} to {to}")
            };
        }
        match frame.saturating_sub(before + 1) {
            0 => {}
            1 => words += "; 1 frame before it is not described",
            unsaid => {
                let _ = write!(words, "; {unsaid} frames before it are not described");
            }
        }
        words
    }
}

impl<'s> Said<'s> {
    /// Reads what `say` of the programs' diagnostics says.
    fn read(text: &'s str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let said = Self {
            processor: next()?.parse().ok()?,
            frame: next()?.parse().ok()?,
            counter: next()?.parse().ok()?,
            passes: next()?.parse::<u32>().ok()? != 0,
            bytes: next()?.parse().ok()?,
            packet: None,
        };
        let rest: Vec<&str> = words.collect();
        Some(Self {
            packet: rest.try_into().ok(),
            ..said
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_is_put_into_words() {
        let names = ["web", "stun", "drop:default"].map(str::to_owned);
        let listener = Listener::new("eth0 inbound".to_owned(), names.into());
        for (said, words) in [
            (
                "0 1 1 1 98 17 203.0.113.5 4000 192.0.2.10 3478",
                "stun passes 98 bytes, UDP from 203.0.113.5 port 4000 to 192.0.2.10 port 3478",
            ),
            // Another processor counts for itself.
            (
                "1 3 2 0 70 58 2001:db8::1 1 2001:db8::2 0",
                "drop:default drops 70 bytes, protocol 58 from 2001:db8::1 to 2001:db8::2; 2 frames \
                 before it are not described",
            ),
            (
                "0 3 9 0 60",
                "counter 9 drops 60 bytes; 1 frame before it is not described",
            ),
            ("something else", "something else"),
        ] {
            assert_eq!(listener.in_words(said), format!("eth0 inbound: {words}"));
        }
    }

    #[test]
    fn programs_are_replaced_once_and_then_listened_to() {
        let standing = |generation, diagnostics| Standing {
            generation,
            policy: "edge".to_owned(),
            filtered: Vec::new(),
            missing: Vec::new(),
            absent: Vec::new(),
            trial_ends_in: None,
            confirm_deadline: None,
            diagnostics,
        };
        assert_eq!(Debug::new(false).next(&standing(1, false)), Next::Nothing);
        let mut debug = Debug::new(true);
        assert_eq!(debug.next(&standing(1, false)), Next::Replace);
        assert_eq!(debug.next(&standing(2, true)), Next::Listen);
        debug.heard = Some(2);
        assert_eq!(debug.next(&standing(2, true)), Next::Nothing);
        // Somebody has applied another policy.
        assert_eq!(debug.next(&standing(3, false)), Next::Replace);
        debug.failed(3);
        assert_eq!(debug.next(&standing(3, false)), Next::Nothing);
        let on_trial = Standing {
            trial_ends_in: Some(Duration::from_secs(9)),
            ..standing(4, false)
        };
        assert_eq!(debug.next(&on_trial), Next::Nothing);
    }
}
