//! `edge-filter check --stats`: what the rules of each hook come to, in words and as JSON.

use std::fmt::Write;

use comfy_table::Table;
use serde_json::{Value, json};

use super::output::{render, table};
use crate::compile::budget::{Budget, CompiledHook, HookFacts};
use crate::compile::facts::{Judged, grouped};
use crate::cost::measured::{Measured, Unmeasured, What, measure};
use crate::cost::{Cost, Lookups, costs};
use crate::policy::Policy;

/// The figures of a policy.
pub(super) struct Stats {
    hooks: Vec<HookStats>,
    budget: Budget,
}

/// The figures of a hook.
struct HookStats {
    known: HookFacts,
    judging: Option<Judging>,
}

/// What packets cost; not known where the tables are too large to be made.
struct Judging {
    costs: Vec<Cost>,
    measured: Result<Measured, Unmeasured>,
}

impl Stats {
    /// Those of `hooks`, which fit the budget.
    pub(super) fn of(policy: &Policy, hooks: &[CompiledHook], budget: Budget) -> Self {
        let hooks = hooks.iter().map(|hook| {
            let costs = costs(policy, hook);
            let measured = measure(policy, hook, &costs);
            HookStats {
                known: hook.known.clone(),
                judging: Some(Judging { costs, measured }),
            }
        });
        Self {
            hooks: hooks.collect(),
            budget,
        }
    }

    /// Those of hooks that do not fit the budget, and were not made.
    pub(super) fn of_sizes(hooks: &[HookFacts], budget: Budget) -> Self {
        let hooks = hooks.iter().map(|known| HookStats {
            known: known.clone(),
            judging: None,
        });
        Self {
            hooks: hooks.collect(),
            budget,
        }
    }

    /// As tables.
    pub(super) fn in_words(&self) -> String {
        if self.hooks.is_empty() {
            return "no hook is attached: the policy has no enabled rules\n".to_owned();
        }
        let mut text = "what the rules tell apart, and how packets are judged\n".to_owned();
        text += &render(&self.classes());
        text += "\nmemory of the tables of each program\n";
        text += &render(&self.memory());
        let programs: usize = self.hooks.iter().map(|hook| hook.known.programs).sum();
        let _ = writeln!(
            text,
            "all {programs} programs: {}, and they may take {} (--max-memory); counters and the \
             flow table come on top",
            size(self.bytes()),
            size(self.budget.bytes),
        );
        if self.hooks.iter().all(|hook| hook.judging.is_none()) {
            return text;
        }
        text += "\nlookups in tables for a packet, counted on this host: the typical one of those \
                 made from the rules,\nand the costliest that was found\n";
        text += &render(&self.lookups());
        text + "\n" + &self.in_this_kernel()
    }

    /// As `check --json` prints it.
    pub(super) fn in_json(&self) -> Value {
        json!({
            "bytes": self.bytes(),
            "bytes_allowed": self.budget.bytes,
            "fits": self.bytes() <= self.budget.bytes,
            "hooks": self.hooks.iter().map(HookStats::in_json).collect::<Vec<_>>(),
        })
    }

    fn bytes(&self) -> usize {
        self.hooks.iter().map(|hook| hook.known.bytes()).sum()
    }

    fn classes(&self) -> Table {
        let mut table = table(
            &[
                "hook",
                "judged",
                "devices",
                "rules",
                "for replies",
                "sources",
                "destinations",
                "ports",
                "source ports",
            ],
            7,
        );
        for HookStats { known, .. } in &self.hooks {
            let facts = &known.facts;
            let numbers = [
                known.programs,
                facts.rules,
                facts.reply_conditions,
                facts.classes.source,
                facts.classes.destination,
                facts.classes.transport,
                facts.classes.source_port,
            ];
            let words = [name(known), judged(facts.judged)];
            table.add_row(words.into_iter().chain(numbers.map(grouped)));
        }
        table
    }

    fn memory(&self) -> Table {
        let mut header = vec!["hook"];
        let kinds = self.hooks[0].known.facts.bytes.kinds();
        header.extend(kinds.iter().map(|(kind, _)| kind.as_str()));
        header.extend(["in all", "made in"]);
        let mut table = table(&header, header.len() - 1);
        for HookStats { known, .. } in &self.hooks {
            let bytes = &known.facts.bytes;
            let kinds = bytes.kinds().into_iter().map(|(_, bytes)| size(bytes));
            let made_in = format!("{} ms", known.compiled_in.as_millis());
            let sums = [size(bytes.total()), made_in];
            table.add_row([name(known)].into_iter().chain(kinds).chain(sums));
        }
        table
    }

