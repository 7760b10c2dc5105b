//! What was committed last is enforced again after a reboot or a crash, whatever has become
//! of its record: nothing that was filtered is left open.
//!
//! Where the state directory can be used, that is what [`keep`](super::keep) does. Where
//! files of it are damaged or it takes no more, but what was committed last can be read, the
//! same is done from memory ([`super::emergency`]). Where that cannot be read either, what is
//! attached stays, if that filters all that should be ([`super::whole`]), or the policy of last
//! resort is enforced ([`super::closing`]): the management rules, and nothing else. Where nothing
//! was committed, there is nothing to do.

use std::path::PathBuf;
use std::sync::Arc;

use super::Instance;
use super::applied::Applied;
use super::apply::locked;
use super::closing::{close, is_closed};
use super::emergency::{self, Emergency, Purpose};
use super::keep::{Followed, Standing, Wish, follow, follow_held, repair, standing, standing_held};
use super::passing::Passing;
use super::remains::{Last, Remains};
use super::state_dir::StateDir;
use super::whole::{is_recorded, is_whole};
use crate::kernel::KernelError;

/// Reads the file of the management rules: its text, none if there is no such file, or why
/// it cannot be read.
pub type ReadManagement = dyn Fn() -> Result<Option<String>, String> + Send + Sync;

/// The management rules.
#[derive(Clone)]
pub struct Management {
    /// Where they lie.
    pub file: PathBuf,
    /// Reads them.
    pub read: Arc<ReadManagement>,
}

/// What is to be looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// Nothing: neither was anything ever committed, or it was detached.
    Nothing,
    /// What was committed last, as the state directory has it.
    Committed,
    /// The same, as memory has it: why.
    InMemory(String),
    /// What is attached, whatever it is; nothing can be done about it: why.
    Attached(String),
    /// The policy of last resort: why.
    LastResort(String),
}

/// What there is to stand on, and what had to be done for that.
#[derive(Debug)]
pub struct Ready {
    /// What is to be looked after.
    pub ground: Ground,
    /// What was applied.
    pub applied: Vec<Applied>,
    /// What failed.
    pub failed: Vec<KernelError>,
    /// What is not as it should be, and matters to whoever puts it right.
    pub warnings: Vec<String>,
    /// How things stand, where no state says so.
    pub standing: Option<Standing>,
}

/// What became of it all.
#[derive(Debug)]
pub struct LastGood {
    /// What is enforced, and why.
    pub ground: Ground,
    /// What was applied.
    pub applied: Vec<Applied>,
    /// What failed.
    pub failed: Vec<KernelError>,
    /// What is not as it should be, and matters to whoever puts it right.
    pub warnings: Vec<String>,
    /// How things stand now; none if nothing is to be enforced.
    pub standing: Option<Standing>,
}

/// Enforces what was committed last on those of its devices that are there and not filtered,
/// or the policy of last resort.
///
/// # Errors
/// The kernel cannot be asked, or nothing can be enforced.
pub fn last_good(instance: &Instance, management: &Management) -> Result<LastGood, KernelError> {
    let Ready {
        ground,
        mut applied,
        mut failed,
        mut warnings,
        standing: passing,
    } = ready(instance, management)?;
    let standing = match ground {
        _ if passing.is_some() => {
            return Ok(LastGood {
                ground,
                applied,
                failed,
                warnings,
                standing: passing,
            });
        }
        Ground::Attached(_) => None,
        // It may be the first that was ever applied, and on trial.
        Ground::Nothing => standing(instance).unwrap_or_else(|error| {
            warnings.push(error.to_string());
            None
        }),
        _ => standing(instance)?,
    };
    let standing = match standing {
        Some(found) if !found.missing.is_empty() => {
            let repaired = repair(instance, found.missing);
            applied.extend(repaired.applied.into_iter().map(|(applied, _)| applied));
            failed.extend(repaired.failed);
            self::standing(instance)?
        }
        standing => standing,
    };
    Ok(LastGood {
        ground,
        applied,
        failed,
        warnings,
        standing,
    })
}

/// What there is to stand on, and what it takes.
enum Need {
    /// Nothing more.
    Nothing(Ground),
    /// State in memory, with what remains, for this reason; where what was committed last is not
    /// among it, the policy of last resort.
    Memory(Remains, String),
    /// The policy of last resort, as it is now; the state lies in memory already.
    Closing(String),
}

/// What became of seeing to it.
enum Seen {
    Ready(Ready),
    /// No place in memory takes the state: it lies here.
    Passing(Ready, Passing, Instance),
}

