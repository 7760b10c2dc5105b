//! The outbound hook: TCX, or clsact where the kernel has no TCX.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::small::Small;
use edge_filter_ebpf::tables::Tables;
use edge_filter_ebpf::{common, judge_any};

use crate::context::Tc;
use crate::linear::Linear;
use crate::{Maps, copied, settle};

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` for clsact: whoever comes next is asked, too.
const NEXT: i32 = -1;
/// `TCX_DROP`, and `TC_ACT_SHOT` for clsact.
const DROP: i32 = 2;

/// Judges one frame that leaves, which may be many on the wire.
#[classifier]
pub(crate) fn edge_filter_out(context: TcContext) -> i32 {
    let context = Tc(context.skb.skb);
    // SAFETY: the context is the one that the kernel called with.
    let (length, segments, wire_length) = unsafe {
        (
            (*context.0).len,
            (*context.0).gso_segs,
            (*context.0).wire_len,
        )
    };
    let counter = judge(context, length).at_hook(&Maps);
    let packets = if segments == 0 { 1 } else { segments };
    // Nothing that leaves is without a length; a test run may be.
    let bytes = if wire_length == 0 {
        length
    } else {
        wire_length
    };
    if settle(counter, packets, bytes.into()) {
        NEXT
    } else {
        DROP
    }
}

/// Judges a frame: in place if it is common, or at least linear.
#[inline(always)]
fn judge(context: Tc, length: u32) -> Counter {
    let common = if Maps.constant(Constant::Small) == 0 {
        judge_common(context, length)
    } else {
        judge_small(context, length)
    };
    if common != Counter::NOTHING {
        return common;
    }
    match judge_linear(context, length) {
        Counter::NOT_LINEAR => copied::judge(context, length),
        counter => counter,
    }
}

#[inline(never)]
fn judge_small(context: Tc, length: u32) -> Counter {
    let frame = &mut Linear::new(context, length);
    common::judge(frame, &Small(&Maps)).unwrap_or(Counter::NOTHING)
}

#[inline(never)]
fn judge_common(context: Tc, length: u32) -> Counter {
    common::judge(&mut Linear::new(context, length), &Maps).unwrap_or(Counter::NOTHING)
}

/// Judges a frame by its first buffer. Not inlined, so that its stack and that
/// of the other way through are not there at once: 512 bytes hold a whole chain
/// of calls.
#[inline(never)]
fn judge_linear(context: Tc, length: u32) -> Counter {
    judge_any(&mut Linear::new(context, length), &Maps)
}
