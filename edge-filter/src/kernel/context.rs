//! The kernel's own context of an XDP program, where the running kernel lets programs have it
//! (`bpf_cast_to_kern_ctx`, since Linux 6.2): it says of a frame whether it goes on behind its
//! first buffer, without a call.

use std::fs;
use std::sync::OnceLock;

use edge_filter_ebpf::config::{KERNEL_CONTEXT, KERNEL_CONTEXT_FLAGS};

use super::btf::Btf;
use super::syscall::{ProgramKind, program_load};

/// What programs have to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernelContext {
    /// The number of the function that leads to it.
    pub(super) function: u32,
    /// Where its flags lie, in bytes.
    pub(super) flags: i16,
    /// Of them, `XDP_FLAGS_HAS_FRAGS`.
    pub(super) has_fragments: u32,
}

/// The types of the running kernel.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// `BPF_JMP | BPF_CALL`, include/uapi/linux/bpf.h,
const CALL: u8 = 0x85;
/// and its source register where it is to a kernel function (`BPF_PSEUDO_KFUNC_CALL`).
const OF_KERNEL: u8 = 2 << 4;
/// `BPF_LDX | BPF_MEM | BPF_W`.
const LOAD: u8 = 0x61;
/// Register 0 as destination and as source.
const R0: u8 = 0;
/// `r0 = 0`, and the end of a program.
const ANSWER_NOTHING: [u64; 2] = [0xb7, 0x95];

/// Whether the running kernel lets programs have its context.
#[must_use]
pub fn is_known() -> bool {
    KernelContext::of_this_kernel().is_some()
}

impl KernelContext {
    /// That of the running kernel; `None` if it has none for programs, or not for this process.
    pub(super) fn of_this_kernel() -> Option<Self> {
        static FOUND: OnceLock<Option<KernelContext>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let types = fs::read(TYPES).ok()?;
            Self::find(&Btf::read(&types)?).filter(Self::is_accepted)
        })
    }

    fn find(types: &Btf<'_>) -> Option<Self> {
        Some(Self {
            function: types.function("bpf_cast_to_kern_ctx")?,
            flags: types.offset("xdp_buff", "flags")?.try_into().ok()?,
            has_fragments: types.value("xdp_buff_flags", "XDP_FLAGS_HAS_FRAGS")?,
        })
    }

    /// Whether the kernel takes a program that asks for it: it may lack a JIT compiler, or this
    /// process the privilege to look.
    fn is_accepted(&self) -> bool {
        let [call, load] = self.instructions().map(u64::from_le_bytes);
        let [answer, exit] = ANSWER_NOTHING;
        program_load(ProgramKind::Xdp, &[call, load, answer, exit]).is_ok()
    }

    /// The call, and the load of the flags.
    fn instructions(&self) -> [[u8; 8]; 2] {
        let [mut call, mut load] = [
            [CALL, OF_KERNEL, 0, 0, 0, 0, 0, 0],
            [LOAD, R0, 0, 0, 0, 0, 0, 0],
        ];
        call[4..].copy_from_slice(&self.function.to_le_bytes());
        load[2..4].copy_from_slice(&self.flags.to_le_bytes());
        [call, load]
    }

    /// Completes those of a program's `instructions` that wait for it.
    pub(super) fn complete(&self, instructions: &mut [[u8; 8]]) {
        let [call, load] = self.instructions();
        for at in 1..instructions.len() {
            if waits(&instructions[at - 1..=at]) {
                instructions[at - 1] = call;
                instructions[at] = load;
            }
        }
    }
}

/// Whether a pair of instructions stands in the object for the call and the load.
fn waits(pair: &[[u8; 8]]) -> bool {
    let [
        [CALL, _, _, _, operand @ ..],
        [LOAD, R0, offset @ .., 0, 0, 0, 0],
    ] = pair
    else {
        return false;
    };
    *operand == KERNEL_CONTEXT.to_le_bytes() && *offset == KERNEL_CONTEXT_FLAGS.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_lacks_any_of_it_has_none() {
        let types = fs::read(TYPES).unwrap();
        let types = Btf::read(&types).unwrap();
        // Since Linux 6.2: on an older one there is nothing to compare with.
        let found = KernelContext::find(&types);
        assert_eq!(
            found.is_some(),
            types.function("bpf_cast_to_kern_ctx").is_some()
        );
        let nothing = Btf::read(&[
            0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        assert_eq!(KernelContext::find(&nothing.unwrap()), None);
    }
}
