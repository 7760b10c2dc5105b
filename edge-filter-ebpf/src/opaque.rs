//! Arithmetic that the compiler does not see through: where what it knows would make it
//! compute more.

/// `a` and `b` together.
#[must_use]
#[inline(always)]
pub fn sum(a: u64, b: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut sum = a;
        // SAFETY: one addition.
        unsafe {
            core::arch::asm!("{sum} += {b}", sum = inout(reg) sum, b = in(reg) b,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        a.wrapping_add(b)
    }
}
