//! What was committed last is enforced again after a reboot or a crash, whatever has become
//! of its record: nothing that was filtered is left open.
//!
//! Where the state directory can be used, that is what [`keep`](super::keep) does. Where
//! files of it are damaged or it takes no more, but what was committed last can be read, the
//! same is done from memory ([`super::emergency`]). Where that cannot be read either, the
//! policy of last resort is enforced ([`last_resort`]): the management rules, and nothing
//! else. Where nothing was committed, there is nothing to do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Instance;
use super::applied::Applied;
use super::apply::{Source, locked};
use super::attached::{Trouble, attached};
use super::emergency::{self, Emergency, Purpose};
use super::history::Committed;
use super::keep::{Followed, Standing, Wish, follow, follow_with, repair, standing};
use super::passing::Passing;
use super::plan::Overrides;
use super::remains::{Last, Remains};
use super::sites::Sites;
use super::state_dir::StateDir;
use crate::compile::budget::Budget;
use crate::kernel::KernelError;
use crate::kernel::device;
use crate::policy::last_resort::{self, LastResort};

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
        warnings,
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
        Ground::Nothing | Ground::Attached(_) => None,
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

/// Sees to it that [`keep`](super::keep) can go on: that there is state which can be read
/// and written to, or that the policy of last resort is enforced.
///
/// # Errors
/// The kernel cannot be asked, or nothing can be enforced.
pub fn ready(instance: &Instance, management: &Management) -> Result<Ready, KernelError> {
    settle(instance);
    if let Some(emergency) = instance.state.emergency() {
        return match Ground::from(&emergency) {
            Ground::LastResort(reason) if is_kept(instance)? => {
                Ok(Ready::on(Ground::Attached(reason)))
            }
            Ground::LastResort(reason) => close(instance, management, reason),
            ground => Ok(Ready::on(ground)),
        };
    }
    let state = &instance.state;
    let remains = state.remains();
    match &remains.last {
        Last::Nothing => Ok(Ready::on(Ground::Nothing)),
        Last::Found => {
            let Some(reason) = unusable(instance, &remains)? else {
                return Ok(Ready::on(Ground::Committed));
            };
            match emergency::begin(state, &remains, &reason, false, Purpose::Keep) {
                Ok(()) => Ok(Ready::on(Ground::InMemory(reason))),
                Err(error) => without_place(instance, management, &remains, &reason, error),
            }
        }
        Last::Lost(reason) if is_enforced(instance, &remains)? => {
            Ok(Ready::on(Ground::Attached(reason.clone())))
        }
        Last::Lost(reason) => {
            match emergency::begin(state, &remains, reason, true, Purpose::Keep) {
                Ok(()) => close(instance, management, reason.clone()),
                Err(error) => without_place(instance, management, &remains, reason, error),
            }
        }
    }
}

