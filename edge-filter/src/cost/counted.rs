//! Tables that count how often they are asked.

use std::cell::Cell;

use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::flow::{Flows, Tuple};
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::tables::{Chunk, Path, Tables};

use super::Lookups;
use crate::compile::TableImage;

/// The tables of a hook, an empty flow table, and how often they were asked. Of a small
/// policy they are those of any other, which are asked no less often.
pub(super) struct Counted<'h> {
    tables: &'h TableImage,
    /// Rows from here on say what bits mean.
    address_rows: usize,
    lookups: Cell<Lookups>,
}

impl<'h> Counted<'h> {
    pub(super) fn new(tables: &'h TableImage, address_rows: usize) -> Self {
        Self {
            tables,
            address_rows,
            lookups: Cell::default(),
        }
    }

    pub(super) fn lookups(&self) -> Lookups {
        self.lookups.get()
    }

    fn ask(&self, kind: impl FnOnce(&mut Lookups) -> &mut u32) -> &'h TableImage {
        let mut lookups = self.lookups.get();
        *kind(&mut lookups) += 1;
        self.lookups.set(lookups);
        self.tables
    }
}

impl Tables for Counted<'_> {
    fn constant(&self, constant: Constant) -> u32 {
        self.tables.constant(constant)
    }

    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        let tables = if (row as usize) < self.address_rows {
            self.ask(|lookups| &mut lookups.addresses)
        } else {
            self.ask(|lookups| &mut lookups.rule_numbers)
        };
        tables.entry(row, slot)
    }

    fn few(&self, number: usize) -> &Path {
        self.ask(|lookups| &mut lookups.addresses).few(number)
    }

    fn transport(&self, index: u32) -> u32 {
        self.ask(|lookups| &mut lookups.ports).transport(index)
    }

    fn source_port(&self, port: u16) -> u32 {
        self.ask(|lookups| &mut lookups.ports).source_port(port)
    }

    fn path(&self, index: u32) -> Option<&Path> {
        self.ask(|lookups| &mut lookups.addresses).path(index)
    }

    fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.ask(|lookups| &mut lookups.vectors).chunk(index)
    }

    fn outcome(&self, index: u16) -> &Outcome {
        self.ask(|lookups| &mut lookups.outcomes).outcome(index)
    }

    fn is_small(&self) -> bool {
        false
    }
}

impl Flows for Counted<'_> {
    fn record(&self, _: &Tuple, _: u8) {
        self.ask(|lookups| &mut lookups.flows);
    }

    fn is_answered(&self, _: &Tuple, _: u8) -> bool {
        self.ask(|lookups| &mut lookups.flows);
        false
    }

    fn is_live(&self, _: &Tuple) -> bool {
        self.ask(|lookups| &mut lookups.flows);
        false
    }
}
