//! A frame in memory, and a hook in memory, as the host has them: what tests and
//! fuzzers judge.

use crate::cache::{LINES, Line};
use crate::config::Constant;
use crate::counter::Counter;
use crate::flow::{Flows, Tuple};
use crate::frame::Frame;
use crate::outcome::Outcome;
use crate::packet::{Chain, Ip};
use crate::small::Small;
use crate::tables::{Chunk, Path, Tables};
use crate::walks::Walks;
use crate::{ipv4, ipv6, quote};

/// A frame in memory, as the host has it.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    bytes: &'a [u8],
    linear: usize,
}

impl<'a> Memory<'a> {
    /// A frame of which every byte can be reached.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            linear: bytes.len(),
        }
    }

    /// A frame of which only the first `linear` bytes can be reached, as with
    /// a kernel buffer in fragments.
    #[must_use]
    pub fn with_linear(bytes: &'a [u8], linear: usize) -> Self {
        Self {
            bytes,
            linear: linear.min(bytes.len()),
        }
    }
}

impl Frame for Memory<'_> {
    type Header<'a, const N: usize>
        = [u8; N]
    where
        Self: 'a;

    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    fn header<const N: usize>(&mut self, at: u32) -> Result<[u8; N], Counter> {
        let at = at as usize;
        let bytes = self.bytes.get(at..at + N).ok_or(Counter::MALFORMED)?;
        if at + N > self.linear {
            return Err(Counter::NOT_LINEAR);
        }
        Ok(bytes.try_into().expect("a slice of N bytes"))
    }
}

/// What is known of recent packets at a hook, as one CPU has it.
#[derive(Debug)]
pub struct Cache(Vec<Line>);

impl Cache {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self((0..LINES).map(|_| Line::default()).collect())
    }

    /// One that keeps nothing.
    pub const NONE: Self = Self(Vec::new());
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

/// The tables of a hook, its cache, and the flow table that it shares with others.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'a, T, F> {
    /// Its tables.
    pub tables: &'a T,
    /// Its cache.
    pub cache: &'a Cache,
    /// The flow table.
    pub flows: &'a F,
}

impl<T: Tables, F> Tables for Hook<'_, T, F> {
    fn constant(&self, constant: Constant) -> u32 {
        self.tables.constant(constant)
    }

    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        self.tables.entry(row, slot)
    }

    fn few(&self, number: usize) -> &Path {
        self.tables.few(number)
    }

    fn transport(&self, index: u32) -> u32 {
        self.tables.transport(index)
    }

    fn source_port(&self, port: u16) -> u32 {
        self.tables.source_port(port)
    }

    fn path(&self, index: u32) -> Option<&Path> {
        self.tables.path(index)
    }

    fn chunk(&self, index: u32) -> Option<&Chunk> {
        self.tables.chunk(index)
    }

    fn outcome(&self, index: u16) -> &Outcome {
        self.tables.outcome(index)
    }

    fn line(&self, number: u32) -> Option<&Line> {
        self.cache.0.get(number as usize)
    }

    fn is_small(&self) -> bool {
        self.tables.is_small()
    }

    fn small(&self) -> &Small {
        self.tables.small()
    }
}

impl<T, F: Flows> Flows for Hook<'_, T, F> {
    fn record(&self, tuple: &Tuple, tcp_flags: u8) {
        self.flows.record(tuple, tcp_flags);
    }

    fn is_answered(&self, tuple: &Tuple, tcp_flags: u8) -> bool {
        self.flows.is_answered(tuple, tcp_flags)
    }

    fn is_live(&self, tuple: &Tuple) -> bool {
        self.flows.is_live(tuple)
    }
}

/// A flow table that holds nothing, and keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFlows;

impl Flows for NoFlows {
    fn record(&self, _: &Tuple, _: u8) {}

    fn is_answered(&self, _: &Tuple, _: u8) -> bool {
        false
    }

    fn is_live(&self, _: &Tuple) -> bool {
        false
    }
}

/// Every walk runs in place.
impl Walks for Memory<'_> {
    fn options(&mut self, at: u32, end: u32) -> Result<(), Counter> {
        ipv4::walk(self, at, end)
    }

    fn extension_headers(&mut self, next: u8, at: u32, end: u32) -> Result<Chain, Counter> {
        ipv6::walk(self, next, at, end)
    }

    fn mirrors_allowed<T: Tables + Flows>(
        &mut self,
        outer: &Ip,
        tables: &T,
    ) -> Result<bool, Counter> {
        quote::mirrors_allowed(self, outer, tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Header;

    const BYTES: [u8; 20] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ];

    #[test]
    fn numbers_are_read_in_network_byte_order() {
        let header = Memory::new(&BYTES).header::<16>(2).unwrap();
        assert_eq!(header.u8::<1>(), 3);
        assert_eq!(header.u16::<1>(), 0x0304);
        assert_eq!(header.u32::<3>(), 0x0506_0708);
        assert_eq!(header.u64::<8>(), 0x0a0b_0c0d_0e0f_1011);
        // By reference too, as the kernel's copies are read.
        assert_eq!(Header::u64::<0>(&&header), 0x0203_0405_0607_0809);
    }

    /// Past the frame's end is `MALFORMED` even where the frame is not linear:
    /// nothing that could be pulled would help.
    #[test]
    fn bytes_are_here_or_beyond_reach_or_past_the_end() {
        for linear in 0..=BYTES.len() {
            for at in 0..30 {
                let answer = Memory::with_linear(&BYTES, linear)
                    .header::<4>(at)
                    .map(|header| header.u8::<0>());
                let end = at as usize + 4;
                let expected = if end > BYTES.len() {
                    Err(Counter::MALFORMED)
                } else if end > linear {
                    Err(Counter::NOT_LINEAR)
                } else {
                    Ok(BYTES[at as usize])
                };
                assert_eq!(answer, expected, "4 bytes at {at}, {linear} linear");
            }
        }
    }

    #[test]
    fn an_offset_near_the_end_of_numbers_is_past_the_end() {
        let answer = Memory::new(&BYTES).header::<8>(u32::MAX);
        assert_eq!(answer, Err(Counter::MALFORMED));
    }
}
