//! What `apply`, `confirm` and `rollback` say when they are done.

use std::fmt::Write;

use super::args::JsonArgs;
use super::failure::Failure;
use super::output::{complain, print, print_json};
use crate::generation::applied::{Applied, AppliedHook};
use crate::generation::rules::RuleChanges;
use crate::generation::status::TrialStatus;

/// How many ids a line names; `--json` names all of them.
const NAMED: usize = 12;

/// Prints what was applied, and its warnings to standard error.
pub(super) fn report(applied: &Applied, args: &JsonArgs) -> Result<(), Failure> {
    report_trial(applied, None, args)
}

/// The same, with what is known of the trial that it is.
pub(super) fn report_trial(
    applied: &Applied,
    trial: Option<&TrialStatus>,
    args: &JsonArgs,
) -> Result<(), Failure> {
    for warning in &applied.warnings {
        complain(&format!("warning: {warning}"));
    }
    if args.json {
        print_json(applied)
    } else {
        print(&in_words(applied, trial))
    }
}

fn in_words(applied: &Applied, trial: Option<&TrialStatus>) -> String {
    let mut text = String::new();
    let Applied {
        policy, generation, ..
    } = applied;
    if applied.hooks.is_empty() {
        let _ = writeln!(
            text,
            "policy '{policy}' has no enabled rules: no device is filtered"
        );
    } else if applied.confirm_deadline.is_some() {
        let _ = writeln!(
            text,
            "policy '{policy}' is on trial as generation {generation}"
        );
    } else {
        let _ = writeln!(
            text,
            "policy '{policy}' is enforced as generation {generation}"
        );
    }
    if let Some(restored) = applied.restores {
        let _ = writeln!(text, "  it is the policy of generation {restored}");
    }
    for hook in &applied.hooks {
        text += &hook_in_words(hook);
    }
    let any_more = match applied.confirm_deadline {
        Some(_) => "is not filtered during the trial",
        None => "is not filtered any more",
    };
    for hook in &applied.released {
        let _ = writeln!(text, "  {} {} {any_more}", hook.device, hook.direction);
    }
    text += &rules_in_words(&applied.rules);
    if let Some(deadline) = applied.confirm_deadline {
        let is_first = trial.is_some_and(|trial| !trial.end.filtered_afterwards);
        let then = if is_first {
            "nothing is filtered any more"
        } else {
            "what was enforced before decides again"
        };
        let _ = writeln!(
            text,
            "  at {deadline:.0} {then}, unless `edge-filter confirm` is run until then"
        );
    }
    text
}

/// Where a hook is, and why it is not elsewhere.
pub(super) fn hook_in_words(hook: &AppliedHook) -> String {
    let mut text = format!(
        "  {} {}: {} on {}\n",
        hook.interface,
        hook.direction,
        hook.site.in_words(),
        hook.device
    );
    if let Some(reason) = &hook.fallback {
        let _ = writeln!(
            text,
            "    {}, because the first choice failed: {}",
            hook.site.in_words(),
            reason.replace("\n  help:", "\n      help:")
        );
    }
    text
}

fn rules_in_words(rules: &RuleChanges) -> String {
    let mut text = format!(
        "  rules: {} carried, {} new",
        rules.carried.len(),
        rules.new.len()
    );
    text += &named(&rules.new);
    let _ = write!(text, ", {} gone", rules.gone.len());
    text += &named(&rules.gone);
    text + "\n"
}

fn named(ids: &[String]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let more = ids.len().saturating_sub(NAMED);
    let mut names = ids[..ids.len() - more].join(", ");
    if more > 0 {
        let _ = write!(names, " and {more} more");
    }
    format!(" ({names})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_rules_takes_one_line() {
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        let mut rules = RuleChanges {
            carried: ids(&["web", "stun"]),
            new: Vec::new(),
            gone: ids(&["telnet"]),
        };
        assert_eq!(
            rules_in_words(&rules),
            "  rules: 2 carried, 0 new, 1 gone (telnet)\n"
        );
        rules.new = (1..=14).map(|number| format!("r{number}")).collect();
        assert_eq!(
            rules_in_words(&rules),
            "  rules: 2 carried, 14 new (r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12 and 2 \
             more), 1 gone (telnet)\n"
        );
    }
}
