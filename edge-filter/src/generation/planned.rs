//! The plan file: what was planned, against what. It is applied as it was planned, or not
//! at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Instance;
use super::plan::{HookPlan, Overrides};
use super::status::{EnforcedPolicy, status};
use crate::kernel::KernelError;
use crate::policy::text_hash;

mod file;

/// The version of the file's form.
const VERSION: u32 = 1;

/// A plan, as its file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    version: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// The policy that is to be enforced.
    pub policy: PlannedPolicy,
    /// The devices of roles, where the command line named them.
    pub interfaces: BTreeMap<String, Vec<String>>,
    /// The word of `--mode`.
    pub mode: String,
    /// The word of `--egress`.
    pub egress: String,
    /// The hooks that are to be attached, in the order of the policy.
    hooks: Vec<PlannedHook>,
    /// What was enforced when it was made.
    against: Against,
}

/// A policy that is to be enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedPolicy {
    /// Its file, from the root.
    pub file: PathBuf,
    /// SHA-256 of its text.
    pub hash: String,
    /// Its text.
    pub text: String,
}

/// A hook on a device, which is the same only with the same index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedHook {
    interface: String,
    device: String,
    index: u32,
    direction: String,
}

/// What is enforced at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Against {
    /// Number and hash of the policy; null if nothing is enforced.
    generation: Option<u64>,
    hash: Option<String>,
    /// Every attached hook as `DEVICE DIRECTION`.
    attached: Vec<String>,
}

/// How a policy is to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The policy's file.
    pub file: &'a Path,
    /// Its text.
    pub text: &'a str,
    /// The devices of roles, where the command line names them.
    pub overrides: &'a Overrides,
    /// The word of `--mode`.
    pub mode: &'a str,
    /// The word of `--egress`.
    pub egress: &'a str,
    /// What that comes to.
    pub plans: &'a [HookPlan],
}

impl Planned {
    /// The plan to do as `intent` says with what is enforced now.
    ///
    /// # Errors
    /// What is enforced cannot be read, or is not generation `shown` any more; or the
    /// policy's file has no place.
    pub fn new(
        instance: &Instance,
        intent: Intent<'_>,
        shown: Option<u64>,
    ) -> Result<Self, KernelError> {
        let against = Against::now(instance)?;
        if against.generation != shown {
            return Err(KernelError::new("plan what changes")
                .because("somebody applied another policy in the meantime")
                .try_this("run `edge-filter plan` again"));
        }
        let file = fs::canonicalize(intent.file).map_err(|error| {
            KernelError::new(format!("find {} from the root", intent.file.display()))
                .because(error)
                .try_this("keep the policy in a file: a plan remembers where it lies")
        })?;
        Ok(Self {
            version: VERSION,
            made_at: Timestamp::now(),
            policy: PlannedPolicy {
                file,
                hash: text_hash(intent.text),
                text: intent.text.to_owned(),
            },
            interfaces: intent.overrides.clone().into_iter().collect(),
            mode: intent.mode.to_owned(),
            egress: intent.egress.to_owned(),
            hooks: intent.plans.iter().map(PlannedHook::from).collect(),
            against,
        })
    }

    /// Writes it to a new file, or in the place of an old one; see [`file`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KernelError> {
        let mut text = serde_json::to_vec_pretty(self).expect("a plan has string keys");
        text.push(b'\n');
        let writing = || KernelError::new(format!("write the plan {}", path.display()));
        let policy = fs::canonicalize(&self.policy.file);
        if policy.is_ok_and(|policy| fs::canonicalize(path).is_ok_and(|path| path == policy)) {
            return Err(writing()
                .because("that is the policy's own file")
                .try_this("name another one with --out"));
        }
        file::write(path, &text).map_err(|error| {
            writing()
                .because(error)
                .try_this("name a file that you may write with --out")
        })
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is no plan, or one that was changed since, by hand or by another version.
    pub fn read(path: &Path) -> Result<Self, KernelError> {
        let reading = || KernelError::new(format!("read the plan {}", path.display()));
        let anew = "make it anew with `edge-filter plan POLICY --out FILE`";
        let plan: Self =
            file::read(path).map_err(|error| reading().because(error).try_this(anew))?;
        if plan.version != VERSION {
            return Err(reading()
                .because(format!(
                    "it is of version {}, and this program reads {VERSION}",
                    plan.version
                ))
                .try_this(anew));
        }
        if text_hash(&plan.policy.text) != plan.policy.hash {
            return Err(reading()
                .because("the policy in it is not the one that was planned: its hash is another")
                .try_this(anew));
        }
        Ok(plan)
    }

