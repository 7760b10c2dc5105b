//! The outbound hook: TCX, or clsact where the kernel has no TCX.

use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use edge_filter_ebpf::small::{self, Settled};
use edge_filter_ebpf::tables::Tables as _;

use crate::context::Tc;
use crate::count::{FirstBlock, settle};
use crate::judge::judge;
use crate::linear::Linear;
use crate::{Maps, trial};

/// `TCX_NEXT`, and `TC_ACT_UNSPEC` for clsact: whoever comes next is asked, too.
pub(crate) const NEXT: i32 = -1;
/// `TCX_DROP`, and `TC_ACT_SHOT` for clsact.
pub(crate) const DROP: i32 = 2;

/// Judges one frame that leaves, which may be many on the wire.
#[classifier]
#[inline(always)]
pub(crate) fn edge_filter_out(context: TcContext) -> i32 {
    filter(Tc(context.skb.skb))
}

/// The same on trial.
#[classifier]
#[inline(always)]
pub(crate) fn edge_filter_trial_out(context: TcContext) -> i32 {
    if trial::is_over() {
        trial::hand_back(&context);
        return DROP;
    }
    filter(Tc(context.skb.skb))
}

/// Lets every frame pass: what decides after a trial where nothing did before.
#[classifier]
pub(crate) fn edge_filter_pass_out(_: TcContext) -> i32 {
    NEXT
}

/// The same on trial, where something decided before.
#[classifier]
pub(crate) fn edge_filter_open_out(context: TcContext) -> i32 {
    if trial::is_over() {
        trial::hand_back(&context);
        return DROP;
    }
    NEXT
}

/// The length of a frame that leaves, the packets that it is on the wire, and their bytes.
#[inline(always)]
pub(crate) fn wire(context: Tc) -> (u32, u32, u32) {
    // SAFETY: the context is the one that the kernel called with.
    let (length, segments, wire_length) = unsafe {
        (
            (*context.0).len,
            (*context.0).gso_segs,
            (*context.0).wire_len,
        )
    };
    let packets = if segments == 0 { 1 } else { segments };
    // Nothing that leaves is without a length; a test run may be.
    let bytes = if wire_length == 0 {
        length
    } else {
        wire_length
    };
    (length, packets, bytes)
}

#[inline(always)]
fn filter(context: Tc) -> i32 {
    let (length, packets, bytes) = wire(context);
    if Maps.is_small()
        && let Some(settled) = small::judge(&mut Linear::new(context, length), &Maps)
    {
        FirstBlock::of_this_cpu().count(settled, packets, bytes.into());
        return match settled.verdict {
            Settled::PASS => NEXT,
            _ => DROP,
        };
    }
    let counter = judge(context, length).at_hook(&Maps);
    if settle(counter, packets, bytes.into()) {
        NEXT
    } else {
        DROP
    }
}
