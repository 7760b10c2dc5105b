//! From a policy to the tables of one hook. Pure: nothing is read, nothing is
//! called.
//!
//! Every field of a packet becomes a *class*, and every class has a vector with
//! one bit a rule ([`classes`]): the hook's own rules, and behind them the [`lists`]
//! that tell replies, turned round ([`patterns`]). [`prefixes`] and [`trie`] do it for
//! addresses, [`ports`] for protocols and ports, [`sets`] lays out what is asked by
//! number.
//! The result, a [`TableImage`], is what the kernel is filled from, and at the
//! same time a source of tables for the data path on the host.

mod classes;
mod counters;
mod lists;
mod patterns;
mod ports;
mod prefixes;
mod rule_set;
mod sets;
mod trie;

use edge_filter_ebpf::classify::EVERY_RULE;
use edge_filter_ebpf::config::{Config, Constant, NONE, essential, field};
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::replies::MAX_LISTS;
use edge_filter_ebpf::search::{MAX_WORDS, aggregate_words};
use edge_filter_ebpf::tables::{Chunk, Entry, Kind, Path, Row, Tables};

pub use counters::{CounterSlot, counter_slots};

use crate::policy::{Action, Direction, Interface, Mode, Policy, Rule};
use classes::Classes;
use lists::Lists;
use prefixes::{Family, Side};
use sets::Set;
use trie::Trie;

/// The most bytes of a table: no program reads further into a value of a map
/// (`BPF_MAX_VAR_OFF` of `include/linux/bpf_verifier.h`).
const MAX_TABLE: usize = 1 << 29;
const _: () = {
    // What fits, entries and leaves can name.
    assert!(MAX_TABLE / size_of::<Chunk>() <= Entry::INDICES as usize);
    assert!(MAX_TABLE / size_of::<Row>() <= Entry::INDICES as usize);
    assert!(MAX_TABLE / size_of::<Path>() <= Entry::INDICES as usize);
};

/// The most rules that one hook can have.
pub const MAX_RULES: usize = 16_384;

/// The most bits of a vector: a hook's rules, and those whose replies it knows.
const MAX_BITS: usize = MAX_WORDS as usize * 64;

/// The tables of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableImage {
    /// The constants.
    pub config: Config,
    /// Trie nodes and port tables.
    pub rows: Vec<Row>,
    /// Compressed paths of the tries.
    pub paths: Vec<Path>,
    /// Bit vectors and sets.
    pub chunks: Vec<Chunk>,
    /// What each counter means, by its index.
    pub counters: Vec<CounterSlot>,
}

/// Why a hook cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// There are more rules than bits.
    #[error(
        "{interface} {direction}: {rules} rules, and a hook holds at most {MAX_RULES}; \
         split the policy over several roles"
    )]
    TooManyRules {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// How many rules it has.
        rules: usize,
    },
    /// There are more rules whose replies are to be known than bits are left.
    #[error(
        "{interface} {direction}: {rules} rules, and with the rules of other hooks whose \
         conversations it must know they take {} bits, while a hook holds at most {MAX_BITS}; \
         merge neighbouring networks or port ranges, or split a rule's services by fewer ports",
        words * 64
    )]
    TooManyReplies {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// How many rules it has itself.
        rules: usize,
        /// How many 64-bit words all of them take.
        words: usize,
    },
    /// Too many roles have drop rules between those that allow.
    #[error(
        "the rules of {lists} hooks that know conversations have a drop before their last allow, \
         and at most {MAX_LISTS} can be asked; merge roles, or move the drops behind"
    )]
    TooManyLists {
        /// How many lists would have to be asked.
        lists: u32,
    },
    /// A table is larger than a program may reach.
    #[error(
        "{interface} {direction}: the {table} of its rules take {mebibytes} MiB, and a hook \
         holds at most {} MiB of them; merge neighbouring networks or port ranges, or split the \
         rules over several roles",
        MAX_TABLE >> 20
    )]
    TableTooLarge {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// What the table holds.
        table: &'static str,
        /// Its size in MiB, rounded up.
        mebibytes: usize,
    },
}

