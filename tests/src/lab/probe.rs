//! Which of two policies decides, asked by a datagram to each of two ports; every datagram
//! is counted here, so that the filter's own counts can be held against it.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::product::counter;
use super::{Lab, Plan};

/// Sends datagrams from `outside` to two ports of `external`.
#[derive(Debug)]
pub struct Probe<'lab> {
    lab: &'lab Lab,
    opener: UdpSocket,
    listeners: [UdpSocket; 2],
    sent: u64,
    passed: u64,
    number: u32,
}

/// The ports that [`sample::POLICY`](super::sample::POLICY) and
/// [`sample::moved`](super::sample::moved) open.
pub const PORTS: [u16; 2] = [3478, 3479];

/// How long a datagram that passes may take.
const PATIENCE: Duration = Duration::from_millis(30);

impl<'lab> Probe<'lab> {
    /// A probe for a lab of the default plan.
    pub fn new(lab: &'lab Lab) -> Result<Self> {
        let plan = Plan::default();
        let listen = |port: u16| -> Result<UdpSocket> {
            let listener = lab
                .edge
                .enter(|| Ok(UdpSocket::bind((plan.external[0], port))?))?;
            listener.set_read_timeout(Some(PATIENCE))?;
            Ok(listener)
        };
        Ok(Self {
            lab,
            opener: lab
                .world
                .enter(|| Ok(UdpSocket::bind((plan.outside[0], 0))?))?,
            listeners: [listen(PORTS[0])?, listen(PORTS[1])?],
            sent: 0,
            passed: 0,
            number: 0,
        })
    }

    /// Which of the ports let a datagram pass now.
    pub fn open(&mut self) -> Result<[bool; 2]> {
        let number = self.send()?.to_be_bytes();
        let mut open = [false; 2];
        for (open, listener) in open.iter_mut().zip(&self.listeners) {
            let mut received = [0; 4];
            while !*open {
                match listener.recv(&mut received) {
                    // One that came late belongs to an earlier question.
                    Ok(_) => *open = received == number,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.passed += open.iter().filter(|&&open| open).count() as u64;
        Ok(open)
    }

    /// Sends a datagram to each port, and says its number.
    pub fn send(&mut self) -> Result<u32> {
        let address = Plan::default().external[0];
        self.number += 1;
        for port in PORTS {
            let number = self.number.to_be_bytes();
            self.opener.send_to(&number, (address, port))?;
        }
        self.sent += 2;
        Ok(self.number)
    }

    /// The numbers that have passed each port since the last question.
    pub fn passed(&mut self) -> Result<[Vec<u32>; 2]> {
        let mut passed = [Vec::new(), Vec::new()];
        for (numbers, listener) in passed.iter_mut().zip(&self.listeners) {
            listener.set_nonblocking(true)?;
            let mut number = [0; 4];
            loop {
                match listener.recv(&mut number) {
                    Ok(_) => numbers.push(u32::from_be_bytes(number)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            self.passed += numbers.len() as u64;
            listener.set_nonblocking(false)?;
        }
        Ok(passed)
    }

    /// Fails unless the filter counted each datagram that was sent while it was there once,
    /// and as what became of it: under `stun`, or under `drop:default`.
    pub fn settle(&self) -> Result<()> {
        let moved = self.lab.counters()?.moved();
        let packets = |id: &str| {
            let count = moved.get(&counter("external", "inbound", id));
            count.map_or(0, |count| count.packets)
        };
        let counted = [packets("stun"), packets("drop:default")];
        let expected = [self.passed, self.sent - self.passed];
        ensure!(
            counted == expected,
            "counted as passed and as dropped: {counted:?}, sent: {expected:?}; {moved:?}"
        );
        Ok(())
    }
}
