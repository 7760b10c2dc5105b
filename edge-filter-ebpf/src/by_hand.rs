//! Tables and headers written by hand, for the tests of this crate.

use std::cell::RefCell;

use crate::config::{Config, Constant, NONE};
use crate::flow::{Flows, Tuple};
use crate::outcome::Outcome;
use crate::packet::{Address, Family, Key, protocol};
use crate::search::{aggregate_words, class_chunks};
use crate::tables::{Chunk, FEW, PORTS, Path, Row, TRANSPORTS, Tables};

/// Tables in memory.
#[derive(Debug, Clone)]
pub(crate) struct ByHand {
    pub(crate) config: Config,
    pub(crate) rows: Vec<Row>,
    pub(crate) paths: Vec<Path>,
    pub(crate) few: [Path; 4 * FEW],
    pub(crate) transports: Vec<u32>,
    pub(crate) source_ports: Vec<u32>,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) outcomes: Vec<Outcome>,
    /// The conversations that are live.
    pub(crate) live: Vec<Tuple>,
    /// What was recorded, in order.
    pub(crate) recorded: RefCell<Vec<Tuple>>,
}

impl ByHand {
    /// No rules, any VLAN, no further ethertypes, no essentials, drop.
    pub(crate) fn new() -> Self {
        let mut config = Config::EMPTY;
        for constant in [
            Constant::Vlans,
            Constant::Ethertypes,
            Constant::Dropping,
            Constant::DroppingReplies,
            Constant::Ranks,
        ] {
            config.set(constant, NONE);
        }
        Self {
            config,
            rows: Vec::new(),
            paths: Vec::new(),
            few: [Path::EMPTY; 4 * FEW],
            transports: vec![0; TRANSPORTS as usize],
            source_ports: vec![0; PORTS as usize],
            chunks: Vec::new(),
            outcomes: Vec::new(),
            live: Vec::new(),
            recorded: RefCell::default(),
        }
    }

    /// The same with one constant set.
    pub(crate) fn with(mut self, constant: Constant, value: u32) -> Self {
        self.config.set(constant, value);
        self
    }

    /// `rules` rules, and the rules that each class satisfies, class 0 aside:
    /// that one satisfies them all. Every address, protocol and port has class 0.
    pub(crate) fn with_rules(mut self, rules: u32, classes: &[&[u32]]) -> Self {
        let words = rules.div_ceil(64);
        let aggregates = aggregate_words(words);
        let every: Vec<u32> = (0..rules).collect();
        for members in std::iter::once(every.as_slice()).chain(classes.iter().copied()) {
            let mut vector = vec![0_u64; class_chunks(words) as usize * 8];
            for &rule in members {
                assert!(rule < rules, "rule {rule} of {rules}");
                if aggregates > 0 {
                    vector[(rule / 4096) as usize] |= 1 << (rule / 64 % 64);
                }
                vector[(aggregates + rule / 64) as usize] |= 1 << (rule % 64);
            }
            self.chunks.extend_from_slice(vector.as_chunks().0);
        }
        let chunks = u32::try_from(self.chunks.len()).expect("few chunks");
        self.with(Constant::Chunks, chunks)
            .with(Constant::Words, words)
            .with(Constant::Aggregates, aggregates)
            .with(Constant::VectorChunks, class_chunks(words))
            .with(Constant::OwnWords, words)
    }

    /// The set of `members`, under `constant`.
    pub(crate) fn with_set(mut self, constant: Constant, members: &[u32]) -> Self {
        let first = self.chunks.len();
        for &member in members {
            let chunk = first + member as usize / 512;
            if self.chunks.len() <= chunk {
                self.chunks.resize(chunk + 1, [0; 8]);
            }
            self.chunks[chunk][member as usize / 64 % 8] |= 1 << (member % 64);
        }
        self.with(constant, u32::try_from(first).expect("few chunks"))
    }
}

impl Tables for ByHand {
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
        self.source_ports[port as usize]
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

impl Flows for ByHand {
    fn record(&self, tuple: &Tuple, _: u8) {
        self.recorded.borrow_mut().push(*tuple);
    }

    fn is_answered(&self, tuple: &Tuple, _: u8) -> bool {
        self.is_live(tuple)
    }

    fn is_live(&self, tuple: &Tuple) -> bool {
        self.live.contains(tuple)
    }
}

/// TCP from 198.51.100.7:40000 to 192.0.2.10:5061.
pub(crate) fn key() -> Key {
    Key {
        family: Family::V4,
        source: Address::v4(0xc633_6407),
        destination: Address::v4(0xc000_020a),
        protocol: protocol::TCP,
        source_port: 40_000,
        destination_port: 5061,
    }
}

/// An IPv4 packet from 198.51.100.7 to 192.0.2.10 whose lengths fit.
pub(crate) fn ipv4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0, "options are padded");
    let words = u8::try_from(5 + options.len() / 4).expect("an IHL");
    let total = u16::try_from(20 + options.len() + payload.len()).expect("a total length");
    let mut bytes = vec![0x40 | words, 0];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    bytes.extend([198, 51, 100, 7, 192, 0, 2, 10]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// The addresses of [`ipv6`]: `2001:db8:51::7` and `2001:db8:1::10`.
pub(crate) const V6_SOURCE: u128 = 0x2001_0db8_0051_0000_0000_0000_0000_0007;
pub(crate) const V6_DESTINATION: u128 = 0x2001_0db8_0001_0000_0000_0000_0000_0010;

/// An IPv6 packet from [`V6_SOURCE`] to [`V6_DESTINATION`] whose length fits.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    let length = u16::try_from(payload.len()).expect("a payload length");
    bytes.extend(length.to_be_bytes());
    bytes.extend([next, 64]);
    bytes.extend(V6_SOURCE.to_be_bytes());
    bytes.extend(V6_DESTINATION.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An untagged Ethernet frame of type `kind`.
pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A TCP SYN from port 40000 to 5061.
pub(crate) fn tcp() -> Vec<u8> {
    let mut bytes = vec![0x9c, 0x40, 0x13, 0xc5];
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0]);
    bytes
}
