//! A frame's first buffer, read in place.

use core::arch::asm;

use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::flow::Flows;
use edge_filter_ebpf::frame::{Frame, Header};
use edge_filter_ebpf::opaque;
use edge_filter_ebpf::packet::{Chain, Ip};
use edge_filter_ebpf::tables::Tables;
use edge_filter_ebpf::walks::Walks;

use crate::context::Context;
use crate::copied;

/// A frame's first buffer, read in place; `ALONE` if the frame is taken to end with it.
pub(crate) struct Linear<C, const ALONE: bool = false> {
    context: C,
    begin: usize,
    end: usize,
    /// The length of the frame; that of the buffer is not computed before it is needed.
    length: u32,
}

/// The highest offset that the verifier still follows, with room for a header.
const REACH: u32 = 0x7fff;

impl<C: Context> Linear<C> {
    #[inline(always)]
    pub(crate) fn new(context: C, length: u32) -> Self {
        Self {
            context,
            begin: context.data(),
            end: context.data_end(),
            length,
        }
    }
}

impl<C: Context> Linear<C, true> {
    /// The first buffer of a frame that is taken to end with it.
    #[inline(always)]
    pub(crate) fn alone(context: C) -> Self {
        Self {
            context,
            begin: context.data(),
            end: context.data_end(),
            length: 0,
        }
    }
}

impl<C: Context, const ALONE: bool> Frame for Linear<C, ALONE> {
    type Header<'a, const N: usize>
        = Loaded
    where
        Self: 'a;

    #[inline(always)]
    fn length(&self) -> u32 {
        if ALONE {
            (self.context.data_end() - self.begin) as u32
        } else {
            self.length
        }
    }

    #[inline(always)]
    fn holds(&self, bytes: u32) -> bool {
        if ALONE {
            opaque::sum(self.begin as u64, bytes.into()) <= self.context.data_end() as u64
        } else {
            bytes <= self.length
        }
    }

    #[inline(always)]
    fn offloaded_tag(&self) -> u32 {
        self.context.offloaded_tag()
    }

    #[inline(always)]
    fn header<const N: usize>(&mut self, at: u32) -> Result<Loaded, Counter> {
        if at > REACH {
            return Err(self.beyond::<N>(at));
        }
        let begin = self.begin + at as usize;
        if end_of::<N>(begin) > self.end {
            return Err(self.beyond::<N>(at));
        }
        Ok(Loaded(begin))
    }
}

/// The address behind `N` bytes from `begin` on, by an addition that LLVM does
/// not see: it would turn `begin + 1 > end` into `begin >= end`, of which the
/// verifier learns nothing.
#[inline(always)]
fn end_of<const N: usize>(begin: usize) -> usize {
    let mut end = begin;
    // SAFETY: one addition.
    unsafe {
        asm!(
            "{end} += {length}",
            end = inout(reg) end,
            length = const N,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    end
}

impl<C: Context, const ALONE: bool> Linear<C, ALONE> {
    /// Why the bytes cannot be read here.
    #[inline(always)]
    fn beyond<const N: usize>(&self, at: u32) -> Counter {
        if at + N as u32 > self.length() {
            Counter::MALFORMED
        } else {
            Counter::NOT_LINEAR
        }
    }
}

/// The address of a header that lies within the first buffer.
///
/// Its fields are read by single loads of their own size: what LLVM makes of
/// an unaligned read is one load a byte. Ethernet puts them at even offsets,
/// which is all that any architecture's verifier asks of packet memory.
#[derive(Clone, Copy)]
pub(crate) struct Loaded(usize);

macro_rules! load {
    ($self:ident, $number:ty, $at:expr, $($instruction:expr),+) => {{
        let value: u64;
        // SAFETY: the bytes were checked to be there when the header was asked
        // for; the verifier checks it once more.
        unsafe {
            asm!(
                $($instruction,)+
                value = lateout(reg) value,
                begin = in(reg) $self.0,
                at = const $at,
                options(pure, readonly, nostack, preserves_flags),
            );
            // What was loaded was extended by zeroes, which spares LLVM from doing so again.
            core::hint::assert_unchecked(value <= <$number>::MAX as u64);
        }
        value as $number
    }};
}

impl Header for Loaded {
    #[inline(always)]
    fn u8<const AT: usize>(&self) -> u8 {
        load!(self, u8, AT, "{value} = *(u8 *)({begin} + {at})")
    }

    #[inline(always)]
    fn u16<const AT: usize>(&self) -> u16 {
        load!(self, u16, AT, "{value} = *(u16 *)({begin} + {at})").to_be()
    }

    #[inline(always)]
    fn u32<const AT: usize>(&self) -> u32 {
        load!(self, u32, AT, "{value} = *(u32 *)({begin} + {at})").to_be()
    }

    #[inline(always)]
    fn u64<const AT: usize>(&self) -> u64 {
        load!(self, u64, AT, "{value} = *(u64 *)({begin} + {at})").to_be()
    }

    #[inline(always)]
    fn wire_u16<const AT: usize>(&self) -> u16 {
        load!(self, u16, AT, "{value} = *(u16 *)({begin} + {at})")
    }

    #[inline(always)]
    fn wire_u32<const AT: usize>(&self) -> u32 {
        load!(self, u32, AT, "{value} = *(u32 *)({begin} + {at})")
    }

    #[inline(always)]
    fn wire_u64<const AT: usize>(&self) -> u64 {
        load!(self, u64, AT, "{value} = *(u64 *)({begin} + {at})")
    }

    // In these the byte order changes along with the load: LLVM would go back and forth
    // between both forms of a number, and keep both.

    #[inline(always)]
    fn number<const AT: usize>(&self) -> u16 {
        load!(
            self,
            u16,
            AT,
            "{value} = *(u16 *)({begin} + {at})",
            "{value} = be16 {value}"
        )
    }

    #[inline(always)]
    fn ordered_u32<const AT: usize>(&self) -> u32 {
        load!(
            self,
            u32,
            AT,
            "{value} = *(u32 *)({begin} + {at})",
            "{value} = be32 {value}"
        )
    }

    #[inline(always)]
    fn ordered_u64<const AT: usize>(&self) -> u64 {
        load!(
            self,
            u64,
            AT,
            "{value} = *(u64 *)({begin} + {at})",
            "{value} = be64 {value}"
        )
    }

    #[inline(always)]
    fn left_u32<const AT: usize>(&self) -> u64 {
        load!(
            self,
            u64,
            AT,
            "{value} = *(u32 *)({begin} + {at})",
            "{value} = be64 {value}"
        )
    }
}

impl<C: Context> Walks for Linear<C> {
    #[inline(always)]
    fn options(&mut self, at: u32, end: u32) -> Result<(), Counter> {
        copied::options(self.context, at, end)
    }

    #[inline(always)]
    fn extension_headers(&mut self, next: u8, at: u32, end: u32) -> Result<Chain, Counter> {
        copied::extension_headers(self.context, next, at, end)
    }

    #[inline(always)]
    fn mirrors_allowed<T: Tables + Flows>(&mut self, outer: &Ip, _: &T) -> Result<bool, Counter> {
        copied::mirrors_allowed(self.context, outer)
    }
}
