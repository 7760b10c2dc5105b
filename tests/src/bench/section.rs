//! A part of what is told: a title, what its figures mean, and a table of them, for a
//! terminal or as Markdown.

use std::fmt;
use std::ops::Range;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table};

use super::spread::Spread;

/// A section.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) about: String,
    pub(super) table: Table,
}

/// A section as Markdown.
pub(super) struct Markdown<'s>(pub(super) &'s Section);

/// A table of these columns, of which `numbers` are aligned as such.
pub(super) fn table(columns: &[&str], numbers: Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(columns);
    for column in table
        .column_iter_mut()
        .take(numbers.end)
        .skip(numbers.start)
    {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The median, the least and the most, each as `number` writes it.
pub(super) fn columns(spread: Spread, number: impl Fn(f64) -> String) -> [String; 3] {
    [spread.median, spread.least, spread.most].map(number)
}

/// The same as one cell.
pub(super) fn cell(spread: Spread) -> String {
    let [median, least, most] = columns(spread, |number| format!("{number:.1}"));
    format!("{median} ({least} to {most})")
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            title,
            about,
            table,
        } = self;
        writeln!(f, "\n{title}\n{about}\n{table}")
    }
}

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Section {
            title,
            about,
            table,
        } = self.0;
        let mut table = table.clone();
        table.load_style(ASCII_MARKDOWN);
        writeln!(f, "\n## {title}\n\n{about}\n\n{table}")
    }
}
