//! The end of the way for frames of several kinds: it counts what arrives of each kind, and
//! lets nothing get further. It is a program of the kernel's, and so nothing overflows.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};

use super::foreign::{Foreign, ForeignLink};
use super::wire::End;
use crate::bpf::assembly::{
    R1, R2, R3, R4, R6, R7, Width, add, add_atomically, add_number, and_number, answering, copy,
    load, map_value, set, shift_left, skip_if_greater,
};
use crate::bpf::{self, MapType, ProgramType, look_up, map_with};

/// How many kinds it tells apart.
pub const KINDS: usize = 8;
/// Where a frame says of which kind it is: the last byte of its source address, which no
/// filter looks at. Its low three bits count.
pub const KIND_AT: usize = 11;

/// Where `struct __sk_buff` says where the frame begins and ends (linux/bpf.h).
const SKB_DATA: i16 = 76;
const SKB_DATA_END: i16 = 80;
const ETHERNET: i32 = 14;
const TC_ACT_SHOT: i32 = 2;

/// Stands at a device, behind whatever judges what arrives there by XDP.
#[derive(Debug)]
pub struct Sink {
    counts: OwnedFd,
    _link: ForeignLink,
}

impl Sink {
    /// One at `end`.
    pub fn new(end: &End) -> Result<Self> {
        let counts = map_with(MapType::Array, 1, &0_u32, &[0_u64; KINDS]);
        let counts = counts.context("make the sink's counters")?;
        let program = bpf::load(ProgramType::SchedCls, "sink", &instructions(&counts)?);
        let program = Foreign::of(program.context("load the sink")?);
        Ok(Self {
            counts,
            _link: program.attach_ingress(end)?,
        })
    }

    /// How many frames of each kind have arrived.
    pub fn arrived(&self) -> Result<[u64; KINDS]> {
        look_up(self.counts.as_fd(), &0_u32, [0; KINDS]).context("read the sink's counters")
    }
}

fn instructions(counts: &OwnedFd) -> Result<Vec<u64>> {
    let (data, kind, one) = (R7, R4, R2);
    let at = i16::try_from(KIND_AT)?;
    let mut work = vec![
        load(Width::Byte, kind, data, at),
        and_number(kind, i32::try_from(KINDS - 1)?),
        shift_left(kind, 3),
    ];
    work.extend(map_value(R1, counts)?);
    work.extend([add(R1, kind), set(one, 1), add_atomically(R1, 0, one)]);
    let mut program = vec![
        copy(R6, R1),
        load(Width::Word, data, R6, SKB_DATA),
        load(Width::Word, R3, R6, SKB_DATA_END),
        copy(R1, data),
        add_number(R1, ETHERNET),
        skip_if_greater(R1, R3, i16::try_from(work.len())?),
    ];
    program.extend(work);
    program.extend(answering(TC_ACT_SHOT));
    Ok(program)
}
