//! What everything is held against: programs that do nothing, one of them behind the
//! wrapper that changes headers, and one that makes a single lookup in the kernel's own
//! kind of map for flows.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use super::case::{Case, NoOp};
use super::wrapper::{DISTINCT, Wrapper};
use crate::bpf::assembly::{
    MAP_LOOKUP_ELEM, R1, R2, R10, Width, add_number, answering, call, copy, map, store_number,
};
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

    /// What the documented policy is held against.
    pub(super) fn no_ops(&self) -> [Case<'_>; 2] {
        let classifier = "no-op classifier".to_owned();
        let classifier = Case {
            answer: TCX_NEXT.cast_unsigned(),
            ..passing(classifier, self.classifier.as_fd(), NoOp::Classifier)
        };
        [self.no_op(), classifier]
    }

    /// What filter sets are held against.
    pub(super) fn no_ops_of_sets(&self) -> [Case<'_>; 2] {
        let wrapped = "no-op behind other headers".to_owned();
        let wrapped = passing(wrapped, self.wrapper.descriptor(), NoOp::Wrapped);
        [self.no_op(), wrapped]
    }

    /// The one that makes a lookup.
    pub(super) fn lookup(&self) -> Case<'_> {
        let name = "one lookup in an LRU hash map".to_owned();
        Case {
            counter: "40-byte key".to_owned(),
            ..passing(name, self.lookup.as_fd(), NoOp::Xdp)
        }
    }

    fn no_op(&self) -> Case<'_> {
        let name = "no-op XDP program".to_owned();
        passing(name, self.xdp.as_fd(), NoOp::Xdp)
    }
}

/// A case of a program that does nothing, but lets everything pass.
fn passing(name: String, program: BorrowedFd<'_>, no_op: NoOp) -> Case<'_> {
    Case {
        name,
        counter: "nothing".to_owned(),
        program,
        frame: FRAME.to_vec(),
        answer: XDP_PASS.cast_unsigned(),
        no_op,
        rounds: Vec::new(),
    }
}
