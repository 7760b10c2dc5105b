//! Buckets: sixteen places for conversations, as they lie in the BPF array.
//!
//! Every field is a [`Word`], since CPUs read and write them at once. A reader takes no
//! lock: a slot is what it says it is if the number of its tenant was even and the
//! same before and after its words were read.

use core::sync::atomic::Ordering::SeqCst;

use super::Words;
use super::life::{Life, first_state};
use super::word::Word;
use crate::branchless::low_four;
use crate::search::lowest_bit;

/// The places of a bucket.
pub const PLACES: usize = 16;

/// The tags in a word.
const LANES: usize = 4;
/// The words of tags.
pub const TAG_WORDS: usize = PLACES / LANES;

/// The lowest bit of each lane.
const LOWEST: u64 = 0x0001_0001_0001_0001;
/// All bits of each lane but the highest.
const BELOW: u64 = 0x7fff_7fff_7fff_7fff;

/// A bucket: 928 bytes.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Bucket {
    /// Some bits of each tenant's hash, four to a word and the first place's lowest, so
    /// that the others need not be looked at; 0 where nobody ever was.
    pub tags: [Word; TAG_WORDS],
    /// The tenants.
    pub slots: [Slot; PLACES],
}

/// A place for a conversation.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Slot {
    /// [`Words`] of the tuple.
    pub words: [Word; 5],
    /// The second in which the entry was made.
    pub made: Word,
    /// A [`Life`].
    pub life: Word,
}

/// What a table is made of.
pub trait Buckets {
    /// How many buckets there are.
    fn count(&self) -> u32;
    /// How many places of each are used.
    fn places(&self) -> u32;
    /// Secret key `number` of the hash, below [`super::hash::KEYS`].
    fn key(&self, number: usize) -> u64;
    /// The kernel's monotonic clock in nanoseconds.
    fn nanoseconds(&self) -> u64;
    /// Bucket number `index`; `None` past the last one.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// Counts a live conversation that had to give way.
    fn evict(&self);
}

/// The bucket behind the last one holds none: what belongs to the table as a whole
/// stands in its first slot.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(pub &'a Bucket);

/// The protocol of a tuple.
#[inline(always)]
#[must_use]
pub const fn protocol_of(words: &Words) -> u8 {
    (words[4] >> 8) as u8
}

impl Slot {
    /// Its life.
    #[inline(always)]
    #[must_use]
    pub fn life(&self) -> Life {
        Life(self.life.load())
    }

    /// Its life, if it is that of `words`; a free one otherwise.
    #[inline(always)]
    #[must_use]
    pub fn life_of(&self, words: &Words) -> Life {
        let before = self.life();
        read_barrier();
        let mut differs = 0;
        for (own, word) in self.words.iter().zip(words) {
            differs |= own.load() ^ word;
        }
        read_barrier();
        if differs != 0 || before.is_moving() || self.life().tenant() != before.tenant() {
            return Life(0);
        }
        before
    }

    /// Puts `new` in the place of the life `old`; whether that was still there.
    #[inline(always)]
    pub fn exchange(&self, old: Life, new: Life) -> bool {
        self.life.exchange(old.0, new.0)
    }
}

impl Bucket {
    /// The place of `words`, and its life; the life is `Life(0)` if they have none.
    ///
    /// What bears the tag is looked at closely, one after the other: which places those
    /// are the verifier cannot know, and so follows the loop only once.
    #[inline(always)]
    pub fn find(&self, tag: u16, words: &Words) -> (usize, Life) {
        let mut tagged = self.tagged(tag);
        for _ in 0..PLACES {
            if tagged == 0 {
                break;
            }
            let number = place(tagged);
            let life = self.slots[number].life_of(words);
            if life != Life(0) {
                return (number, life);
            }
            tagged &= tagged - 1;
        }
        (0, Life(0))
    }

    /// Ends all live entries of `words` but the first, or that one, too, if it is `known`
    /// that another bucket has one; whether there is any now.
    #[inline(always)]
    pub fn end_all_but<B: Buckets>(
        &self,
        tag: u16,
        words: &Words,
        now: u32,
        mut known: bool,
    ) -> bool {
        let mut tagged = self.tagged(tag);
        for _ in 0..PLACES {
            if tagged == 0 {
                break;
            }
            let slot = &self.slots[place(tagged)];
            let life = slot.life_of(words);
            if life.is_live(now) {
                if known {
                    // Whoever was faster has ended it, too, or found it alone.
                    slot.exchange(life, life.ended(now));
                }
                known = true;
            }
            tagged &= tagged - 1;
        }
        known
    }

    /// The places that bear `tag`: bit 16 *i* + *j* is that of lane *i* of word *j*.
    #[inline(always)]
    fn tagged(&self, tag: u16) -> u64 {
        let pattern = u64::from(tag) * LOWEST;
        let mut tagged = 0;
        for (number, word) in self.tags.iter().enumerate() {
            let differs = word.load() ^ pattern;
            // The highest bit of each lane that does not differ: an addition within the
            // lanes carries into it from any other bit.
            let equal = !((differs & BELOW).wrapping_add(BELOW) | differs | BELOW);
            tagged |= equal >> (15 - number);
        }
        tagged
    }

    /// Sets the tag of place `number`, whose tenant is moving in.
    #[inline(always)]
    fn set_tag(&self, number: usize, tag: u16) {
        let word = &self.tags[number / LANES % TAG_WORDS];
        let shift = number % LANES * 16;
        let differs = (word.load() >> shift) as u16 ^ tag;
        word.flip(u64::from(differs) << shift);
    }

    /// Moves `words` into place `number`, whose life is `old`; whether nobody else
    /// did so first.
    #[inline(always)]
    pub fn move_in<B: Buckets>(
        &self,
        number: usize,
        old: Life,
        tag: u16,
        words: &Words,
        tcp_flags: u8,
        now: u32,
    ) -> bool {
        let slot = &self.slots[number & (PLACES - 1)];
        let moving = old.moving();
        if old.is_moving() || !slot.exchange(old, moving) {
            return false;
        }
        for (own, word) in slot.words.iter().zip(words) {
            own.store(*word);
        }
        slot.made.store(u64::from(now));
        self.set_tag(number & (PLACES - 1), tag);
        let tenant = old.tenant().wrapping_add(2);
        let settled = Life::new(now, protocol_of(words), tenant, first_state(tcp_flags));
        slot.exchange(moving, settled)
    }
}

impl Header<'_> {
    /// How many live conversations had to give way.
    #[inline(always)]
    #[must_use]
    pub fn evicted(&self) -> &Word {
        &self.0.slots[0].words[1]
    }
}

/// The first of the places that are `tagged`.
#[inline(always)]
fn place(tagged: u64) -> usize {
    let bit = u64::from(lowest_bit(tagged));
    low_four((bit & 3) << 2 | bit >> 4)
}

/// Keeps loads in order. BPF has no such instruction: there the compiler alone is
/// told, which is enough where the processor itself keeps loads in order (x86-64). On
/// others a slot that changes hands within these few instructions could be taken for
/// its former tenant's, whose conversation was live until then.
#[inline(always)]
fn read_barrier() {
    #[cfg(target_arch = "bpf")]
    core::sync::atomic::compiler_fence(SeqCst);
    #[cfg(not(target_arch = "bpf"))]
    core::sync::atomic::fence(SeqCst);
}
