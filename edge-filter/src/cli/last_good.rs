//! `edge-filter apply --last-good`: enforce again what was committed last.

use jiff::Timestamp;
use serde::Serialize;

use super::applied::hook_in_words;
use super::args::JsonArgs;
use super::failure::Failure;
use super::output::{complain, print, print_json, unless_reader_gone};
use crate::generation::Instance;
use crate::generation::applied::Applied;
use crate::generation::keep::{Missing, Standing, UNKNOWN};
use crate::generation::last_good::{Ground, LastGood, Management, last_good};

/// What `apply --last-good --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// What is enforced: `nothing`, `committed`, `in-memory`, `attached` or `last-resort`.
    ground: &'static str,
    /// Why it is not what was committed last, or not as the state directory has it.
    reason: Option<&'a str>,
    /// The name of the policy.
    policy: Option<&'a str>,
    /// The number of its generation.
    generation: Option<u64>,
    /// When its trial ends; null if it is not on trial.
    confirm_deadline: Option<Timestamp>,
    /// What was applied, as `apply --json` prints it.
    applied: &'a [Applied],
    /// What failed.
    failed: Vec<String>,
    /// The devices that are filtered.
    filtered: &'a [String],
    /// The devices that are there, and are not.
    missing: Vec<&'a str>,
    /// The devices that are not there.
    absent: &'a [String],
    /// What else is not as it should be.
    warnings: &'a [String],
}

pub(super) fn run(
    instance: &Instance,
    management: &Management,
    args: &JsonArgs,
) -> Result<(), Failure> {
    let done = last_good(instance, management)?;
    complain_of(&done);
    let printed = unless_reader_gone(if args.json {
        print_json(&Report::of(&done))
    } else {
        print(&in_words(&done))
    });
    let outcome = match done.ground {
        _ if !done.is_whole() => Err(Failure::Said),
        Ground::LastResort(_) => Err(Failure::LastResort),
        Ground::Attached(_) => Err(Failure::Said),
        Ground::Nothing | Ground::Committed | Ground::InMemory(_) => Ok(()),
    };
    match (outcome, printed) {
        (Ok(()), printed) => printed,
        (outcome, Ok(())) => outcome,
        // How the host stands matters more than that the report of it is lost.
        (outcome, Err(unprinted)) => {
            complain(&unprinted.to_string());
            outcome
        }
    }
}

fn complain_of(done: &LastGood) {
    let severity = match done.ground {
        Ground::InMemory(_) => "warning",
        _ => "error",
    };
    if let Some(text) = done.ground.in_words() {
        complain(&format!("{severity}: {text}"));
    }
    let applied = done.applied.iter().flat_map(|applied| &applied.warnings);
    for warning in done.warnings.iter().chain(applied) {
        complain(&format!("warning: {warning}"));
    }
    for error in &done.failed {
        complain(&format!("error: {error}"));
    }
    let missing = done.standing.iter().flat_map(|standing| &standing.missing);
    for Missing {
        device, instead, ..
    } in missing
    {
        complain(&match instead {
            Some(UNKNOWN) => format!(
                "error: {device} still enforces a policy that no record names, which is not what \
                 was committed last"
            ),
            Some(generation) => format!(
                "error: {device} still enforces generation {generation}, which is not what was \
                 committed last"
            ),
            None => format!("error: {device} IS NOT FILTERED"),
        });
    }
    if let Some(Standing { absent, .. }) = &done.standing
        && !absent.is_empty()
    {
        complain(&format!(
            "warning: not there: {}; `edge-filter run` filters them when they come",
            absent.join(", ")
        ));
    }
}

fn in_words(done: &LastGood) -> String {
    let Some(standing) = &done.standing else {
        return match done.ground {
            Ground::Nothing | Ground::Committed | Ground::InMemory(_) => {
                "nothing was committed, or it was detached: there is nothing to enforce\n"
            }
            Ground::Attached(_) => "nothing was changed\n",
            Ground::LastResort(_) => "there is no device that could be closed\n",
        }
        .to_owned();
    };
    let Standing {
        policy,
        generation,
        confirm_deadline,
        ..
    } = standing;
    let already = if done.applied.is_empty() {
        " already"
    } else {
        ""
    };
    let mut text = if standing.filtered.is_empty() {
        format!("policy '{policy}', generation {generation}: no device is filtered\n")
    } else if let Some(deadline) = confirm_deadline {
        format!(
            "policy '{policy}' is on trial as generation {generation} until {deadline:.0}: it is \
             kept up, and not what was committed last; `edge-filter rollback` ends the trial\n"
        )
    } else {
        format!("policy '{policy}' is enforced{already} as generation {generation}\n")
    };
    for hook in done.applied.iter().flat_map(|applied| &applied.hooks) {
        text += &hook_in_words(hook);
    }
    text
}

fn missing(standing: Option<&Standing>) -> Vec<&str> {
    let missing = standing.into_iter().flat_map(|standing| &standing.missing);
    missing.map(|missing| &*missing.device).collect()
}

impl<'a> Report<'a> {
    fn of(done: &'a LastGood) -> Self {
        let (ground, reason) = match &done.ground {
            Ground::Nothing => ("nothing", None),
            Ground::Committed => ("committed", None),
            Ground::InMemory(reason) => ("in-memory", Some(&**reason)),
            Ground::Attached(reason) => ("attached", Some(&**reason)),
            Ground::LastResort(reason) => ("last-resort", Some(&**reason)),
        };
        let standing = done.standing.as_ref();
        Self {
            ground,
            reason,
            policy: standing.map(|standing| &*standing.policy),
            generation: standing.map(|standing| standing.generation),
            confirm_deadline: standing.and_then(|standing| standing.confirm_deadline),
            applied: &done.applied,
            failed: done.failed.iter().map(ToString::to_string).collect(),
            filtered: standing.map_or(&[], |standing| &standing.filtered),
            missing: missing(standing),
            absent: standing.map_or(&[], |standing| &standing.absent),
            warnings: &done.warnings,
        }
    }
}
