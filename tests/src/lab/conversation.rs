//! Real conversations over the kernel's own sockets.
//!
//! A token travels from the opener to the listener and back. What is reported is
//! what the sockets received; nobody asks the filter.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{BindToDevice, ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
};

use super::packet::time_value;
use super::wire::{End, Wire};

/// A conversation that somebody opens.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// TCP or UDP.
    pub transport: Transport,
    /// The opener; port 0 for one of the kernel's choice.
    pub from: SocketAddr,
    /// Where the other side listens.
    pub to: SocketAddr,
}

/// What carries the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP: connect, one token each way, an orderly end.
    Tcp,
    /// UDP: one datagram each way.
    Udp,
}

/// What the sockets received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The listener received the token, and the opener its echo.
    Answered,
    /// The listener received the token; no echo was received, or none sent.
    Arrived,
    /// The listener received nothing.
    Nothing,
}

impl Transport {
    /// The word that policies use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Outcome {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Arrived => "received",
            Self::Nothing => "nothing",
        }
    }
}

impl Call {
    /// Has the world open the conversation over `wire`, waiting `patience` at each step.
    pub fn hold(&self, wire: &Wire, token: &[u8], patience: Duration) -> Result<Outcome> {
        self.between(&wire.world, &wire.edge, token, patience)
    }

    /// Has `opener` open the conversation with `listener`.
    pub fn between(
        &self,
        opener: &End,
        listener: &End,
        token: &[u8],
        patience: Duration,
    ) -> Result<Outcome> {
        match self.transport {
            Transport::Tcp => self.hold_tcp(opener, listener, token, patience),
            Transport::Udp => self.hold_udp(opener, listener, token, patience),
        }
        .with_context(|| format!("{:?} from {} to {}", self.transport, self.from, self.to))
    }

    fn hold_tcp(
        &self,
        opener: &End,
        listener: &End,
        token: &[u8],
        patience: Duration,
    ) -> Result<Outcome> {
        let listener = listener
            .namespace
            .enter(|| Ok(TcpListener::bind(self.to)?))?;
        // One socket after the other is enough: the listener's kernel completes the
        // handshake by itself, and keeps what has arrived.
        let Some(mut opener) = self.connect(opener, patience)? else {
            listener.set_nonblocking(true)?;
            let accepted = listener.accept().is_ok();
            ensure!(
                !accepted,
                "the listener accepted what the opener could not open"
            );
            return Ok(Outcome::Nothing);
        };
        opener.write_all(token)?;
        setsockopt(&listener, ReceiveTimeout, &time_value(patience))?;
        let Some((mut acceptor, _)) = in_time(listener.accept())? else {
            return Ok(Outcome::Nothing);
        };
        acceptor.set_read_timeout(Some(patience))?;
        if !reads(&mut acceptor, token)? {
            return Ok(Outcome::Nothing);
        }
        acceptor.write_all(token)?;
        if !reads(&mut opener, token)? {
            return Ok(Outcome::Arrived);
        }
        // An orderly end, the opener first, so that no packet of this
        // conversation is on its way when the next one begins.
        opener.shutdown(Shutdown::Write)?;
        let listener_done = in_time(acceptor.read(&mut [0]))? == Some(0);
        drop(acceptor);
        let opener_done = in_time(opener.read(&mut [0]))? == Some(0);
        ensure!(
            listener_done && opener_done,
            "the conversation did not end in order"
        );
        Ok(Outcome::Answered)
    }

    fn hold_udp(
        &self,
        opener: &End,
        listener: &End,
        token: &[u8],
        patience: Duration,
    ) -> Result<Outcome> {
        let listener = listener.namespace.enter(|| Ok(UdpSocket::bind(self.to)?))?;
        let opener = self.udp(opener)?;
        opener.send(token)?;
        let Some(from) = datagram(&listener, token, patience)? else {
            return Ok(Outcome::Nothing);
        };
        listener.send_to(token, from)?;
        let echoed = datagram(&opener, token, patience)?.is_some();
        Ok(if echoed {
            Outcome::Answered
        } else {
            Outcome::Arrived
        })
    }

    /// A connected UDP socket of the opener.
    pub(super) fn udp(&self, opener: &End) -> Result<UdpSocket> {
        let socket = opener.namespace.enter(|| Ok(UdpSocket::bind(self.from)?))?;
        setsockopt(&socket, BindToDevice, &opener.device.into())?;
        socket.connect(self.to)?;
        Ok(socket)
    }

    /// A connected stream of the opener, or `None` when nobody answered in time.
    pub(super) fn connect(&self, opener: &End, patience: Duration) -> Result<Option<TcpStream>> {
        let family = if self.from.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let socket: OwnedFd = opener.namespace.enter(|| {
            Ok(socket(
                family,
                SockType::Stream,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?)
        })?;
        setsockopt(&socket, BindToDevice, &opener.device.into())?;
        // The send timeout bounds connect(2) too (socket(7)).
        setsockopt(&socket, SendTimeout, &time_value(patience))?;
        setsockopt(&socket, ReceiveTimeout, &time_value(patience))?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(self.from))?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(self.to)) {
            Ok(()) => Ok(Some(TcpStream::from(socket))),
            Err(Errno::EINPROGRESS | Errno::EAGAIN | Errno::ETIMEDOUT) => Ok(None),
            Err(error) => Err(error).context("connect"),
        }
    }
}

/// Waits for the datagram `token`, whatever else comes first, and says who sent it.
pub fn datagram(
    socket: &UdpSocket,
    token: &[u8],
    patience: Duration,
) -> Result<Option<SocketAddr>> {
    socket.set_read_timeout(Some(patience))?;
    let mut buffer = [0; 2048];
    while let Some((length, from)) = in_time(socket.recv_from(&mut buffer))? {
        if buffer[..length] == *token {
            return Ok(Some(from));
        }
    }
    Ok(None)
}

/// Whether `token` is what the stream brings next.
fn reads(stream: &mut TcpStream, token: &[u8]) -> Result<bool> {
    let mut received = vec![0; token.len()];
    Ok(in_time(stream.read_exact(&mut received))?.is_some() && received == token)
}

/// `None` when a socket's timeout ended the call.
fn in_time<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}
