//! The table: two buckets for every conversation, chosen by a keyed hash.
//!
//! A new entry goes where more room is, so that nothing is evicted until the table
//! is nearly full (Azar, Broder, Karlin, Upfal, "Balanced Allocations", STOC 1994).
//! What is over makes room without ever being removed. Two CPUs that record the
//! first packets of one conversation in the same instant may enter it twice; the
//! entry that lookups find first is the one that is kept up, and the other dies.

use super::Words;
use super::branchless::{is_zero, min, minus};
use super::bucket::{Bucket, PLACES, Slot, protocol_of};
use super::life::Life;
use super::word::Word;
use crate::packet::tcp::RST;
use crate::search::lowest_bit;

/// What a table is made of.
pub trait Buckets {
    /// How many buckets there are.
    fn count(&self) -> u32;
    /// How many places of each are used.
    fn places(&self) -> u32;
    /// The key of the hash.
    fn seed(&self) -> u64;
    /// The present second of the kernel's monotonic clock.
    fn now(&self) -> u32;
    /// Bucket number `index`; `None` past the last one.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// Counts a live conversation that had to give way.
    fn evict(&self);
    /// Puts `new` in the place of `old`, fully ordered; whether `old` was there.
    fn exchange(word: &Word, old: u64, new: u64) -> bool;
}

/// How often a change is tried again when another CPU was faster.
const TRIES: u32 = 4;

/// Where a conversation belongs.
#[derive(Debug, Clone, Copy)]
struct Home {
    first: u32,
    second: u32,
    tag: u64,
}

/// A slot that holds a conversation, or could.
struct Place<'a> {
    bucket: &'a Bucket,
    number: usize,
    life: Life,
}

/// Records a packet of the opener (`docs/verdicts.md` §14.3), if the table has any
/// place at all. Where other CPUs are faster again and again, nothing is recorded.
#[inline(always)]
pub fn record<B: Buckets>(table: &B, words: &Words, tcp_flags: u8) {
    if table.places() == 0 {
        return;
    }
    let home = home(table, words);
    let (Some(first), Some(second)) = (table.bucket(home.first), table.bucket(home.second)) else {
        return;
    };
    let (now, places) = (table.now(), table.places());
    let protocol = protocol_of(words);
    for _ in 0..TRIES {
        let found = find(first, second, home.tag, places, words);
        if found.life.is_live(now) {
            let new = found.life.recorded(protocol, tcp_flags, now);
            if new == found.life || found.slot().exchange::<B>(found.life, new) {
                return;
            }
            continue;
        }
        if tcp_flags & RST != 0 {
            return;
        }
        // An entry of its own that is over stands where this one belongs.
        let place = if found.life == Life(0) {
            room(first, second, places, now)
        } else {
            found
        };
        let evicts = place.life.is_live(now);
        let tag = home.tag;
        if place
            .bucket
            .move_in::<B>(place.number, place.life, tag, words, tcp_flags, now)
        {
            if evicts {
                table.evict();
            }
            return;
        }
    }
}

/// Whether a packet of the other side answers a live conversation (§14.4).
#[inline(always)]
pub fn is_answered<B: Buckets>(table: &B, words: &Words, tcp_flags: u8) -> bool {
    let home = home(table, words);
    let (Some(first), Some(second)) = (table.bucket(home.first), table.bucket(home.second)) else {
        return false;
    };
    let found = find(first, second, home.tag, table.places(), words);
    let now = table.now();
    if !found.life.is_live(now) {
        return false;
    }
    let new = found.life.answered(protocol_of(words), tcp_flags, now);
    if new != found.life {
        // If its opener was faster, it goes on.
        found.slot().exchange::<B>(found.life, new);
    }
    true
}

