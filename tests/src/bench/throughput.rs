//! Packets per second across a native veth pair: edge-filter under the documented policy,
//! beside a program that only drops, or only passes.

use anyhow::{Context, Result};

use super::bar::Bar;
use super::documented::POLICY;
use super::in_turn;
use super::progress::say;
use super::rate::{Measured, Rate};
use super::receiver::{Product, Receiver, Reference};
use super::runner::{Cores, Run, Runner, Volume, cores};
use super::traffic::{Fate, Traffic};

/// What a table calls the documented policy.
pub(super) const DOCUMENTED: &str = "documented policy";

/// What it calls edge-filter under a policy.
pub(super) fn our_name(policy: &str) -> String {
    format!("edge-filter, {policy}")
}

/// What is sent, for those who read the figures.
pub(super) const SENT: &str = "\
TCP segments from 65,536 sources and 32,768 ports in turn, to a closed port (8,192 of them in
turn) or an open one. On one core, frames are received between batches of 64, nothing is
lost, and the time is that of sending and receiving together. On two, the sender does not
wait: a rate is what was received, the rest has overflowed. What passes is discarded by
the stack as another host's.";

/// Measures `receivers` in rounds, forwards and backwards in turn. Each is held against
/// the first of them.
pub(super) fn contest(
    receivers: &[&dyn Receiver],
    traffic: Traffic,
    cores: Cores,
    volume: Volume,
) -> Result<Vec<Rate>> {
    let mut runners = receivers
        .iter()
        .map(|receiver| Runner::new(*receiver, traffic, cores, volume))
        .collect::<Result<Vec<_>>>()?;
    let mut runs: Vec<Vec<Option<Run>>> = vec![Vec::new(); runners.len()];
    for round in 0..volume.rounds {
        for (runner, runs) in in_turn(round, runners.iter_mut().zip(&mut runs)) {
            runs.push(runner.run()?);
        }
    }
    let measured: Vec<Measured> = runners
        .iter()
        .zip(runs)
        .map(|(runner, runs)| runner.measured(runs))
        .collect();
    let rate = |of| Rate::new(traffic.name, cores.count(), of, &measured[0]);
    Ok(measured.iter().map(rate).collect())
}

/// Two wires at once, each on a core of its own, against one of them.
fn scaling(traffic: Traffic, cores: [usize; 2], volume: Volume) -> Result<Vec<Rate>> {
    let products = [
        Product::new(our_name(DOCUMENTED), POLICY)?,
        Product::new(our_name(DOCUMENTED), POLICY)?,
    ];
    let [one, other] = &products;
    let runner = |of, core| Runner::new(of, traffic, Cores::One(core), volume);
    let mut pair = [runner(one, cores[0])?, runner(other, cores[1])?];
    let (mut alone, mut both) = (Vec::new(), Vec::new());
    for _ in 0..volume.rounds {
        alone.push(pair[0].run()?);
        both.push(Runner::run_both(&mut pair)?);
    }
    let alone = Measured {
        receiver: format!("{}, one wire", our_name(DOCUMENTED)),
        ..pair[0].measured(alone)
    };
    let both = Measured {
        receiver: format!("{}, two wires", our_name(DOCUMENTED)),
        ..pair[1].measured(both)
    };
    Ok(vec![
        Rate::new(traffic.name, 1, &alone, &alone),
        Rate::new(traffic.name, 2, &both, &alone),
    ])
}

/// The documented policy's refusals and rules, by both families; on two cores, its
/// refusals; and on two wires.
pub(super) fn measure(volume: Volume) -> Result<Vec<Rate>> {
    let cores = cores()?;
    let first = *cores.first().context("a core to run on")?;
    let ours = Product::new(our_name(DOCUMENTED), POLICY)?;
    let mut rates = Vec::new();
    for (fate, traffics) in [
        (Fate::Dropped, Traffic::NO_RULE),
        (Fate::Passed, Traffic::A_RULE),
    ] {
        let reference = Reference::new(fate)?;
        for traffic in traffics {
            say(format_args!("packets per second: {}", traffic.name));
            let receivers: [&dyn Receiver; 2] = [&reference, &ours];
            rates.extend(contest(&receivers, traffic, Cores::One(first), volume)?);
        }
    }
    if let [first, second, ..] = cores[..] {
        let [traffic, _] = Traffic::NO_RULE;
        say(format_args!(
            "packets per second, two cores: {}",
            traffic.name
        ));
        // These are polled on the second core from now on.
        let (reference, ours) = (
            Reference::new(Fate::Dropped)?,
            Product::new(our_name(DOCUMENTED), POLICY)?,
        );
        let receivers: [&dyn Receiver; 2] = [&reference, &ours];
        rates.extend(contest(
            &receivers,
            traffic,
            Cores::Two(first, second),
            volume,
        )?);
        say("packets per second, two wires on a core each");
        rates.extend(scaling(traffic, [first, second], volume)?);
    }
    Ok(rates)
}

/// What these rates are held against.
pub(super) fn bars(rates: &[Rate]) -> Vec<Bar> {
    let ours = our_name(DOCUMENTED);
    Traffic::NO_RULE
        .into_iter()
        .map(|traffic| {
            let rate = rates.iter().find(|rate| {
                rate.receiver == ours && rate.traffic == traffic.name && rate.cores == 1
            });
            Bar::at_least(
                format!("{}: rate on one core ÷ XDP_DROP program", traffic.name),
                0.9,
                rate.and_then(|rate| rate.ratio),
            )
        })
        .collect()
}
