//! The inbound hook: XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use edge_filter_ebpf::frame::Frame as _;
use edge_filter_ebpf::small;
use edge_filter_ebpf::tables::Tables as _;

use crate::context::Xdp;
use crate::count::{FirstBlock, settle};
use crate::judge::judge;
use crate::kernel_context::has_fragments;
use crate::linear::Linear;
use crate::{Maps, trial};

/// Judges one frame that arrives.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn edge_filter_in(context: XdpContext) -> u32 {
    filter(Xdp(context.ctx))
}

/// The same on trial.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn edge_filter_trial_in(context: XdpContext) -> u32 {
    if trial::is_over() {
        trial::hand_back(&context);
        return XDP_DROP;
    }
    filter(Xdp(context.ctx))
}

/// Lets every frame pass: what decides after a trial where nothing did before.
#[xdp(frags)]
pub(crate) fn edge_filter_pass_in(_: XdpContext) -> u32 {
    XDP_PASS
}

/// The same on trial, where something decided before.
#[xdp(frags)]
pub(crate) fn edge_filter_open_in(context: XdpContext) -> u32 {
    if trial::is_over() {
        trial::hand_back(&context);
        return XDP_DROP;
    }
    XDP_PASS
}

#[inline(always)]
fn filter(context: Xdp) -> u32 {
    // What reaches beyond the first buffer is left to the way of all frames.
    if Maps.is_small() && !has_fragments(context) {
        // Before anything is read: what is known by then would have to survive the call.
        let counters = FirstBlock::of_this_cpu();
        let mut frame = Linear::alone(context);
        if let Some(settled) = small::judge(&mut frame, &Maps) {
            counters.count(settled, 1, frame.length().into());
            return settled.verdict.into();
        }
    }
    // SAFETY: the context is the one that the kernel called with.
    let length = unsafe { bpf_xdp_get_buff_len(context.0) };
    let counter = judge(context, length as u32);
    if settle(counter, 1, length) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}