/// Whether there is a live entry.
#[inline(always)]
pub fn is_live<B: Buckets>(table: &B, words: &Words) -> bool {
    let home = home(table, words);
    let (Some(first), Some(second)) = (table.bucket(home.first), table.bucket(home.second)) else {
        return false;
    };
    let found = find(first, second, home.tag, table.places(), words);
    found.life.is_live(table.now())
}

impl<'a> Place<'a> {
    #[inline(always)]
    fn slot(&self) -> &'a Slot {
        &self.bucket.slots[self.number & (PLACES - 1)]
    }
}

/// The buckets and the tag of a conversation. Without the seed nobody can choose
/// conversations that meet in the same buckets.
#[inline(always)]
fn home<B: Buckets>(table: &B, words: &Words) -> Home {
    // Odd numbers with about as many ones as zeroes, from the golden ratio and from
    // the square root of 2 (63 bits of their fractions).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    const LAST: u64 = 0x6a09_e667_f3bc_c909;
    let seed = table.seed();
    let mut hash = seed;
    for word in words {
        hash ^= word;
        hash ^= hash >> 32;
        // A secret factor: what two words differ by is spread in a way that nobody can
        // undo with the next word.
        hash = hash.wrapping_mul(seed | 1).wrapping_add(STEP);
        hash ^= hash >> 29;
    }
    hash = hash.wrapping_mul(LAST);
    hash ^= hash >> 32;
    let count = u64::from(table.count());
    Home {
        first: (((hash >> 32) * count) >> 32) as u32,
        second: (((hash & 0xffff_ffff) * count) >> 32) as u32,
        tag: hash | 1,
    }
}

/// The entry of `words`, live or over; its life is `Life(0)` if there is none.
///
/// Two conversations of one tag in one bucket (one pair in 2⁶³) are not told apart: the
/// one that moved in behind the other is not found while that one is there.
#[inline(always)]
fn find<'a>(
    first: &'a Bucket,
    second: &'a Bucket,
    tag: u64,
    places: u32,
    words: &Words,
) -> Place<'a> {
    for bucket in [first, second] {
        let mut tagged = 0;
        for number in 0..PLACES {
            if number >= places as usize {
                break;
            }
            tagged |= is_zero(bucket.tags[number].load() ^ tag) << number;
        }
        if tagged != 0 {
            let number = lowest_bit(tagged) as usize & (PLACES - 1);
            let life = bucket.slots[number].life_of(words);
            if life != Life(0) {
                return Place {
                    bucket,
                    number,
                    life,
                };
            }
        }
    }
    Place {
        bucket: first,
        number: 0,
        life: Life(0),
    }
}

/// A place for a new entry: of the bucket with more room, or, where neither has
/// any, that of the entry of the first that would end soonest.
#[inline(always)]
fn room<'a>(first: &'a Bucket, second: &'a Bucket, places: u32, now: u32) -> Place<'a> {
    let (number, free) = soonest(first, places, now);
    let (other, other_free) = soonest(second, places, now);
    let (bucket, number) = if other_free > free {
        (second, other)
    } else {
        (first, number)
    };
    Place {
        bucket,
        number,
        life: bucket.slots[number & (PLACES - 1)].life(),
    }
}

/// The place of a bucket that is free first, and how many are free now.
#[inline(always)]
fn soonest(bucket: &Bucket, places: u32, now: u32) -> (usize, u64) {
    // Later than any second: nothing is taken from a tenant who is moving in.
    const NEVER: u32 = 40;
    let mut soonest = u64::MAX >> 1;
    let mut free = 0;
    for number in 0..PLACES {
        if number >= places as usize {
            break;
        }
        let life = bucket.slots[number].life();
        let moving = u64::from(life.tenant() & 1);
        let left = minus(u64::from(life.over()), u64::from(now)) | moving << NEVER;
        free += is_zero(left);
        // The places are the lowest bits, so that one number tells both.
        soonest = min(soonest, left * PLACES as u64 + number as u64);
    }
    (soonest as usize & (PLACES - 1), free)
}

#[cfg(test)]
mod tests;
