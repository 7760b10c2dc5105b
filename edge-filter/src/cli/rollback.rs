//! `edge-filter rollback`: enforce again what was enforced before.

use super::applied::report;
use super::args::RollbackArgs;
use super::failure::Failure;
use super::output::{print, print_exactly, print_json, render, table};
use crate::generation::Instance;
use crate::generation::rollback::{Goal, HistoryEntry, RolledBack, list, rollback, show};

pub(super) fn run(instance: &Instance, args: &RollbackArgs) -> Result<(), Failure> {
    if args.list {
        let entries = list(instance)?;
        return if args.json.json {
            print_json(&entries)
        } else {
            print(&in_words(&entries))
        };
    }
    if let Some(generation) = args.show {
        let shown = show(instance, generation)?;
        return if args.json.json {
            print_json(&shown)
        } else {
            print_exactly(&shown.policy.text)
        };
    }
    let goal = match args.generation {
        Some(generation) => Goal::Generation(generation),
        None => Goal::Steps(args.steps.into()),
    };
    match rollback(instance, goal)? {
        RolledBack::Applied(applied) => report(&applied, &args.json),
        released if args.json.json => print_json(&released),
        RolledBack::Released { released } => print(&format!(
            "not filtered any more, as before the trial: {}",
            released.join(", ")
        )),
    }
}

fn in_words(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "no generation was committed\n".to_owned();
    }
    let mut table = table(
        &["generation", "steps back", "applied at", "policy", "sha256"],
        0,
    );
    for entry in entries {
        let steps = match (entry.steps, entry.restores) {
            (Some(steps), _) => steps.to_string(),
            (None, _) => format!("--generation {}", entry.generation),
        };
        let policy = match entry.restores {
            Some(restored) => format!("{} (that of generation {restored})", entry.name),
            None => entry.name.clone(),
        };
        table.add_row([
            entry.generation.to_string(),
            steps,
            format!("{:.0}", entry.applied_at),
            policy,
            format!("{:.12}", entry.hash),
        ]);
    }
    render(&table)
}
