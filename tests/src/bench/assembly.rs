//! Programs of a few instructions, put together by hand: no compiler comes between
//! what is meant and what is measured.

use std::io;
use std::os::fd::BorrowedFd;

use crate::bpf::number;

/// The codes of instructions (include/uapi/linux/bpf.h): all arithmetic is on 64 bits.
pub(super) mod code {
    /// `to += immediate`
    pub(crate) const ADD_K: u8 = 0x07;
    /// `to = immediate`, of 64 bits, in two instructions.
    pub(crate) const LD_IMM_DW: u8 = 0x18;
    /// `to *= immediate`
    pub(crate) const MUL_K: u8 = 0x27;
    /// Skips `offset` instructions if `to > from`.
    pub(crate) const JGT_X: u8 = 0x2d;
    /// `to |= immediate`
    pub(crate) const OR_K: u8 = 0x47;
    /// `to &= immediate`
    pub(crate) const AND_K: u8 = 0x57;
    /// `to = *(u32 *)(from + offset)`
    pub(crate) const LDX_W: u8 = 0x61;
    /// `*(u16 *)(to + offset) = from`
    pub(crate) const STX_H: u8 = 0x6b;
    /// `to >>= immediate`
    pub(crate) const RSH_K: u8 = 0x77;
    /// `to = *(u64 *)(from + offset)`
    pub(crate) const LDX_DW: u8 = 0x79;
    /// `*(u64 *)(to + offset) = immediate`
    pub(crate) const ST_DW: u8 = 0x7a;
    /// `*(u64 *)(to + offset) = from`
    pub(crate) const STX_DW: u8 = 0x7b;
    /// Calls a helper.
    pub(crate) const CALL: u8 = 0x85;
    /// Returns register 0.
    pub(crate) const EXIT: u8 = 0x95;
    /// `to ^= immediate`
    pub(crate) const XOR_K: u8 = 0xa7;
    /// `to = immediate`
    pub(crate) const MOV_K: u8 = 0xb7;
    /// `to = from`
    pub(crate) const MOV_X: u8 = 0xbf;
}

/// The register that holds the frame pointer.
pub(super) const FRAME_POINTER: u8 = 10;

/// The numbers of helpers (`enum bpf_func_id`).
pub(super) const FUNC_MAP_LOOKUP_ELEM: u32 = 1;
pub(super) const FUNC_REDIRECT: u32 = 23;

/// That an immediate is the descriptor of a map, or of one whose first value is meant.
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// An instruction as the kernel encodes it.
pub(super) fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: u32) -> u64 {
    let offset = u16::from_ne_bytes(offset.to_ne_bytes());
    u64::from(code)
        | u64::from(to | from << 4) << 8
        | u64::from(offset) << 16
        | u64::from(immediate) << 32
}

/// `return answer`.
pub(super) fn answering(answer: u32) -> [u64; 2] {
    [
        instruction(code::MOV_K, 0, 0, 0, answer),
        instruction(code::EXIT, 0, 0, 0, 0),
    ]
}

/// `to = map`.
pub(super) fn map_fd(to: u8, map: BorrowedFd<'_>) -> io::Result<[u64; 2]> {
    let map = number(map)?;
    Ok([instruction(code::LD_IMM_DW, to, PSEUDO_MAP_FD, 0, map), 0])
}

/// `to = &map[0]`, of an array.
pub(super) fn map_value(to: u8, map: BorrowedFd<'_>) -> io::Result<[u64; 2]> {
    let map = number(map)?;
    Ok([
        instruction(code::LD_IMM_DW, to, PSEUDO_MAP_VALUE, 0, map),
        0,
    ])
}
