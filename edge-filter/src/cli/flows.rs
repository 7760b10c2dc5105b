//! `edge-filter flows`: the conversations that the trusted side has opened.

use std::fmt::Write;

use super::args::JsonArgs;
use super::failure::Failure;
use super::output::{print, print_json, render, table};
use crate::generation::Instance;
use crate::generation::conversations::{FlowReport, flows};

pub(super) fn run(instance: &Instance, args: &JsonArgs) -> Result<(), Failure> {
    let report = flows(instance)?;
    if args.json {
        print_json(&report)
    } else {
        print(&in_words(&report))
    }
}

fn in_words(report: &FlowReport) -> String {
    if report.entries_max == 0 {
        return "no policy is enforced that has conversations remembered\n".to_owned();
    }
    let mut text = String::new();
    if !report.flows.is_empty() {
        let mut table = table(
            &["rule", "protocol", "from", "to", "state", "age", "idle"],
            2,
        );
        for flow in &report.flows {
            table.add_row([
                flow.rule.as_deref().unwrap_or("(allowed no more)"),
                &flow.protocol,
                &flow.from,
                &flow.to,
                flow.state,
                &format!("{} s", flow.age_seconds),
                &format!("{} s", flow.idle_seconds),
            ]);
        }
        text += &render(&table);
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{} of {} entries used, {} evicted",
        report.entries_used, report.entries_max, report.evicted
    );
    text
}
