//! Buckets: sixteen places for conversations, as they lie in the BPF array.
//!
//! Every field is a [`Word`], since CPUs read and write them at once. A reader takes no
//! lock: a slot is what it says it is if the number of its tenant was even and the
//! same before and after its words were read.

use core::sync::atomic::Ordering::SeqCst;

use super::Words;
use super::life::{Life, first_state};
use super::table::Buckets;
use super::word::Word;

/// The places of a bucket.
pub const PLACES: usize = 16;

/// A bucket: 1,024 bytes.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Bucket {
    /// The hash of each tenant, so that the others need not be looked at; 0 where
    /// nobody ever was.
    pub tags: [Word; PLACES],
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
    pub fn exchange<B: Buckets>(&self, old: Life, new: Life) -> bool {
        B::exchange(&self.life, old.0, new.0)
    }
}

impl Bucket {
    /// Moves `words` into place `number`, whose life is `old`; whether nobody else
    /// did so first.
    #[inline(always)]
    pub fn move_in<B: Buckets>(
        &self,
        number: usize,
        old: Life,
        tag: u64,
        words: &Words,
        tcp_flags: u8,
        now: u32,
    ) -> bool {
        let slot = &self.slots[number & (PLACES - 1)];
        let moving = old.moving();
        if old.is_moving() || !slot.exchange::<B>(old, moving) {
            return false;
        }
        for (own, word) in slot.words.iter().zip(words) {
            own.store(*word);
        }
        slot.made.store(u64::from(now));
        self.tags[number & (PLACES - 1)].store(tag);
        let tenant = old.tenant().wrapping_add(2);
        let settled = Life::new(now, protocol_of(words), tenant, first_state(tcp_flags));
        slot.exchange::<B>(moving, settled)
    }
}

impl Header<'_> {
    /// The key of the hash.
    #[must_use]
    pub fn seed(&self) -> &Word {
        &self.0.slots[0].words[0]
    }

    /// How many live conversations had to give way.
    #[inline(always)]
    #[must_use]
    pub fn evicted(&self) -> &Word {
        &self.0.slots[0].words[1]
    }
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
