//! `edge-filter plan`: what a policy would change, before it does.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::args::PlanArgs;
use super::failure::Failure;
use super::intent::Intent;
use super::output::{complain, print, print_json, unless_reader_gone};
use crate::generation::Instance;
use crate::generation::difference::{ChangedRule, FieldChange, MovedRule, RuleName, Value};
use crate::generation::last_hits::LastHit;
use crate::generation::lasting::Awaited;
use crate::generation::planned::{self, Planned};
use crate::generation::proposal::{DeviceChange, Hits, Proposal, Treatment, propose};
use crate::guard;

/// Two looks that are no further apart than this tell when something was: the daemon looks
/// every ten seconds, if nothing keeps it.
const CLOSE: SignedDuration = SignedDuration::from_secs(30);

/// How much of a list is shown.
const SHOWN: usize = 8;

pub(super) fn run(instance: &Instance, args: &PlanArgs) -> Result<(), Failure> {
    let intent = Intent::typed(&args.policy, &args.target, &args.memory)?;
    let mut proposal = propose(
        instance,
        &intent.policy,
        &intent.plans,
        intent.sites,
        args.sample,
    )?;
    match guard::look(&intent.policy, &intent.plans) {
        Ok(found) => proposal.lock_out = found.map(|lock_out| lock_out.to_string()),
        Err(error) => proposal.notes.push(error.to_string()),
    }
    if let Some(path) = &args.out {
        let (mode, egress) = args.target.words();
        let shown = proposal
            .enforced
            .as_ref()
            .map(|enforced| enforced.generation);
        let intent = planned::Intent {
            file: &intent.file,
            text: &intent.text,
            overrides: &intent.overrides,
            mode: &mode,
            egress: &egress,
            plans: &intent.plans,
        };
        Planned::new(instance, intent, shown)?.write(path)?;
    }
    if let Some(lock_out) = proposal.lock_out.as_ref().filter(|_| !args.json.json) {
        complain(&format!("warning: `apply` refuses this: {lock_out}\n"));
    }
    unless_reader_gone(if args.json.json {
        print_json(&proposal)
    } else {
        print(&in_words(&proposal, Timestamp::now()))
    })?;
    if proposal.changes {
        Err(Failure::Changes)
    } else {
        Ok(())
    }
}

fn in_words(proposal: &Proposal, now: Timestamp) -> String {
    let mut text = String::new();
    let policy = &proposal.policy;
    let _ = write!(
        text,
        "policy '{}' (sha256 {:.12}) in the place of ",
        policy.name, policy.hash
    );
    if let Some(enforced) = &proposal.enforced {
        let _ = write!(
            text,
            "'{}' (sha256 {:.12}), generation {}, applied at {:.0}",
            enforced.policy.name, enforced.policy.hash, enforced.generation, enforced.applied_at
        );
        if let Some(deadline) = enforced.confirm_deadline {
            let _ = write!(text, ", on trial until {deadline:.0}");
        }
        text.push('\n');
    } else {
        text += "nothing\n";
    }
    for note in &proposal.notes {
        let _ = writeln!(text, "note: {note}");
    }
    section(&mut text, "settings", proposal.settings.iter().map(setting));
    let rules = &proposal.rules;
    let removed = rules.removed.iter().map(|hit| {
        let RuleName {
            id,
            interface,
            direction,
            action,
            ..
        } = &hit.rule;
        let hits = hits(&hit.hits, now);
        format!("- {id}: {interface} {direction}, {action}; {hits}")
    });
    let changed = rules
        .changed
        .iter()
        .map(|hit| changed(&hit.rule, &hits(&hit.hits, now)));
    let moved = rules
        .moved
        .iter()
        .map(|hit| moved(&hit.rule, &hits(&hit.hits, now)));
    let lines = rules.added.iter().map(added);
    let lines = lines.chain(removed).chain(changed).chain(moved);
    section(&mut text, "rules", lines);
    let devices = proposal.devices.iter().map(device);
    let not_awaited = proposal.not_awaited.iter().map(not_awaited);
    section(&mut text, "devices", devices.chain(not_awaited));
    text.push('\n');
    text += &summary(proposal);
    text
}

fn section(text: &mut String, name: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "\n{name}");
    }
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn setting(change: &FieldChange) -> String {
    format!("~ {}", field(change))
}

fn added(rule: &RuleName) -> String {
    let RuleName {
        id,
        interface,
        direction,
        action,
        line,
    } = rule;
    format!("+ {id}: {interface} {direction}, {action} (line {line})")
}

fn changed(ChangedRule { rule, fields }: &ChangedRule, hits: &str) -> String {
    let mut text = format!("~ {} (line {}); {hits}", rule.id, rule.line);
    for change in fields {
        let _ = write!(text, "\n      {}", field(change));
    }
    text
}

fn moved(moved: &MovedRule, hits: &str) -> String {
    let place = |behind: &Option<String>| {
        behind
            .as_ref()
            .map_or("before all others".to_owned(), |id| {
                format!("behind '{id}'")
            })
    };
    let MovedRule {
        rule,
        was_behind,
        behind,
    } = moved;
    format!(
        "> {} (line {}): {}, not {}; {}",
        rule.id,
        rule.line,
        place(behind),
        place(was_behind),
        hits
    )
}

