//! `edge-filter status`: what is attached where.

use std::fmt::Write;

use super::args::JsonArgs;
use super::failure::Failure;
use super::output::{print, print_json, render, table};
use crate::generation::Instance;
use crate::generation::status::{FlowStatus, Status, Trouble, runs_ahead, status};

pub(super) fn run(instance: &Instance, args: &JsonArgs) -> Result<(), Failure> {
    let status = status(instance)?;
    if args.json {
        print_json(&status)
    } else {
        print(&in_words(&status))
    }
}

fn in_words(status: &Status) -> String {
    let mut text = String::new();
    match &status.policy {
        Some(policy) => {
            let _ = writeln!(
                text,
                "policy '{}' (sha256 {:.12}), generation {}, applied at {:.0}\n",
                policy.name, policy.hash, policy.generation, policy.applied_at
            );
        }
        None if status.hooks.is_empty() => return "nothing is enforced\n".to_owned(),
        None => text
            .push_str("programs are attached, but the state directory knows nothing of them\n\n"),
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
                (None, None) => "",
                (None, Some(_)) => "unknown",
            },
            &*hook.program_id.to_string(),
        ]);
    }
    text += &render(&table);
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

fn in_full(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::DeviceGone => {
            "NOT FILTERED: the device is gone; one of the same name is filtered after the next \
             `edge-filter apply`"
        }
        Trouble::DeviceElsewhere => {
            "the device is in another network namespace, and is filtered there; run `edge-filter \
             status` there to see how"
        }
        Trouble::FilterGone => {
            "NOT FILTERED: somebody took the filter off, or made the device anew; `edge-filter \
             apply` filters it again"
        }
    }
}
