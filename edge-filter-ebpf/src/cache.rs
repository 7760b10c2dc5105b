//! What is known of recent packets: an exact-match cache in front of the tries and the
//! searches of larger policies.
//!
//! As long as a generation lasts, everything that addresses, essentials and rules say of a
//! packet follows from its five-tuple, unless it is ICMP: its [`Outcome`]. Packets come in
//! conversations, so nearly every one finds its tuple here, whatever the number of rules (as
//! in Open vSwitch: Pfaff et al., "The Design and Implementation of Open vSwitch", NSDI
//! 2015). What a conversation's own state decides, [`crate::replies`] asks each time.
//!
//! Each CPU has [`LINES`] lines of its own, and each tuple one place. A packet that opens a
//! TCP connection takes none: in a flood of them no tuple comes twice, and the conversations
//! that are known stay known.

use crate::classify;
use crate::config::Constant;
use crate::counter::Counter;
use crate::decide::before_rules;
use crate::flow::Tuple;
use crate::flow::word::Word;
use crate::outcome::{Outcome, Own, Reply};
use crate::packet::tcp::{ACK, SYN};
use crate::packet::{Family, NO_ICMP, Packet, protocol};
use crate::rules::Rules;
use crate::tables::Tables;

/// A tuple and what is said of its packets, in a cache line.
///
/// One program may interrupt another on its CPU, and meet a line that is half written, but it
/// ends before the other goes on: soft interrupts do not take turns. The
/// version tells: who reads it twice and finds it the same has read one tuple's outcome.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line {
    /// Odd while the line is written.
    version: Word,
    /// [`Tuple::transport`], which is never 0; 0 if the line says nothing.
    transport: Word,
    /// The words of both addresses; of IPv4, both in the first.
    addresses: [Word; 4],
    /// The outcome, its [`Outcome::word`].
    outcome: Word,
}

/// Lines that lie together: a page.
pub type Block = [Line; BLOCK_LINES];

/// The lines of a block.
pub const BLOCK_LINES: usize = 1 << 6;
/// The blocks of a cache.
pub const BLOCKS: u32 = 1 << 6;
/// The lines of a cache.
pub const LINES: u32 = BLOCKS * BLOCK_LINES as u32;

/// What is said of `packet`, but for what an ICMP message says more than its tuple.
#[inline(always)]
pub(crate) fn outcome<T: Tables>(packet: &Packet, tables: &T) -> Outcome {
    let tuple = Tuple::of(&packet.key);
    if let Some(line) = line(&tuple, tables)
        && let Some(outcome) = line.outcome(&tuple)
    {
        return outcome;
    }
    tables.outcome_anew(&tuple, packet.tcp_flags)
}

/// The outcome of packets that bear `tuple`, from the tables; it is in the cache from here
/// on, unless a packet of these TCP flags opens a connection.
#[inline(always)]
pub fn outcome_anew<T: Tables>(tables: &T, tuple: &Tuple, tcp_flags: u8) -> Outcome {
    let opens = tcp_flags & (SYN | ACK) == SYN;
    let outcome = match worked_out(tables, tuple, opens) {
        Ok(outcome) => outcome,
        Err(internal) => return finally(internal),
    };
    if !opens && let Some(line) = line(tuple, tables) {
        line.keep(tuple, outcome);
    }
    outcome
}

/// # Errors
/// [`Counter::INTERNAL`] if a loop ran out.
#[inline(always)]
fn worked_out<T: Tables>(tables: &T, tuple: &Tuple, opens: bool) -> Result<Outcome, Counter> {
    let packet = &packet_of(tuple);
    // Of ICMP, that was asked about the whole message ([`crate::decide`]).
    let source = if protocol::is_icmp(tuple.family, tuple.protocol) {
        classify::source(&packet.key, tables).ok_or(Counter::INTERNAL)?
    } else {
        match before_rules(packet, tables) {
            Ok(source) => source,
            Err(Counter::INTERNAL) => return Err(Counter::INTERNAL),
            Err(counter) => return Ok(finally(counter)),
        }
    };
    if tables.constant(Constant::Words) == 0 {
        return Ok(finally(Counter::by_default(tables)));
    }
    let ports = classify::ports(&packet.key, tables);
    let rules = classify::classes(&packet.key, ports, source, tables)
        .map(|classes| Rules::of(classes, tables))
        .ok_or(Counter::INTERNAL)?;
    let own = match rules.own(tables) {
        Own::Final(Counter::INTERNAL) => return Err(Counter::INTERNAL),
        Own::Allowed { counter, tracked } => Own::Allowed {
            counter,
            tracked: rules.is_recorded(tracked, tables)?,
        },
        other => other,
    };
    let reply = match own {
        // What opens a connection is no reply.
        Own::Refused(_) if !opens => rules.reply(tables),
        _ => Reply::No,
    };
    match reply {
        Reply::ByRule(Counter::INTERNAL) => Err(Counter::INTERNAL),
        reply => Ok(Outcome::new(own, reply, false)),
    }
}

