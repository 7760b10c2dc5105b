//! `edge-filter counters`: what was counted, as a table, as JSON, or again and
//! again.

use std::collections::HashMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use super::args::CountersArgs;
use super::failure::Failure;
use super::output::{print, print_json, render, table};
use crate::generation::Instance;
use crate::generation::counted::{CounterReport, Counters, HookCounters, counters_with_last_hits};
use crate::kernel::counters::Count;

pub(super) fn run(instance: &Instance, args: &CountersArgs) -> Result<(), Failure> {
    let Some(seconds) = args.watch else {
        return show(&counters_with_last_hits(instance)?, None, args);
    };
    let mut before: Option<(Counters, Instant)> = None;
    loop {
        let now = (counters_with_last_hits(instance)?, Instant::now());
        if std::io::stdout().is_terminal() && !args.json.json {
            // Home, and clear what is below (ECMA-48 CUP, ED).
            print("\u{1b}[H\u{1b}[J")?;
        }
        let since = before
            .as_ref()
            .map(|(counters, then)| (counters, now.1 - *then));
        show(&now.0, since, args)?;
        before = Some(now);
        thread::sleep(Duration::from_secs(seconds.into()));
    }
}

fn show(
    counters: &Counters,
    since: Option<(&Counters, Duration)>,
    args: &CountersArgs,
) -> Result<(), Failure> {
    if args.json.json && args.watch.is_some() {
        // One line a time, for programs that read along.
        print(&serde_json::to_string(counters).expect("reports have string keys"))
    } else if args.json.json {
        print_json(counters)
    } else {
        print(&in_words(counters, since, args.all))
    }
}

fn in_words(counters: &Counters, since: Option<(&Counters, Duration)>, all: bool) -> String {
    let mut text = match &counters.policy {
        Some(policy) => format!(
            "policy '{}', generation {}\n",
            policy.name, policy.generation
        ),
        None if !counters.hooks.is_empty() => {
            "nothing is enforced: a trial is over; this was counted until then\n".to_owned()
        }
        None => return nothing(counters).to_owned(),
    };
    for (place, hook) in counters.hooks.iter().enumerate() {
        let _ = writeln!(
            text,
            "\n{} ({}), {}",
            hook.interface, hook.device, hook.direction
        );
        let former =
            since.and_then(|(counters, passed)| Some((counters.hooks.get(place)?, passed)));
        text += &hook_table(hook, former, all);
    }
    text
}

fn nothing(counters: &Counters) -> &'static str {
    if counters.nameless > 0 {
        "programs are attached, but the state directory has no names for what they count; \
         `edge-filter apply` starts afresh\n"
    } else {
        "nothing is enforced, and so nothing is counted\n"
    }
}

fn hook_table(hook: &HookCounters, former: Option<(&HookCounters, Duration)>, all: bool) -> String {
    let mut header = vec!["counter", "kind", "action", "packets", "bytes"];
    header.extend(former.map(|_| "packets/s"));
    let mut table = table(&header, header.len() - 3);
    let earlier: HashMap<&str, Count> = former
        .iter()
        .flat_map(|(former, _)| &former.counters)
        .map(|counter| (&*counter.slot.id, counter.count))
        .collect();
    let rate = |count: Count, earlier: Option<&Count>| {
        let (_, passed) = former?;
        let new = count
            .packets
            .saturating_sub(earlier.map_or(0, |count| count.packets));
        Some((u128::from(new) * 1_000 / passed.as_millis().max(1)).to_string())
    };
    for CounterReport { slot, count, .. } in &hook.counters {
        if !all && slot.kind != "rule" && *count == Count::default() {
            continue;
        }
        let mut row = vec![
            slot.id.clone(),
            slot.kind.clone(),
            slot.action.to_string(),
            count.packets.to_string(),
            count.bytes.to_string(),
        ];
        row.extend(rate(*count, earlier.get(&*slot.id)));
        table.add_row(row);
    }
    let Count { packets, bytes } = hook.sum;
    let mut row = vec![
        "all".to_owned(),
        String::new(),
        String::new(),
        packets.to_string(),
        bytes.to_string(),
    ];
    row.extend(rate(
        hook.sum,
        former.map(|(former, _)| former.sum).as_ref(),
    ));
    table.add_row(row);
    render(&table)
}
