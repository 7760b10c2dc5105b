//! A TCP conversation that stays open: what is asked is whether it goes on, and by
//! whose word.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use super::namespace::Namespace;

/// How long opening it, and the opener's words, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Both ends of an open conversation.
#[derive(Debug)]
pub struct Open {
    /// The end that opened it.
    pub opener: TcpStream,
    /// The other one.
    pub other: TcpStream,
}

impl Open {
    /// Has somebody in `opener` open a conversation with somebody in `other`.
    pub fn new(opener: &Namespace, other: &Namespace, to: SocketAddr) -> Result<Self> {
        let listener = other.enter(|| Ok(TcpListener::bind(to)?))?;
        Self::with(opener, &listener, to)
    }

    /// The same with a listener that is there, at one of its addresses.
    pub fn with(opener: &Namespace, listener: &TcpListener, to: SocketAddr) -> Result<Self> {
        let opener = opener
            .enter(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))
            .with_context(|| format!("open a conversation with {to}"))?;
        let (other, _) = listener.accept()?;
        other.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { opener, other })
    }

    /// Whether what the other side says reaches the opener.
    pub fn hears(&mut self, patience: Duration) -> Result<bool> {
        self.other.write_all(b"x")?;
        self.opener.set_read_timeout(Some(patience))?;
        match self.opener.read(&mut [0; 16]) {
            Ok(length) => Ok(length > 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Fails unless what the opener says arrives.
    pub fn speak(&mut self) -> Result<()> {
        self.opener.write_all(b"y")?;
        let said = self.other.read_exact(&mut [0]);
        said.context("what the opener says does not arrive")
    }
}