    fn lookups(&self) -> Table {
        let header = [
            "hook",
            "packet",
            "addresses",
            "ports",
            "vectors",
            "rule numbers",
            "outcomes",
            "flow table",
            "in all",
        ];
        let mut table = table(&header, header.len() - 2);
        for HookStats { known, judging } in &self.hooks {
            for cost in judging.iter().flat_map(|judging| &judging.costs) {
                for (which, lookups) in [("typical", &cost.typical), ("costliest", &cost.costliest)]
                {
                    let words = [name(known), format!("{} {which}", cost.family.as_str())];
                    let numbers = kinds(lookups).map(|count| grouped(count as usize));
                    table.add_row(words.into_iter().chain(numbers));
                }
            }
        }
        table
    }

    /// What was measured, and why the rest was not.
    fn in_this_kernel(&self) -> String {
        let mut header = vec!["hook", "verified instructions"];
        header.extend(What::ALL.map(What::as_str));
        let mut table = table(&header, header.len() - 1);
        let mut reasons: Vec<(String, String)> = Vec::new();
        for HookStats { known, judging } in &self.hooks {
            match judging.as_ref().map(|judging| &judging.measured) {
                Some(Ok(measured)) => {
                    table.add_row([name(known)].into_iter().chain(figures(measured)));
                }
                Some(Err(reason)) => reasons.push((name(known), reason.to_string())),
                None => {}
            }
        }
        let mut text = "in this kernel: nanoseconds over a program that does nothing, without a \
                        flow table\n"
            .to_owned();
        if !table.is_empty() {
            text += &render(&table);
        } else if let Some((_, reason)) = reasons.first()
            && reasons.iter().all(|(_, other)| other == reason)
        {
            let _ = writeln!(text, "not measured: {reason}");
            return text;
        }
        for (hook, reason) in reasons {
            let _ = writeln!(text, "{hook}: not measured: {reason}");
        }
        text
    }
}

/// The figures of one program: nothing where there is no such packet.
fn figures(measured: &Measured) -> impl Iterator<Item = String> {
    let nanoseconds = What::ALL.map(|packet| {
        let mut timed = measured.packets.iter();
        let timed = timed.find(|timed| timed.packet == packet);
        timed.map_or_else(String::new, |timed| format!("{:.0}", timed.nanoseconds))
    });
    let verified = grouped(measured.verified_instructions as usize);
    [verified].into_iter().chain(nanoseconds)
}

impl HookStats {
    fn in_json(&self) -> Value {
        let HookFacts {
            interface,
            direction,
            programs,
            facts,
            compiled_in,
        } = &self.known;
        let mut hook = json!({
            "interface": interface,
            "direction": direction.as_str(),
            "devices": programs,
        });
        let facts = serde_json::to_value(facts).expect("they have string keys");
        let parts = facts.as_object().into_iter().flatten();
        for (key, value) in parts {
            hook[key] = value.clone();
        }
        hook["bytes"]["in_all"] = json!(self.known.facts.bytes.total());
        hook["compiled_in_ms"] = json!(compiled_in.as_millis());
        if let Some(Judging { costs, measured }) = &self.judging {
            hook["lookups"] = json!(costs);
            for (place, cost) in costs.iter().enumerate() {
                for (which, lookups) in [("typical", &cost.typical), ("costliest", &cost.costliest)]
                {
                    hook["lookups"][place][which]["in_all"] = json!(lookups.total());
                }
            }
            hook["measured"] = json!(measured.as_ref().ok());
            hook["not_measured"] = json!(measured.as_ref().err().map(ToString::to_string));
        }
        hook
    }
}

fn name(hook: &HookFacts) -> String {
    format!("{} {}", hook.interface, hook.direction)
}

fn judged(judged: Judged) -> String {
    match judged {
        Judged::WithoutRules => "without rules".to_owned(),
        Judged::ByOutcomes => "all outcomes known".to_owned(),
        Judged::InPlace => "vectors, in place".to_owned(),
        Judged::WordByWord { words } => format!("vectors, {words} words"),
    }
}

fn kinds(lookups: &Lookups) -> [u32; 7] {
    [
        lookups.addresses,
        lookups.ports,
        lookups.vectors,
        lookups.rule_numbers,
        lookups.outcomes,
        lookups.flows,
        lookups.total(),
    ]
}

/// Bytes as people read them.
fn size(bytes: usize) -> String {
    match bytes {
        0 => "0".to_owned(),
        1..=1_048_575 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", tenths(bytes)),
    }
}

/// In MiB, rounded up to a tenth, which is left out where it is none.
fn tenths(bytes: usize) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => grouped(whole),
        (whole, rest) => format!("{}.{rest}", grouped(whole)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_never_less_than_what_they_stand_for() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1 KiB"),
            (1_024, "1 KiB"),
            (1_025, "2 KiB"),
            (1 << 20, "1 MiB"),
            ((1 << 20) + 1, "1.1 MiB"),
            (3 << 19, "1.5 MiB"),
            (256 << 20, "256 MiB"),
            (2_000 << 20, "2,000 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
