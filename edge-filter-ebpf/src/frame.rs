//! Where the bytes of a frame come from.
//!
//! A whole header is asked for at once, outermost first, and its fields are
//! then read without further checks. That is what the verifier can follow: of
//! two bounds checks LLVM drops the one that the other implies. A header is
//! borrowed until its fields are read, so that a source may copy every header
//! into the same few bytes.

use crate::counter::Counter;

/// A frame, from its destination MAC on.
pub trait Frame {
    /// `N` bytes that are known to be there.
    type Header<'a, const N: usize>: Header
    where
        Self: 'a;

    /// The length of the whole frame in bytes, without FCS.
    fn length(&self) -> u32;

    /// The `N` bytes from offset `at` on.
    ///
    /// # Errors
    /// [`Counter::MALFORMED`] past the frame's end, [`Counter::NOT_LINEAR`] if
    /// the bytes exist but cannot be reached from here.
    fn header<const N: usize>(&mut self, at: u32) -> Result<Self::Header<'_, N>, Counter>;
}

/// Bytes that are known to be there. `AT` counts from the header's begin.
/// Numbers of more than one byte are read in network byte order.
pub trait Header: Copy {
    /// The byte at `AT`.
    fn u8<const AT: usize>(&self) -> u8;
    /// The two bytes from `AT` on.
    fn u16<const AT: usize>(&self) -> u16;
    /// The four bytes from `AT` on.
    fn u32<const AT: usize>(&self) -> u32;
    /// The eight bytes from `AT` on.
    fn u64<const AT: usize>(&self) -> u64;
}

impl<const N: usize> Header for [u8; N] {
    #[inline(always)]
    fn u8<const AT: usize>(&self) -> u8 {
        self[AT]
    }

    #[inline(always)]
    fn u16<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes([self[AT], self[AT + 1]])
    }

    #[inline(always)]
    fn u32<const AT: usize>(&self) -> u32 {
        u32::from_be_bytes([self[AT], self[AT + 1], self[AT + 2], self[AT + 3]])
    }

    #[inline(always)]
    fn u64<const AT: usize>(&self) -> u64 {
        (u64::from(Header::u32::<AT>(self)) << 32) | u64::from(self.tail::<AT>())
    }
}

impl<H: Header> Header for &H {
    #[inline(always)]
    fn u8<const AT: usize>(&self) -> u8 {
        (*self).u8::<AT>()
    }

    #[inline(always)]
    fn u16<const AT: usize>(&self) -> u16 {
        (*self).u16::<AT>()
    }

    #[inline(always)]
    fn u32<const AT: usize>(&self) -> u32 {
        (*self).u32::<AT>()
    }

    #[inline(always)]
    fn u64<const AT: usize>(&self) -> u64 {
        (*self).u64::<AT>()
    }
}

/// The low half of a 64-bit read; a const expression over `AT` would need an
/// unstable feature.
trait Tail {
    fn tail<const AT: usize>(&self) -> u32;
}

impl<const N: usize> Tail for [u8; N] {
    #[inline(always)]
    fn tail<const AT: usize>(&self) -> u32 {
        u32::from_be_bytes([self[AT + 4], self[AT + 5], self[AT + 6], self[AT + 7]])
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(header.u64::<0>(), 0x0203_0405_0607_0809);
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
