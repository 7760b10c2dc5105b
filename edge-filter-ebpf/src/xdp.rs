//! The inbound hook: XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::small::Small;
use edge_filter_ebpf::tables::Tables;
use edge_filter_ebpf::{common, judge_any};

use crate::context::Xdp;
use crate::linear::Linear;
use crate::{Maps, copied, settle};

/// Judges one frame that arrives.
#[xdp(frags)]
pub(crate) fn edge_filter_in(context: XdpContext) -> u32 {
    let context = Xdp(context.ctx);
    // SAFETY: the context is the one that the kernel called with.
    let length = unsafe { bpf_xdp_get_buff_len(context.0) };
    let counter = judge(context, length as u32);
    if settle(counter, 1, length) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

/// Judges a frame: in place if it is common, or at least linear.
#[inline(always)]
fn judge(context: Xdp, length: u32) -> Counter {
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
fn judge_small(context: Xdp, length: u32) -> Counter {
    let frame = &mut Linear::new(context, length);
    common::judge(frame, &Small(&Maps)).unwrap_or(Counter::NOTHING)
}

#[inline(never)]
fn judge_common(context: Xdp, length: u32) -> Counter {
    common::judge(&mut Linear::new(context, length), &Maps).unwrap_or(Counter::NOTHING)
}

/// Judges a frame by its first buffer. Not inlined, so that its stack and that
/// of the other way through are not there at once: 512 bytes hold a whole chain
/// of calls.
#[inline(never)]
fn judge_linear(context: Xdp, length: u32) -> Counter {
    judge_any(&mut Linear::new(context, length), &Maps)
}
