//! What everything is held against: programs that do nothing, and one that makes a
//! single lookup in the kernel's own kind of map for flows.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use super::assembly::{FRAME_POINTER, FUNC_MAP_LOOKUP_ELEM, answering, code, instruction, map_fd};
use super::{Case, NoOp};
use crate::bpf::{ProgramType, load, lru_with};

/// The programs.
pub(super) struct References {
    xdp: OwnedFd,
    classifier: OwnedFd,
    lookup: OwnedFd,
}

/// Their answers: `XDP_PASS` and `TCX_NEXT`.
const XDP_PASS: u32 = 2;
const TCX_NEXT: u32 = u32::MAX;

/// As many words as a tuple of the flow table has.
const KEY_WORDS: i16 = 5;
/// Each of them.
const KEY: u32 = 7;
const ENTRIES: u32 = 65_536;

/// Any frame that the kernel takes.
const FRAME: [u8; 64] = [0; 64];

/// A lookup of [`KEY`] in `map`.
fn lookup(map: &OwnedFd) -> Result<Vec<u64>> {
    let begin = -8 * KEY_WORDS;
    let mut instructions: Vec<u64> = (0..KEY_WORDS)
        .map(|word| instruction(code::ST_DW, FRAME_POINTER, 0, begin + 8 * word, KEY))
        .collect();
    let begin = u32::from_ne_bytes(i32::from(begin).to_ne_bytes());
    instructions.extend([
        instruction(code::MOV_X, 2, FRAME_POINTER, 0, 0),
        instruction(code::ADD_K, 2, 0, 0, begin),
    ]);
    instructions.extend(map_fd(1, map.as_fd())?);
    instructions.push(instruction(code::CALL, 0, 0, 0, FUNC_MAP_LOOKUP_ELEM));
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
