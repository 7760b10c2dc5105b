//! What a hook says of all packets whose fields have the same four classes, worked out
//! beforehand.
//!
//! Where there are few classes, every combination of them has its outcome in a table
//! (the full cross-product of Gupta and McKeown, "Packet Classification on Multiple
//! Fields", SIGCOMM 1999): a class is then a number such that the four of a packet add up
//! to the index of its outcome. The table is filled by what larger policies do packet by
//! packet ([`crate::rules`]).

use crate::classify::Classes;
use crate::counter::Counter;
use crate::tables::Tables;

/// What the hook's own rules and the default say of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// A rule allows it; if it opens a conversation, that may have to be recorded.
    Allowed {
        /// The rule's counter.
        counter: Counter,
        /// Whether it may.
        tracked: bool,
    },
    /// This counter moves, whatever else the packet is.
    Final(Counter),
    /// This counter moves unless the packet is a reply.
    Refused(Counter),
}

/// What the lists that know conversations say of a packet as a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is none.
    No,
    /// It is one, and moves this counter.
    ByRule(Counter),
    /// It is one, and moves this counter, if the flow table knows its mirror.
    ByFlow(Counter),
}

/// An outcome in two words: a counter in the low 24 bits of each, flags above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Outcome {
    own: u32,
    reply: u32,
}

const COUNTER: u32 = (1 << 24) - 1;

/// In `own`: not [`Own::Allowed`]. What is allowed and not tracked, as most is, is a counter
/// and nothing else.
const REFUSED: u32 = 1 << 31;
/// In `own`, with [`REFUSED`]: [`Own::Final`].
const FINAL: u32 = 1 << 30;
/// In `own`, without [`REFUSED`]: recorded if it opens a conversation.
const RECORDED: u32 = 1 << 29;

/// In `reply`: [`Reply::ByRule`].
const BY_RULE: u32 = 1 << 31;
/// In `reply`: [`Reply::ByFlow`].
const BY_FLOW: u32 = 1 << 30;
/// In `reply`: outsiders may open the conversation that the packet itself belongs to.
const OPEN: u32 = 1 << 29;

/// How many outcomes there can be: such that their indices are 16 bits.
pub const OUTCOMES: usize = 1 << 16;

impl Outcome {
    /// That of a policy that says nothing.
    pub const NOTHING: Self = Self { own: 0, reply: 0 };

    /// The most counters that outcomes tell apart.
    pub const COUNTERS: u32 = COUNTER + 1;

    /// Puts an outcome together; `open` says that outsiders may open the conversation
    /// that the packet itself belongs to.
    #[must_use]
    pub const fn new(own: Own, reply: Reply, open: bool) -> Self {
        let own = match own {
            Own::Allowed { counter, tracked } => counter.0 | if tracked { RECORDED } else { 0 },
            Own::Final(counter) => counter.0 | REFUSED | FINAL,
            Own::Refused(counter) => counter.0 | REFUSED,
        };
        let reply = match reply {
            Reply::No => 0,
            Reply::ByRule(counter) => counter.0 | BY_RULE,
            Reply::ByFlow(counter) => counter.0 | BY_FLOW,
        };
        Self {
            own,
            reply: reply | if open { OPEN } else { 0 },
        }
    }

    /// In one word, which lies in memory as the outcome does: BPF is little-endian here.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        (self.reply as u64) << 32 | self.own as u64
    }

    /// The outcome of one word.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            own: word as u32,
            reply: (word >> 32) as u32,
        }
    }

    /// That of `classes`.
    #[inline(always)]
    pub fn of<T: Tables>(classes: &Classes, tables: &T) -> Self {
        let Classes {
            source,
            destination,
            transport,
            source_port,
        } = *classes;
        let index = source
            .wrapping_add(destination)
            .wrapping_add(transport)
            .wrapping_add(source_port);
        *tables.outcome(index as u16)
    }

    /// What the hook's own rules and the default say.
    #[inline(always)]
    #[must_use]
    pub const fn own(self) -> Own {
        if self.own <= COUNTER {
            return Own::Allowed {
                counter: Counter(self.own),
                tracked: false,
            };
        }
        let counter = Counter(self.own & COUNTER);
        if self.own & REFUSED == 0 {
            let tracked = true;
            Own::Allowed { counter, tracked }
        } else if self.own & FINAL == 0 {
            Own::Refused(counter)
        } else {
            Own::Final(counter)
        }
    }

    /// What is said of the packet as a reply.
    #[inline(always)]
    #[must_use]
    pub const fn reply(self) -> Reply {
        let counter = Counter(self.reply & COUNTER);
        if self.reply & BY_RULE != 0 {
            Reply::ByRule(counter)
        } else if self.reply & BY_FLOW != 0 {
            Reply::ByFlow(counter)
        } else {
            Reply::No
        }
    }

    /// Whether outsiders may open the conversation that the packet itself belongs to.
    #[inline(always)]
    #[must_use]
    pub const fn is_open(self) -> bool {
        self.reply & OPEN != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_gives_back_what_it_was_made_of() {
        for counter in [0, 1, 22, Outcome::COUNTERS - 1].map(Counter) {
            for own in [
                Own::Allowed {
                    counter,
                    tracked: false,
                },
                Own::Allowed {
                    counter,
                    tracked: true,
                },
                Own::Final(counter),
                Own::Refused(counter),
            ] {
                for reply in [Reply::No, Reply::ByRule(counter), Reply::ByFlow(counter)] {
                    for open in [false, true] {
                        let outcome = Outcome::new(own, reply, open);
                        assert_eq!(outcome.own(), own);
                        assert_eq!(outcome.reply(), reply);
                        assert_eq!(outcome.is_open(), open);
                    }
                }
            }
        }
    }
}
