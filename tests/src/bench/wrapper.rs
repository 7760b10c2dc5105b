//! An XDP program that gives each run another header, then goes on to the program that is
//! measured: a single packet over and over would be served from the processor's caches
//! and find every branch foreseen.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, ensure};

use crate::bpf::assembly::{
    R0, R1, R2, R3, R6, R7, R8, R9, TAIL_CALL, Width, add, add_atomically, and_number, call, copy,
    load, map, map_value, on_frame, set, shift_left, store,
};
use crate::bpf::{self, MapType, ProgramType, map_with, number};
use crate::classbench::Header;

/// How many headers there are.
pub(super) const DISTINCT: usize = 1 << 16;

/// A loaded wrapper. It begins with the first header, and after the last with the first
/// again.
pub(super) struct Wrapper {
    program: OwnedFd,
    /// Holds the program that is measured, for as long as somebody holds this.
    _next: OwnedFd,
}

/// Where the headers begin in the value of their map; before them is the number of runs.
const HEADERS: i16 = 16;
/// How many bits of an offset there are in an entry of 16 bytes: source, destination and
/// ports as in a packet, and the protocol.
const ENTRY_BITS: i32 = 4;
const SOURCE: i16 = 0;
const PORTS: i16 = 8;
const PROTOCOL: i16 = 12;

/// Where these stand in a frame without tags, and the first byte behind them.
const AT_PROTOCOL: i16 = 14 + 9;
const AT_SOURCE: i16 = 14 + 12;
const AT_PORTS: i16 = 14 + 20;
const BEHIND: i32 = 14 + 24;

impl Wrapper {
    /// Loads one that runs `next` on a frame with each of `headers` in turn.
    pub(super) fn load(headers: &[Header], next: BorrowedFd<'_>) -> Result<Self> {
        ensure!(
            headers.len() == DISTINCT,
            "{} headers, not {DISTINCT}",
            headers.len()
        );
        let mut value = vec![0; usize::from(HEADERS.unsigned_abs())];
        value.extend(headers.iter().flat_map(entry));
        let headers = map_with(MapType::Array, 1, &0_u32, &*value).context("make a map")?;
        let next = map_with(MapType::ProgramArray, 1, &0_u32, &number(next)?)
            .context("make an array of the program to be measured")?;
        let instructions = instructions(&headers, &next)?;
        let program = bpf::load(ProgramType::XdpFrags, "other_headers", &instructions)
            .context("load the program 'other_headers'")?;
        Ok(Self {
            program,
            _next: next,
        })
    }

    /// Runs the program once with each header, on `frame`.
    pub(super) fn run(&self, frame: &[u8]) -> Result<()> {
        let repeats = u32::try_from(DISTINCT)?;
        bpf::test_run(self.descriptor(), frame, repeats).context("run 'other_headers'")?;
        Ok(())
    }

    /// The program.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

/// A header as it lies in the map.
fn entry(header: &Header) -> [u8; 1 << ENTRY_BITS] {
    let octets = |address: Ipv4Addr| address.octets();
    let mut entry = [0; 1 << ENTRY_BITS];
    entry[..4].copy_from_slice(&octets(header.source));
    entry[4..8].copy_from_slice(&octets(header.destination));
    entry[8..10].copy_from_slice(&header.ports.0.to_be_bytes());
    entry[10..12].copy_from_slice(&header.ports.1.to_be_bytes());
    entry[12] = header.protocol;
    entry
}

/// The number of runs is counted by an atomic addition, which on x86-64 also waits until
/// what was stored has left the store buffer: loads that are not of the very same bytes
/// would be held up by that, which happens to no packet that a card has written.
fn instructions(headers: &OwnedFd, next: &OwnedFd) -> io::Result<Vec<u64>> {
    let (frame, runs, entry) = (R9, R7, R8);
    let mut work = Vec::from(map_value(runs, headers)?);
    work.extend([
        load(Width::Double, entry, runs, 0),
        and_number(
            entry,
            i32::try_from(DISTINCT - 1).map_err(io::Error::other)?,
        ),
        shift_left(entry, ENTRY_BITS),
        add(entry, runs),
        load(Width::Double, R0, entry, HEADERS + SOURCE),
        store(Width::Double, frame, AT_SOURCE, R0),
        load(Width::Word, R0, entry, HEADERS + PORTS),
        store(Width::Word, frame, AT_PORTS, R0),
        load(Width::Byte, R0, entry, HEADERS + PROTOCOL),
        store(Width::Byte, frame, AT_PROTOCOL, R0),
        set(R0, 1),
        add_atomically(runs, 0, R0),
        copy(R1, R6),
    ]);
    work.extend(map(R2, next)?);
    work.extend([set(R3, 0), call(TAIL_CALL)]);
    on_frame(frame, BEHIND, &work)
}
