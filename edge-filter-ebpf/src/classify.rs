//! The classes of a packet's fields: source and destination address by a
//! multibit trie with compressed paths, protocol and destination port by one
//! table, source port by another. [`crate::search`] finds the rules that all of
//! them have in common.

use crate::config::{Constant, NONE};
use crate::packet::{Address, Family, Key, protocol};
use crate::search::Vectors;
use crate::tables::{Entry, Kind, Tables};

/// The classes of a packet's fields, each by the first chunk of its vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// Of its source address.
    pub source: u32,
    /// Of its destination address.
    pub destination: u32,
    /// Of its protocol and destination port.
    pub transport: u32,
    /// Of its source port.
    pub source_port: u32,
}

/// The class of what satisfies every rule. Its vector is stored like any other.
pub const EVERY_RULE: u32 = 0;

/// The rows of [`Constant::Transports`]: 256 of destination ports for TCP, for
/// UDP and for SCTP each, and one of protocols.
pub const PORT_ROWS: u32 = 256;
/// The row of protocols, counted from the first of [`Constant::Transports`].
pub const PROTOCOL_ROW: u32 = 3 * PORT_ROWS;

/// The most steps that an address of each family takes through its trie: every
/// step but the last consumes at least one byte.
const STEPS_V4: u32 = 4;
const STEPS_V6: u32 = 16;

/// The leaf of the packet's source. `None` if a loop ran out.
#[inline(always)]
pub fn source<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.source, Constant::SourceV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.source, Constant::SourceV6, tables),
    }
}

#[inline(always)]
fn destination<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.destination, Constant::DestinationV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.destination, Constant::DestinationV6, tables),
    }
}

/// Walks a trie to the leaf of `address`.
#[inline(always)]
fn lookup<const STEPS: u32, T: Tables>(
    address: Address,
    root: Constant,
    tables: &T,
) -> Option<Entry> {
    let mut entry = Entry(tables.constant(root));
    for _ in 0..STEPS {
        match entry.kind() {
            Kind::Leaf => return Some(entry),
            Kind::Branch => {
                let byte = address.byte(entry.position());
                entry = Entry(tables.entry(entry.index(), byte)?);
            }
            Kind::Wide => {
                let row = entry.index() + address.byte(0);
                entry = Entry(tables.entry(row, address.byte(1))?);
            }
            Kind::Path => {
                let path = tables.path(entry.index())?;
                let mut differs = (address.high ^ path.high) & path.high_mask;
                // Of IPv4 the second half is empty.
                if STEPS != STEPS_V4 {
                    differs |= (address.low ^ path.low) & path.low_mask;
                }
                if differs != 0 {
                    return Some(Entry(path.otherwise));
                }
                entry = Entry(path.then);
            }
        }
    }
    matches!(entry.kind(), Kind::Leaf).then_some(entry)
}

/// The class of protocol and destination port.
#[inline(always)]
fn transport<T: Tables>(key: &Key, tables: &T) -> Option<u32> {
    let rows = tables.constant(Constant::Transports);
    let ports = match key.protocol {
        protocol::TCP => 0,
        protocol::UDP => PORT_ROWS,
        protocol::SCTP => 2 * PORT_ROWS,
        other => return tables.entry(rows + PROTOCOL_ROW, u32::from(other)),
    };
    let port = u32::from(key.destination_port);
    tables.entry(rows + ports + (port >> 8), port & 0xff)
}

/// The class of the source port.
#[inline(always)]
fn source_port<T: Tables>(key: &Key, tables: &T) -> Option<u32> {
    let rows = tables.constant(Constant::SourcePorts);
    if rows == NONE {
        return Some(EVERY_RULE);
    }
    let port = u32::from(key.source_port);
    tables.entry(rows + (port >> 8), port & 0xff)
}

/// The classes of `key`, whose source has the leaf `source`. `None` if a loop ran
/// out, or past a table's end.
#[inline(always)]
pub fn classes<T: Tables>(key: &Key, source: Entry, tables: &T) -> Option<Classes> {
    let destination = destination(key, tables)?.class();
    let transport = transport(key, tables)?;
    let source_port = source_port(key, tables)?;
    Some(Classes {
        source: source.class(),
        destination,
        transport,
        source_port,
    })
}

/// Their bit vectors.
#[inline(always)]
pub fn vectors<'a, T: Tables>(key: &Key, source: Entry, tables: &'a T) -> Option<Vectors<'a>> {
    Vectors::of(classes(key, source, tables)?, tables)
}

#[cfg(test)]
mod tests;
