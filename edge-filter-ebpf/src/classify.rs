//! The classes of a packet's fields: source and destination address by comparison with a
//! few prefixes or by a multibit trie with compressed paths, protocol and destination
//! port by one table, source port by another. [`crate::search`] finds the rules that all of
//! them have in common.

use core::hint::cold_path;

use crate::config::Constant;
use crate::packet::{Address, Family, Key};
use crate::tables::{Entry, FEW, Kind, Path, Tables, Trie, transport_index};

/// The classes of a packet's fields, each by the first chunk of its vector, or as what it adds
/// to the index of an [`Outcome`](crate::outcome::Outcome).
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

impl Classes {
    /// All four, in the order in which they are declared.
    #[inline(always)]
    #[must_use]
    pub const fn in_order(self) -> [u32; 4] {
        [
            self.source,
            self.destination,
            self.transport,
            self.source_port,
        ]
    }
}

/// The class of what satisfies every rule. Its vector is stored like any other.
pub const EVERY_RULE: u32 = 0;

/// The most steps that an address of each family takes through its trie: every
/// step but the last consumes at least one byte.
const STEPS_V4: u32 = 4;
const STEPS_V6: u32 = 16;

/// The leaf of the packet's source. `None` if a loop ran out.
#[inline(always)]
pub fn source<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.source, Trie::SourceV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.source, Trie::SourceV6, tables),
    }
}

#[inline(always)]
fn destination<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.destination, Trie::DestinationV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.destination, Trie::DestinationV6, tables),
    }
}

/// The leaf of `address`: that of the first of a few prefixes that holds it, else what a
/// walk through the trie comes to.
#[inline(always)]
fn lookup<const STEPS: u32, T: Tables>(address: Address, trie: Trie, tables: &T) -> Option<Entry> {
    let few = tables.constant(trie.few());
    // Written out: LLVM makes a loop of a loop.
    let leaf = few_leaf::<STEPS, 0, T>(address, trie, few, tables)
        .or_else(|| few_leaf::<STEPS, 1, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 2, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 3, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 4, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 5, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 6, T>(address, trie, few, tables))
        .or_else(|| few_leaf::<STEPS, 7, T>(address, trie, few, tables));
    const { assert!(FEW == 8) };
    if leaf.is_some() {
        return leaf;
    }
    walk::<STEPS, T>(address, Entry(tables.constant(trie.root())), tables)
}

/// The leaf of prefix number `NUMBER` of `few`, if there is one and `address` has its bits.
#[inline(always)]
fn few_leaf<const STEPS: u32, const NUMBER: usize, T: Tables>(
    address: Address,
    trie: Trie,
    few: u32,
    tables: &T,
) -> Option<Entry> {
    if few <= NUMBER as u32 {
        return None;
    }
    let prefix = tables.few(trie.first_few() + NUMBER);
    if !agrees::<STEPS>(address, prefix) {
        return None;
    }
    // Not cold, but best placed apart: of a chain of comparisons at most one agrees.
    cold_path();
    Some(Entry(prefix.then))
}

/// Walks a trie to the leaf of `address`.
#[inline(always)]
fn walk<const STEPS: u32, T: Tables>(
    address: Address,
    mut entry: Entry,
    tables: &T,
) -> Option<Entry> {
    for _ in 0..STEPS {
        match entry.kind() {
            Kind::Leaf => return Some(entry),
            Kind::Branch => {
                let byte = byte::<STEPS>(address, entry);
                entry = Entry(tables.entry(entry.index(), byte)?);
            }
            Kind::Wide => {
                let row = entry.index() + address.byte(0);
                entry = Entry(tables.entry(row, address.byte(1))?);
            }
            Kind::Path => {
                let path = tables.path(entry.index())?;
                if !agrees::<STEPS>(address, path) {
                    return Some(Entry(path.otherwise));
                }
                entry = Entry(path.then);
            }
        }
    }
    matches!(entry.kind(), Kind::Leaf).then_some(entry)
}

/// The byte of `address` that `entry` looks at.
#[inline(always)]
fn byte<const STEPS: u32>(address: Address, entry: Entry) -> u32 {
    // Of IPv4 the second half is empty.
    let half = if STEPS == STEPS_V4 || !entry.is_in_low() {
        address.high
    } else {
        address.low
    };
    (half >> entry.shift()) as u32 & 0xff
}

/// Whether `address` has the bits of `path`.
#[inline(always)]
fn agrees<const STEPS: u32>(address: Address, path: &Path) -> bool {
    let mut differs = (address.high ^ path.high) & path.high_mask;
    // Of IPv4 the second half is empty.
    if STEPS != STEPS_V4 {
        differs |= (address.low ^ path.low) & path.low_mask;
    }
    differs == 0
}

/// The class of protocol and destination port.
#[inline(always)]
fn transport<T: Tables>(key: &Key, tables: &T) -> u32 {
    tables.transport(transport_index(key.protocol, key.destination_port))
}

/// The class of the source port.
#[inline(always)]
fn source_port<T: Tables>(key: &Key, tables: &T) -> u32 {
    if tables.constant(Constant::SourcePorts) == 0 {
        return EVERY_RULE;
    }
    tables.source_port(key.source_port)
}

/// The classes of a packet's protocol and ports.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    transport: u32,
    source_port: u32,
}

/// Those of `key`. They are looked up first, so that the ports need not be kept at hand.
#[inline(always)]
pub fn ports<T: Tables>(key: &Key, tables: &T) -> Ports {
    Ports {
        transport: transport(key, tables),
        source_port: source_port(key, tables),
    }
}

/// The classes of `key`, whose source has the leaf `source`. `None` if a loop ran
/// out, or past a table's end.
#[inline(always)]
pub fn classes<T: Tables>(key: &Key, ports: Ports, source: Entry, tables: &T) -> Option<Classes> {
    let destination = destination(key, tables)?.class();
    let Ports {
        transport,
        source_port,
    } = ports;
    Some(Classes {
        source: source.class(),
        destination,
        transport,
        source_port,
    })
}

#[cfg(test)]
mod tests;
