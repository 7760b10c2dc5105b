//! What another policy would change about what is enforced now, as `plan` reports it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::Instance;
use super::attached::enforced;
use super::change::check_sites;
use super::counted::{Counters, counters};
use super::difference::{ChangedRule, Difference, FieldChange, MovedRule, RuleName};
use super::last_hits::{LastHit, LastHits, Moment};
use super::lasting::{Awaited, Lasting};
use super::plan::HookPlan;
use super::sites::Sites;
use super::status::{HookStatus, Status, TrialEnd, TrialStatus, status};
use crate::kernel::KernelError;
use crate::kernel::counters::Count;
use crate::policy::{Direction, Policy};

/// What would change, as `plan --json` prints it.
#[derive(Debug, Serialize)]
pub struct Proposal {
    /// The policy that is planned.
    pub policy: PolicyName,
    /// What is enforced now; null if nothing is, or if nothing is known of it.
    pub enforced: Option<Enforced>,
    /// Whether applying it changes anything.
    pub changes: bool,
    /// What the policy says beside its rules, and differently.
    pub settings: Vec<FieldChange>,
    /// The rules.
    pub rules: Rules,
    /// The sides of devices that are attached, released, or get another role or a newer
    /// generation.
    pub devices: Vec<DeviceChange>,
    /// The devices that are filtered as soon as they are there, and then would not be.
    pub not_awaited: Vec<Awaited>,
    /// What the policy would cut off; then `apply` refuses it.
    pub lock_out: Option<String>,
    /// What keeps the comparison from being whole.
    pub notes: Vec<String>,
}

/// A policy, by name and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyName {
    /// Its name.
    pub name: String,
    /// SHA-256 of its text.
    pub hash: String,
}

/// The policy that is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enforced {
    /// Which one.
    #[serde(flatten)]
    pub policy: PolicyName,
    /// The number of its generation.
    pub generation: u64,
    /// When it was applied.
    pub applied_at: Timestamp,
    /// When it reverts by itself; null if it is not on trial.
    pub confirm_deadline: Option<Timestamp>,
}

/// What becomes of rules.
#[derive(Debug, Default, Serialize)]
pub struct Rules {
    /// New ones.
    pub added: Vec<RuleName>,
    /// Those that go.
    pub removed: Vec<Hit<RuleName>>,
    /// Those that say something else.
    pub changed: Vec<Hit<ChangedRule>>,
    /// Those that have another place.
    pub moved: Vec<Hit<MovedRule>>,
}

/// A rule, and what it was hit by.
#[derive(Debug, Serialize)]
pub struct Hit<R> {
    /// The rule.
    #[serde(flatten)]
    pub rule: R,
    /// What it has counted.
    pub hits: Hits,
}

/// What a rule has counted on all its devices since the instance was first applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// What it decided itself; in audit mode, what it would have dropped.
    #[serde(flatten)]
    pub own: Count,
    /// The replies to that, which would end with it.
    pub replies: Count,
    /// When it was hit last, by a packet or a reply, as far as the daemon watched.
    #[serde(flatten)]
    pub last: LastHit,
    /// What came while `plan` watched; null if it did not.
    pub sample: Option<Sample>,
}

/// What came in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Its length.
    pub seconds: u32,
    /// The packets in it, replies included.
    pub packets: u64,
}

/// A side of a device that is treated otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceChange {
    /// What becomes of it.
    pub change: Treatment,
    /// The device.
    pub device: String,
    /// The side.
    #[serde(serialize_with = "super::attached::as_word")]
    pub direction: Direction,
    /// The role that it plays then, or, when it is released, now.
    pub interface: String,
}

/// What becomes of a side of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// It is not filtered now.
    Attach,
    /// It is not filtered then.
    Release,
    /// It plays another role.
    Reassign,
    /// It enforces an older generation than the others, because an `apply` was ended
    /// before it was done.
    Renew,
}

