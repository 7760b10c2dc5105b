//! What `apply`, `confirm` and `rollback` report.

use jiff::Timestamp;
use serde::Serialize;

use super::attached::as_word;
use super::rules::RuleChanges;
use crate::kernel::site::Site;
use crate::policy::Direction;

/// What was applied, as `apply --json` prints it.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// The name of the policy.
    pub policy: String,
    /// The number of the generation.
    pub generation: u64,
    /// The generation whose policy it took up again.
    pub restores: Option<u64>,
    /// The deadline of a trial.
    pub confirm_deadline: Option<Timestamp>,
    /// Each hook, in the order of the policy.
    pub hooks: Vec<AppliedHook>,
    /// The sides of devices that are not filtered any more; of a trial, for as long as it
    /// lasts.
    pub released: Vec<ReleasedHook>,
    /// What became of the rules.
    pub rules: RuleChanges,
    /// What did not matter enough to take everything back.
    pub warnings: Vec<String>,
}

/// A hook that was applied.
#[derive(Debug, Serialize)]
pub struct AppliedHook {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    #[serde(serialize_with = "as_word")]
    pub direction: Direction,
    /// Where the program runs.
    #[serde(serialize_with = "site_word")]
    pub site: Site,
    /// Why it does not run where `auto` tried first.
    pub fallback: Option<String>,
}

/// A hook that was released.
#[derive(Debug, Serialize)]
pub struct ReleasedHook {
    /// The device.
    pub device: String,
    /// The side.
    #[serde(serialize_with = "as_word")]
    pub direction: Direction,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn site_word<S: serde::Serializer>(site: &Site, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(site.hook())
}
