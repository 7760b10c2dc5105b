//! The flow table of a host: what it takes over, what it shows, what it forgets, and
//! that nobody outside can make it do either.

use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::craft::{Frame, Ip, flag, tcp, udp};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::open::Open;
use edge_filter_tests::lab::packet::Injector;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use rand::RngExt;

const PATIENCE: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(300);
/// Random tries to come in by a source port alone.
const TRIES: usize = 10_000;
/// Frames between two looks at the device: fewer than a veth's ring holds.
const BURST: usize = 64;

/// A conversation that the edge opens.
fn open_to(lab: &Lab, to: IpAddr, port: u16) -> Result<Open> {
    Open::new(&lab.edge, &lab.world, SocketAddr::new(to, port))
}

fn lab_with(policy: &str) -> Result<(Lab, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", policy)?;
    Ok((lab, policy))
}

fn lab() -> Result<(Lab, PathBuf)> {
    lab_with(&sample::both_ways())
}

/// A pair of UDP sockets, the edge's connected to the world's.
fn datagrams(lab: &Lab, plan: &Plan, port: u16) -> Result<(UdpSocket, UdpSocket)> {
    let to = SocketAddr::new(plan.outside[0], port);
    let world = lab.world.enter(|| Ok(UdpSocket::bind(to)?))?;
    let edge = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 0))?))?;
    edge.connect(to)?;
    edge.set_read_timeout(Some(PATIENCE))?;
    world.set_read_timeout(Some(PATIENCE))?;
    Ok((edge, world))
}

#[test]
fn what_was_open_before_goes_on_whoever_speaks_next() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    let mapped = match plan.outside[0] {
        IpAddr::V4(address) => IpAddr::from(address.to_ipv6_mapped()),
        IpAddr::V6(_) => unreachable!("the first address is IPv4"),
    };
    let mut open = Vec::new();
    for address in &plan.outside {
        open.push(open_to(&lab, *address, 5061)?);
    }
    // A socket of IPv6 whose packets are IPv4.
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 5061));
    let listener = lab.world.enter(|| Ok(TcpListener::bind(any)?))?;
    open.push(Open::with(&lab.edge, &listener, (mapped, 5061).into())?);
    let mut refused = open_to(&lab, plan.outside[0], 5062)?;
    let (edge, world) = datagrams(&lab, &plan, 3478)?;

    lab.apply(&policy, Mode::Native)?;
    for (number, conversation) in open.iter_mut().enumerate() {
        assert!(conversation.hears(PATIENCE)?, "conversation {number}");
    }
    world.send_to(b"x", edge.local_addr()?)?;
    assert_eq!(edge.recv(&mut [0; 16])?, 1);
    assert!(!refused.hears(SHORT)?, "what no rule allows goes on");
    assert_eq!(lab.status()?.flows.entries_used, 4);
    Ok(())
}

#[test]
fn flows_are_listed_with_their_rules() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.flows()?.flows, []);
    let mut open = Vec::new();
    for address in &plan.outside {
        open.push(open_to(&lab, *address, 5061)?);
    }
    let (edge, _world) = datagrams(&lab, &plan, 3478)?;
    edge.send(b"x")?;
    let flows = lab.flows()?;
    assert_eq!(
        (flows.entries_max, flows.entries_used, flows.evicted),
        (65_536, 3, 0)
    );
    for conversation in &open {
        let (from, to) = (
            conversation.opener.local_addr()?,
            conversation.opener.peer_addr()?,
        );
        let found = flows
            .flows
            .iter()
            .find(|flow| flow.from == from.to_string());
        let found = found.with_context(|| format!("{from} is not listed"))?;
        assert_eq!(found.to, to.to_string());
        assert_eq!(found.rule.as_deref(), Some("sip-out"));
        assert_eq!((&*found.protocol, &*found.state), ("tcp", "open"));
        assert!(
            found.age_seconds <= 5 && found.idle_seconds <= 5,
            "{found:?}"
        );
    }
    assert!(
        flows
            .flows
            .iter()
            .any(|flow| { flow.rule.as_deref() == Some("stun-out") && flow.protocol == "udp" })
    );
    let text = String::from_utf8(lab.run(&["flows"], 0)?.stdout)?;
    assert!(
        text.contains("3 of 65536 entries used, 0 evicted"),
        "{text}"
    );
    let status = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(
        status.contains("flows: 3 of 65536 entries used"),
        "{status}"
    );

    // What the opener closes is over in a minute, and says so.
    drop(open.remove(0));
    std::thread::sleep(SHORT);
    let closing = lab.flows()?.flows;
    assert!(
        closing.iter().any(|flow| flow.state == "closing"),
        "{closing:?}"
    );
    Ok(())
}