/// What enforcing `policy` as `plans` say, at `sites`, would change. Counts for `sample`
/// seconds, if that is asked.
///
/// # Errors
/// What is enforced cannot be read, or is attached where `sites` do not allow it.
pub fn propose(
    instance: &Instance,
    policy: &Policy,
    plans: &[HookPlan],
    sites: Sites,
    sample: Option<u32>,
) -> Result<Proposal, KernelError> {
    check_sites(instance, plans, sites)?;
    let record = enforced(instance)?;
    let former = record
        .as_ref()
        .map(|record| record.policy.read(record.generation))
        .transpose()?;
    let status = status(instance)?;
    let mut notes = Vec::new();
    if let Some(trial) = &status.trial {
        notes.push(of_trial(trial));
    } else if let Some(trial) = &status.lost_trial {
        notes.push(of_lost_trial(trial));
    } else if record.is_none() && !status.hooks.is_empty() {
        notes.push(
            "programs are attached, but the state directory knows nothing of them: all rules are \
             shown as new"
                .to_owned(),
        );
    }
    if former
        .as_ref()
        .is_some_and(|former| former.hash != policy.hash)
    {
        let same = Difference::between(former.as_ref(), policy).is_empty();
        if same {
            notes.push("the text of the policy differs, but not in what it enforces".to_owned());
        }
    }
    let difference = Difference::between(former.as_ref(), policy);
    let lasting = Lasting::now(instance, record.as_ref());
    let devices = device_changes(&status, plans);
    let not_awaited = lasting.not_awaited_under(plans, &status.hooks);
    let hits = match &record {
        Some(_) => Watched::of(instance, sample)?,
        None => Watched::default(),
    };
    // Whatever is applied ends the trial, and holds for good.
    let is_on_trial = status.trial_ends().any(|end| !end.passed);
    let changes =
        !(difference.is_empty() && devices.is_empty() && not_awaited.is_empty()) || is_on_trial;
    Ok(Proposal {
        policy: PolicyName {
            name: policy.name.clone(),
            hash: policy.hash.clone(),
        },
        enforced: record.map(|record| Enforced {
            generation: record.generation,
            applied_at: record.applied_at,
            confirm_deadline: record.trial.map(|trial| trial.deadline),
            policy: PolicyName {
                name: record.policy.name,
                hash: record.policy.hash,
            },
        }),
        changes,
        settings: difference.settings,
        rules: Rules {
            added: difference.added,
            removed: hits.beside(difference.removed, |rule| &rule.id),
            changed: hits.beside(difference.changed, |changed| &changed.rule.id),
            moved: hits.beside(difference.moved, |moved| &moved.rule.id),
        },
        devices,
        not_awaited,
        lock_out: None,
        notes,
    })
}

/// What whoever plans should know of a trial.
fn of_trial(trial: &TrialStatus) -> String {
    let TrialStatus {
        name,
        generation,
        end,
        ..
    } = trial;
    if end.passed {
        return of_past_trial(
            &format!("the trial of policy '{name}', generation {generation},"),
            end,
        );
    }
    let TrialEnd {
        confirm_deadline,
        then,
        ..
    } = end;
    format!(
        "policy '{name}', generation {generation}, is on trial until {confirm_deadline:.0}, and \
         from then on {then}; what is compared is the policy on trial, and whatever is applied \
         takes its place for good"
    )
}

/// The same where no record tells of it.
fn of_lost_trial(end: &TrialEnd) -> String {
    let trial = "a trial of which no record tells";
    if end.passed {
        return of_past_trial(trial, end);
    }
    let TrialEnd {
        confirm_deadline,
        then,
        ..
    } = end;
    format!(
        "{trial} lasts until {confirm_deadline:.0}, and from then on {then}: all rules are shown \
         as new, and whatever is applied takes its place for good"
    )
}

fn of_past_trial(trial: &str, end: &TrialEnd) -> String {
    let TrialEnd {
        confirm_deadline,
        then,
        ..
    } = end;
    match end.afterwards {
        Some(decides) => format!(
            "{trial} was over at {confirm_deadline:.0}: what is compared is generation {decides}, \
             which decides again"
        ),
        None if end.filtered_afterwards => format!(
            "{trial} was over at {confirm_deadline:.0}, and {then}: all rules are shown as new"
        ),
        None => format!(
            "{trial} was over at {confirm_deadline:.0}, and nothing was filtered before it: all \
             rules are shown as new"
        ),
    }
}

/// What the counters of each rule say.
#[derive(Debug, Default)]
struct Watched {
    hits: HashMap<String, Hits>,
    /// What a rule has that is not counted.
    none: Hits,
}

