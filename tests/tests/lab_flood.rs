//! A flood from outside: every port that outsiders may open, from random sources, with
//! listeners that answer. Nothing of it is remembered, and what the edge has opened goes
//! on without losing a packet.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::craft::{Frame, Ip, tcp, udp};
use edge_filter_tests::generate::{Dice, seeded};
use edge_filter_tests::lab::open::Open;
use edge_filter_tests::lab::packet::Injector;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use rand::RngExt;

const PATIENCE: Duration = Duration::from_secs(3);
/// Packets of the flood in a soak run; a tenth otherwise.
const FLOOD: usize = 5_000_000;
/// Frames of the flood between two round trips: fewer than a veth's ring holds.
const BURST: usize = 64;
/// Conversations that go on under the flood: half TCP, half UDP, half IPv4, half IPv6.
const CONVERSATIONS: usize = 100;

/// What listens at the edge, and answers all who ask.
struct Listeners {
    /// The kernel completes their handshakes by itself.
    _web: Vec<TcpListener>,
    stun: Vec<UdpSocket>,
}

/// What the edge has opened.
struct Conversations {
    tcp: Vec<Open>,
    /// The edge's socket, and the world's, which all of one family share.
    udp: Vec<(UdpSocket, UdpSocket)>,
}

impl Listeners {
    fn new(lab: &Lab, plan: &Plan) -> Result<Self> {
        let (mut web, mut stun) = (Vec::new(), Vec::new());
        for address in &plan.external {
            web.push(lab.edge.enter(|| Ok(TcpListener::bind((*address, 443))?))?);
            let socket = lab.edge.enter(|| Ok(UdpSocket::bind((*address, 3478))?))?;
            socket.set_nonblocking(true)?;
            stun.push(socket);
        }
        Ok(Self { _web: web, stun })
    }

    fn answer(&self) {
        let mut buffer = [0; 64];
        for socket in &self.stun {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                // Some of the random sources are nobody's.
                let _ = socket.send_to(&buffer[..length], from);
            }
        }
    }
}

impl Conversations {
    fn open(lab: &Lab, plan: &Plan) -> Result<Self> {
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        for (own, address) in plan.external.iter().zip(&plan.outside) {
            let listener = lab
                .world
                .enter(|| Ok(TcpListener::bind((*address, 5061))?))?;
            let world = lab.world.enter(|| Ok(UdpSocket::bind((*address, 3478))?))?;
            world.set_read_timeout(Some(PATIENCE))?;
            for _ in 0..CONVERSATIONS / 4 {
                tcp.push(Open::with(&lab.edge, &listener, (*address, 5061).into())?);
                let edge = lab.edge.enter(|| Ok(UdpSocket::bind((*own, 0))?))?;
                edge.connect((*address, 3478))?;
                edge.set_read_timeout(Some(PATIENCE))?;
                edge.send(b"x")?;
                world.recv(&mut [0; 16])?;
                udp.push((edge, world.try_clone()?));
            }
        }
        Ok(Self { tcp, udp })
    }

    /// A packet each way of one conversation of each kind.
    fn round_trip(&mut self, round: usize) -> Result<()> {
        let count = self.tcp.len();
        let open = &mut self.tcp[round % count];
        open.speak()?;
        ensure!(open.hears(PATIENCE)?, "a TCP reply is lost");
        let (edge, world) = &self.udp[round % self.udp.len()];
        edge.send(b"x")?;
        let (_, from) = world
            .recv_from(&mut [0; 16])
            .context("a datagram is lost")?;
        ensure!(from == edge.local_addr()?, "somebody else's datagram");
        world.send_to(b"x", from)?;
        edge.recv(&mut [0; 16]).context("a UDP reply is lost")?;
        Ok(())
    }
}

/// A packet from anywhere to a port that is open, from any port or from the same one.
fn stray(dice: &mut Dice, plan: &Plan) -> Ip {
    // Outside of everything that the machine or the filter calls its own.
    let (from, to) = if dice.random_ratio(1, 2) {
        let [a, b, c] = [
            dice.random_range(11..100),
            dice.random(),
            dice.random_range(1..255),
        ];
        (IpAddr::from([a, 20, b, c]), plan.external[0])
    } else {
        let [a, b]: [u16; 2] = [dice.random(), dice.random()];
        (
            IpAddr::from([0x2600, a, b, 0, 0, 0, 0, 9]),
            plan.external[1],
        )
    };
    let port = dice.random_range(1..=65_535);
    let segment = match dice.random_range(0..4) {
        0 => tcp().ports(port, 443),
        1 => tcp().ports(443, 443),
        2 => udp().ports(port, 3478),
        _ => udp().ports(3478, 3478),
    };
    Ip::new(from, to, segment)
}

#[test]
fn a_flood_from_outside_spends_no_state() -> Result<()> {
    let plan = Plan::default();
    let lab = Lab::new(&plan)?;
    let policy = lab.mounts.write("policy.yaml", &sample::both_ways())?;
    // Answers to anybody have somewhere to go.
    lab.edge
        .ip("route add default dev external\nroute add ::/0 dev external\n")?;
    lab.apply(&policy, Mode::Native)?;
    let listeners = Listeners::new(&lab, &plan)?;
    let mut conversations = Conversations::open(&lab, &plan)?;
    let used = lab.status()?.flows.entries_used;
    assert_eq!(used as usize, CONVERSATIONS);

    let injector = Injector::new(&lab.external.world)?;
    let (edge_mac, world_mac) = (lab.external.edge.mac, lab.external.world.mac);
    let dice = &mut seeded(soak::first_seed());
    let rounds = soak::times(FLOOD).div_ceil(BURST);
    for round in 0..rounds {
        for _ in 0..BURST {
            let frame = Frame::from(stray(dice, &plan));
            injector.send(&frame.to(edge_mac).sent_by(world_mac).bytes())?;
        }
        listeners.answer();
        conversations
            .round_trip(round)
            .with_context(|| format!("round {round}"))?;
    }

    let moved = lab.counters()?.moved();
    let count = |direction, id| {
        let found = moved.get(&counter("external", direction, id));
        found.map_or(0, |count| count.packets)
    };
    let sent = (rounds * BURST) as u64;
    println!("{sent} packets, {rounds} round trips of each kind: {moved:?}");
    let received = count("inbound", "web") + count("inbound", "stun");
    assert!(
        received * 100 >= sent * 99,
        "{received} of {sent} were received"
    );
    assert!(count("outbound", "web/reply") > 0 && count("outbound", "stun/reply") > 0);
    let flows = lab.flows()?;
    assert_eq!(flows.entries_used, used, "the flood is remembered");
    assert_eq!(flows.evicted, 0);
    Ok(())
}
