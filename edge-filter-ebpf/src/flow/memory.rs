//! A flow table in memory, as the host has it: what tests run, with a clock of its
//! own.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::bucket::{Bucket, Buckets, Header, PLACES};
use super::hash::{KEYS, keys};
use super::life::SECOND;
use super::table;
use super::word::Word;
use super::{Flows, Tuple};

/// A flow table in memory.
#[derive(Debug)]
pub struct FlowTable {
    /// The buckets, and the header behind them.
    buckets: Vec<Bucket>,
    places: u32,
    keys: [u64; KEYS],
    now: AtomicU32,
}

/// The number of buckets of a table for `entries` conversations, and of places in
/// each: one bucket of as many places, or as many whole buckets as it takes.
#[must_use]
pub fn shape(entries: u32) -> (u32, u32) {
    let places = PLACES as u32;
    (entries.div_ceil(places), entries.min(places))
}

impl FlowTable {
    /// An empty table for `entries` conversations.
    #[must_use]
    pub fn new(entries: u32, seed: u64) -> Self {
        let (count, places) = shape(entries);
        let buckets: Vec<Bucket> = (0..=count).map(|_| Bucket::default()).collect();
        Self {
            buckets,
            places,
            keys: keys(seed),
            now: AtomicU32::new(0),
        }
    }

    /// Sets the clock, in seconds.
    pub fn set_now(&self, now: u32) {
        self.now.store(now, Relaxed);
    }

    /// How many live conversations had to give way.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.header().evicted().load()
    }

    /// The conversations that are live now.
    #[must_use]
    pub fn live(&self) -> Vec<Tuple> {
        self.buckets()
            .flat_map(|bucket| &bucket.slots)
            .filter(|slot| slot.life().is_live_at(self.nanoseconds()))
            .map(|slot| Tuple::from_words(slot.words.each_ref().map(Word::load)))
            .collect()
    }

    /// The buckets.
    pub fn buckets(&self) -> impl Iterator<Item = &Bucket> {
        self.buckets[..self.count() as usize].iter()
    }

    fn header(&self) -> Header<'_> {
        Header(&self.buckets[self.buckets.len() - 1])
    }
}

impl Buckets for FlowTable {
    fn count(&self) -> u32 {
        self.buckets.len() as u32 - 1
    }

    fn places(&self) -> u32 {
        self.places
    }

    fn key(&self, number: usize) -> u64 {
        self.keys[number]
    }

    fn nanoseconds(&self) -> u64 {
        u64::from(self.now.load(Relaxed)) * SECOND
    }

    fn bucket(&self, index: u32) -> Option<&Bucket> {
        self.buckets.get(index as usize)
    }

    fn evict(&self) {
        self.header().evicted().atomic().fetch_add(1, Relaxed);
    }
}

impl Flows for FlowTable {
    fn record(&self, tuple: &Tuple, tcp_flags: u8) {
        table::record(self, &tuple.words(), tcp_flags);
    }

    fn is_answered(&self, tuple: &Tuple, tcp_flags: u8) -> bool {
        table::is_answered(self, &tuple.words(), tcp_flags)
    }

    fn is_live(&self, tuple: &Tuple) -> bool {
        table::is_live(self, &tuple.words())
    }
}
