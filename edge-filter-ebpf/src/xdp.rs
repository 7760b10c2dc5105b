//! The inbound hook.

use core::arch::asm;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::frame::{Frame, Header};
use edge_filter_ebpf::judge;

use crate::{Maps, settle};

/// Judges one frame that arrives.
#[xdp(frags)]
pub(crate) fn edge_filter_in(context: XdpContext) -> u32 {
    // SAFETY: the context is the one that the kernel called with.
    let length = unsafe { bpf_xdp_get_buff_len(context.ctx) } as u32;
    let mut frame = Linear {
        begin: context.data(),
        end: context.data_end(),
        length,
    };
    let mut counter = judge(&mut frame, &Maps);
    if counter == Counter::NOT_LINEAR {
        counter = judge_copied(&context, length);
    }
    if settle(counter, length) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

/// Judges a frame whose headers do not all lie in its first buffer.
#[inline(never)]
fn judge_copied(context: &XdpContext, length: u32) -> Counter {
    judge(
        &mut Copied {
            context,
            length,
            header: [0; LONGEST],
        },
        &Maps,
    )
}

/// A frame's first buffer, read in place.
struct Linear {
    begin: usize,
    end: usize,
    length: u32,
}

/// The highest offset that the verifier still follows, with room for a header.
const REACH: u32 = 0x7fff;

impl Frame for Linear {
    type Header<'a, const N: usize>
        = Loaded
    where
        Self: 'a;

    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
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

impl Linear {
    /// Why the bytes cannot be read here.
    #[inline(always)]
    fn beyond<const N: usize>(&self, at: u32) -> Counter {
        if at + N as u32 > self.length {
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
struct Loaded(usize);

macro_rules! load {
    ($self:ident, $size:literal, $at:expr) => {{
        let value: u64;
        // SAFETY: the bytes were checked to be there when the header was asked
        // for; the verifier checks it once more.
        unsafe {
            asm!(
                concat!("{value} = *(", $size, " *)({begin} + {at})"),
                value = lateout(reg) value,
                begin = in(reg) $self.0,
                at = const $at,
                options(readonly, nostack, preserves_flags),
            );
        }
        value
    }};
}

impl Header for Loaded {
    #[inline(always)]
    fn u8<const AT: usize>(&self) -> u8 {
        load!(self, "u8", AT) as u8
    }

    #[inline(always)]
    fn u16<const AT: usize>(&self) -> u16 {
        (load!(self, "u16", AT) as u16).to_be()
    }

    #[inline(always)]
    fn u32<const AT: usize>(&self) -> u32 {
        (load!(self, "u32", AT) as u32).to_be()
    }

    #[inline(always)]
    fn u64<const AT: usize>(&self) -> u64 {
        load!(self, "u64", AT).to_be()
    }
}

/// A frame whose headers are copied out one by one.
struct Copied<'a> {
    context: &'a XdpContext,
    length: u32,
    header: [u8; LONGEST],
}

/// The longest header that is asked for: IPv6's.
const LONGEST: usize = 40;

impl Frame for Copied<'_> {
    type Header<'a, const N: usize>
        = &'a [u8; N]
    where
        Self: 'a;

    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn header<const N: usize>(&mut self, at: u32) -> Result<&[u8; N], Counter> {
        const { assert!(N <= LONGEST) };
        let bytes = self.header.as_mut_ptr();
        // SAFETY: the buffer has room for the N bytes that are copied.
        let error = unsafe { bpf_xdp_load_bytes(self.context.ctx, at, bytes.cast(), N as u32) };
        if error != 0 {
            return Err(Counter::MALFORMED);
        }
        // SAFETY: the N bytes lie within the buffer, and are borrowed with it.
        Ok(unsafe { &*bytes.cast_const().cast() })
    }
}
