//! What everything is held against: programs that do nothing, one of them behind the
//! wrapper that changes headers, and one that makes a single lookup in the kernel's own
//! kind of map for flows.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use super::instructions::{
    EXIT, MAP_LOOKUP_ELEM, R0, R1, R2, R10, Width, add_number, call, copy, map, set, store_number,
};
use super::wrapper::{DISTINCT, Wrapper};
use super::{Case, NoOp};
use crate::bpf::{MapType, ProgramType, load, map_with};
use crate::classbench::Header;

/// The programs.
pub(super) struct References {
    xdp: OwnedFd,
    classifier: OwnedFd,
    wrapper: Wrapper,
    lookup: OwnedFd,
}

/// Their answers: `XDP_PASS` and `TCX_NEXT`.
const XDP_PASS: i32 = 2;
const TCX_NEXT: i32 = -1;

/// As many words as a tuple of the flow table has.
const KEY_WORDS: i16 = 5;
/// Each of them.
const KEY: u32 = 7;
const ENTRIES: u32 = 65_536;

/// Any frame that the kernel takes.
const FRAME: [u8; 64] = [0; 64];

/// `return answer`.
fn answering(answer: i32) -> [u64; 2] {
    [set(R0, answer), EXIT]
}

/// A lookup of [`KEY`] in `lru`.
fn lookup(lru: &OwnedFd) -> Result<Vec<u64>> {
    let begin = -8 * KEY_WORDS;
    let mut instructions = Vec::new();
    for word in 0..KEY_WORDS {
        let word = begin + 8 * word;
        instructions.push(store_number(Width::Double, R10, word, KEY.cast_signed()));
    }
    instructions.extend([copy(R2, R10), add_number(R2, begin.into())]);
    instructions.extend(map(R1, lru)?);
    instructions.push(call(MAP_LOOKUP_ELEM));
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
        let key = [u64::from(KEY); KEY_WORDS as usize];
        let lru = map_with(MapType::LruHash, ENTRIES, &key, &0_u64);
        let lru = lru.context("make an LRU hash map")?;
        let xdp = load(ProgramType::XdpFrags, "no_op_xdp", &answering(XDP_PASS))?;
        Ok(Self {
            wrapper: Wrapper::load(&vec![Header::EMPTY; DISTINCT], xdp.as_fd())?,
            xdp,
            classifier: load(ProgramType::SchedCls, "no_op_tcx", &answering(TCX_NEXT))?,
            lookup: load(ProgramType::XdpFrags, "lru_lookup", &lookup(&lru)?)?,
        })
    }

    /// Their cases.
    pub(super) fn cases(&self) -> Vec<Case<'_>> {
        let wrapped = self.wrapper.descriptor();
        [
            (
                "no-op XDP program",
                "nothing",
                self.xdp.as_fd(),
                XDP_PASS,
                NoOp::Xdp,
            ),
            (
                "no-op classifier",
                "nothing",
                self.classifier.as_fd(),
                TCX_NEXT,
                NoOp::Classifier,
            ),
            (
                "no-op behind other headers",
                "nothing",
                wrapped,
                XDP_PASS,
                NoOp::Wrapped,
            ),
            (
                "one lookup in an LRU hash map",
                "40-byte key",
                self.lookup.as_fd(),
                XDP_PASS,
                NoOp::Xdp,
            ),
        ]
        .map(|(name, does, program, answer, no_op)| Case {
            name: name.to_owned(),
            counter: does.to_owned(),
            program,
            frame: FRAME.to_vec(),
            answer: answer.cast_unsigned(),
            no_op,
            rounds: Vec::new(),
        })
        .into()
    }
}
