//! Streams of numbered datagrams from `outside` to ports of `external` that run on while
//! something else is done: what is lost, and what slips through.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Lab, Plan};

/// Between two datagrams of a stream: 500 a second.
const PACE: Duration = Duration::from_millis(2);
/// How long the receivers wait for the last datagram.
const LAST: Duration = Duration::from_millis(500);

/// What became of a stream.
#[derive(Debug)]
pub struct Stream {
    /// How many datagrams were sent: their numbers are those below.
    pub sent: u32,
    /// The numbers that came, in their order.
    pub received: Vec<u32>,
}

/// Does `work` while a stream runs to each of two `ports`, over IPv4.
pub fn under_load<T>(
    lab: &Lab,
    ports: [u16; 2],
    work: impl FnOnce() -> Result<T>,
) -> Result<([Stream; 2], T)> {
    let plan = Plan::default();
    let (edge, world) = (plan.external[0], plan.outside[0]);
    let pair = |port: u16| -> Result<(UdpSocket, UdpSocket)> {
        let listener = lab.edge.enter(|| Ok(UdpSocket::bind((edge, port))?))?;
        let opener = lab.world.enter(|| Ok(UdpSocket::bind((world, 0))?))?;
        opener.connect((edge, port))?;
        Ok((listener, opener))
    };
    let pairs = [pair(ports[0])?, pair(ports[1])?];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let stop = &stop;
        let [first, second] = pairs.each_ref().map(|(listener, opener)| {
            let sending = scope.spawn(move || send(opener, stop));
            let receiving = scope.spawn(move || collect(listener, stop));
            (sending, receiving)
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let mut streams = Vec::new();
        for (sending, receiving) in [first, second] {
            let joined = "a stream panicked";
            streams.push(Stream {
                sent: sending.join().ok().context(joined)??,
                received: receiving.join().ok().context(joined)??,
            });
        }
        let streams = streams.try_into().ok().context("two streams")?;
        Ok((streams, done?))
    })
}

/// Sends numbered datagrams until told to stop, and says how many.
fn send(opener: &UdpSocket, stop: &AtomicBool) -> Result<u32> {
    let start = Instant::now();
    let mut sent: u32 = 0;
    while !stop.load(Ordering::Relaxed) {
        opener.send(&sent.to_be_bytes())?;
        sent += 1;
        thread::sleep((start + PACE * sent).saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}

/// Receives until nothing has come for a while after `stop`, and says what came.
fn collect(listener: &UdpSocket, stop: &AtomicBool) -> Result<Vec<u32>> {
    listener.set_read_timeout(Some(LAST))?;
    let mut numbers = Vec::new();
    loop {
        let mut number = [0; 4];
        match listener.recv(&mut number) {
            Ok(_) => numbers.push(u32::from_be_bytes(number)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stop.load(Ordering::Relaxed) {
                    return Ok(numbers);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
