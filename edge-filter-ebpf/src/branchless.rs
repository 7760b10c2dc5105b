//! Arithmetic without branches.
//!
//! The verifier follows both ways of every branch, so that a choice among sixteen
//! places, made by comparisons, is sixty-five thousand ways. BPF has no conditional
//! move; and the compiler, left alone, writes these sums as comparisons.

/// 1 if `value` is 0, else 0.
#[inline(always)]
pub(crate) fn is_zero(value: u64) -> u64 {
    sign(value | value.wrapping_neg()) ^ 1
}

/// What is left of `a` less `b`: 0 if `b` is larger. Both are below 2⁶³.
#[inline(always)]
pub(crate) fn minus(a: u64, b: u64) -> u64 {
    let difference = a.wrapping_sub(b);
    difference & sign(difference).wrapping_sub(1)
}

/// The smaller one. Both are below 2⁶³.
#[inline(always)]
pub(crate) fn min(a: u64, b: u64) -> u64 {
    b.wrapping_sub(minus(b, a))
}

/// The lowest four bits, in a way that the compiler does not see through: where it knows
/// that no others are set it would not clear them, and the verifier would not know.
#[inline(always)]
pub(crate) fn low_four(value: u64) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: an AND of a register.
        unsafe {
            core::arch::asm!("{value} &= 15", value = inout(reg) value,
                options(pure, nomem, nostack, preserves_flags));
        }
        value as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value as usize & 15
    }
}

/// The highest bit, in a way that the compiler does not see through.
#[inline(always)]
fn sign(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut value = value;
        // SAFETY: a shift of a register.
        unsafe {
            core::arch::asm!("{value} >>= 63", value = inout(reg) value,
                options(pure, nomem, nostack, preserves_flags));
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        value >> 63
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_comparisons_say() {
        let largest = (1 << 63) - 1;
        let numbers = [0, 1, 2, 0xffff_ffff, 1 << 32, 1 << 62, largest];
        for a in numbers {
            assert_eq!(is_zero(a), u64::from(a == 0), "{a}");
            for b in numbers {
                assert_eq!(minus(a, b), a.saturating_sub(b), "{a} {b}");
                assert_eq!(min(a, b), a.min(b), "{a} {b}");
            }
        }
        assert_eq!(low_four(0x1234_5678_9abc_def3), 3);
        assert_eq!(is_zero(u64::MAX), 0);
        assert_eq!(is_zero(1 << 63), 0);
    }
}