#[test]
fn a_table_of_another_size_takes_over_what_the_former_held() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let mut open = open_to(&lab, plan.outside[0], 5061)?;
    let (edge, world) = datagrams(&lab, &plan, 3478)?;
    edge.send(b"x")?;
    // A socket that is not connected is known by its packets alone.
    let loose = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 0))?))?;
    loose.send_to(b"x", (plan.outside[0], 3478))?;
    loose.set_read_timeout(Some(PATIENCE))?;
    let smaller = lab.mounts.write(
        "smaller.yaml",
        &sample::both_ways().replace("default_action", "flows: { entries: 1000 }\ndefault_action"),
    )?;
    for (policy, size) in [(&smaller, 1008), (&policy, 65_536)] {
        lab.apply(policy, Mode::Native)?;
        let flows = lab.status()?.flows;
        assert_eq!((flows.entries_max, flows.entries_used), (size, 3));
        assert!(open.hears(PATIENCE)?, "{size}");
        for socket in [&edge, &loose] {
            world.send_to(b"x", socket.local_addr()?)?;
            assert_eq!(socket.recv(&mut [0; 16])?, 1, "{size}");
        }
        let tables = lab.mounts.pins()?;
        let tables = tables
            .iter()
            .filter(|pin| pin.to_string_lossy().contains("flows/"));
        assert_eq!(tables.count(), 1);
    }
    // One of the same size is the same table, with its ages.
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.flows()?.evicted, 0);
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}

#[test]
fn a_rule_that_is_gone_admits_no_more_replies() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let mut open = open_to(&lab, plan.outside[0], 5061)?;
    let (edge, world) = datagrams(&lab, &plan, 3478)?;
    edge.send(b"x")?;
    let text = sample::both_ways();
    let without: String = text
        .lines()
        .filter(|line| !line.contains("id: sip-out"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let without = lab.mounts.write("without.yaml", &without)?;
    lab.apply(&without, Mode::Native)?;
    assert!(!open.hears(SHORT)?, "its replies are still admitted");
    world.send_to(b"x", edge.local_addr()?)?;
    assert_eq!(
        edge.recv(&mut [0; 16])?,
        1,
        "the other rule's conversation ended"
    );
    let flows = lab.flows()?.flows;
    assert_eq!(flows.len(), 2);
    assert!(flows.iter().any(|flow| flow.rule.is_none()), "{flows:?}");
    let text = String::from_utf8(lab.run(&["flows"], 0)?.stdout)?;
    assert!(text.contains("(allowed no more)"), "{text}");

    // With the rule the conversation goes on: TCP has said it again and again.
    lab.apply(&policy, Mode::Native)?;
    open.opener.set_read_timeout(Some(PATIENCE))?;
    ensure!(open.opener.read(&mut [0; 16])? > 0, "it does not go on");
    Ok(())
}

#[test]
fn nothing_comes_in_by_its_source_port() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let injector = Injector::new(&lab.external.world)?;
    let (edge_mac, world_mac) = (lab.external.edge.mac, lab.external.world.mac);
    let seed = soak::first_seed();
    let dice = &mut seeded(seed);
    let before = lab.external.edge.received()?;
    for number in 0..TRIES {
        let family = number % 2;
        // Neither 443 nor 3478, which are open.
        let port = loop {
            let port = dice.random_range(1..=65_535);
            if ![443, 3478].contains(&port) {
                break port;
            }
        };
        let segment = match number / 2 % 4 {
            0 | 1 => udp().ports(3478, port),
            2 => tcp().ports(5061, port).flags(flag::ACK),
            _ => tcp().ports(5061, port).flags(flag::SYN | flag::ACK),
        };
        let packet = Ip::new(plan.outside[family], plan.external[family], segment);
        let frame = Frame::from(packet).to(edge_mac).sent_by(world_mac).bytes();
        injector.send(&frame)?;
        if number % BURST == 0 {
            // The ring is small.
            lab.external.edge.received()?;
        }
    }
    std::thread::sleep(SHORT);
    let received = (lab.external.edge.received()? - before).packets;
    assert_eq!(received, TRIES as u64, "frames were lost on the wire");
    let moved = lab.counters()?.moved();
    let dropped = moved[&counter("external", "inbound", "drop:default")];
    assert_eq!(dropped.packets, TRIES as u64, "seed {seed}: {moved:?}");
    assert_eq!(moved.len(), 1, "seed {seed}: {moved:?}");
    assert_eq!(lab.status()?.flows.entries_used, 0);
    Ok(())
}

