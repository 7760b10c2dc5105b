//! From a policy to the tables of one hook, and of all hooks within a [`budget`]. Pure:
//! nothing is read, nothing is called; a clock tells how long it took.
//!
//! Every field of a packet becomes a *class*, and every class has a vector with
//! one bit a rule ([`classes`]): the hook's own rules, and behind them the [`lists`]
//! that tell replies, turned round ([`patterns`]). [`prefixes`] and [`trie`] do it for
//! addresses, [`ports`] for protocols and ports, [`sets`] lays out what is asked by
//! number.
//! The result, a [`TableImage`], is what the kernel is filled from, and at the
//! same time a source of tables for the data path on the host.

pub mod budget;
mod classes;
mod counters;
mod error;
pub mod facts;
mod fields;
mod limits;
mod lists;
mod order;
mod outcomes;
mod patterns;
mod ports;
mod prefixes;
mod rule_set;
mod sets;
pub mod size;
mod small;
mod trie;

use std::sync::Arc;

use edge_filter_ebpf::config::{Config, Constant, NONE, essential};
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::search::{SHORT_WORDS, aggregate_words};
use edge_filter_ebpf::small::Small;
use edge_filter_ebpf::tables::{Chunk, FEW, Path, Row, Tables};

pub use counters::{CounterSlot, counter_slots};
pub use error::CompileError;
pub use limits::MAX_RULES;

use crate::policy::{Action, Direction, Interface, Mode, Policy, Rule};
use classes::Classes;
use facts::{Facts, Judged};
use fields::Fields;
use limits::{MAX_TABLE, check_size, lists_of};
use lists::Lists;
use outcomes::Outcomes;
use sets::Set;
use size::Sizes;
use small::Plan;

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
    /// The tables of a small policy, if it is one.
    pub small: Option<Arc<Small>>,
    /// What each counter means, by its index.
    pub counters: Vec<CounterSlot>,
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
    Ok(draft(policy, interface, direction, MAX_TABLE)?.finish())
}

/// A hook whose classes are known, and so the sizes of its tables, of which the largest
/// are not made yet.
struct Draft<'p> {
    policy: &'p Policy,
    interface: &'p Interface,
    direction: Direction,
    lists: Lists<'p>,
    ranks: Option<Vec<u32>>,
    classes: Classes,
    fields: Fields,
    sets: [(Constant, Option<Set>); 5],
    /// Addresses and ports are laid out.
    image: TableImage,
    /// If the policy is small.
    small: Option<Plan>,
    facts: Facts,
}

/// Finds the classes of a hook. What is larger than `room` bytes is only counted; the draft
/// can be finished if all of its tables together are not.
fn draft<'p>(
    policy: &'p Policy,
    interface: &'p Interface,
    direction: Direction,
    room: usize,
) -> Result<Draft<'p>, CompileError> {
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
    let mut classes = Classes::new(patterns.every()).within(room);
    let fields = Fields::of(policy, interface, direction, patterns, &mut classes);
    let counters = counter_slots(policy, &rules, &lists.replies);
    let slots = &counters[Counter::FIRST_RULE as usize..];
    let sets = sets::of(policy, interface, &rules, slots);

    let mut image = TableImage {
        counters,
        ..TableImage::EMPTY
    };
    let rows = fields.lay_out(&mut image, room, |_, class| class);
    let numbers = [Some(&lists.fates), ranks.as_ref()].into_iter().flatten();
    let mut bytes = Sizes {
        ports: Sizes::of_ports(image.transports.len() + image.source_ports.len()),
        address_rows: Sizes::of_rows(rows),
        address_paths: Sizes::of_paths(image.paths.len()),
        rule_numbers: Sizes::of_rows(numbers.map(|numbers| numbers.len().div_ceil(256)).sum()),
        vectors: Sizes::of_chunks(classes.chunk_count()),
        sets: Sizes::of_chunks(sets::chunk_count(&sets)),
        outcomes: 0,
    };
    for (table, bytes) in [
        ("bit vectors", bytes.vectors + bytes.sets),
        ("address tables", bytes.address_rows + bytes.rule_numbers),
        ("address paths", bytes.address_paths),
    ] {
        check_size(interface, direction, table, bytes)?;
    }
    let counts = fields.class_counts();
    let mut small = None;
    let judged = if patterns.is_empty() {
        Judged::WithoutRules
    } else if Outcomes::can_hold(&counts) {
        (bytes.rule_numbers, bytes.vectors, bytes.outcomes) = (0, 0, Sizes::OUTCOMES);
        // Where nearly every packet is recorded, it would be decided twice.
        if !is_tagged_only(interface) && !lists.tracking {
            small = Plan::of(&fields, small::dhcp_ports(policy, direction));
        }
        bytes.outcomes += small.as_ref().map_or(0, Plan::bytes);
        Judged::ByOutcomes
    } else if classes.stride() == 1 {
        Judged::InPlace
    } else {
        Judged::WordByWord {
            words: classes.words(),
        }
    };
    let facts = Facts {
        rules: rules.len(),
        reply_conditions: patterns.iter().count() - rules.len(),
        judged,
        classes: counts,
        networks: fields.networks(),
        bytes,
    };
    Ok(Draft {
        policy,
        interface,
        direction,
        lists,
        ranks,
        classes,
        fields,
        sets,
        image,
        small,
        facts,
    })
}

