//! The few instructions that programs made by hand need, as the kernel encodes them
//! (Documentation/bpf/standardization/instruction-set.rst): a 64-bit word each, two of
//! them for a map.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::bpf::number;

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register(u8);

/// What is answered, and what helpers return.
pub(super) const R0: Register = Register(0);
/// Arguments; helpers overwrite them.
pub(super) const R1: Register = Register(1);
pub(super) const R2: Register = Register(2);
pub(super) const R3: Register = Register(3);
/// What helpers leave alone.
pub(super) const R6: Register = Register(6);
pub(super) const R7: Register = Register(7);
pub(super) const R8: Register = Register(8);
/// The frame pointer.
pub(super) const R10: Register = Register(10);

/// How much is loaded or stored, as the bits of the code that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Width {
    Byte = 0x10,
    Word = 0x00,
    Double = 0x18,
}

/// Helpers (`enum bpf_func_id`).
pub(super) const MAP_LOOKUP_ELEM: i32 = 1;
pub(super) const TAIL_CALL: i32 = 12;

/// What the immediate of a 64-bit load is: the descriptor of a map, or one whose first
/// value's address is meant.
const BPF_PSEUDO_MAP_FD: Register = Register(1);
const BPF_PSEUDO_MAP_VALUE: Register = Register(2);

/// The end of the program.
pub(super) const EXIT: u64 = encoded(0x95, R0, R0, 0, 0);

const fn encoded(code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = immediate.to_le_bytes();
    u64::from_le_bytes([code, to.0 | from.0 << 4, low, high, a, b, c, d])
}

/// `to = from`.
pub(super) const fn copy(to: Register, from: Register) -> u64 {
    encoded(0xbf, to, from, 0, 0)
}

/// `to = number`.
pub(super) const fn set(to: Register, number: i32) -> u64 {
    encoded(0xb7, to, R0, 0, number)
}

/// `to += from`.
pub(super) const fn add(to: Register, from: Register) -> u64 {
    encoded(0x0f, to, from, 0, 0)
}

/// `to += number`.
pub(super) const fn add_number(to: Register, number: i32) -> u64 {
    encoded(0x07, to, R0, 0, number)
}

/// `to &= number`.
pub(super) const fn and_number(to: Register, number: i32) -> u64 {
    encoded(0x57, to, R0, 0, number)
}

/// `to <<= bits`.
pub(super) const fn shift_left(to: Register, bits: i32) -> u64 {
    encoded(0x67, to, R0, 0, bits)
}

/// `to = *(from + offset)`.
pub(super) const fn load(width: Width, to: Register, from: Register, offset: i16) -> u64 {
    encoded(0x61 | width as u8, to, from, offset, 0)
}

/// `*(to + offset) = from`.
pub(super) const fn store(width: Width, to: Register, offset: i16, from: Register) -> u64 {
    encoded(0x63 | width as u8, to, from, offset, 0)
}

/// `*(to + offset) = number`.
pub(super) const fn store_number(width: Width, to: Register, offset: i16, number: i32) -> u64 {
    encoded(0x62 | width as u8, to, R0, offset, number)
}

/// `*(to + offset) += from`, 64 bits at once.
pub(super) const fn add_atomically(to: Register, offset: i16, from: Register) -> u64 {
    encoded(0xdb, to, from, offset, 0)
}

/// Passes over `instructions` if `one > other`.
pub(super) const fn skip_if_greater(one: Register, other: Register, instructions: i16) -> u64 {
    encoded(0x2d, one, other, instructions, 0)
}

/// Calls a helper.
pub(super) const fn call(helper: i32) -> u64 {
    encoded(0x85, R0, R0, 0, helper)
}

/// `to = map`, as helpers take it.
pub(super) fn map(to: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    wide(to, BPF_PSEUDO_MAP_FD, map)
}

/// `to = ` the address of the one value that `map`, an array, has.
pub(super) fn map_value(to: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    wide(to, BPF_PSEUDO_MAP_VALUE, map)
}

fn wide(to: Register, kind: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    let map = i32::try_from(number(map.as_fd())?).map_err(io::Error::other)?;
    Ok([encoded(0x18, to, kind, 0, map), 0])
}