/// The outcome of packets that move `counter`, whatever else they are.
#[inline(always)]
const fn finally(counter: Counter) -> Outcome {
    Outcome::new(Own::Final(counter), Reply::No, false)
}

/// A packet that bears `tuple`. What else it says decides nothing here.
#[inline(always)]
fn packet_of(tuple: &Tuple) -> Packet {
    Packet {
        key: tuple.key(),
        hop_limit: 0,
        fragment_header: false,
        icmp: NO_ICMP,
        identifier: 0,
        tcp_flags: 0,
        mirrors_allowed: false,
    }
}

/// The place of `tuple`; `None` if this hook has no cache.
#[inline(always)]
fn line<'t, T: Tables>(tuple: &Tuple, tables: &'t T) -> Option<&'t Line> {
    if tables.constant(Constant::Cached) == 0 {
        return None;
    }
    tables.line((hash(tuple) >> (u64::BITS - LINES.ilog2())) as u32)
}

/// A hash, by multiplication, whose highest bits are its best ones. No secret is in it: who
/// makes tuples meet makes their packets slow, and may as well send new ones.
#[inline(always)]
fn hash(tuple: &Tuple) -> u64 {
    // From the golden ratio, and from splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    const ONCE_MORE: u64 = 0xbf58_476d_1ce4_e5b9;
    let mixed = tuple.transport().wrapping_mul(SPREAD);
    let [first, rest @ ..] = addresses(tuple);
    let mixed = (mixed ^ first).wrapping_mul(ONCE_MORE);
    match tuple.family {
        Family::V4 => mixed,
        Family::V6 => rest.into_iter().fold(mixed, |mixed, word| {
            (mixed ^ mixed >> 32 ^ word).wrapping_mul(SPREAD)
        }),
    }
}

/// Both addresses as a line has them.
#[inline(always)]
const fn addresses(tuple: &Tuple) -> [u64; 4] {
    let (source, destination) = (tuple.source, tuple.destination);
    match tuple.family {
        Family::V4 => [source.high | destination.high >> 32, 0, 0, 0],
        Family::V6 => [source.high, source.low, destination.high, destination.low],
    }
}

impl Line {
    /// What is said of packets that bear `tuple`, if this line knows.
    #[inline(always)]
    fn outcome(&self, tuple: &Tuple) -> Option<Outcome> {
        self.read(tuple, || {})
    }

    /// Keeps the outcome of `tuple` instead of what was here, unless somebody who was
    /// interrupted is writing it.
    #[inline(always)]
    fn keep(&self, tuple: &Tuple, outcome: Outcome) {
        self.write(tuple, outcome, || {});
    }

    /// [`Self::outcome`]; `interrupt` is called wherever something may come in between.
    #[inline(always)]
    fn read(&self, tuple: &Tuple, mut interrupt: impl FnMut()) -> Option<Outcome> {
        let version = self.version.load();
        interrupt();
        let mut differs = self.transport.load() ^ tuple.transport();
        let [first, rest @ ..] = addresses(tuple);
        let [own_first, own_rest @ ..] = &self.addresses;
        interrupt();
        differs |= own_first.load() ^ first;
        if tuple.family == Family::V6 {
            for (own, word) in own_rest.iter().zip(rest) {
                interrupt();
                differs |= own.load() ^ word;
            }
        }
        interrupt();
        let outcome = self.outcome.load();
        interrupt();
        // While a line is written its transport is that of no tuple.
        if differs != 0 || self.version.load() != version {
            return None;
        }
        Some(Outcome::from_word(outcome))
    }

    /// [`Self::keep`], in the same way.
    #[inline(always)]
    fn write(&self, tuple: &Tuple, outcome: Outcome, mut interrupt: impl FnMut()) {
        let version = self.version.load();
        interrupt();
        if version & 1 != 0 || !self.version.exchange(version, version + 1) {
            return;
        }
        interrupt();
        self.transport.store(0);
        for (own, word) in self.addresses.iter().zip(addresses(tuple)) {
            interrupt();
            own.store(word);
        }
        interrupt();
        self.outcome.store(outcome.word());
        interrupt();
        self.transport.store(tuple.transport());
        interrupt();
        self.version.store(version + 2);
    }
}

#[cfg(test)]
mod tests;