#[test]
fn a_full_table_never_costs_the_opener_its_packet() -> Result<()> {
    let plan = Plan::default();
    let text =
        sample::both_ways().replace("default_action", "flows: { entries: 16 }\ndefault_action");
    let (lab, policy) = lab_with(&text)?;
    lab.apply(&policy, Mode::Native)?;
    let world = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 3478))?))?;
    world.set_read_timeout(Some(PATIENCE))?;
    let mut sockets = Vec::new();
    for number in 0..100_u8 {
        let edge = lab
            .edge
            .enter(|| Ok(UdpSocket::bind((plan.external[0], 0))?))?;
        edge.send_to(&[number], (plan.outside[0], 3478))?;
        let mut buffer = [0; 16];
        let (length, from) = world.recv_from(&mut buffer)?;
        assert_eq!(buffer[..length], [number], "datagram {number} is lost");
        // The newest conversation is never the one that has to give way.
        world.send_to(&[number], from)?;
        edge.set_read_timeout(Some(PATIENCE))?;
        assert_eq!(edge.recv(&mut buffer)?, 1, "answer {number} is lost");
        sockets.push(edge);
    }
    let flows = lab.flows()?;
    assert!(flows.entries_used <= 16, "{flows:?}");
    assert_eq!(
        flows.evicted,
        100 - u64::from(flows.entries_used),
        "{flows:?}"
    );
    Ok(())
}

#[test]
fn a_table_whose_pin_was_removed_is_reported_and_made_anew() -> Result<()> {
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let pins = lab.mounts.pins()?;
    let table = pins
        .iter()
        .find(|pin| pin.to_string_lossy().contains("flows/"))
        .context("no flow table is pinned")?;
    std::fs::remove_file(lab.mounts.outside("bpffs").join(table))?;
    let status = String::from_utf8(lab.run(&["status"], 0)?.stdout)?;
    assert!(status.contains("external"), "{status}");
    assert!(
        status.contains("somebody removed the pin of the flow table"),
        "{status}"
    );
    let error = String::from_utf8(lab.run(&["flows"], 1)?.stderr)?;
    assert!(
        error.contains("`edge-filter apply` makes a new table"),
        "{error}"
    );
    lab.apply(&policy, Mode::Native)?;
    assert_eq!(lab.status()?.flows.entries_max, 65_536);
    Ok(())
}

/// What another version remembers, this one cannot read: sockets that are open go on all
/// the same.
#[test]
fn a_table_of_another_version_is_passed_over() -> Result<()> {
    let plan = Plan::default();
    let (lab, policy) = lab()?;
    lab.apply(&policy, Mode::Native)?;
    let mut open = open_to(&lab, plan.outside[0], 5061)?;
    let pins = lab.mounts.outside("bpffs/edge-filter/flows");
    let table = std::fs::read_dir(&pins)?
        .next()
        .context("no flow table is pinned")??;
    std::fs::rename(table.path(), pins.join("1-v1"))?;
    lab.apply(&policy, Mode::Native)?;
    assert!(open.hears(PATIENCE)?);
    assert_eq!(lab.status()?.flows.entries_used, 1);
    assert!(!pins.join("1-v1").exists(), "the former table is left");
    assert_eq!(std::fs::read_dir(&pins)?.count(), 1);
    Ok(())
}
