//! Conversations that carry more than a token: what is asked of a rule is that it
//! carries a whole conversation, not that it opens one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::conversation::{Call, Transport, datagram};
use super::wire::End;

/// The payload of a datagram, bytes.
const DATAGRAM: usize = 1024;

impl Call {
    /// Carries `bytes` bytes from `opener` to `listener`, and as many others back.
    pub fn carry(
        &self,
        opener: &End,
        listener: &End,
        bytes: usize,
        patience: Duration,
    ) -> Result<()> {
        match self.transport {
            Transport::Tcp => self.carry_tcp(opener, listener, bytes, patience),
            Transport::Udp => self.carry_udp(opener, listener, bytes, patience),
        }
        .with_context(|| format!("{:?} from {} to {}", self.transport, self.from, self.to))
    }

    fn carry_tcp(
        &self,
        opener: &End,
        listener: &End,
        bytes: usize,
        patience: Duration,
    ) -> Result<()> {
        let listener = listener
            .namespace
            .enter(|| Ok(TcpListener::bind(self.to)?))?;
        let opener = self
            .connect(opener, patience)?
            .context("the conversation does not open")?;
        let (acceptor, _) = listener.accept()?;
        acceptor.set_read_timeout(Some(patience))?;
        acceptor.set_write_timeout(Some(patience))?;
        stream(&opener, &acceptor, &pattern(bytes, 0))?;
        stream(&acceptor, &opener, &pattern(bytes, 1))?;
        // An orderly end, so that no packet is on its way when the next call begins.
        opener.shutdown(Shutdown::Write)?;
        ensure!((&acceptor).read(&mut [0])? == 0, "more than was sent");
        drop(acceptor);
        ensure!((&opener).read(&mut [0])? == 0, "more than was sent");
        Ok(())
    }

    fn carry_udp(
        &self,
        opener: &End,
        listener: &End,
        bytes: usize,
        patience: Duration,
    ) -> Result<()> {
        let listener = listener.namespace.enter(|| Ok(UdpSocket::bind(self.to)?))?;
        let opener = self.udp(opener)?;
        for number in 0..bytes / DATAGRAM {
            let there = pattern(DATAGRAM, number);
            let back = pattern(DATAGRAM, number + 1);
            opener.send(&there)?;
            let from = datagram(&listener, &there, patience)?
                .with_context(|| format!("datagram {number} is lost"))?;
            listener.send_to(&back, from)?;
            ensure!(
                datagram(&opener, &back, patience)?.is_some(),
                "the answer to datagram {number} is lost"
            );
        }
        Ok(())
    }
}

/// Sends `content` from one end of a stream to the other.
fn stream(mut from: &TcpStream, mut to: &TcpStream, content: &[u8]) -> Result<()> {
    let received = thread::scope(|scope| {
        let sending = scope.spawn(move || from.write_all(content));
        let mut received = vec![0; content.len()];
        let result = to.read_exact(&mut received);
        let sent = sending.join().expect("it does not panic");
        result.and(sent).map(|()| received)
    })
    .context("carry the bytes")?;
    ensure!(received == content, "what arrived is not what was sent");
    Ok(())
}

/// Bytes that no other `number` has.
fn pattern(length: usize, number: usize) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    (0..length)
        .map(|place| bytes[place % bytes.len()] ^ place.to_le_bytes()[0])
        .collect()
}
