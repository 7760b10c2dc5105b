//! Constants as immediate operands: a load would cost an instruction, a register and an
//! access to memory for a number that the verifier knows anyway.

use core::arch::asm;
use core::hint::unreachable_unchecked;

use edge_filter_ebpf::config::{Config, Constant};

/// The value of a constant, in one instruction, which the loader completes.
#[inline(always)]
pub(crate) fn constant(constant: Constant) -> u32 {
    /// A number for each constant, since an operand has to be known when this is compiled.
    macro_rules! one_of {
        ($($number:literal)*) => {{
            const NUMBERS: &[usize] = &[$($number),*];
            const { assert!(NUMBERS.len() == Config::LENGTH) };
            match constant as usize {
                $($number => completed::<$number>(),)*
                // SAFETY: those are all.
                _ => unsafe { unreachable_unchecked() },
            }
        }};
    }
    one_of!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53)
}

/// The loader puts constant number `NUMBER` in the place of its placeholder.
#[inline(always)]
fn completed<const NUMBER: u32>() -> u32 {
    let value: u32;
    // SAFETY: it sets one register. It is not `pure`, so that each use has its own: LLVM
    // would keep the number on the stack from one to the next.
    unsafe {
        asm!(
            "{value} = {placeholder}",
            value = out(wreg) value,
            placeholder = const (Config::PLACEHOLDER + NUMBER).cast_signed(),
            options(nomem, nostack, preserves_flags),
        );
    }
    value
}

/// `value`, masked with [`Constant::SecondHalves`], in one instruction.
#[inline(always)]
pub(crate) fn masked_by_second_halves(value: u32) -> u32 {
    masked::<{ Constant::SecondHalves as u32 }>(value)
}

/// `value`, masked with [`Constant::CpuMask`], in one instruction.
#[inline(always)]
pub(crate) fn masked_by_cpus(value: u32) -> u32 {
    masked::<{ Constant::CpuMask as u32 }>(value)
}

/// `value`, masked with [`Constant::HasFragments`], in one instruction.
#[inline(always)]
pub(crate) fn masked_by_has_fragments(value: u32) -> u32 {
    masked::<{ Constant::HasFragments as u32 }>(value)
}

/// `value`, masked with constant number `NUMBER`, which the loader puts in the place of its
/// placeholder.
#[inline(always)]
fn masked<const NUMBER: u32>(mut value: u32) -> u32 {
    // SAFETY: it changes one register.
    unsafe {
        asm!(
            "{value} &= {placeholder}",
            value = inout(wreg) value,
            placeholder = const (Config::PLACEHOLDER + NUMBER).cast_signed(),
            options(nomem, nostack, preserves_flags),
        );
    }
    value
}
