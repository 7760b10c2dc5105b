//! The few instructions that programs made by hand need, as the kernel encodes them
//! (Documentation/bpf/standardization/instruction-set.rst): a 64-bit word each, two of
//! them for a map. No compiler comes between what is meant and what is measured.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::number;

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(u8);

/// What is answered, and what helpers return.
pub(crate) const R0: Register = Register(0);
/// Arguments; helpers overwrite them.
pub(crate) const R1: Register = Register(1);
pub(crate) const R2: Register = Register(2);
pub(crate) const R3: Register = Register(3);
pub(crate) const R4: Register = Register(4);
/// What helpers leave alone; the first is the context in [`on_frame`].
pub(crate) const R6: Register = Register(6);
pub(crate) const R7: Register = Register(7);
pub(crate) const R8: Register = Register(8);
pub(crate) const R9: Register = Register(9);
/// The frame pointer.
pub(crate) const R10: Register = Register(10);

/// How much is loaded or stored, as the bits of the code that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Width {
    Byte = 0x10,
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

/// Helpers (`enum bpf_func_id`).
pub(crate) const MAP_LOOKUP_ELEM: i32 = 1;
pub(crate) const TAIL_CALL: i32 = 12;
pub(crate) const REDIRECT: i32 = 23;

/// What the immediate of a 64-bit load is: the descriptor of a map, or one whose first
/// value's address is meant.
const BPF_PSEUDO_MAP_FD: Register = Register(1);
const BPF_PSEUDO_MAP_VALUE: Register = Register(2);

/// Where `struct xdp_md` says where the frame begins and ends.
const XDP_MD_DATA: i16 = 0;
const XDP_MD_DATA_END: i16 = 4;
/// What an XDP program answers that could not do its work.
const XDP_ABORTED: i32 = 0;

/// The end of the program.
pub(crate) const EXIT: u64 = encoded(0x95, R0, R0, 0, 0);

const fn encoded(code: u8, to: Register, from: Register, offset: i16, immediate: i32) -> u64 {
    let [low, high] = offset.to_le_bytes();
    let [a, b, c, d] = immediate.to_le_bytes();
    u64::from_le_bytes([code, to.0 | from.0 << 4, low, high, a, b, c, d])
}

/// `to = from`.
pub(crate) const fn copy(to: Register, from: Register) -> u64 {
    encoded(0xbf, to, from, 0, 0)
}

/// `to = number`.
pub(crate) const fn set(to: Register, number: i32) -> u64 {
    encoded(0xb7, to, R0, 0, number)
}

/// `to += from`.
pub(crate) const fn add(to: Register, from: Register) -> u64 {
    encoded(0x0f, to, from, 0, 0)
}

/// `to += number`.
pub(crate) const fn add_number(to: Register, number: i32) -> u64 {
    encoded(0x07, to, R0, 0, number)
}

/// `to *= number`.
pub(crate) const fn multiply_number(to: Register, number: i32) -> u64 {
    encoded(0x27, to, R0, 0, number)
}

/// `to |= number`.
pub(crate) const fn or_number(to: Register, number: i32) -> u64 {
    encoded(0x47, to, R0, 0, number)
}

/// `to &= number`.
pub(crate) const fn and_number(to: Register, number: i32) -> u64 {
    encoded(0x57, to, R0, 0, number)
}

/// `to ^= number`.
pub(crate) const fn xor_number(to: Register, number: i32) -> u64 {
    encoded(0xa7, to, R0, 0, number)
}

/// `to >>= bits`.
pub(crate) const fn shift_right(to: Register, bits: i32) -> u64 {
    encoded(0x77, to, R0, 0, bits)
}

/// `to <<= bits`.
pub(crate) const fn shift_left(to: Register, bits: i32) -> u64 {
    encoded(0x67, to, R0, 0, bits)
}

/// `to = *(from + offset)`.
pub(crate) const fn load(width: Width, to: Register, from: Register, offset: i16) -> u64 {
    encoded(0x61 | width as u8, to, from, offset, 0)
}

/// `*(to + offset) = from`.
pub(crate) const fn store(width: Width, to: Register, offset: i16, from: Register) -> u64 {
    encoded(0x63 | width as u8, to, from, offset, 0)
}

/// `*(to + offset) = number`.
pub(crate) const fn store_number(width: Width, to: Register, offset: i16, number: i32) -> u64 {
    encoded(0x62 | width as u8, to, R0, offset, number)
}

/// `*(to + offset) += from`, 64 bits at once.
pub(crate) const fn add_atomically(to: Register, offset: i16, from: Register) -> u64 {
    encoded(0xdb, to, from, offset, 0)
}

/// An XDP program that does `work` on frames of `length` bytes or more, and goes on from it
/// or aborts. The frame begins at `data` then; the context is in [`R6`].
pub(crate) fn on_frame(data: Register, length: i32, work: &[u64]) -> io::Result<Vec<u64>> {
    let past = i16::try_from(work.len()).map_err(io::Error::other)?;
    let mut program = vec![
        copy(R6, R1),
        load(Width::Word, data, R6, XDP_MD_DATA),
        load(Width::Word, R3, R6, XDP_MD_DATA_END),
        copy(R1, data),
        add_number(R1, length),
        skip_if_greater(R1, R3, past),
    ];
    program.extend(work);
    program.extend(answering(XDP_ABORTED));
    Ok(program)
}

/// Passes over `instructions` if `one > other`.
pub(crate) const fn skip_if_greater(one: Register, other: Register, instructions: i16) -> u64 {
    encoded(0x2d, one, other, instructions, 0)
}

/// Calls a helper.
pub(crate) const fn call(helper: i32) -> u64 {
    encoded(0x85, R0, R0, 0, helper)
}

/// `return answer`.
pub(crate) const fn answering(answer: i32) -> [u64; 2] {
    [set(R0, answer), EXIT]
}

/// `to = map`, as helpers take it.
pub(crate) fn map(to: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    wide(to, BPF_PSEUDO_MAP_FD, map)
}

/// `to = ` the address of the one value that `map`, an array, has.
pub(crate) fn map_value(to: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    wide(to, BPF_PSEUDO_MAP_VALUE, map)
}

fn wide(to: Register, kind: Register, map: &OwnedFd) -> io::Result<[u64; 2]> {
    let map = i32::try_from(number(map.as_fd())?).map_err(io::Error::other)?;
    Ok([encoded(0x18, to, kind, 0, map), 0])
}
