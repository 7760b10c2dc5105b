//! Diagnostics: what becomes of frames, said to whoever debugs the programs
//! (`edge-filter run --debug-bpf`).
//!
//! The programs that do so are entry points of their own, as those on trial are: the others
//! hold nothing of it. They judge by the way of all policies, and speak when the verdict is
//! known and the stack of the search is free again.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_xdp_get_buff_len};
use aya_ebpf::macros::{classifier, map, xdp};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::{TcContext, XdpContext};
use aya_log_ebpf::info;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::frame::{Frame, Header};

use crate::Maps;
use crate::context::{Context, Tc, Xdp};
use crate::count::settle;
use crate::judge::judge;
use crate::linear::Linear;
use crate::tc::{self, wire};

/// How far one processor has come with saying what it does.
#[repr(C)]
struct Speech {
    /// Frames, whether anything was said of them or not: what is missing between two is how
    /// many went by unsaid.
    frames: u64,
    /// The stretch of [`TICKS`] in which something was said last.
    stretch: u64,
    /// Of how many frames in that stretch.
    said: u64,
}

/// Ticks (`jiffies`) of one stretch, as a power of two: 64 of them are 64 to 640 ms.
const TICKS: u32 = 6;
/// Something is said of so many frames in each.
const FRAMES: u64 = 16;

/// Ethernet, and a header of IPv4 with the ports behind it.
const REACH_V4: usize = 14 + 20 + 4;
/// The same of IPv6.
const REACH_V6: usize = 14 + 40 + 4;
/// Ethertype, version and IHL of IPv4 without options; the lowest byte is another field.
const PLAIN: u32 = 0x0800_4500;
const PLAIN_MASK: u32 = 0xffff_ff00;
/// Of the fragment fields, those that say that this is not the first one.
const OFFSET: u16 = 0x1fff;
const IPV6: u16 = 0x86dd;

#[map]
static DIAGNOSTICS: PerCpuArray<Speech> = PerCpuArray::with_max_entries(1, 0);

/// Judges one frame that arrives, and says how.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn edge_filter_debug_in(context: XdpContext) -> u32 {
    let context = Xdp(context.ctx);
    // SAFETY: the context is the one that the kernel called with.
    let length = unsafe { bpf_xdp_get_buff_len(context.0) };
    let counter = judge(context, length as u32);
    let passes = settle(counter, 1, length);
    say(context, length as u32, counter, passes);
    if passes { XDP_PASS } else { XDP_DROP }
}

/// Judges one frame that leaves, and says how.
#[classifier]
#[inline(always)]
pub(crate) fn edge_filter_debug_out(context: TcContext) -> i32 {
    let context = Tc(context.skb.skb);
    let (length, packets, bytes) = wire(context);
    let counter = judge(context, length).at_hook(&Maps);
    let passes = settle(counter, packets, bytes.into());
    say(context, length, counter, passes);
    if passes { tc::NEXT } else { tc::DROP }
}

/// Says what became of a frame, unless enough was said lately. The words are for the daemon,
/// which knows what the counters are called: processor, number of the frame on it, counter,
/// whether it passes, bytes; then, as far as they stand in the first buffer, protocol, source
/// and destination, with what stands where TCP and UDP have their ports.
#[inline(never)]
fn say<C: Context>(context: C, length: u32, counter: Counter, passes: bool) {
    let Some(speech) = DIAGNOSTICS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the entry belongs to this processor, and the helpers take nothing.
    let (frame, processor) = unsafe {
        let speech = &mut *speech;
        speech.frames += 1;
        let stretch = bpf_jiffies64() >> TICKS;
        if speech.stretch != stretch {
            speech.stretch = stretch;
            speech.said = 0;
        }
        if speech.said >= FRAMES {
            return;
        }
        speech.said += 1;
        (speech.frames, bpf_get_smp_processor_id() as u32)
    };
    let (counter, passes) = (counter.0, u32::from(passes));
    let mut frame_here = Linear::new(context, length);
    if let Ok(header) = frame_here.header::<REACH_V4>(0)
        && header.u32::<12>() & PLAIN_MASK == PLAIN
        && header.u16::<20>() & OFFSET == 0
    {
        let (source, destination) = (header.u32::<26>(), header.u32::<30>());
        let (from, to) = (header.u16::<34>(), header.u16::<36>());
        let protocol = header.u8::<23>();
        info!(
            &(),
            "{} {} {} {} {} {} {:i} {} {:i} {}",
            processor,
            frame,
            counter,
            passes,
            length,
            protocol,
            source,
            from,
            destination,
            to
        );
        return;
    }
    if let Ok(header) = frame_here.header::<REACH_V6>(0)
        && header.u16::<12>() == IPV6
    {
        let source = address(header.u64::<22>(), header.u64::<30>());
        let destination = address(header.u64::<38>(), header.u64::<46>());
        let (from, to) = (header.u16::<54>(), header.u16::<56>());
        let protocol = header.u8::<20>();
        info!(
            &(),
            "{} {} {} {} {} {} {:i} {} {:i} {}",
            processor,
            frame,
            counter,
            passes,
            length,
            protocol,
            source,
            from,
            destination,
            to
        );
        return;
    }
    info!(
        &(),
        "{} {} {} {} {}", processor, frame, counter, passes, length
    );
}

#[inline(always)]
fn address(high: u64, low: u64) -> [u8; 16] {
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}
