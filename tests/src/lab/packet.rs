//! Packet sockets: to put crafted frames on a wire, to listen for them beyond
//! the filter, and to measure what was sent without asking the filter.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg, send,
    setsockopt, socket,
};
use nix::sys::time::TimeVal;

use super::wire::{End, Traffic};

/// `PACKET_OUTGOING` of packet(7): the frame was sent by this host.
const OUTGOING: u8 = 4;

/// Enough for the frames of any test between two calls of [`Tap::seen`], bytes.
const BUFFER: usize = 64 << 20;

/// Puts frames on a wire.
#[derive(Debug)]
pub struct Injector {
    socket: OwnedFd,
    device: &'static str,
}

/// Counts the frames that a device has sent and received since the tap was opened.
#[derive(Debug)]
pub struct Tap {
    socket: OwnedFd,
    seen: Seen,
}

/// What a [`Tap`] has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the device has sent.
    pub sent: Traffic,
    /// What it has received.
    pub received: Traffic,
}

/// Hears every frame that a device hands up: with a filter on it, those that the
/// filter let pass, before any protocol has judged them.
#[derive(Debug)]
pub struct Ear {
    socket: OwnedFd,
}

impl Injector {
    /// An injector at `end`.
    pub fn new(end: &End) -> Result<Self> {
        // Protocol 0: it receives nothing.
        Ok(Self {
            socket: packet_socket(end, None)?,
            device: end.device,
        })
    }

    /// Sends one frame, as it stands.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let taken = self.offer(frame)?;
        ensure!(
            taken,
            "send a frame of {} bytes on {}: it was dropped on its way out",
            frame.len(),
            self.device
        );
        Ok(())
    }

    /// Sends one frame, as it stands; whether the device took it. Not where a filter drops
    /// what leaves, or the other end's ring is full (`packet_snd` of `net/packet/af_packet.c`
    /// answers with `ENOBUFS` to both).
    pub fn offer(&self, frame: &[u8]) -> Result<bool> {
        let (length, device) = (frame.len(), self.device);
        let sent = match send(self.socket.as_raw_fd(), frame, MsgFlags::empty()) {
            Err(Errno::ENOBUFS) => return Ok(false),
            sent => sent.with_context(|| format!("send a frame of {length} bytes on {device}"))?,
        };
        ensure!(sent == length, "{device} took {sent} of {length} bytes");
        Ok(true)
    }
}

impl Tap {
    /// A tap at `end`.
    pub fn new(end: &End) -> Result<Self> {
        let socket = packet_socket(end, Some(SockProtocol::EthAll))?;
        setsockopt(&socket, RcvBufForce, &BUFFER).context("give the tap a large buffer")?;
        Ok(Self {
            socket,
            seen: Seen::default(),
        })
    }

    /// What the device has sent and received by now.
    pub fn seen(&mut self) -> Result<Seen> {
        let mut nothing = [];
        // MSG_TRUNC answers with the frame's true length, whatever the buffer's.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        while let Some(frame) = receive(&self.socket, &mut nothing, flags)? {
            let sum = if frame.outgoing {
                &mut self.seen.sent
            } else {
                &mut self.seen.received
            };
            sum.packets += 1;
            sum.bytes += frame.length as u64;
        }
        Ok(self.seen)
    }
}

impl Ear {
    /// An ear at `end`.
    pub fn new(end: &End) -> Result<Self> {
        Ok(Self {
            socket: packet_socket(end, Some(SockProtocol::EthAll))?,
        })
    }

    /// Whether a frame that holds `token` arrives before `patience` has passed
    /// without any frame.
    pub fn hears(&self, token: &[u8], patience: Duration) -> Result<bool> {
        setsockopt(&self.socket, ReceiveTimeout, &time_value(patience))?;
        let mut buffer = vec![0; 65_536];
        while let Some(frame) = receive(&self.socket, &mut buffer, MsgFlags::empty())? {
            let heard = &buffer[..frame.length.min(buffer.len())];
            if !frame.outgoing && heard.windows(token.len()).any(|window| window == token) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A frame that a packet socket received.
struct Received {
    length: usize,
    outgoing: bool,
}

/// The next frame, or `None` when none came in time.
fn receive(socket: &OwnedFd, buffer: &mut [u8], flags: MsgFlags) -> Result<Option<Received>> {
    loop {
        let mut slices = [IoSliceMut::new(buffer)];
        return match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut slices, None, flags) {
            Ok(message) => Ok(Some(Received {
                length: message.bytes,
                outgoing: message
                    .address
                    .is_some_and(|from| from.pkttype() == OUTGOING),
            })),
            Err(Errno::EAGAIN) => Ok(None),
            Err(Errno::EINTR) => continue,
            Err(error) => Err(error).context("receive from a packet socket"),
        };
    }
}

fn packet_socket(end: &End, protocol: Option<SockProtocol>) -> Result<OwnedFd> {
    end.namespace
        .enter(|| {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                protocol,
            )?;
            let address = getifaddrs()?
                .filter(|interface| interface.interface_name == end.device)
                .find_map(|interface| interface.address?.as_link_addr().copied())
                .context("no such device")?;
            // The address names no protocol, which keeps the socket's own.
            bind(socket.as_raw_fd(), &address)?;
            Ok(socket)
        })
        .with_context(|| format!("open a packet socket on {}", end.device))
}

/// A socket timeout; 0 would mean for ever.
pub(super) fn time_value(duration: Duration) -> TimeVal {
    let microseconds = i64::try_from(duration.as_micros())
        .unwrap_or(i64::MAX)
        .max(1);
    TimeVal::new(microseconds / 1_000_000, microseconds % 1_000_000)
}