    /// Fails unless everything is as it was when the plan was made: what is enforced and
    /// where, the policy's file (if it is still there), and what `plans` come to.
    ///
    /// # Errors
    /// What has moved, all of it; or it cannot be read.
    pub fn must_hold(&self, instance: &Instance, plans: &[HookPlan]) -> Result<(), KernelError> {
        let now = Against::now(instance)?;
        let hooks: Vec<PlannedHook> = plans.iter().map(PlannedHook::from).collect();
        let mut moved = self.against.moved(&now);
        moved.extend(moved_hooks(&self.hooks, &hooks));
        moved.extend(self.policy.moved());
        if moved.is_empty() {
            return Ok(());
        }
        Err(KernelError::new("apply the plan as it was made")
            .because(moved.join("; "))
            .try_this("nothing was changed; look at what would change now with `edge-filter plan`"))
    }
}

impl PlannedPolicy {
    fn moved(&self) -> Option<String> {
        let text = fs::read(&self.file).ok()?;
        let hash = match str::from_utf8(&text) {
            Ok(text) => text_hash(text),
            Err(_) => "no text".to_owned(),
        };
        (hash != self.hash).then(|| {
            format!(
                "{} was changed: its sha256 is {hash:.12} and was {:.12}",
                self.file.display(),
                self.hash
            )
        })
    }
}

impl Against {
    fn now(instance: &Instance) -> Result<Self, KernelError> {
        let status = status(instance)?;
        let filtered = status.hooks.iter().filter(|hook| hook.filtered);
        let mut attached: Vec<String> = filtered
            .map(|hook| format!("{} {}", hook.device, hook.direction))
            .collect();
        attached.sort();
        let of = |policy: EnforcedPolicy| (policy.generation, policy.hash);
        let (generation, hash) = status.policy.map(of).unzip();
        Ok(Self {
            generation,
            hash,
            attached,
        })
    }

    /// What is otherwise `now`.
    fn moved(&self, now: &Self) -> Vec<String> {
        let name = |one: &Self| match (&one.generation, &one.hash) {
            (Some(generation), Some(hash)) => {
                format!("generation {generation} (sha256 {hash:.12})")
            }
            _ => "nothing".to_owned(),
        };
        let mut moved = Vec::new();
        if (self.generation, &self.hash) != (now.generation, &now.hash) {
            moved.push(format!("{} is enforced, and {} was", name(now), name(self)));
        }
        for hook in &self.attached {
            if !now.attached.contains(hook) {
                moved.push(format!("{hook} was filtered, and is not any more"));
            }
        }
        for hook in &now.attached {
            if !self.attached.contains(hook) {
                moved.push(format!("{hook} is filtered, and was not"));
            }
        }
        moved
    }
}

fn moved_hooks(then: &[PlannedHook], now: &[PlannedHook]) -> Vec<String> {
    let mut moved = Vec::new();
    for hook in then {
        let here = |other: &&PlannedHook| {
            (&other.device, &other.direction) == (&hook.device, &hook.direction)
        };
        let name = format!("{} {}", hook.device, hook.direction);
        match now.iter().find(here) {
            None => moved.push(format!("{name} would not be filtered any more")),
            Some(other) if other.index != hook.index => moved.push(format!(
                "{} is another device: its index is {} and was {}",
                hook.device, other.index, hook.index
            )),
            Some(other) if other.interface != hook.interface => moved.push(format!(
                "{name} would play the role '{}', not '{}'",
                other.interface, hook.interface
            )),
            Some(_) => {}
        }
    }
    for hook in now {
        let known = then
            .iter()
            .any(|other| (&other.device, &other.direction) == (&hook.device, &hook.direction));
        if !known {
            moved.push(format!(
                "{} {} would be filtered, too",
                hook.device, hook.direction
            ));
        }
    }
    moved.dedup();
    moved
}

impl From<&HookPlan> for PlannedHook {
    fn from(plan: &HookPlan) -> Self {
        Self {
            interface: plan.interface.clone(),
            device: plan.device.name.clone(),
            index: plan.device.index,
            direction: plan.direction.as_str().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
