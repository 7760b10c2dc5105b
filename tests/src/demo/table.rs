//! The table: flow, expected, observed, counter.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Table};

use super::case::Case;
use crate::lab::conversation::Outcome;
use crate::lab::meter::Reading;

/// One line of the table.
#[derive(Debug)]
pub(super) struct Line {
    flow: String,
    expected: Outcome,
    observed: Outcome,
    counter: String,
    counted_right: bool,
}

impl Line {
    /// Holds what a case expects against what was seen.
    pub(super) fn new(case: &Case, observed: Outcome, reading: &Reading) -> Self {
        let expected = case.counters();
        let counted_right = reading.is(&expected);
        let mut moved: Vec<String> = reading
            .counted
            .iter()
            .map(|((role, direction, id), count)| {
                let of = if role == case.side.role() {
                    String::new()
                } else {
                    format!("{role} ")
                };
                let sign = if direction == "inbound" { "←" } else { "→" };
                format!("{of}{sign} {id} +{}", count.packets)
            })
            .collect();
        if moved.is_empty() {
            moved.push("none".to_owned());
        }
        if !counted_right {
            let (sent, received) = (&reading.sent, &reading.received);
            moved.push(format!(
                "(expected {expected:?}; sent {sent:?}, received {received:?})"
            ));
        }
        Self {
            flow: case.flow(),
            expected: case.expected,
            observed,
            counter: moved.join("\n"),
            counted_right,
        }
    }

    /// Whether socket and counter both say what was expected.
    pub(super) fn agrees(&self) -> bool {
        self.expected == self.observed && self.counted_right
    }
}

/// The whole table.
pub(super) fn render(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["", "flow", "expected", "observed", "counter"]);
    for line in lines {
        table.add_row([
            Cell::new(if line.agrees() { "✓" } else { "✗" }),
            Cell::new(&line.flow),
            Cell::new(line.expected.as_str()),
            Cell::new(line.observed.as_str()),
            Cell::new(&line.counter),
        ]);
    }
    table
}
