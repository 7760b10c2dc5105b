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
mod fields;
mod lists;
mod order;
mod outcomes;
mod patterns;
mod ports;
mod prefixes;
mod rule_set;
mod sets;
mod trie;

use edge_filter_ebpf::config::{Config, Constant, NONE, essential};
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::replies::MAX_LISTS;
use edge_filter_ebpf::search::{MAX_WORDS, SHORT_WORDS, aggregate_words};
use edge_filter_ebpf::tables::{Chunk, Entry, FEW, Kind, Path, Row, Tables, Trie};

pub use counters::{CounterSlot, counter_slots};

use crate::policy::{Action, Direction, Interface, Mode, Policy, Rule};
use classes::Classes;
use fields::Fields;
use lists::Lists;
use outcomes::Outcomes;
use sets::Set;

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
pub const MAX_RULES: usize = 65_536;

/// The most bits of a vector: a hook's rules, and those whose replies it knows.
const MAX_BITS: usize = MAX_WORDS as usize * 64;

/// The tables of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableImage {
    /// The constants.
    pub config: Config,
    /// The prefixes that addresses are compared with.
    pub few: [Path; 4 * FEW],
    /// The classes of protocols and destination ports.
    pub transports: Vec<u32>,
    /// The classes of source ports.
    pub source_ports: Vec<u32>,
    /// Trie nodes, and what the lists say by their rules.
    pub rows: Vec<Row>,
    /// Compressed paths of the tries.
    pub paths: Vec<Path>,
    /// Bit vectors, where rules are searched, and sets.
    pub chunks: Vec<Chunk>,
    /// The outcomes, where they are known.
    pub outcomes: Vec<Outcome>,
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
    let mut lists = lists_of(policy, interface, direction, &rules)?;
    let segments = lists.segments();
    // Where every vector is a single chunk, all words are looked at in any case.
    let ranks = if lists.patterns.words() > SHORT_WORDS as usize {
        order::arrange(&mut lists.patterns, &segments)
    } else {
        None
    };
    let patterns = &lists.patterns;
    let mut classes = Classes::new(patterns.every());
    let fields = Fields::of(policy, interface, direction, patterns, &mut classes);
    let counters = counter_slots(policy, &rules, &lists.replies);
    let slots = &counters[Counter::FIRST_RULE as usize..];
    let sets = sets::of(policy, interface, &rules, slots);

    let mut image = TableImage {
        counters,
        ..TableImage::EMPTY
    };
    fields.lay_out(&mut image, |_, class| class);
    let fates = append_entries(&mut image.rows, &lists.fates);
    let ranks = ranks.map(|ranks| append_entries(&mut image.rows, &ranks));
    for (table, bytes) in [
        ("bit vectors", classes.chunk_count() * size_of::<Chunk>()),
        ("address tables", size_of_val(&*image.rows)),
        ("address paths", size_of_val(&*image.paths)),
    ] {
        check_size(interface, direction, table, bytes)?;
    }
    let config = &mut image.config;
    config.set(Constant::Unasked, fields.unasked());
    config.set(Constant::Fates, fates.wrapping_sub(lists.own_words * 64));
    config.set(Constant::Ranks, ranks.unwrap_or(NONE));
    config.set(Constant::Words, classes.words());
    config.set(Constant::Aggregates, aggregate_words(classes.words()));
    config.set(Constant::VectorChunks, index(classes.stride()));
    image.chunks = classes.chunks();
    append_sets(&mut image.chunks, config, &sets);
    let bytes = size_of_val(&*image.chunks);
    check_size(interface, direction, "bit vectors", bytes)?;

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
    lists.set(config);
    image
        .config
        .set(Constant::Chunks, index(image.chunks.len()));
    if !patterns.is_empty()
        && let Some(known) = Outcomes::of(&fields, &image)
    {
        let number = |field, class| known.number(field, class);
        fields.lay_out(&mut image, number);
        image.chunks.clear();
        append_sets(&mut image.chunks, &mut image.config, &sets);
        image.config.set(Constant::Outcomes, 1);
        image.outcomes = known.table;
        let small = Trie::ALL
            .iter()
            .all(|trie| Entry(image.config.get(trie.root())).kind() == Kind::Leaf);
        let small = small && !is_tagged_only(interface);
        image.config.set(Constant::Small, small.into());
    }
    for (constant, length) in [
        (Constant::Rows, image.rows.len()),
        (Constant::Paths, image.paths.len()),
        (Constant::Chunks, image.chunks.len()),
    ] {
        image.config.set(constant, index(length));
    }
    Ok(image)
}

/// Appends sets to the chunks, and writes down where they begin.
fn append_sets(chunks: &mut Vec<Chunk>, config: &mut Config, sets: &[(Constant, Option<Set>)]) {
    for (constant, set) in sets {
        config.set(*constant, NONE);
        if let Some(Set { members, capacity }) = set {
            config.set(*constant, index(chunks.len()));
            chunks.extend(sets::chunks(members, *capacity));
        }
    }
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
    /// No table, and a policy that drops everything.
    const EMPTY: Self = Self {
        config: Config::EMPTY,
        few: [Path::EMPTY; 4 * FEW],
        transports: Vec::new(),
        source_ports: Vec::new(),
        rows: Vec::new(),
        paths: Vec::new(),
        chunks: Vec::new(),
        outcomes: Vec::new(),
        counters: Vec::new(),
    };

    /// The memory that the tables take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.transports)
            + size_of_val(&*self.source_ports)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.paths)
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.outcomes)
    }
}

impl Tables for TableImage {
    fn constant(&self, constant: Constant) -> u32 {
        self.config.get(constant)
    }

    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        self.rows.get(row as usize).map(|row| row[slot as usize])
    }

    fn few(&self, number: usize) -> &Path {
        &self.few[number]
    }

    fn transport(&self, index: u32) -> u32 {
        self.transports[index as usize]
    }

    fn source_port(&self, port: u16) -> u32 {
        self.source_ports[usize::from(port)]
    }

    fn path(&self, index: u32) -> Option<&Path> {
        self.paths.get(index as usize)
    }

    fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.chunks.get(index as usize)
    }

    fn outcome(&self, index: u16) -> &Outcome {
        &self.outcomes[usize::from(index)]
    }
}

/// Appends `entries` to the rows, as one run; where they begin.
fn append_entries(rows: &mut Vec<Row>, entries: &[u32]) -> u32 {
    let begin = index(rows.len() * 256);
    rows.extend(entries.chunks(256).map(|entries| {
        let mut row = [0; 256];
        row[..entries.len()].copy_from_slice(entries);
        row
    }));
    begin
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
