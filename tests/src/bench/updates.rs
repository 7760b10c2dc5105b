//! How long it takes to put other rules in place of those in force: `edge-filter apply`
//! beside `nft -f`, from the start of the process to its end; of ours also to the first
//! packet that the new rules let pass, while packets keep coming.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::peers::{Form, NFT, Rules, script};
use super::progress::say;
use super::receiver::lab;
use super::ruleset;
use super::section::{Section, columns, table};
use super::spread::Spread;
use crate::craft::{Frame, Ip, tcp};
use crate::lab::Lab;
use crate::lab::packet::{Ear, Injector};
use crate::lab::product::{Mode, expect_exit};

/// The updates of one filter, with one number of rules.
#[derive(Debug, Clone, Serialize)]
pub struct Update {
    /// The filter.
    pub filter: String,
    /// The number of rules, before and after.
    pub rules: usize,
    /// Seconds from the start of the process to its end.
    pub done: Spread,
    /// Seconds from its start to the first packet that passes by the new rules, if that
    /// was looked for.
    pub first_packet: Option<Spread>,
}

/// The numbers of rules.
const SIZES: [usize; 2] = [10, 10_000];

/// The port that every other update opens.
const OPENED: u16 = 8443;
/// The one that the others open.
const OTHER: u16 = 8444;

/// Where the packets go.
const EDGE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 200));
/// What they carry.
const TOKEN: &[u8] = b"edge-filter bench";
/// The time between two of them.
const INTERVAL: Duration = Duration::from_micros(50);
/// How long the first of them to pass may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures `count` updates of each kind.
pub(super) fn measure(count: u32) -> Result<Vec<Update>> {
    let mut updates = Vec::new();
    for rules in SIZES {
        say(format_args!("updates of {rules} rules"));
        updates.push(of_edge_filter(rules, count)?);
        for form in [Form::Rules, Form::Sets] {
            updates.extend(of_nftables(rules, form, count)?);
        }
    }
    Ok(updates)
}

fn of_edge_filter(rules: usize, count: u32) -> Result<Update> {
    let lab = lab()?;
    let policy = |name, port| lab.mounts.write(name, &ruleset::opening(rules, port));
    let (closed, opened) = (
        policy("closed.yaml", OTHER)?,
        policy("opened.yaml", OPENED)?,
    );
    let (mut done, mut first_packet) = (Vec::new(), Vec::new());
    for _ in 0..count {
        lab.apply(&closed, Mode::Native)?;
        let (end, first) = watched(&lab, &opened)?;
        done.push(end.as_secs_f64());
        first_packet.push(first.as_secs_f64());
    }
    Ok(Update {
        filter: "edge-filter apply".to_owned(),
        rules,
        done: Spread::of(done).context("there is an update")?,
        first_packet: Spread::of(first_packet),
    })
}

/// Applies `policy` under packets that only it lets pass: how long the process takes, and how
/// long it is to the first of them.
fn watched(lab: &Lab, policy: &Path) -> Result<(Duration, Duration)> {
    let wire = &lab.external;
    let injector = Injector::new(&wire.world)?;
    let segment = tcp().to_port(OPENED).data(TOKEN);
    let frame = Frame::from(Ip::new(PEER, EDGE, segment)).to(wire.edge.mac);
    let frame = frame.bytes();
    let ear = Ear::new(&wire.edge)?;
    let mut apply = lab.apply_command(policy, Mode::Native)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| -> Result<()> {
            let deadline = Instant::now() + PATIENCE;
            while !over.load(Ordering::Relaxed) && Instant::now() < deadline {
                injector.send(&frame)?;
                sleep(INTERVAL);
            }
            Ok(())
        });
        let begin = Instant::now();
        let hearing = scope.spawn(move || -> Result<Duration> {
            ensure!(
                ear.hears(TOKEN, PATIENCE)?,
                "no packet passes by the new rules"
            );
            Ok(begin.elapsed())
        });
        let applied = expect_exit(&mut apply, 0).map(|_| begin.elapsed());
        let heard = hearing.join().expect("it does not panic");
        over.store(true, Ordering::Relaxed);
        sending.join().expect("it does not panic")?;
        Ok((applied?, heard?))
    })
}

/// `None` if nftables is not installed.
fn of_nftables(rules: usize, form: Form, count: u32) -> Result<Option<Update>> {
    let Some(nft) = NFT.find() else {
        return Ok(None);
    };
    let lab = lab()?;
    let file = |name, port| {
        let rules = Rules::read(&ruleset::opening(rules, port), ruleset::ROLE)?;
        lab.mounts.write(name, &script(&rules, form))
    };
    let (closed, opened) = (file("closed.nft", OTHER)?, file("opened.nft", OPENED)?);
    let load = |file| {
        let mut load = lab.edge.command_in(&nft, &lab.mounts);
        let begin = Instant::now();
        expect_exit(load.arg("-f").arg(file), 0).map(|_| begin.elapsed())
    };
    let mut done = Vec::new();
    for _ in 0..count {
        load(&closed)?;
        done.push(load(&opened)?.as_secs_f64());
    }
    Ok(Some(Update {
        filter: format!("nft -f, as {}", form.as_str()),
        rules,
        done: Spread::of(done).context("there is an update")?,
        first_packet: None,
    }))
}

/// The figures as a section.
pub(super) fn section(updates: &[Update]) -> Section {
    let names = [
        "rules",
        "update",
        "median ms",
        "least",
        "most",
        "to the first packet, median ms",
        "least",
        "most",
    ];
    let mut table = table(&names, 2..names.len());
    let milliseconds = |spread| columns(spread, |seconds| format!("{:.1}", seconds * 1e3));
    for update in updates {
        let mut row = vec![update.rules.to_string(), update.filter.clone()];
        row.extend(milliseconds(update.done));
        row.extend(update.first_packet.into_iter().flat_map(milliseconds));
        table.add_row(row);
    }
    Section {
        title: "Updates of the rules in force",
        about: "From the start of the process to its end; of edge-filter's also to the first \
                packet that\nthe new rules let pass."
            .to_owned(),
        table,
    }
}