impl Watched {
    fn of(instance: &Instance, seconds: Option<u32>) -> Result<Self, KernelError> {
        let before = hits_now(instance)?;
        let Some(seconds) = seconds else {
            return Ok(Self {
                hits: before,
                none: Hits::default(),
            });
        };
        thread::sleep(Duration::from_secs(seconds.into()));
        let mut hits = hits_now(instance)?;
        for (id, hits) in &mut hits {
            // Less than before where counting began anew meanwhile.
            let before = before.get(id).map_or(0, Hits::packets);
            let packets = hits.packets().saturating_sub(before);
            hits.sample = Some(Sample { seconds, packets });
        }
        let nothing = Sample {
            seconds,
            packets: 0,
        };
        Ok(Self {
            hits,
            none: Hits {
                sample: Some(nothing),
                ..Hits::default()
            },
        })
    }

    fn beside<R>(&self, rules: Vec<R>, id: impl Fn(&R) -> &String) -> Vec<Hit<R>> {
        let rules = rules.into_iter();
        rules
            .map(|rule| Hit {
                hits: self.hits.get(id(&rule)).copied().unwrap_or(self.none),
                rule,
            })
            .collect()
    }
}

impl Hits {
    fn packets(&self) -> u64 {
        self.own.packets + self.replies.packets
    }
}

fn hits_now(instance: &Instance) -> Result<HashMap<String, Hits>, KernelError> {
    let counters = counters(instance)?;
    let known = LastHits::known(instance, &counters, Moment::now()?);
    Ok(by_rule(&counters, known.as_ref()))
}

/// The counters of rules, over all hooks: a rule has replies on others than its own.
fn by_rule(counters: &Counters, known: Option<&LastHits>) -> HashMap<String, Hits> {
    let mut hits: HashMap<String, Hits> = HashMap::new();
    for (hook, counter) in counters
        .hooks
        .iter()
        .flat_map(|hook| hook.counters.iter().map(move |counter| (hook, counter)))
    {
        let id = &*counter.slot.id;
        let (rule, is_reply) = match &*counter.slot.kind {
            "rule" => (id, false),
            "audit" => (id.strip_prefix("audit:").unwrap_or(id), false),
            "reply" => (id.strip_suffix("/reply").unwrap_or(id), true),
            _ => continue,
        };
        let last = known.map_or_else(LastHit::default, |known| {
            known.of(&hook.device, hook.direction, id)
        });
        let hits = match hits.entry(rule.to_owned()) {
            Entry::Occupied(entry) => {
                let hits = entry.into_mut();
                hits.last = hits.last.and(last);
                hits
            }
            Entry::Vacant(entry) => entry.insert(Hits {
                last,
                ..Hits::default()
            }),
        };
        let sum = if is_reply {
            &mut hits.replies
        } else {
            &mut hits.own
        };
        *sum += counter.count;
    }
    hits
}

/// The sides of devices that are treated otherwise, those of the plan first.
fn device_changes(status: &Status, plans: &[HookPlan]) -> Vec<DeviceChange> {
    let newest = status.policy.as_ref().map(|policy| policy.generation);
    let is_of = |hook: &HookStatus, plan: &HookPlan| {
        hook.filtered && hook.device == plan.device.name && hook.direction == plan.direction
    };
    let planned = plans.iter().filter_map(|plan| {
        let change = match status.hooks.iter().find(|hook| is_of(hook, plan)) {
            None => Treatment::Attach,
            Some(hook) if hook.interface != plan.interface => Treatment::Reassign,
            Some(hook) if Some(hook.generation) != newest => Treatment::Renew,
            Some(_) => return None,
        };
        Some(DeviceChange {
            change,
            device: plan.device.name.clone(),
            direction: plan.direction,
            interface: plan.interface.clone(),
        })
    });
    let released = status.hooks.iter().filter(|hook| {
        let mut plans = plans.iter();
        hook.filtered && !plans.any(|plan| is_of(hook, plan))
    });
    planned
        .chain(released.map(|hook| DeviceChange {
            change: Treatment::Release,
            device: hook.device.clone(),
            direction: hook.direction,
            interface: hook.interface.clone(),
        }))
        .collect()
}
