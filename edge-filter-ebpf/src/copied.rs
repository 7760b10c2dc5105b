//! What runs out of line: the walks that few frames need, and frames whose
//! headers do not all lie in their first buffer.
//!
//! Each is a global function, which the verifier checks by itself, for any
//! arguments (kernel 5.6 on). They read a frame by copying one header after the
//! other, so that neither the offset nor the frame's layout matters. Those that are
//! handed a context exist once for each kind of program ([`out_of_line`]).

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::decide::decide;
use edge_filter_ebpf::flow::Flows;
use edge_filter_ebpf::frame::Frame;
use edge_filter_ebpf::packet::{Address, Chain, Family, Ip, Packet};
use edge_filter_ebpf::quote::Quote;
use edge_filter_ebpf::tables::Tables;
use edge_filter_ebpf::walks::Walks;
use edge_filter_ebpf::{ipv4, ipv6, parse, quote, replies};

use crate::Maps;
use crate::context::Context;

/// A frame whose headers are copied out one by one, each over the last.
struct Copied<C> {
    context: C,
    length: u32,
    header: [u8; LONGEST],
}

/// The longest header that is asked for: IPv6's.
const LONGEST: usize = 40;

/// "No fault", where a counter would stand for one.
const NO_FAULT: u32 = Counter::NOT_LINEAR.0;

/// The packet that was parsed last. Between the two functions that judge a copied
/// frame it lies here: on the stack, 512 bytes for a whole chain of calls, the first
/// would still be there while the second runs.
#[map]
static PACKET: PerCpuArray<Packet> = PerCpuArray::with_max_entries(1, 0);

/// The quote that was read last, which lies here for the same reason.
#[map]
static QUOTE: PerCpuArray<Quote> = PerCpuArray::with_max_entries(1, 0);

/// The functions of [`Context`] that run out of line, for one type of context.
macro_rules! out_of_line {
    ($kind:ident, $context:ty, $parse:ident, $options:ident, $extensions:ident, $quote:ident $(,)?) => {
        #[inline(always)]
        fn parse(self, length: u32) -> u32 {
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $parse(context: *mut $context, length: u32) -> u32 {
                $crate::copied::parse_into($crate::context::$kind(context), length)
            }
            $parse(self.0, length)
        }

        #[inline(always)]
        fn walk_options(self, at: u32, end: u32) -> u32 {
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $options(context: *mut $context, at: u32, end: u32) -> u32 {
                $crate::copied::walk_options($crate::context::$kind(context), at, end)
            }
            $options(self.0, at, end)
        }

        #[inline(always)]
        fn walk_extensions(self, next: u32, at: u32, end: u32) -> u64 {
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $extensions(context: *mut $context, next: u32, at: u32, end: u32) -> u64 {
                $crate::copied::walk_extensions($crate::context::$kind(context), next, at, end)
            }
            $extensions(self.0, next, at, end)
        }

        #[inline(always)]
        fn read_quote(self, place: u64, high: u64, low: u64) -> u32 {
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "C" fn $quote(context: *mut $context, place: u64, high: u64, low: u64) -> u32 {
                $crate::copied::read_quote($crate::context::$kind(context), place, high, low)
            }
            $quote(self.0, place, high, low)
        }
    };
}
pub(crate) use out_of_line;

/// Parses a frame into [`PACKET`]; the counter of one that is decided by that,
/// [`Counter::NOTHING`] otherwise.
#[inline(always)]
pub(crate) fn parse_into<C: Context>(context: C, length: u32) -> u32 {
    let Some(place) = PACKET.get_ptr_mut(0) else {
        return Counter::INTERNAL.0;
    };
    match parse(&mut Copied::new(context, length), &Maps) {
        Ok(packet) => {
            // SAFETY: no other program of this CPU runs before this one is done.
            unsafe { *place = packet };
            Counter::NOTHING.0
        }
        Err(counter) => counter.0,
    }
}

/// Decides what becomes of [`PACKET`]. Of an ICMP error it is not yet known whether it belongs
/// to a conversation: while the frame is parsed there is no room on the stack to ask.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_decide() -> u32 {
    let Some(place) = PACKET.get_ptr_mut(0) else {
        return Counter::INTERNAL.0;
    };
    // SAFETY: no other program of this CPU runs before this one is done.
    let packet = unsafe { &mut *place };
    if packet.mirrors_allowed {
        match talked_about() {
            Ok(allowed) => packet.mirrors_allowed = allowed,
            Err(fault) => return fault.0,
        }
    }
    decide(packet, &Maps).0
}

/// The walk over IPv4 options; the fault, or [`NO_FAULT`].
#[inline(always)]
pub(crate) fn walk_options<C: Context>(context: C, at: u32, end: u32) -> u32 {
    match ipv4::walk(&mut Copied::new(context, end), at, end) {
        Ok(()) => NO_FAULT,
        Err(fault) => fault.0,
    }
}

/// The walk over IPv6 extension headers; the fault in the high half, or
/// [`NO_FAULT`] there, and protocol (8 bits), whether there was a fragment header
/// (1 bit) and offset (23 bits) in the low.
#[inline(always)]
pub(crate) fn walk_extensions<C: Context>(context: C, next: u32, at: u32, end: u32) -> u64 {
    match ipv6::walk(&mut Copied::new(context, end), next as u8, at, end) {
        Ok(chain) => {
            (u64::from(NO_FAULT) << 32)
                | (u64::from(chain.protocol) << 24)
                | (u64::from(chain.fragment_header) << 23)
                | u64::from(chain.payload)
        }
        Err(fault) => u64::from(fault.0) << 32,
    }
}