impl Draft<'_> {
    /// Makes all tables.
    fn finish(self) -> TableImage {
        let Self {
            policy,
            interface,
            mut image,
            fields,
            classes,
            lists,
            sets,
            ..
        } = self;
        let fates = append_entries(&mut image.rows, &lists.fates);
        let ranks = self
            .ranks
            .map(|ranks| append_entries(&mut image.rows, &ranks));
        let config = &mut image.config;
        config.set(Constant::Fates, fates.wrapping_sub(lists.own_words * 64));
        config.set(Constant::Ranks, ranks.unwrap_or(NONE));
        config.set(Constant::Words, classes.words());
        config.set(Constant::Aggregates, aggregate_words(classes.words()));
        config.set(Constant::VectorChunks, index(classes.stride()));
        image.chunks = classes.chunks();
        append_sets(&mut image.chunks, config, &sets);

        for (constant, holds) in [
            (Constant::Audit, policy.mode == Mode::Audit),
            (
                Constant::DefaultAllow,
                policy.default_action == Action::Allow,
            ),
            (Constant::Outbound, self.direction == Direction::Outbound),
            (Constant::TaggedOnly, is_tagged_only(interface)),
        ] {
            config.set(constant, holds.into());
        }
        config.set(Constant::Essentials, essentials(policy));
        lists.set(config);
        image.count_items();
        if self.facts.judged == Judged::ByOutcomes
            && let Some(known) = Outcomes::of(&fields, &image)
        {
            let number = |field, class| known.number(field, class);
            fields.lay_out(&mut image, MAX_TABLE, number);
            image.chunks.clear();
            append_sets(&mut image.chunks, &mut image.config, &sets);
            image.config.set(Constant::Outcomes, 1);
            image.count_items();
            if let Some(plan) = self.small {
                let (small, constants) = plan.tables(&known, &image);
                for (constant, value) in constants {
                    image.config.set(constant, value);
                }
                image.config.set(Constant::Small, 1);
                image.small = Some(small.into());
            }
            image.outcomes = known.table;
        }
        // A small policy says all at once, but of what may answer a conversation.
        let small = image.config.get(Constant::Small) != 0;
        let conversations = image.config.get(Constant::Lists) != 0;
        image
            .config
            .set(Constant::Cached, (!small || conversations).into());
        image
    }
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
        small: None,
        counters: Vec::new(),
    };

    /// Writes down how many items there are of each kind whose number may be any.
    fn count_items(&mut self) {
        for (constant, length) in [
            (Constant::Rows, self.rows.len()),
            (Constant::Paths, self.paths.len()),
            (Constant::Chunks, self.chunks.len()),
        ] {
            self.config.set(constant, index(length));
        }
    }

    /// The same tables for a program that keeps nothing of what it has found: what packets
    /// cost that it does not know.
    #[must_use]
    pub fn without_cache(&self) -> Self {
        let mut image = self.clone();
        image.config.set(Constant::Cached, 0);
        image
    }

    /// The memory that the tables take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.few)
            + size_of_val(&*self.transports)
            + size_of_val(&*self.source_ports)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.paths)
            + size_of_val(&*self.chunks)
            + size_of_val(&*self.outcomes)
            + self.small_bytes().len()
    }

    /// The tables of a small policy as they lie in memory, as many as there have to be.
    #[must_use]
    pub fn small_bytes(&self) -> &[u8] {
        let tables = self.config.get(Constant::SecondHalves) + 1;
        let small = self.small.as_ref();
        small.map_or(&[], |small| small.bytes(tables as usize))
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

    fn small(&self) -> &Small {
        self.small.as_deref().expect("a small policy has them")
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
