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

    /// Whether it has `bytes` bytes.
    #[inline(always)]
    fn holds(&self, bytes: u32) -> bool {
        bytes <= self.length()
    }

    /// The VLAN id of a tag that is not in the frame but beside it, and goes outermost
    /// on the wire (`docs/verdicts.md` §1.3); [`NO_TAG`] if there is none.
    #[inline(always)]
    fn offloaded_tag(&self) -> u32 {
        NO_TAG
    }

    /// The `N` bytes from offset `at` on.
    ///
    /// # Errors
    /// [`Counter::MALFORMED`] past the frame's end, [`Counter::NOT_LINEAR`] if
    /// the bytes exist but cannot be reached from here.
    fn header<const N: usize>(&mut self, at: u32) -> Result<Self::Header<'_, N>, Counter>;
}

/// Stands for a VLAN id where there is no tag.
pub const NO_TAG: u32 = u32::MAX;

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

    /// The two bytes from `AT` on as they stand there: the number that they are to this
    /// machine.
    fn wire_u16<const AT: usize>(&self) -> u16;
    /// The four bytes from `AT` on in the same way.
    fn wire_u32<const AT: usize>(&self) -> u32;

    /// The eight bytes from `AT` on in the same way.
    #[inline(always)]
    fn wire_u64<const AT: usize>(&self) -> u64 {
        self.u64::<AT>().to_be()
    }

    /// The four bytes from `AT` on, for a number that is compared by order.
    #[inline(always)]
    fn ordered_u32<const AT: usize>(&self) -> u32 {
        self.u32::<AT>()
    }

    /// The eight bytes from `AT` on in the same way.
    #[inline(always)]
    fn ordered_u64<const AT: usize>(&self) -> u64 {
        self.u64::<AT>()
    }

    /// The two bytes from `AT` on, for a number that is computed with.
    #[inline(always)]
    fn number<const AT: usize>(&self) -> u16 {
        self.u16::<AT>()
    }

    /// The four bytes from `AT` on, followed by 32 zero bits: an IPv4 address as it is
    /// looked up ([`Address`](crate::packet::Address)).
    #[inline(always)]
    fn left_u32<const AT: usize>(&self) -> u64 {
        u64::from(self.u32::<AT>()) << 32
    }
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

    #[inline(always)]
    fn wire_u16<const AT: usize>(&self) -> u16 {
        Header::u16::<AT>(self).to_be()
    }

    #[inline(always)]
    fn wire_u32<const AT: usize>(&self) -> u32 {
        Header::u32::<AT>(self).to_be()
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

    #[inline(always)]
    fn wire_u16<const AT: usize>(&self) -> u16 {
        (*self).wire_u16::<AT>()
    }

    #[inline(always)]
    fn wire_u32<const AT: usize>(&self) -> u32 {
        (*self).wire_u32::<AT>()
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