/// The same where no place in memory takes the state either, as `refused` says: what is to be
/// enforced is enforced all the same, with state that ends with this call.
fn without_place(
    instance: &Instance,
    management: &Management,
    remains: &Remains,
    reason: &str,
    refused: KernelError,
) -> Result<Ready, KernelError> {
    const OPEN: &str = "nothing was enforced: WHAT WAS NOT FILTERED IS OPEN";
    let is_lost = matches!(remains.last, Last::Lost(_));
    let taken = Passing::each().find_map(|place| {
        let passing = Instance {
            pins: instance.pins.clone(),
            state: place.instead_of(&instance.state),
        };
        emergency::begin(&passing.state, remains, reason, is_lost, Purpose::Keep).ok()?;
        Some((place, passing))
    });
    let Some((_place, passing)) = taken else {
        return Err(refused.leaving(OPEN));
    };
    let mut ready = if is_lost {
        close(&passing, management, reason.to_owned())?
    } else {
        Ready::on(Ground::InMemory(reason.to_owned()))
    };
    ready.warnings.push(format!(
        "{refused}\n  no command knows what is enforced until `edge-filter apply POLICY` is run, \
         with a directory that can be written to as --run-dir"
    ));
    let found = standing(&passing)?;
    let missing = found.map_or_else(Vec::new, |found| found.missing);
    if !missing.is_empty() {
        let repaired = repair(&passing, missing);
        let applied = repaired.applied.into_iter().map(|(applied, _)| applied);
        ready.applied.extend(applied);
        ready.failed.extend(repaired.failed);
    }
    ready.standing = standing(&passing)?;
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
    let remains = instance.state.remains();
    let is_lost = matches!(remains.last, Last::Lost(_));
    let damage = remains.damaged.first().map(|(_, reason)| reason.clone());
    let room = || instance.state.check_room().err();
    let Some(reason) = damage.or_else(|| room().map(|error| error.to_string())) else {
        return Err(error);
    };
    settle(instance);
    emergency::begin(&instance.state, &remains, &reason, is_lost, Purpose::Apply)?;
    let followed = follow(instance, wish);
    if !matches!(followed, Ok(Followed::Applied(_))) {
        emergency::abandon(&instance.state);
    }
    followed
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
fn unusable(instance: &Instance, remains: &Remains) -> Result<Option<String>, KernelError> {
    if let Some((_, reason)) = remains.damaged.first() {
        return Ok(Some(reason.clone()));
    }
    let standing = standing(instance)?;
    let is_whole = standing.is_none_or(|standing| standing.missing.is_empty());
    let room = (!is_whole).then(|| instance.state.check_room());
    Ok(room.and_then(|room| Some(room.err()?.to_string())))
}

/// Whether something is attached, and nothing that was is missing: then it is what was
/// committed last, or was on trial, and stays.
fn is_enforced(instance: &Instance, remains: &Remains) -> Result<bool, KernelError> {
    let attached = attached(instance, &[])?;
    if attached.is_empty() {
        return Ok(false);
    }
    let is_lost = |trouble| matches!(trouble, Some(Trouble::FilterGone));
    if attached.iter().any(|link| is_lost(link.trouble())) {
        return Ok(false);
    }
    // The history may name the devices, though its policy means nothing to this program.
    let known = if remains.damaged.is_empty() {
        standing(instance)?
    } else {
        None
    };
    Ok(known.is_none_or(|standing| standing.missing.is_empty()))
}

/// Whether what is attached is still what was there before the emergency: an `apply` that was
/// to end it was ended itself.
fn is_kept(instance: &Instance) -> Result<bool, KernelError> {
    let is_closed = is_closed(&instance.state.history()?);
    Ok(!is_closed && is_enforced(instance, &instance.state.remains())?)
}

/// Whether the policy of last resort is enforced, by what was committed.
fn is_closed(history: &[Committed]) -> bool {
    history.iter().any(|last| last.last_resort)
}

/// Enforces the policy of last resort, as it is for the devices and the management rules of
/// now.
fn close(
    instance: &Instance,
    management: &Management,
    reason: String,
) -> Result<Ready, KernelError> {
    let mut ready = Ready::on(Ground::LastResort(reason));
    let uplinks = device::uplinks()
        .map_err(|error| KernelError::new("ask the kernel for its devices").because(error))?;
    for name in &uplinks.others {
        ready.warnings.push(format!(
            "{name} is not an Ethernet device: it cannot be filtered, and is open"
        ));
    }
    let history = instance.state.history()?;
    // A device that is gone may come again.
    let known = history.first().into_iter();
    let known = known.flat_map(|last| last.devices.values().flatten().cloned());
    // What was filtered is not left open, whatever it is.
    let records = instance.state.records()?;
    let recorded = records.iter().flat_map(|record| &record.hooks);
    let recorded = recorded.map(|hook| hook.device.clone());
    let recorded = recorded.filter(|name| !device::is_there(name) || device::find(name).is_ok());
    let devices = known.chain(uplinks.ethernet).chain(recorded);
    let devices: BTreeSet<String> = devices.collect();
    let mut candidates = Vec::new();
    let file = management.file.display().to_string();
    match (management.read)() {
        Ok(Some(text)) => match last_resort::with_management(&file, &text, &devices) {
            Ok(policy) => candidates.push(policy),
            Err(message) => ready.warnings.push(format!(
                "the management rules cannot be used:\n{message}\n  help: `edge-filter check \
                 {file}` says when they can"
            )),
        },
        Ok(None) => ready.warnings.push(format!(
            "there are no management rules: {file} is not there, and nothing but the essentials \
             is let in"
        )),
        Err(message) => ready.warnings.push(format!(
            "the management rules cannot be read:\n{message}\n  help: have {file} belong to root, \
             or be readable by all: the daemon and the boot's unit read nothing else"
        )),
    }
    // Management rules that were good once are better than none.
    let had_rules = |last: &Committed| last.policy.name != last_resort::NAME;
    if !(candidates.is_empty() && history.first().is_some_and(had_rules)) {
        candidates.extend(last_resort::alone(&devices));
    }
    for candidate in candidates {
        match enforce(instance, &candidate) {
            Ok(applied) => {
                ready.applied.extend(applied);
                let failed = ready.failed.drain(..).map(|error| error.to_string());
                ready.warnings.extend(failed);
                break;
            }
            Err(error) => ready.failed.push(error),
        }
    }
    Ok(ready)
}

/// Enforces it on its devices, or at least on one: the others are then missing.
fn enforce(instance: &Instance, last_resort: &LastResort) -> Result<Option<Applied>, KernelError> {
    let LastResort { policy, text } = last_resort;
    let overrides = Overrides::new();
    let wish = Wish {
        source: Source { policy, text },
        overrides: &overrides,
        sites: Sites::default(),
        budget: Budget::UNLIMITED,
    };
    let applied = |followed| match followed {
        Followed::Applied(applied) => Some(*applied),
        Followed::Unchanged | Followed::OnTrial(_) => None,
    };
    let error = match follow_with(instance, wish, None, true) {
        Ok(followed) => return Ok(applied(followed)),
        Err(error) => error,
    };
    let devices = policy.interfaces.iter().flat_map(|role| &role.devices);
    let mut there = devices.filter(|name| device::is_there(name));
    let one = there.find_map(|name| follow_with(instance, wish, Some(name), true).ok());
    one.map(applied).ok_or(error)
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
                 enforced all the same; what is counted lies in memory, and ends with it\n  help: \
                 make room, or see to the disk; the next `edge-filter apply` sets aside what \
                 cannot be read, and keeps the rest"
            )),
            Self::Attached(reason) => Some(format!(
                "what was committed last cannot be read: {reason}\n  what is attached stays, and \
                 nothing is done about it\n  help: bring the file back, or run `edge-filter apply \
                 POLICY`, which sets it aside: the filter stays on all the while"
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
    fn on(ground: Ground) -> Self {
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
