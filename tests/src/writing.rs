//! What the writer of state writes (`src/bin/state_writer.rs`), again and again until it is
//! killed.

use std::io::Write;

use anyhow::Result;
use edge_filter::generation::record::{PolicyRecord, Record, Tally};
use edge_filter::generation::sites::Sites;
use edge_filter::generation::state_dir::StateDir;

/// The generation whose record it writes.
pub const GENERATION: u64 = 7;

/// The record with the number `number`: large enough for a write to be cut short.
#[must_use]
pub fn record(number: u64) -> Record {
    let policy = PolicyRecord {
        name: number.to_string(),
        hash: String::new(),
        text: format!("# {number}\n").repeat(4_000),
    };
    Record::new(GENERATION, policy, Sites::default())
}

/// Writes the record and then the tally with one number after another, and says each
/// before.
pub fn write_for_ever(state: &StateDir, mut said: impl Write) -> Result<()> {
    let mut tally = state.tally()?;
    loop {
        let number = tally.folded + 1;
        writeln!(said, "{number}")?;
        said.flush()?;
        state.write_record(&record(number))?;
        tally = Tally::default();
        tally.folded = number;
        state.write_tally(&tally)?;
    }
}
