//! Printing: to a reader that may go away at any time.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::failure::Failure;

/// Prints `text`, which ends with a line break of its own or gets one.
///
/// # Errors
/// The reader went away, as `head` does, or the output cannot be written.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    write_to(&mut io::stdout().lock(), text).map_err(unprinted)
}

/// Prints `text` and nothing else.
///
/// # Errors
/// As [`print`].
pub(super) fn print_exactly(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_bytes());
    printed.and_then(|()| stdout.flush()).map_err(unprinted)
}

fn unprinted(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::Output(error),
    }
}

/// Prints `text` to standard error.
pub(super) fn complain(text: &str) {
    if !text.is_empty() {
        // There is nobody left to tell.
        let _ = write_to(&mut io::stderr().lock(), text);
    }
}

/// Prints `value` as JSON.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).expect("reports have string keys");
    print(&text)
}

/// What became of printing, to a command whose exit code says something by itself: that its
/// reader has seen enough does not change that.
pub(super) fn unless_reader_gone(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::ReaderGone) => Ok(()),
        printed => printed,
    }
}

/// A table without lines, whose last `numbers` columns are aligned to the right.
pub(super) fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().copied());
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if place >= header.len() - numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table as text, without trailing blanks.
pub(super) fn render(table: &Table) -> String {
    table
        .lines()
        .fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn write_to(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    let line_break: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    stream.write_all(text.as_bytes())?;
    stream.write_all(line_break)?;
    stream.flush()
}
