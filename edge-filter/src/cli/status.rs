//! `edge-filter status`: what is attached where.

use std::fmt::Write;

use super::args::JsonArgs;
use super::failure::Failure;
use super::output::{print, print_json, render, table};
use crate::generation::Instance;
use crate::generation::last_good::Ground;
use crate::generation::status::{
    AbsentDevice, FlowStatus, Status, TrialEnd, TrialStatus, Trouble, runs_ahead, status,
};

pub(super) fn run(instance: &Instance, args: &JsonArgs) -> Result<(), Failure> {
    let status = status(instance)?;
    if args.json {
        print_json(&status)
    } else {
        print(&in_words(&status))
    }
}

fn in_words(status: &Status) -> String {
    let mut text = state_in_words(status);
    match &status.policy {
        Some(policy) => {
            let _ = writeln!(
                text,
                "policy '{}' (sha256 {:.12}), generation {}, applied at {:.0}\n",
                policy.name, policy.hash, policy.generation, policy.applied_at
            );
            if policy.diagnostics {
                text += "its programs carry the diagnostics of `edge-filter run --debug-bpf`, which \
                         ends them; so does `edge-filter apply`\n\n";
            }
        }
        None if status.hooks.is_empty() => return text + &nothing_in_words(&status.absent),
        None => text = text + without_policy(status) + "\n\n",
    }
    if let Some(trial) = &status.trial {
        let _ = writeln!(text, "{}\n", trial_in_words(trial));
    }
    if let Some(trial) = &status.lost_trial {
        let _ = writeln!(text, "{}\n", lost_trial_in_words(trial));
    }
    let mut table = table(
        &[
            "interface",
            "device",
            "direction",
            "hook",
            "mode",
            "program",
        ],
        1,
    );
    for hook in &status.hooks {
        table.add_row([
            &*hook.interface,
            &*hook.device,
            hook.direction.as_str(),
            hook.hook,
            match (hook.mode, hook.trouble) {
                (Some(mode), _) => mode.as_str(),
                (None, None | Some(Trouble::OpenOnTrial | Trouble::TrialOver)) => "",
                (None, Some(Trouble::DeviceElsewhere)) => "elsewhere",
                (None, Some(_)) => "unknown",
            },
            &*hook.program_id.to_string(),
        ]);
    }
    if !status.hooks.is_empty() {
        text += &render(&table);
    }
    for hook in &status.hooks {
        if let Some(trouble) = hook.trouble {
            let _ = writeln!(
                text,
                "\n{} {}: {}",
                hook.device,
                hook.direction,
                in_full(trouble)
            );
        }
        let newest = status.policy.as_ref().map(|policy| policy.generation);
        if hook.filtered && newest.is_some_and(|newest| newest != hook.generation) {
            let _ = writeln!(
                text,
                "\n{} {}: still enforces generation {}: the last `edge-filter apply` was ended \
                 before it was done; run it again",
                hook.device, hook.direction, hook.generation
            );
        }
        for &program in &hook.ahead {
            let _ = writeln!(text, "\n{}", runs_ahead(&hook.device, program));
        }
    }
    for device in &status.absent {
        let _ = writeln!(text, "\n{}", absent_in_words(device));
    }
    let FlowStatus {
        entries_max,
        entries_used,
        lost,
    } = status.flows;
    if lost {
        text += "\nflows: somebody removed the pin of the flow table, or another version made it; \
                 the filter itself goes on, and `edge-filter apply` makes a new table\n";
    }
    if entries_max > 0 {
        let _ = writeln!(
            text,
            "\nflows: {entries_used} of {entries_max} entries used"
        );
    }
    text
}

/// What is so where hooks are known, and no record tells what decides there.
fn without_policy(status: &Status) -> &'static str {
    if !status.trial_ends().any(|end| end.passed) {
        "programs are attached, but the state directory knows nothing of them"
    } else if status.hooks.iter().any(|hook| hook.filtered) {
        "a policy that no record names is enforced"
    } else {
        "nothing is enforced"
    }
}

/// What is wrong with the state, if anything is.
fn state_in_words(status: &Status) -> String {
    let mut text = String::new();
    if let Some(emergency) = &status.emergency {
        let ground = status.ground.as_ref().and_then(Ground::in_words);
        let ground = ground.unwrap_or_default();
        let _ = writeln!(text, "since {:.0}: {ground}\n", emergency.since);
    }
    for reason in &status.damaged {
        let _ = writeln!(
            text,
            "{reason}\n  help: `edge-filter apply --last-good` goes on from what else can be read; \
             `edge-filter apply POLICY` sets it aside\n"
        );
    }
    text
}

/// Nothing is enforced; `committed` are the devices of what was committed last.
fn nothing_in_words(committed: &[AbsentDevice]) -> String {
    if committed.is_empty() {
        return "nothing is enforced\n".to_owned();
    }
    let mut text = "nothing is enforced, though a policy was committed: `edge-filter apply \
                    --last-good` enforces it again\n"
        .to_owned();
    for device in committed {
        let _ = writeln!(text, "\n{}", absent_in_words(device));
    }
    text
}

fn absent_in_words(absent: &AbsentDevice) -> String {
    let AbsentDevice {
        interface, device, ..
    } = absent;
    let what = match absent.trouble {
        Trouble::DeviceGone => {
            "it is not there; when it comes, `edge-filter run` filters it, and so does \
             `edge-filter apply --last-good`"
        }
        _ => {
            "NOT FILTERED: it is there; `edge-filter apply --last-good` filters it, and \
             `edge-filter run` does by itself"
        }
    };
    format!("{device} ({interface}): {what}")
}

fn trial_in_words(trial: &TrialStatus) -> String {
    let TrialStatus {
        name,
        generation,
        end,
        ..
    } = trial;
    if end.passed {
        return past_trial_in_words(
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
        "it is on trial until {confirm_deadline:.0}: from then on {then}; `edge-filter confirm` \
         keeps it, `edge-filter rollback` ends it now"
    )
}

fn lost_trial_in_words(end: &TrialEnd) -> String {
    let trial = "a trial of which no record tells";
    if end.passed {
        return past_trial_in_words(trial, end);
    }
    let TrialEnd {
        confirm_deadline,
        then,
        ..
    } = end;
    format!(
        "{trial} lasts until {confirm_deadline:.0}: from then on {then}; nobody can confirm it: \
         `edge-filter apply POLICY` enforces a policy for good, `edge-filter rollback` ends it now"
    )
}

fn past_trial_in_words(trial: &str, end: &TrialEnd) -> String {
    let TrialEnd {
        confirm_deadline,
        then,
        ..
    } = end;
    format!(
        "{trial} was over at {confirm_deadline:.0}: {then}, as before; `edge-filter apply` puts \
         another policy in its place, and `edge-filter rollback` clears it away"
    )
}

fn in_full(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::DeviceGone => {
            "NOT FILTERED: the device is gone; one of the same name is filtered after the next \
             `edge-filter apply`"
        }
        Trouble::DeviceElsewhere => {
            "the device that had this name is in another network namespace, and is filtered \
             there; run `edge-filter status` there to see how"
        }
        Trouble::OpenOnTrial => {
            "not filtered as long as the trial lasts: its policy has nothing for this side"
        }
        Trouble::TrialOver => "NOT FILTERED: the trial is over, and nothing was filtered before it",
        Trouble::FilterGone => {
            "NOT FILTERED: somebody took the filter off, or made the device anew; `edge-filter \
             apply` filters it again"
        }
    }
}
