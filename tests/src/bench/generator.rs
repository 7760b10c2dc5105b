//! A generator of frames: a program that the kernel runs on copies of one frame
//! (`BPF_F_TEST_XDP_LIVE_FRAMES`), gives each another source address and other ports,
//! and redirects to a veth device, at whose other end it arrives.
//!
//! A thread of its own runs it, on one core. The receiving end is polled on that core
//! too, after each batch and before the next, unless a thread of the kernel polls it.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::assembly::{FUNC_REDIRECT, answering, code, instruction, map_value};
use crate::bpf::{ProgramType, cell, load, run_live};
use crate::craft::{Family, Frame, Ip, Mac, flag, tcp};
use crate::lab::wire::End;

/// What is sent: TCP, neither the first packet of a conversation nor the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// Where to.
    pub(super) to: IpAddr,
    /// The port, or any of 8192 to 16383 in turn.
    pub(super) port: Option<u16>,
    /// Whose frames they are.
    pub(super) mac: Mac,
}

/// The program, and the frame that it is run on.
#[derive(Debug)]
pub(super) struct Generator<'e> {
    end: &'e End,
    program: OwnedFd,
    frame: Vec<u8>,
}

/// What sending took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// From the call to its return.
    pub(super) took: Duration,
    /// Each frame, as the kernel tells it: without what the call takes to begin and end.
    pub(super) each: Duration,
}

/// Frames between two polls of the receiving end: a veth's ring holds 256.
const BATCH: u32 = 64;

/// The sources; their low sixteen bits are made.
const SOURCES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(11, 20, 0, 0)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2600, 0x1f, 0, 0, 0, 0, 0, 0)),
];
/// A port that is open nowhere.
const PORT: u16 = 8192;

const XDP_ABORTED: u32 = 0;

/// 2³² divided by the golden ratio: what a counter is multiplied by to spread it.
const SPREAD: u32 = 0x9e37_79b1;

/// Where a frame holds what is made.
struct Places {
    /// The low sixteen bits of the source address.
    source: i16,
    /// Two bytes that are to make up for them in the header's checksum.
    balance: Option<i16>,
    /// The source port; the destination port follows.
    ports: i16,
}

impl<'e> Generator<'e> {
    /// A generator that sends `stream` out of `end`.
    pub(super) fn new(end: &'e End, stream: Stream) -> Result<Self> {
        let device = end.namespace.enter(|| Ok(if_nametoindex(end.device)?))?;
        Ok(Self {
            end,
            program: program(stream, device)?,
            frame: frame(stream)?,
        })
    }

    /// Sends so many frames from the core `core`.
    pub(super) fn send(&self, core: usize, frames: u32) -> Result<Sent> {
        self.end.namespace.enter(|| {
            let mut cores = CpuSet::new();
            cores.set(core)?;
            sched_setaffinity(Pid::from_raw(0), &cores)
                .with_context(|| format!("run on core {core}"))?;
            let begin = Instant::now();
            let runs = run_live(self.program.as_fd(), &self.frame, frames, BATCH.min(frames))
                .with_context(|| format!("send {frames} frames from {}", self.end.device))?;
            Ok(Sent {
                took: begin.elapsed(),
                each: Duration::from_nanos(runs.nanoseconds.into()),
            })
        })
    }
}

impl Places {
    fn of(family: Family) -> Self {
        match family {
            // The identification (RFC 791 §3.1) may be anything.
            Family::V4 => Self {
                source: 28,
                balance: Some(18),
                ports: 34,
            },
            Family::V6 => Self {
                source: 36,
                balance: None,
                ports: 54,
            },
        }
    }
}

/// The frame, as it is before the program makes it another.
fn frame(stream: Stream) -> Result<Vec<u8>> {
    let port = stream.port.unwrap_or(PORT);
    let source = SOURCES
        .into_iter()
        .find(|source| source.is_ipv4() == stream.to.is_ipv4());
    let source = source.context("a source of the family")?;
    let segment = tcp().ports(PORT, port).flags(flag::ACK);
    let mut packet = Ip::new(source, stream.to, segment);
    if let IpAddr::V4(address) = source {
        // What the program writes adds up to all ones, which is nothing (RFC 1071).
        let [a, b, ..] = address.octets();
        let bytes = packet.bytes();
        packet = packet.source(IpAddr::from([a, b, !bytes[4], !bytes[5]]));
    }
    Ok(Frame::from(packet).to(stream.mac).bytes())
}

/// The program that makes the frames of `stream`, and sends them out of `device`.
fn program(stream: Stream, device: u32) -> Result<OwnedFd> {
    let family = if stream.to.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    // The program keeps it.
    let counter = cell().context("make the generator's counter")?;
    let program = instructions(&Places::of(family), stream.port.is_none(), device, &counter)?;
    load(ProgramType::Xdp, "generator", &program).context("load the generator")
}

