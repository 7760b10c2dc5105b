//! The table: two buckets for every conversation, chosen by a keyed hash.
//!
//! A new entry goes where more room is, so that nothing is evicted until the table
//! is nearly full (Azar, Broder, Karlin, Upfal, "Balanced Allocations", STOC 1994).
//! What is over makes room without ever being removed.
//!
//! CPUs take places from each other, but only as they were when they were chosen: who
//! comes second looks for another. Two of them that record the first packets of one
//! conversation in the same instant may enter it twice; each then ends all its entries but
//! the one that lookups find first.

use super::Words;
use super::bucket::{Bucket, Buckets, PLACES, protocol_of};
use super::hash;
use super::life::{Life, SECOND};
use crate::branchless::{is_zero, low_four, min, minus};
use crate::packet::tcp::RST;

/// How often a conversation is looked for, and a place for it, while other CPUs take the
/// places that were found.
const SEARCHES: u32 = 2;
/// How often a life is changed, while other CPUs change it first.
const CHANGES: u32 = 4;

/// Where a conversation belongs.
#[derive(Debug, Clone, Copy)]
struct Home {
    first: u32,
    second: u32,
    tag: u16,
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
    let nanoseconds = table.nanoseconds();
    let protocol = protocol_of(words);
    for _ in 0..SEARCHES {
        let Some(found) = find(table, home, words) else {
            return;
        };
        if found.life.is_live_at(nanoseconds) {
            let now = found.life.second(protocol, nanoseconds);
            if found.change(|life| life.recorded(protocol, tcp_flags, now)) {
                return;
            }
            continue;
        }
        if tcp_flags & RST != 0 {
            return;
        }
        let now = (nanoseconds / SECOND) as u32;
        // An entry of its own that is over stands where this one belongs.
        let place = if found.life == Life(0) {
            let Some(place) = room(table, home, now) else {
                continue;
            };
            place
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
            end_others(table, home, words, now);
            return;
        }
    }
}

/// Ends all live entries of `words` but the first.
#[inline(always)]
fn end_others<B: Buckets>(table: &B, home: Home, words: &Words, now: u32) {
    let (Some(first), Some(second)) = (table.bucket(home.first), table.bucket(home.second)) else {
        return;
    };
    let known = first.end_all_but::<B>(home.tag, words, now, false);
    if home.first != home.second {
        second.end_all_but::<B>(home.tag, words, now, known);
    }
}

/// Whether a packet of the other side answers a live conversation (§14.4).
#[inline(always)]
pub fn is_answered<B: Buckets>(table: &B, words: &Words, tcp_flags: u8) -> bool {
    let Some(found) = find(table, home(table, words), words) else {
        return false;
    };
    let nanoseconds = table.nanoseconds();
    if !found.life.is_live_at(nanoseconds) {
        return false;
    }
    if tcp_flags & RST != 0 {
        let now = (nanoseconds / SECOND) as u32;
        found.change(|life| life.answered(protocol_of(words), tcp_flags, now));
    }
    true
}

/// Whether there is a live entry.
#[inline(always)]
pub fn is_live<B: Buckets>(table: &B, words: &Words) -> bool {
    find(table, home(table, words), words)
        .is_some_and(|found| found.life.is_live_at(table.nanoseconds()))
}

impl Place<'_> {
    /// Puts what `change` makes of the life in its place; whether the tenant was still
    /// the same, and no other CPU was faster again and again.
    #[inline(always)]
    fn change(&self, change: impl Fn(Life) -> Life) -> bool {
        let slot = &self.bucket.slots[self.number & (PLACES - 1)];
        let mut life = self.life;
        for _ in 0..CHANGES {
            let new = change(life);
            if new == life || slot.exchange(life, new) {
                return true;
            }
            life = slot.life();
            if life.tenant() != self.life.tenant() {
                return false;
            }
        }
        false
    }
}

/// The buckets and the tag of a conversation. Without the keys nobody can choose
/// conversations that meet in the same buckets.
#[inline(always)]
fn home<B: Buckets>(table: &B, words: &Words) -> Home {
    // No tag is that of a place where nobody ever was.
    const TAGGED: u16 = 0x8000;
    let hash = hash::hash(words, |number| table.key(number));
    let count = u64::from(table.count());
    Home {
        first: (((hash >> 32) * count) >> 32) as u32,
        second: (((hash & 0xffff_ffff) * count) >> 32) as u32,
        tag: hash as u16 | TAGGED,
    }
}

/// The entry of `words`, live or over; its life is `Life(0)` if there is none. `None`
/// past the last bucket.
#[inline(always)]
fn find<'a, B: Buckets>(table: &'a B, home: Home, words: &Words) -> Option<Place<'a>> {
    let bucket = table.bucket(home.first)?;
    let (number, life) = bucket.find(home.tag, words);
    if life != Life(0) {
        return Some(Place {
            bucket,
            number,
            life,
        });
    }
    let bucket = table.bucket(home.second)?;
    let (number, life) = bucket.find(home.tag, words);
    Some(Place {
        bucket,
        number,
        life,
    })
}

/// A place for a new entry: of the bucket with more room, or, where neither has
/// any, that of the entry of the first that would end soonest. `None` if another CPU
/// took it meanwhile, or past the last bucket.
#[inline(always)]
fn room<B: Buckets>(table: &B, home: Home, now: u32) -> Option<Place<'_>> {
    let (first, second) = (table.bucket(home.first)?, table.bucket(home.second)?);
    let places = table.places();
    let (one, free) = soonest(first, places, now);
    let (other, other_free) = soonest(second, places, now);
    let (bucket, chosen) = if other_free > free {
        (second, other)
    } else {
        (first, one)
    };
    let number = low_four(chosen);
    let life = bucket.slots[number].life();
    (left(life, now) == chosen / PLACES as u64).then_some(Place {
        bucket,
        number,
        life,
    })
}

/// The seconds that are left of a life; more than any if a tenant is moving in, from whom
/// nothing is taken.
#[inline(always)]
fn left(life: Life, now: u32) -> u64 {
    const NEVER: u32 = 40;
    let moving = u64::from(life.tenant() & 1);
    minus(u64::from(life.over()), u64::from(now)) | moving << NEVER
}

/// The place of a bucket that is free first, in the lowest bits, and the seconds that
/// are left of it above them; and how many places are free now.
#[inline(always)]
fn soonest(bucket: &Bucket, places: u32, now: u32) -> (u64, u64) {
    let mut soonest = u64::MAX >> 1;
    let mut free = 0;
    for number in 0..PLACES {
        if number >= places as usize {
            break;
        }
        let left = left(bucket.slots[number].life(), now);
        free += is_zero(left);
        soonest = min(soonest, left * PLACES as u64 + number as u64);
    }
    (soonest, free)
}

#[cfg(test)]
mod tests;
