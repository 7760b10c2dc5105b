//! A generator of frames: a program that the kernel runs on copies of one frame
//! (`BPF_F_TEST_XDP_LIVE_FRAMES`), gives each another source address and other ports,
//! and redirects to a veth device, at whose other end it arrives.
//!
//! A thread of its own runs it, on one core. The receiving end is polled on that core
//! too, after each batch and before the next, unless a thread of the kernel polls it.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::bpf::assembly::{
    EXIT, R1, R2, R3, R4, R7, REDIRECT, Width, add_number, and_number, call, copy, load, map_value,
    multiply_number, on_frame, or_number, set, shift_right, store, xor_number,
};
use crate::bpf::{self, MapType, ProgramType, map_with, run_live};
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

/// Frames between two polls of the receiving end: a veth's ring holds 256.
const BATCH: u32 = 64;

/// The sources; their low sixteen bits are made.
const SOURCES: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(11, 20, 0, 0)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2600, 0x1f, 0, 0, 0, 0, 0, 0)),
];
/// A port that is open nowhere.
const PORT: u16 = 8192;

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

    /// Sends so many frames from the core `core`, and returns what that took of the core's
    /// time. What the call waits for in the end is none of it: some milliseconds, until
    /// nobody reads what it frees.
    pub(super) fn send(&self, core: usize, frames: u32) -> Result<Duration> {
        self.end.namespace.enter(|| {
            let mut cores = CpuSet::new();
            cores.set(core)?;
            sched_setaffinity(Pid::from_raw(0), &cores)
                .with_context(|| format!("run on core {core}"))?;
            let runs = run_live(self.program.as_fd(), &self.frame, frames, BATCH.min(frames))
                .with_context(|| format!("send {frames} frames from {}", self.end.device))?;
            let nanoseconds = runs.nanoseconds * f64::from(frames);
            Ok(Duration::from_secs_f64(nanoseconds / 1e9))
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
    let counter = map_with(MapType::Array, 1, &0_u32, &0_u64);
    let counter = counter.context("make the generator's counter")?;
    let program = instructions(&Places::of(family), stream.port.is_none(), device, &counter)?;
    bpf::load(ProgramType::Xdp, "generator", &program).context("load the generator")
}

/// Its instructions. The transport's checksum is left as it is: nobody gets to look at it.
fn instructions(
    places: &Places,
    rotate_port: bool,
    device: u32,
    counter: &OwnedFd,
) -> Result<Vec<u64>> {
    let (spread_count, part, data) = (R3, R4, R7);
    let mut work = Vec::from(map_value(R1, counter)?);
    work.extend([
        load(Width::Double, spread_count, R1, 0),
        add_number(spread_count, 1),
        store(Width::Double, R1, 0, spread_count),
        // An immediate is extended by its sign; only the low half is used.
        multiply_number(spread_count, SPREAD.cast_signed()),
        copy(part, spread_count),
        shift_right(part, 16),
        store(Width::Half, data, places.source, part),
    ]);
    if let Some(balance) = places.balance {
        work.extend([
            xor_number(part, 0xffff),
            store(Width::Half, data, balance, part),
        ]);
    }
    // In the order of the network, the low byte is a port's high one.
    work.extend([
        copy(part, spread_count),
        or_number(part, 0x0080),
        store(Width::Half, data, places.ports, part),
    ]);
    if rotate_port {
        work.extend([
            shift_right(part, 8),
            and_number(part, 0xff1f),
            or_number(part, 0x0020),
            store(Width::Half, data, places.ports + 2, part),
        ]);
    }
    work.extend([
        set(R1, device.cast_signed()),
        set(R2, 0),
        call(REDIRECT),
        EXIT,
    ]);
    Ok(on_frame(data, i32::from(places.ports) + 4, &work)?)
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