/// Sees to it that [`keep`](super::keep) can go on: that there is state which can be read
/// and written to, or that the policy of last resort is enforced.
///
/// # Errors
/// The kernel cannot be asked, somebody else is changing what is enforced, or nothing can be
/// enforced.
pub fn ready(instance: &Instance, management: &Management) -> Result<Ready, KernelError> {
    settle(instance);
    if let Need::Nothing(ground) = need(instance, standing)? {
        return Ok(Ready::on(ground));
    }
    let fresh = !instance.pins.exists();
    let seen = locked(instance, || {
        // Somebody may have seen to it in the meantime.
        let seen = match need(instance, standing_held)? {
            Need::Nothing(ground) => Seen::Ready(Ready::on(ground)),
            Need::Closing(reason) => Seen::Ready(close(instance, management, reason)?),
            Need::Memory(remains, reason) => begin(instance, management, &remains, &reason)?,
        };
        if fresh {
            // Whatever is attached by now keeps it.
            let _ = instance.pins.remove();
        }
        Ok(seen)
    })?;
    match seen {
        Seen::Ready(ready) => Ok(ready),
        Seen::Passing(ready, _place, passing) => repaired(ready, &passing),
    }
}

/// Says how things stand: [`standing`], or what does where the lock is held.
type Standings = fn(&Instance) -> Result<Option<Standing>, KernelError>;

/// Looks at how things stand.
fn need(instance: &Instance, standing: Standings) -> Result<Need, KernelError> {
    if let Some(emergency) = instance.state.emergency() {
        return Ok(match Ground::from(&emergency) {
            Ground::LastResort(reason) if is_kept(instance)? => {
                Need::Nothing(Ground::Attached(reason))
            }
            Ground::LastResort(reason) => Need::Closing(reason),
            ground => Need::Nothing(ground),
        });
    }
    let mut remains = instance.state.remains();
    let reason = match &remains.last {
        Last::Nothing => return Ok(Need::Nothing(Ground::Nothing)),
        Last::Found => {
            return Ok(match unusable(instance, &remains, standing)? {
                None => Need::Nothing(Ground::Committed),
                Some(reason) => Need::Memory(remains, reason),
            });
        }
        Last::Lost(reason) => reason.clone(),
    };
    // The records are believed as long as what is attached is theirs.
    if !is_recorded(instance, &remains.records)? || !remains.recover() {
        let last = remains.newest_read();
        if is_whole(instance, &remains.records, last)? {
            return Ok(Need::Nothing(Ground::Attached(reason)));
        }
    }
    Ok(Need::Memory(remains, reason))
}

/// Begins an emergency with what remains, and closes the host where what was committed last is
/// not among it. Where no place in memory takes the state, that is done all the same, with state
/// that ends with this process. The caller holds the lock.
fn begin(
    instance: &Instance,
    management: &Management,
    remains: &Remains,
    reason: &str,
) -> Result<Seen, KernelError> {
    const OPEN: &str = "nothing was enforced: WHAT WAS NOT FILTERED IS OPEN";
    let is_lost = matches!(remains.last, Last::Lost(_));
    let begun = |state: &StateDir| emergency::begin(state, remains, reason, is_lost, Purpose::Keep);
    let ready = |instance: &Instance| {
        if is_lost {
            close(instance, management, reason.to_owned())
        } else {
            Ok(Ready::on(Ground::InMemory(reason.to_owned())))
        }
    };
    let Err(refused) = begun(&instance.state) else {
        return ready(instance).map(Seen::Ready);
    };
    let taken = Passing::each().find_map(|place| {
        let passing = Instance {
            pins: instance.pins.clone(),
            state: place.instead_of(&instance.state),
        };
        begun(&passing.state).ok()?;
        Some((place, passing))
    });
    let Some((place, passing)) = taken else {
        return Err(refused.leaving(OPEN));
    };
    let mut ready = ready(&passing)?;
    ready.warnings.push(format!(
        "{refused}\n  no command knows what is enforced until `edge-filter apply POLICY` is run, \
         with a directory that can be written to as --run-dir"
    ));
    Ok(Seen::Passing(ready, place, passing))
}

/// Repairs at once what is to be enforced by state that ends with this process.
fn repaired(mut ready: Ready, passing: &Instance) -> Result<Ready, KernelError> {
    let found = standing(passing)?;
    let missing = found.map_or_else(Vec::new, |found| found.missing);
    if !missing.is_empty() {
        let repaired = repair(passing, missing);
        let applied = repaired.applied.into_iter().map(|(applied, _)| applied);
        ready.applied.extend(applied);
        ready.failed.extend(repaired.failed);
    }
    ready.standing = standing(passing)?;
    Ok(ready)
}

/// The same as [`follow`], also where the state directory cannot be used: what is in its
/// place ends by it, if the disk takes what is to be kept.
///
/// # Errors
/// As [`follow`]; then state lies where it lay.
pub fn follow_anyway(instance: &Instance, wish: Wish<'_>) -> Result<Followed, KernelError> {
    let error = match follow(instance, wish) {
        Ok(followed) => return Ok(followed),
        Err(error) => error,
    };
    if instance.state.emergency().is_some() {
        return Err(error);
    }
    locked(instance, || {
        let remains = instance.state.remains();
        let is_lost = matches!(remains.last, Last::Lost(_));
        let damage = remains.damaged.first().map(|(_, reason)| reason.clone());
        let room = || instance.state.check_room().err();
        let Some(reason) = damage.or_else(|| room().map(|error| error.to_string())) else {
            return Err(error);
        };
        emergency::begin(&instance.state, &remains, &reason, is_lost, Purpose::Apply)?;
        let followed = follow_held(instance, wish, None, false);
        if !matches!(followed, Ok(Followed::Applied(_))) {
            emergency::abandon(&instance.state);
        }
        followed
    })
}

