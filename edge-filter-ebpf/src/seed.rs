//! What userspace knows of conversations enters the flow table by the code, and by the
//! rules of concurrency, of the programs that use it.

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_PASS};
use aya_ebpf::helpers::bpf_xdp_load_bytes;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use edge_filter_ebpf::flow::{SEED_BATCH, Seed};

use crate::flows::edge_filter_record;

/// Records each [`Seed`] of its "frame" as a packet of the opener. It is attached
/// nowhere: userspace runs it by `BPF_PROG_TEST_RUN`.
#[xdp(frags)]
pub(crate) fn edge_filter_seed(context: XdpContext) -> u32 {
    for number in 0..SEED_BATCH {
        let mut seed: Seed = [0; 6];
        let length = size_of::<Seed>() as u32;
        let bytes = (&raw mut seed).cast();
        // SAFETY: there is room for a seed.
        if unsafe { bpf_xdp_load_bytes(context.ctx, number * length, bytes, length) } != 0 {
            return if number == 0 { XDP_ABORTED } else { XDP_PASS };
        }
        let [a, b, c, d, e, flags] = seed;
        edge_filter_record(a, b, c, d, e | (flags & 0xff) << 16);
    }
    XDP_PASS
}
