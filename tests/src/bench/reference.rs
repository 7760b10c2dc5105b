//! What everything is held against: programs that do nothing, and one that makes a
//! single lookup in the kernel's own kind of map for flows.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use super::{Case, NoOp};
use crate::bpf::{ProgramType, load, lru_with, number};

/// The programs.
pub(super) struct References {
    xdp: OwnedFd,
    classifier: OwnedFd,
    lookup: OwnedFd,
}

/// Their answers: `XDP_PASS` and `TCX_NEXT`.
const XDP_PASS: u32 = 2;
const TCX_NEXT: u32 = u32::MAX;

/// The parts of an instruction's code (include/uapi/linux/bpf.h).
const BPF_ST_DW_MEM: u8 = 0x7a;
const BPF_ALU64_MOV_X: u8 = 0xbf;
const BPF_ALU64_MOV_K: u8 = 0xb7;
const BPF_ALU64_ADD_K: u8 = 0x07;
const BPF_LD_IMM_DW: u8 = 0x18;
const BPF_CALL: u8 = 0x85;
const BPF_EXIT: u8 = 0x95;
/// That an immediate is the descriptor of a map.
const BPF_PSEUDO_MAP_FD: u8 = 1;
const BPF_FUNC_MAP_LOOKUP_ELEM: u32 = 1;
/// The frame pointer.
const R10: u8 = 10;

/// As many words as a tuple of the flow table has.
const KEY_WORDS: i16 = 5;
/// Each of them.
const KEY: u32 = 7;
const ENTRIES: u32 = 65_536;

/// Any frame that the kernel takes.
const FRAME: [u8; 64] = [0; 64];

/// An instruction as the kernel encodes it.
fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: u32) -> u64 {
    let offset = u16::from_ne_bytes(offset.to_ne_bytes());
    u64::from(code)
        | u64::from(to | from << 4) << 8
        | u64::from(offset) << 16
        | u64::from(immediate) << 32
}

/// `return answer`.
fn answering(answer: u32) -> [u64; 2] {
    [
        instruction(BPF_ALU64_MOV_K, 0, 0, 0, answer),
        instruction(BPF_EXIT, 0, 0, 0, 0),
    ]
}

/// A lookup of [`KEY`] in `map`.
fn lookup(map: &OwnedFd) -> Result<Vec<u64>> {
    let begin = -8 * KEY_WORDS;
    let mut instructions: Vec<u64> = (0..KEY_WORDS)
        .map(|word| instruction(BPF_ST_DW_MEM, R10, 0, begin + 8 * word, KEY))
        .collect();
    let begin = u32::from_ne_bytes(i32::from(begin).to_ne_bytes());
    let map = number(map.as_fd())?;
    instructions.extend([
        instruction(BPF_ALU64_MOV_X, 2, R10, 0, 0),
        instruction(BPF_ALU64_ADD_K, 2, 0, 0, begin),
        instruction(BPF_LD_IMM_DW, 1, BPF_PSEUDO_MAP_FD, 0, map),
        0,
        instruction(BPF_CALL, 0, 0, 0, BPF_FUNC_MAP_LOOKUP_ELEM),
    ]);
    instructions.extend(answering(XDP_PASS));
    Ok(instructions)
}

impl References {
    /// Loads them.
    pub(super) fn load() -> Result<Self> {
        let load = |kind, name, instructions: &[u64]| {
            load(kind, name, instructions).with_context(|| format!("load the program '{name}'"))
        };
        // The program keeps the map.
        let map = lru_with(ENTRIES, &[u64::from(KEY); KEY_WORDS as usize], &0);
        let map = map.context("make an LRU hash map")?;
        Ok(Self {
            xdp: load(ProgramType::Xdp, "no_op_xdp", &answering(XDP_PASS))?,
            classifier: load(ProgramType::SchedCls, "no_op_tcx", &answering(TCX_NEXT))?,
            lookup: load(ProgramType::Xdp, "lru_lookup", &lookup(&map)?)?,
        })
    }

    /// Their cases.
    pub(super) fn cases(&self) -> Vec<Case<'_>> {
        [
            (
                "no-op XDP program",
                "nothing",
                &self.xdp,
                XDP_PASS,
                NoOp::Xdp,
            ),
            (
                "no-op classifier",
                "nothing",
                &self.classifier,
                TCX_NEXT,
                NoOp::Classifier,
            ),
            (
                "one lookup in an LRU hash map",
                "40-byte key",
                &self.lookup,
                XDP_PASS,
                NoOp::Xdp,
            ),
        ]
        .map(|(name, does, program, answer, no_op)| Case {
            name: name.to_owned(),
            counter: does.to_owned(),
            program: program.as_fd(),
            frame: FRAME.to_vec(),
            answer,
            no_op,
            rounds: Vec::new(),
        })
        .into()
    }
}
