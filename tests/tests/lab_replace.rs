//! One policy after another: nothing that both allow is lost in between, and
//! nothing that both refuse slips through.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::{Lab, Plan, sample};

/// How often the policy is replaced while the streams run.
const REPLACEMENTS: u32 = 20;
/// Between two datagrams of a stream: 500 a second.
const PACE: Duration = Duration::from_millis(2);
/// How long the receivers wait for the last datagram.
const LAST: Duration = Duration::from_millis(500);

/// Sends numbered datagrams until told to stop, and says how many.
fn stream(opener: &UdpSocket, stop: &AtomicBool) -> Result<u32> {
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

fn replace_under_load(mode: Mode) -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let policies = [
        lab.mounts.write("short.yaml", sample::POLICY)?,
        lab.mounts.write("long.yaml", &sample::longer())?,
    ];
    lab.apply(&policies[1], mode)?;
    let first = lab.status()?;

    // The allowed port, and one that both policies refuse.
    let (edge, world) = (plan.external[0], plan.outside[0]);
    let pair = |port: u16| -> Result<(UdpSocket, UdpSocket)> {
        let listener = lab.edge.enter(|| Ok(UdpSocket::bind((edge, port))?))?;
        let opener = lab.world.enter(|| Ok(UdpSocket::bind((world, 0))?))?;
        opener.connect((edge, port))?;
        Ok((listener, opener))
    };
    let (allowed, refused) = (pair(3478)?, pair(3479)?);
    let stop = AtomicBool::new(false);
    let (sent, received, sent_refused, slipped) = thread::scope(|scope| -> Result<_> {
        let sending = scope.spawn(|| stream(&allowed.1, &stop));
        let receiving = scope.spawn(|| collect(&allowed.0, &stop));
        let sending_refused = scope.spawn(|| stream(&refused.1, &stop));
        let receiving_refused = scope.spawn(|| collect(&refused.0, &stop));
        let applied = policies
            .iter()
            .cycle()
            .take(REPLACEMENTS as usize)
            .try_for_each(|policy| lab.apply(policy, mode).map(drop));
        stop.store(true, Ordering::Relaxed);
        let joined = "a stream panicked";
        let sent = sending.join().ok().context(joined)??;
        let received = receiving.join().ok().context(joined)??;
        let sent_refused = sending_refused.join().ok().context(joined)??;
        let slipped = receiving_refused.join().ok().context(joined)??;
        applied?;
        Ok((sent, received, sent_refused, slipped))
    })?;

    assert_eq!(
        received,
        (0..sent).collect::<Vec<_>>(),
        "datagrams were lost or doubled"
    );
    assert!(
        slipped.is_empty(),
        "refused datagrams were received: {slipped:?}"
    );
    assert!(
        sent > REPLACEMENTS,
        "the stream hardly ran: {sent} datagrams"
    );

    let last = lab.status()?;
    assert_ne!(
        last.hooks[0].program_id, first.hooks[0].program_id,
        "nothing was replaced"
    );
    assert_eq!(
        last.policy.generation,
        first.policy.generation + u64::from(REPLACEMENTS)
    );
    // An id that stays keeps its count over all generations.
    let moved = lab.counters()?.moved();
    let packets = |id: &str| {
        moved
            .get(&counter("external", "inbound", id))
            .map(|c| c.packets)
    };
    assert_eq!(packets("stun"), Some(sent.into()));
    assert_eq!(packets("drop:default"), Some(sent_refused.into()));
    Ok(())
}

#[test]
fn a_native_policy_is_replaced_without_a_gap() -> Result<()> {
    replace_under_load(Mode::Native)
}

#[test]
fn a_generic_policy_is_replaced_without_a_gap() -> Result<()> {
    replace_under_load(Mode::Generic)
}