fn field(change: &FieldChange) -> String {
    let FieldChange {
        field,
        before,
        after,
    } = change;
    let lists = match (before, after) {
        (Some(Value::Many(before)), Some(Value::Many(after))) => Some((before, after)),
        _ => None,
    };
    let Some((before, after)) = lists else {
        return format!(
            "{field}: {} -> {}",
            value(before.as_ref()),
            value(after.as_ref())
        );
    };
    let only = |some: &[String], others: &[String]| -> Vec<String> {
        let some = some.iter();
        some.filter(|word| !others.contains(word))
            .cloned()
            .collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    let mut parts = Vec::new();
    if !gone.is_empty() {
        parts.push(format!("without {}", list(&gone)));
    }
    if !new.is_empty() {
        parts.push(format!("with {}", list(&new)));
    }
    if parts.is_empty() {
        parts.push("in another order".to_owned());
    }
    format!("{field}: {}", parts.join(", "))
}

fn value(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::One(word)) => word.clone(),
        Some(Value::Many(words)) => list(words),
    }
}

fn list(words: &[String]) -> String {
    match words.get(..SHOWN) {
        Some(first) if words.len() > SHOWN => {
            format!("{} and {} more", first.join(", "), words.len() - SHOWN)
        }
        _ => words.join(", "),
    }
}

/// What a rule was hit by, and, as far as somebody watched, when last and how often meanwhile.
fn hits(hits: &Hits, now: Timestamp) -> String {
    let mut text = match (hits.own.packets, hits.replies.packets) {
        (0, 0) => "never hit".to_owned(),
        (packets, 0) => format!("hit by {}", counted(packets, "packet")),
        (packets, replies) => format!(
            "hit by {} and {}",
            counted(packets, "packet"),
            counted(replies, "reply")
        ),
    };
    if hits.own.packets + hits.replies.packets > 0 {
        text += &last_hit(&hits.last, now);
    }
    if let Some(sample) = hits.sample {
        let packets = match sample.packets {
            0 => "none".to_owned(),
            packets => packets.to_string(),
        };
        let _ = write!(text, ", {packets} in the last {} s", sample.seconds);
    }
    text
}

/// When something was hit last, as exactly as is known.
fn last_hit(last: &LastHit, now: Timestamp) -> String {
    match (last.after.zip(last.until), last.since) {
        (Some((after, until)), _) if until.duration_since(after) <= CLOSE => {
            format!(", last {}", ago(now.duration_since(after)))
        }
        (Some((after, until)), _) => format!(", last between {after} and {until}"),
        (None, Some(since)) => format!(", not since {since} (watched since then)"),
        (None, None) => String::new(),
    }
}

/// `3 minutes ago`.
fn ago(passed: SignedDuration) -> String {
    let seconds = passed.as_secs().max(1).unsigned_abs();
    let units = [("day", 86_400), ("hour", 3600), ("minute", 60)];
    // Two of a unit are the least that says enough.
    let unit = units.iter().find(|(_, length)| seconds >= 2 * length);
    match unit {
        Some((unit, length)) => format!("{} ago", counted(seconds / length, unit)),
        None => format!("less than {seconds} s ago"),
    }
}

fn device(change: &DeviceChange) -> String {
    let DeviceChange {
        change,
        device,
        direction,
        interface,
    } = change;
    let (sign, what) = match change {
        Treatment::Attach => ("+", format!("is filtered as {interface}")),
        Treatment::Release => ("-", format!("is not filtered any more (was {interface})")),
        Treatment::Reassign => ("~", format!("becomes {interface}")),
        Treatment::Renew => ("~", "enforces an older generation still".to_owned()),
    };
    format!("{sign} {device} {direction} {what}")
}

fn not_awaited(Awaited { device, interface }: &Awaited) -> String {
    format!("- {device} is not waited for any more (was {interface})")
}

fn summary(proposal: &Proposal) -> String {
    if !proposal.changes {
        return "no change\n".to_owned();
    }
    let rules = &proposal.rules;
    let of_rules = [
        ("added", rules.added.len()),
        ("removed", rules.removed.len()),
        ("changed", rules.changed.len()),
        ("moved", rules.moved.len()),
    ];
    let mut parts: Vec<String> = of_rules
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{} {what}", counted(count as u64, "rule")))
        .collect();
    for (count, what) in [
        (proposal.settings.len(), "setting"),
        (proposal.devices.len(), "side of a device"),
    ] {
        if count > 0 {
            parts.push(format!("{} changed", counted(count as u64, what)));
        }
    }
    match proposal.not_awaited.len() {
        0 => {}
        count => parts.push(format!(
            "{} not waited for any more",
            counted(count as u64, "device")
        )),
    }
    if parts.is_empty() {
        return "the trial ends: its policy is kept for good\n".to_owned();
    }
    format!("{}\n", parts.join(", "))
}

/// `1 rule`, `2 rules`.
fn counted(count: u64, what: &str) -> String {
    if count == 1 {
        return format!("1 {what}");
    }
    let many = match what {
        "reply" => "replies".to_owned(),
        "side of a device" => "sides of devices".to_owned(),
        what => format!("{what}s"),
    };
    format!("{count} {many}")
}
