//! The inbound hook: XDP.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

use crate::context::Xdp;
use crate::judge::judge;
use crate::settle;

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
