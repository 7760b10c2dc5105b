//! The inbound hook: XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::judge;

use crate::context::Xdp;
use crate::linear::Linear;
use crate::{Maps, copied, settle};

/// Judges one frame that arrives.
#[xdp(frags)]
pub(crate) fn edge_filter_in(context: XdpContext) -> u32 {
    let context = Xdp(context.ctx);
    // SAFETY: the context is the one that the kernel called with.
    let length = unsafe { bpf_xdp_get_buff_len(context.0) } as u32;
    let mut counter = judge_linear(context, length);
    if counter == Counter::NOT_LINEAR {
        counter = copied::judge(context, length);
    }
    if settle(counter, 1, length) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

/// Judges a frame by its first buffer. Not inlined, so that its stack and that
/// of the other way through are not there at once: 512 bytes hold a whole chain
/// of calls.
#[inline(never)]
fn judge_linear(context: Xdp, length: u32) -> Counter {
    judge(&mut Linear::new(context, length), &Maps)
}