/// Applies what a user asks for where files of the state directory may be damaged: they are
/// set aside when it is committed, and named. The caller holds the lock.
///
/// # Errors
/// Whatever failed; then state lies where it lay.
pub(super) fn without_damage(
    instance: &Instance,
    apply: impl FnOnce() -> Result<Applied, KernelError>,
) -> Result<Applied, KernelError> {
    let state = &instance.state;
    let is_sound = state.emergency().is_some() || state.check_readable().is_ok();
    if is_sound {
        return apply();
    }
    let remains = state.remains();
    let Some((_, reason)) = remains.damaged.first() else {
        return apply();
    };
    let is_lost = matches!(remains.last, Last::Lost(_));
    emergency::begin(state, &remains, reason, is_lost, Purpose::Apply)?;
    apply().inspect_err(|_| emergency::abandon(state))
}

/// Does away with what an `apply` that was ended has left in memory.
fn settle(instance: &Instance) {
    if instance.state.has_provisional() {
        // Whoever holds the lock is at work: it is theirs. What is left is told of by what follows.
        let _ = locked(instance, || Ok(()));
    }
}

/// Why the state directory cannot be used, though what was committed last can be read; what
/// need not be written to need not take anything.
fn unusable(
    instance: &Instance,
    remains: &Remains,
    standing: Standings,
) -> Result<Option<String>, KernelError> {
    if let Some((_, reason)) = remains.damaged.first() {
        return Ok(Some(reason.clone()));
    }
    let standing = standing(instance)?;
    let is_whole = standing.is_none_or(|standing| standing.missing.is_empty());
    let room = (!is_whole).then(|| instance.state.check_room());
    Ok(room.and_then(|room| Some(room.err()?.to_string())))
}

/// Whether what is attached is still what was there before the emergency: an `apply` that was
/// to end it was ended itself.
fn is_kept(instance: &Instance) -> Result<bool, KernelError> {
    let history = instance.state.history()?;
    Ok(!is_closed(&history) && is_whole(instance, &instance.state.records()?, history.first())?)
}

impl From<&Emergency> for Ground {
    fn from(emergency: &Emergency) -> Self {
        let reason = emergency.reason.clone();
        if emergency.last_resort {
            Self::LastResort(reason)
        } else {
            Self::InMemory(reason)
        }
    }
}

impl Ground {
    /// What an emergency has to say of what is enforced: one of last resort begins before that
    /// is, and where what is attached stays it never is.
    pub(super) fn of(emergency: &Emergency, state: &StateDir) -> Self {
        match Self::from(emergency) {
            Self::LastResort(reason) if !is_closed(&state.history().unwrap_or_default()) => {
                Self::Attached(reason)
            }
            ground => ground,
        }
    }

    /// What is wrong and what to do about it; none if all is well.
    #[must_use]
    pub fn in_words(&self) -> Option<String> {
        match self {
            Self::Nothing | Self::Committed => None,
            Self::InMemory(reason) => Some(format!(
                "the state directory cannot be used: {reason}\n  what was committed last is \
                 enforced all the same, or what is on trial; what is counted lies in memory, and \
                 ends with it\n  help: make room, or see to the disk; the next `edge-filter apply` sets aside what \
                 cannot be read, and keeps the rest"
            )),
            Self::Attached(reason) => Some(format!(
                "what was committed last cannot be read: {reason}\n  what is attached stays, and \
                 nothing is done about it\n  help: bring the file back, or run `edge-filter apply \
                 POLICY`, which sets it aside"
            )),
            Self::LastResort(reason) => Some(format!(
                "WHAT WAS COMMITTED LAST CANNOT BE READ: THE POLICY OF LAST RESORT IS ENFORCED: \
                 {reason}\n  nothing is let in but the essentials and what the management rules \
                 allow\n  help: come by what those allow, or by the console, and run \
                 `edge-filter apply POLICY`, which sets aside what cannot be read; or \
                 `edge-filter detach`, which opens everything"
            )),
        }
    }
}

impl Ready {
    pub(super) fn on(ground: Ground) -> Self {
        Self {
            ground,
            applied: Vec::new(),
            failed: Vec::new(),
            warnings: Vec::new(),
            standing: None,
        }
    }

    /// Whether there is another ground than the state directory now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self.ground, Ground::InMemory(_) | Ground::LastResort(_))
    }
}

impl LastGood {
    /// Whether every device that is there and should be filtered is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let missing = self.standing.as_ref().map(|standing| &standing.missing);
        self.failed.is_empty() && missing.is_none_or(Vec::is_empty)
    }
}
