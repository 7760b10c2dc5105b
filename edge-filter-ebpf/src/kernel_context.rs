//! The kernel's own context of an XDP program, `struct xdp_buff`: it says more of a frame than
//! `struct xdp_md`, which programs are given.

use core::arch::asm;

use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use edge_filter_ebpf::config::{Constant, KERNEL_CONTEXT, KERNEL_CONTEXT_FLAGS};
use edge_filter_ebpf::tables::Tables;

use crate::context::{Context, Xdp};
use crate::{Maps, immediate};

/// Whether a frame goes on behind its first buffer. Where the kernel's context is not known,
/// its length tells, which is a call into the kernel.
#[inline(always)]
pub(crate) fn has_fragments(context: Xdp) -> bool {
    if Maps.constant(Constant::HasFragments) == 0 {
        // SAFETY: the context is the one that the kernel called with.
        let length = unsafe { bpf_xdp_get_buff_len(context.0) };
        return length != (context.data_end() - context.data()) as u64;
    }
    immediate::masked_by_has_fragments(flags(context)) != 0
}

/// The flags of the frame's buffers.
#[inline(always)]
fn flags(context: Xdp) -> u32 {
    let flags: u32;
    // SAFETY: the loader makes a call of `bpf_cast_to_kern_ctx` of the first instruction, which
    // the verifier replaces by a move, and puts the place of the flags in the second; it does so
    // where `Constant::HasFragments` is not 0, and the verifier removes both elsewhere.
    unsafe {
        asm!(
            "call {kernel_context}",
            "r0 = *(u32 *)(r0 + {flags})",
            kernel_context = const KERNEL_CONTEXT,
            flags = const KERNEL_CONTEXT_FLAGS,
            inout("r1") context.0 => _,
            lateout("r0") flags,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(nostack, readonly),
        );
    }
    flags
}