/// Its instructions. The transport's checksum is left as it is: nobody gets to look at it.
fn instructions(
    places: &Places,
    rotate_port: bool,
    device: u32,
    counter: &OwnedFd,
) -> Result<Vec<u64>> {
    const DATA: u8 = 7;
    const END: u8 = 8;
    const SPREAD_COUNT: u8 = 3;
    const PART: u8 = 4;
    let alu = |code, to, immediate| instruction(code, to, 0, 0, immediate);
    let copy = |to, from| instruction(code::MOV_X, to, from, 0, 0);
    let store = |at, from| instruction(code::STX_H, DATA, from, at, 0);

    let mut work = Vec::from(map_value(1, counter.as_fd())?);
    work.extend([
        instruction(code::LDX_DW, SPREAD_COUNT, 1, 0, 0),
        alu(code::ADD_K, SPREAD_COUNT, 1),
        instruction(code::STX_DW, 1, SPREAD_COUNT, 0, 0),
        // An immediate is extended by its sign; only the low half is used.
        alu(code::MUL_K, SPREAD_COUNT, SPREAD),
        copy(PART, SPREAD_COUNT),
        alu(code::RSH_K, PART, 16),
        store(places.source, PART),
    ]);
    if let Some(balance) = places.balance {
        work.extend([alu(code::XOR_K, PART, 0xffff), store(balance, PART)]);
    }
    // In the order of the network, the low byte is a port's high one.
    work.extend([
        copy(PART, SPREAD_COUNT),
        alu(code::OR_K, PART, 0x0080),
        store(places.ports, PART),
    ]);
    if rotate_port {
        work.extend([
            alu(code::RSH_K, PART, 8),
            alu(code::AND_K, PART, 0xff1f),
            alu(code::OR_K, PART, 0x0020),
            store(places.ports + 2, PART),
        ]);
    }
    work.extend([
        alu(code::MOV_K, 1, device),
        alu(code::MOV_K, 2, 0),
        alu(code::CALL, 0, FUNC_REDIRECT),
        alu(code::EXIT, 0, 0),
    ]);
    let past = i16::try_from(work.len()).context("a short program")?;
    let length = u32::try_from(places.ports + 4).context("a place in a frame")?;
    let mut program = vec![
        instruction(code::LDX_W, DATA, 1, 0, 0),
        instruction(code::LDX_W, END, 1, 4, 0),
        copy(2, DATA),
        alu(code::ADD_K, 2, length),
        instruction(code::JGT_X, 2, END, past, 0),
    ];
    program.extend(work);
    program.extend(answering(XDP_ABORTED));
    Ok(program)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;
    use crate::bpf::changed;
    use crate::judge::require_root;

    const FRAMES: usize = 20_000;

    /// What the frames of a stream to `port` have, and how many of each there are.
    fn assert_rotates(to: &str, port: Option<u16>) -> Result<()> {
        let to: IpAddr = to.parse()?;
        let stream = Stream {
            to,
            port,
            mac: [2, 0, 0, 0, 0, 9],
        };
        // The device is not looked for before a frame is sent to it.
        let program = program(stream, u32::from(u16::MAX))?;
        let frame = frame(stream)?;
        let (mut sources, mut from_ports, mut to_ports) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for _ in 0..FRAMES {
            let frame = changed(program.as_fd(), &frame)?;
            let packet = SlicedPacket::from_ethernet(&frame)?;
            match packet.net.as_ref().context("a packet")? {
                NetSlice::Ipv4(packet) => {
                    let header = packet.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    assert_eq!(IpAddr::from(header.destination), to);
                    sources.insert(IpAddr::from(header.source));
                }
                NetSlice::Ipv6(packet) => {
                    assert_eq!(IpAddr::from(packet.header().destination_addr()), to);
                    sources.insert(IpAddr::from(packet.header().source_addr()));
                }
                other @ NetSlice::Arp(_) => panic!("{other:?}"),
            }
            let Some(TransportSlice::Tcp(segment)) = &packet.transport else {
                panic!("{packet:?}");
            };
            from_ports.insert(segment.source_port());
            to_ports.insert(segment.destination_port());
        }
        assert!(sources.len() > FRAMES / 2, "{} sources", sources.len());
        assert!(from_ports.len() > 10_000, "{} ports", from_ports.len());
        assert!(from_ports.iter().all(|port| *port >= 32_768));
        if let Some(port) = port {
            assert_eq!(to_ports, BTreeSet::from([port]));
        } else {
            assert!(to_ports.len() > 5000, "to {} ports", to_ports.len());
            assert!(to_ports.iter().all(|port| (8192..16_384).contains(port)));
        }
        Ok(())
    }

    #[test]
    fn every_frame_has_another_source_and_other_ports() -> Result<()> {
        require_root();
        for to in ["192.0.2.10", "2001:db8:1::10"] {
            assert_rotates(to, None)?;
            assert_rotates(to, Some(443))?;
        }
        Ok(())
    }
}