/// Compiles the hook of `interface` and `direction`.
///
/// # Errors
/// [`CompileError`] if the rules do not fit; nothing is ever left out.
pub fn compile(
    policy: &Policy,
    interface: &Interface,
    direction: Direction,
) -> Result<TableImage, CompileError> {
    let rules: Vec<&Rule> = policy.rules_of(&interface.name, direction).collect();
    let lists = lists_of(policy, interface, direction, &rules)?;
    let patterns = &lists.patterns;
    let mut classes = Classes::new(patterns.every());
    let mut trie = Trie::default();
    let mut config = Config::EMPTY;
    for (constant, side, family) in [
        (Constant::SourceV4, Side::Source, Family::V4),
        (Constant::DestinationV4, Side::Destination, Family::V4),
        (Constant::SourceV6, Side::Source, Family::V6),
        (Constant::DestinationV6, Side::Destination, Family::V6),
    ] {
        let marks = prefixes::marks(policy, interface, direction, side);
        let leaves = prefixes::leaves(patterns, &marks, side, family, &mut classes);
        config.set(constant, trie.insert(&leaves).0);
    }
    let Trie { mut rows, paths } = trie;
    if !patterns.is_empty() {
        config.set(Constant::Transports, index(rows.len()));
        rows.extend(ports::transports(patterns, &mut classes));
    }
    config.set(Constant::SourcePorts, NONE);
    if let Some(source_ports) = ports::source_ports(patterns, &mut classes) {
        config.set(Constant::SourcePorts, index(rows.len()));
        rows.extend(source_ports);
    }
    config.set(Constant::Unasked, unasked(&config));
    let begin = index(rows.len() * 256);
    config.set(Constant::Fates, begin.wrapping_sub(lists.own_words * 64));
    rows.extend(fates(&lists.fates));
    for (table, bytes) in [
        ("bit vectors", classes.chunk_count() * size_of::<Chunk>()),
        ("address and port tables", size_of_val(&*rows)),
        ("address paths", size_of_val(&*paths)),
    ] {
        check_size(interface, direction, table, bytes)?;
    }

    config.set(Constant::Words, classes.words());
    config.set(Constant::Aggregates, aggregate_words(classes.words()));
    config.set(Constant::VectorChunks, index(classes.stride()));
    let mut chunks = classes.chunks();
    let counters = counter_slots(policy, &rules, &lists.replies);
    let slots = &counters[Counter::FIRST_RULE as usize..];
    for (constant, set) in sets::of(policy, interface, &rules, slots) {
        config.set(constant, NONE);
        if let Some(Set { members, capacity }) = set {
            config.set(constant, index(chunks.len()));
            chunks.extend(sets::chunks(&members, capacity));
        }
    }
    check_size(interface, direction, "bit vectors", size_of_val(&*chunks))?;

    for (constant, holds) in [
        (Constant::Audit, policy.mode == Mode::Audit),
        (
            Constant::DefaultAllow,
            policy.default_action == Action::Allow,
        ),
        (Constant::Outbound, direction == Direction::Outbound),
        (Constant::TaggedOnly, is_tagged_only(interface)),
    ] {
        config.set(constant, holds.into());
    }
    config.set(Constant::Essentials, essentials(policy));
    lists.set(&mut config);

    Ok(TableImage {
        config,
        rows,
        paths,
        chunks,
        counters,
    })
}

/// Whether frames without a tag may not appear at `interface`.
fn is_tagged_only(interface: &Interface) -> bool {
    let vlans = interface.vlans.as_ref();
    vlans.is_some_and(|vlans| !vlans.contains(&0))
}

/// Whether a program reaches all of a table of `bytes`.
fn check_size(
    interface: &Interface,
    direction: Direction,
    table: &'static str,
    bytes: usize,
) -> Result<(), CompileError> {
    if bytes <= MAX_TABLE {
        return Ok(());
    }
    Err(CompileError::TableTooLarge {
        interface: interface.name.clone(),
        direction,
        table,
        mebibytes: bytes.div_ceil(1 << 20),
    })
}

/// The lists of a hook, if they fit.
fn lists_of<'p>(
    policy: &'p Policy,
    interface: &Interface,
    direction: Direction,
    rules: &[&'p Rule],
) -> Result<Lists<'p>, CompileError> {
    if rules.len() > MAX_RULES {
        return Err(CompileError::TooManyRules {
            interface: interface.name.clone(),
            direction,
            rules: rules.len(),
        });
    }
    let lists = Lists::of(policy, interface, direction, rules);
    let words = lists.patterns.words();
    if words > MAX_WORDS as usize {
        return Err(CompileError::TooManyReplies {
            interface: interface.name.clone(),
            direction,
            rules: rules.len(),
            words,
        });
    }
    if lists.longest > MAX_LISTS {
        return Err(CompileError::TooManyLists {
            lists: lists.longest,
        });
    }
    Ok(lists)
}

impl TableImage {
    /// The memory that the tables take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.rows) + size_of_val(&*self.paths) + size_of_val(&*self.chunks)
    }
}

impl Tables for TableImage {
    fn constant(&self, constant: Constant) -> u32 {
        self.config.get(constant)
    }

    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        self.rows.get(row as usize).map(|row| row[slot as usize])
    }

    fn path(&self, index: u32) -> Option<&Path> {
        self.paths.get(index as usize)
    }

    fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.chunks.get(index as usize)
    }
}

/// The fields whose every value has the class of every rule.
fn unasked(config: &Config) -> u32 {
    let is_every = |root| {
        let root = Entry(config.get(root));
        root.kind() == Kind::Leaf && root.class() == EVERY_RULE
    };
    [
        (
            field::SOURCE,
            is_every(Constant::SourceV4) && is_every(Constant::SourceV6),
        ),
        (
            field::DESTINATION,
            is_every(Constant::DestinationV4) && is_every(Constant::DestinationV6),
        ),
        (
            field::SOURCE_PORT,
            config.get(Constant::SourcePorts) == NONE,
        ),
    ]
    .into_iter()
    .filter(|(_, unasked)| *unasked)
    .fold(0, |bits, (bit, _)| bits | bit)
}

/// The rows of what the lists say by each of their rules.
fn fates(fates: &[u32]) -> Vec<Row> {
    let row = |fates: &[u32]| {
        let mut row = [0; 256];
        row[..fates.len()].copy_from_slice(fates);
        row
    };
    fates.chunks(256).map(row).collect()
}

/// The essentials that are allowed, as bits.
fn essentials(policy: &Policy) -> u32 {
    let essentials = &policy.essentials;
    [
        (essentials.arp, essential::ARP),
        (essentials.nd, essential::ND),
        (essentials.mld, essential::MLD),
        (essentials.icmp_errors, essential::ICMP_ERRORS),
        (essentials.link_control, essential::LINK_CONTROL),
        (essentials.ping, essential::PING),
        (essentials.dhcp_client, essential::DHCP_CLIENT),
    ]
    .into_iter()
    .filter(|(action, _)| *action == Action::Allow)
    .fold(0, |bits, (_, bit)| bits | bit)
}

/// A table index. Tables are far smaller than 2³² rows: 65,536 rules make at
/// most some millions.
fn index(length: usize) -> u32 {
    u32::try_from(length).expect("tables have fewer than 2^32 rows")
}

#[cfg(test)]
mod tests;