/// Reads what an ICMP error quotes into [`QUOTE`]; the fault, or [`NO_FAULT`]. The
/// family, the payload's offset and its end stand in `place`: 1, 31 and 32 bits from
/// the high end. The error's destination is in halves.
#[inline(always)]
pub(crate) fn read_quote<C: Context>(context: C, place: u64, high: u64, low: u64) -> u32 {
    let end = place as u32;
    let destination = Address { high, low };
    let outer = Ip {
        family: if place >> 63 == 0 {
            Family::V4
        } else {
            Family::V6
        },
        source: destination,
        destination,
        protocol: 0,
        hop_limit: 0,
        fragment_header: false,
        payload: (place >> 32) as u32 & 0x7fff_ffff,
        end,
    };
    let Some(place) = QUOTE.get_ptr_mut(0) else {
        return Counter::INTERNAL.0;
    };
    match quote::read(&mut Copied::new(context, end), &outer, &Maps) {
        Ok(quote) => {
            // SAFETY: no other program of this CPU runs before this one is done.
            unsafe { *place = quote };
            NO_FAULT
        }
        Err(fault) => fault.0,
    }
}

/// Whether [`QUOTE`] belongs to a conversation: [`Counter::ICMP_ERROR`], or
/// [`NO_FAULT`] if not.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_talked_about() -> u32 {
    let Some(quote) = QUOTE.get(0) else {
        return Counter::INTERNAL.0;
    };
    if !quote.counts {
        return NO_FAULT;
    }
    match replies::is_talked_about(quote, &Maps) {
        Ok(true) => Counter::ICMP_ERROR.0,
        Ok(false) => NO_FAULT,
        Err(fault) => fault.0,
    }
}

/// Judges a frame whose headers do not all lie in its first buffer.
#[inline(always)]
pub(crate) fn judge<C: Context>(context: C, length: u32) -> Counter {
    match Counter(context.parse(length)) {
        Counter::NOTHING => Counter(edge_filter_decide()),
        counter => counter,
    }
}

#[inline(always)]
pub(crate) fn options<C: Context>(context: C, at: u32, end: u32) -> Result<(), Counter> {
    match context.walk_options(at, end) {
        NO_FAULT => Ok(()),
        fault => Err(Counter(fault)),
    }
}

#[inline(always)]
pub(crate) fn extension_headers<C: Context>(
    context: C,
    next: u8,
    at: u32,
    end: u32,
) -> Result<Chain, Counter> {
    let found = context.walk_extensions(u32::from(next), at, end);
    match (found >> 32) as u32 {
        NO_FAULT => Ok(Chain {
            protocol: (found >> 24) as u8,
            payload: found as u32 & 0x7f_ffff,
            fragment_header: found & (1 << 23) != 0,
        }),
        fault => Err(Counter(fault)),
    }
}

/// Reads what an ICMP error quotes into [`QUOTE`].
#[inline(always)]
fn keep_quote<C: Context>(context: C, outer: &Ip) -> Result<(), Counter> {
    let family = match outer.family {
        Family::V4 => 0,
        Family::V6 => 1 << 63,
    };
    let place = family | u64::from(outer.payload) << 32 | u64::from(outer.end);
    let Address { high, low } = outer.destination;
    match context.read_quote(place, high, low) {
        NO_FAULT => Ok(()),
        fault => Err(Counter(fault)),
    }
}

/// Whether [`QUOTE`] belongs to a conversation.
#[inline(always)]
fn talked_about() -> Result<bool, Counter> {
    match edge_filter_talked_about() {
        allowed if allowed == Counter::ICMP_ERROR.0 => Ok(true),
        NO_FAULT => Ok(false),
        fault => Err(Counter(fault)),
    }
}

#[inline(always)]
pub(crate) fn mirrors_allowed<C: Context>(context: C, outer: &Ip) -> Result<bool, Counter> {
    keep_quote(context, outer)?;
    talked_about()
}

impl<C: Context> Copied<C> {
    #[inline(always)]
    fn new(context: C, length: u32) -> Self {
        Self {
            context,
            length,
            header: [0; LONGEST],
        }
    }
}

impl<C: Context> Frame for Copied<C> {
    type Header<'a, const N: usize>
        = &'a [u8; N]
    where
        Self: 'a;

    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn offloaded_tag(&self) -> u32 {
        self.context.offloaded_tag()
    }

    #[inline(always)]
    fn header<const N: usize>(&mut self, at: u32) -> Result<&[u8; N], Counter> {
        const { assert!(N <= LONGEST) };
        let bytes = self.header.as_mut_ptr();
        // SAFETY: the buffer has room for the N bytes that are copied.
        if !unsafe { self.context.load_bytes(at, bytes, N as u32) } {
            return Err(Counter::MALFORMED);
        }
        // SAFETY: the N bytes lie within the buffer, and are borrowed with it.
        Ok(unsafe { &*bytes.cast_const().cast() })
    }
}

impl<C: Context> Walks for Copied<C> {
    #[inline(always)]
    fn options(&mut self, at: u32, end: u32) -> Result<(), Counter> {
        options(self.context, at, end)
    }

    #[inline(always)]
    fn extension_headers(&mut self, next: u8, at: u32, end: u32) -> Result<Chain, Counter> {
        extension_headers(self.context, next, at, end)
    }

    #[inline(always)]
    fn mirrors_allowed<T: Tables + Flows>(&mut self, outer: &Ip, _: &T) -> Result<bool, Counter> {
        // What the quote says is asked later, by those who decide.
        keep_quote(self.context, outer).map(|()| true)
    }
}
