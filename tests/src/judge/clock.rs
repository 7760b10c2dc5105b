//! The kernel's flow table with its time in the hands of a test. The clock itself
//! cannot be set: what the table remembers is made older instead.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use aya::Pod;
use aya::maps::{Array, Map, MapData};
use edge_filter_ebpf::flow::Tuple;
use edge_filter_ebpf::flow::bucket::{Bucket, TAG_WORDS};
use edge_filter_ebpf::flow::life::{Life, idle_time};
use nix::time::{ClockId, clock_gettime};

/// The words of a bucket: four words of tags, then sixteen slots of seven words.
const WORDS: usize = size_of::<Bucket>() / 8;
/// A slot: the tuple, the second in which it was made, and its life.
const SLOT: usize = 7;
const MADE: usize = 5;
const LIFE: usize = 6;

/// A bucket as the map holds it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Words([u64; WORDS]);

// SAFETY: an array of integers has no padding.
unsafe impl Pod for Words {}

/// A pinned flow table, from behind.
pub struct KernelClock {
    buckets: Array<MapData, Words>,
}

/// A live entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The conversation.
    pub tuple: Tuple,
    /// Seconds since it was made.
    pub age: u64,
    /// Seconds since it was used.
    pub idle: u32,
    /// One of `edge_filter_ebpf::flow::life::state`.
    pub state: u8,
}

impl KernelClock {
    /// Takes hold of the table that is pinned at `path`.
    pub fn new(path: &Path) -> Result<Self> {
        let map = Map::from_map_data(MapData::from_pin(path)?)?;
        let buckets = map.try_into().context("it is no flow table")?;
        Ok(Self { buckets })
    }

    /// The present second.
    pub fn now() -> Result<u32> {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_err(io::Error::from)?;
        Ok(u32::try_from(now.tv_sec())?)
    }

    /// Lets `seconds` pass.
    pub fn pass(&mut self, seconds: u32) -> Result<()> {
        self.change(|words| {
            for slot in slots(words) {
                slot[MADE] = slot[MADE].wrapping_sub(seconds.into());
                let life = Life(slot[LIFE]);
                let over = life.over().saturating_sub(seconds);
                slot[LIFE] = u64::from(over) << 32 | life.0 & 0xffff_ffff;
            }
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<()> {
        self.change(|words| words.0 = [0; WORDS])
    }

    /// What it holds that is live.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let now = Self::now()?;
        let mut entries = Vec::new();
        for index in 0..self.count() {
            let mut words = self.buckets.get(&index, 0)?;
            for slot in slots(&mut words) {
                let words = slot.first_chunk().expect("five words of seven");
                let (tuple, life) = (Tuple::from_words(*words), Life(slot[LIFE]));
                if life.is_live(now) {
                    // The last use may lie before the machine's start: time has passed
                    // that it was not up.
                    let idle_time = idle_time(tuple.protocol, life.state());
                    let used = life.over().wrapping_sub(idle_time + 1);
                    entries.push(Entry {
                        tuple,
                        age: u64::from(now).wrapping_sub(slot[MADE]),
                        idle: now.wrapping_sub(used),
                        state: life.state(),
                    });
                }
            }
        }
        Ok(entries)
    }

    /// The buckets: the last entry of the map is none.
    fn count(&self) -> u32 {
        self.buckets.len() - 1
    }

    fn change(&mut self, change: impl Fn(&mut Words)) -> Result<()> {
        for index in 0..self.count() {
            let mut words = self.buckets.get(&index, 0)?;
            if words.0 != [0; WORDS] {
                change(&mut words);
                self.buckets.set(index, words, 0)?;
            }
        }
        Ok(())
    }
}

fn slots(words: &mut Words) -> impl Iterator<Item = &mut [u64; SLOT]> {
    words.0[TAG_WORDS..].as_chunks_mut().0.iter_mut()
}
