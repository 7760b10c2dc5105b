//! Section 13, as conversations between a gateway's sides. Section 14's own tests
//! stand with it.

use std::net::{IpAddr, SocketAddr};

use jiff::civil::date;

use super::*;
use crate::policy::model::conversations::Conversations;
use crate::policy::{PacketSpec, packet, read};

/// `outside` faces the world, `inside` what the gateway protects.
const GATEWAY: &str = r"
version: 1
name: gateway
interfaces:
  outside: { outbound: enforce }
  inside: { trust: trusted, outbound: enforce }
default_action: drop
groups:
  - name: all
    rules:
      - { id: web-in, interface: outside, direction: inbound, protocol: tcp, to: { networks: [192.0.2.10], ports: [443] }, action: allow }
      - { id: stun-in, interface: outside, direction: inbound, protocol: udp, to: { networks: [192.0.2.10], ports: [3478] }, action: allow }
      - { id: ping-in, interface: outside, direction: inbound, protocol: icmp, to: { networks: [192.0.2.10] }, action: allow }
      - { id: sip-out, interface: outside, direction: outbound, protocol: tcp, to: { ports: [5061] }, action: allow }
      - { id: udp-out, interface: outside, direction: outbound, protocol: udp, action: allow }
      - { id: never, interface: outside, direction: outbound, protocol: tcp, to: { ports: [666] }, action: drop, replies: drop }
      - { id: browse, interface: inside, direction: inbound, protocol: tcp, to: { ports: [80] }, action: allow }
      - { id: ask, interface: inside, direction: inbound, protocol: icmp, action: allow }
      - { id: inwards, interface: inside, direction: outbound, protocol: tcp, to: { ports: [443, 5432] }, action: allow }
";

/// What happened, step by step.
struct Story {
    policy: Policy,
    conversations: Conversations,
    now: u64,
}

impl Story {
    fn of(text: &str) -> Self {
        let checked = read("gateway.yaml", text, date(2026, 1, 1));
        let policy = checked.unwrap_or_else(|errors| panic!("{errors:?}")).policy;
        Self {
            policy,
            conversations: Conversations::default(),
            now: 1000,
        }
    }

    fn gateway() -> Self {
        Self::of(GATEWAY)
    }

    /// `hook` is a role, and `<` for inbound or `>` for outbound; `packet` is a
    /// protocol, two ends and TCP flags. The counter that moves.
    fn sees(&mut self, hook: &str, packet: &str) -> String {
        let (role, side) = hook.split_at(hook.len() - 1);
        let direction = if side == "<" {
            Direction::Inbound
        } else {
            Direction::Outbound
        };
        let frame = frame_of(&self.policy, role, direction, packet);
        self.judge(role, direction, &frame)
    }

    fn judge(&mut self, role: &str, direction: Direction, frame: &[u8]) -> String {
        let model = Model::new(&self.policy, role, direction, false).unwrap();
        let verdict = model.judge_at(frame, self.now, &mut self.conversations);
        verdict.counter.to_string()
    }

    fn entries(&self) -> usize {
        self.conversations.live(self.now).count()
    }
}

fn frame_of(policy: &Policy, role: &str, direction: Direction, text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [protocol, from, to, ref flags @ ..] = words[..] else {
        panic!("{text}: protocol, from, to and flags");
    };
    let end = |text: &str| -> (IpAddr, Option<u16>) {
        text.parse::<SocketAddr>().map_or_else(
            |_| (text.parse().unwrap(), None),
            |socket| (socket.ip(), Some(socket.port())),
        )
    };
    let ((source, source_port), (destination, destination_port)) = (end(from), end(to));
    let flags = flags
        .iter()
        .flat_map(|flags| flags.chars())
        .map(|flag| match flag {
            'F' => 0x01,
            'S' => 0x02,
            'R' => 0x04,
            'A' => 0x10,
            other => panic!("{other} is no flag"),
        });
    let spec = PacketSpec {
        interface: role.to_owned(),
        direction,
        protocol: match protocol {
            "tcp" => 6,
            "udp" => 17,
            other => panic!("{other}"),
        },
        source,
        source_port,
        destination,
        destination_port,
        tcp_flags: (protocol == "tcp").then(|| flags.fold(0, |all, flag| all | flag)),
    };
    packet::frame(policy, &spec).unwrap()
}

/// An ICMP message of `kind` with an identifier, or whatever stands there.
fn icmp_between(from: &str, to: &str, kind: u8, identifier: u16) -> Vec<u8> {
    let mut message = icmp(kind, 0, &[0; 8]);
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    ethernet(0x0800, &v4_between(from, to, 1, &[], &message))
}

/// An ICMP error of `kind` about an IPv4 packet with a header of transport.
fn error_about(from: &str, to: &str, quoted: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &v4_between(from, to, 1, &[], &icmp(3, 1, quoted)))
}

#[test]
fn a_reply_needs_the_conversation_that_it_answers() {
    let mut story = Story::gateway();
    let answer = "tcp 198.51.100.7:5061 192.0.2.10:40000 SA";
    assert_eq!(story.sees("outside<", answer), "drop:default");
    assert_eq!(
        story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S"),
        "sip-out"
    );
    assert_eq!(story.sees("outside<", answer), "sip-out/reply");
    for other in [
        "tcp 198.51.100.7:5061 192.0.2.10:40001 A",
        "tcp 198.51.100.7:5062 192.0.2.10:40000 A",
        "tcp 198.51.100.8:5061 192.0.2.10:40000 A",
        "tcp 198.51.100.7:5061 192.0.2.11:40000 A",
        "udp 198.51.100.7:5061 192.0.2.10:40000",
    ] {
        assert_eq!(story.sees("outside<", other), "drop:default", "{other}");
    }
}

#[test]
fn a_bare_syn_is_never_a_reply() {
    let mut story = Story::gateway();
    story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S");
    let syn = "tcp 198.51.100.7:5061 192.0.2.10:40000 S";
    assert_eq!(story.sees("outside<", syn), "drop:default");
    // To what outsiders open, neither.
    let syn = "tcp 192.0.2.10:443 198.51.100.7:50000 S";
    assert_eq!(story.sees("outside>", syn), "drop:default");
}

#[test]
fn what_outsiders_open_is_answered_without_an_entry() {
    let mut story = Story::gateway();
    assert_eq!(
        story.sees("outside<", "tcp 198.51.100.7:50000 192.0.2.10:443 S"),
        "web-in"
    );
    assert_eq!(
        story.sees("outside>", "tcp 192.0.2.10:443 198.51.100.7:50000 SA"),
        "web-in/reply"
    );
    assert_eq!(
        story.sees("inside<", "tcp 192.0.2.10:443 198.51.100.7:50000 A"),
        "web-in/reply"
    );
    assert_eq!(story.entries(), 0);
}

/// From outside a source port opens nothing.
#[test]
fn no_mirror_is_taken_from_outside() {
    let mut story = Story::gateway();
    for packet in [
        "tcp 198.51.100.7:443 192.0.2.10:50000 A",
        "udp 198.51.100.7:3478 192.0.2.10:50000",
        "tcp 192.0.2.10:443 198.51.100.7:50000 A",
    ] {
        assert_eq!(story.sees("outside<", packet), "drop:default", "{packet}");
    }
    assert_eq!(
        story.sees("inside>", "tcp 192.0.2.10:443 198.51.100.7:50000 A"),
        "drop:default"
    );
}

/// A rule decides what outsiders could provoke, but nothing is recorded of it.
#[test]
fn an_answer_to_outsiders_makes_no_entry() {
    let mut story = Story::gateway();
    let answer = "udp 192.0.2.10:3478 198.51.100.7:50000";
    assert_eq!(story.sees("outside>", answer), "udp-out");
    assert_eq!(story.entries(), 0);
    assert_eq!(
        story.sees("outside>", "udp 192.0.2.10:3479 198.51.100.7:50000"),
        "udp-out"
    );
    assert_eq!(story.entries(), 1);
}

/// What is forwarded to the inside was opened by an outsider.
#[test]
fn a_forwarded_packet_of_outsiders_makes_no_entry() {
    let mut story = Story::gateway();
    let packet = "tcp 198.51.100.7:50000 192.0.2.10:443 S";
    assert_eq!(story.sees("outside<", packet), "web-in");
    assert_eq!(story.sees("inside>", packet), "inwards");
    assert_eq!(story.entries(), 0);
    // The gateway itself may open the same service of another host.
    assert_eq!(
        story.sees("inside>", "tcp 10.0.0.1:50000 10.0.0.9:5432 S"),
        "inwards"
    );
    assert_eq!(story.entries(), 1);
    assert_eq!(
        story.sees("inside<", "tcp 10.0.0.9:5432 10.0.0.1:50000 SA"),
        "inwards/reply"
    );
}

#[test]
fn what_the_inside_opens_is_answered_on_any_device() {
    let mut story = Story::gateway();
    assert_eq!(
        story.sees("inside<", "tcp 10.0.0.9:50000 198.51.100.7:80 S"),
        "browse"
    );
    let answer = "tcp 198.51.100.7:80 10.0.0.9:50000 SA";
    for hook in ["outside<", "inside>", "inside<", "outside>"] {
        assert_eq!(story.sees(hook, answer), "browse/reply", "{hook}");
    }
}

#[test]
fn what_never_makes_an_entry() {
    for flags in ["SA", "R", "RA"] {
        let mut story = Story::gateway();
        let packet = format!("tcp 192.0.2.10:40000 198.51.100.7:5061 {flags}");
        assert_eq!(story.sees("outside>", &packet), "sip-out");
        assert_eq!(story.entries(), 0, "{flags}");
    }
    for flags in ["S", "A", "FA"] {
        let mut story = Story::gateway();
        story.sees(
            "outside>",
            &format!("tcp 192.0.2.10:40000 198.51.100.7:5061 {flags}"),
        );
        assert_eq!(story.entries(), 1, "{flags}");
    }
}

/// SYN and ACK from the opener's side keeps nothing alive.
#[test]
fn a_syn_ack_refreshes_nothing() {
    let mut story = Story::gateway();
    story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S");
    story.now += 7440;
    story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 SA");
    assert_eq!(story.entries(), 1);
    story.now += 1;
    assert_eq!(story.entries(), 0);
}

#[test]
fn only_echoes_open_and_answer_among_icmp() {
    let mut story = Story::gateway();
    let mut sees = |role: &str, direction, from: &str, to: &str, kind, identifier| {
        let frame = icmp_between(from, to, kind, identifier);
        story.judge(role, direction, &frame)
    };
    let (host, there) = ("10.0.0.9", "198.51.100.7");
    let inbound = Direction::Inbound;
    // A timestamp is no echo, though the rule allows it.
    assert_eq!(sees("inside", inbound, host, there, 13, 7), "ask");
    assert_eq!(sees("outside", inbound, there, host, 0, 7), "drop:default");
    assert_eq!(sees("inside", inbound, host, there, 8, 7), "ask");
    assert_eq!(sees("outside", inbound, there, host, 0, 8), "drop:default");
    assert_eq!(sees("outside", inbound, there, host, 14, 7), "drop:default");
    assert_eq!(sees("outside", inbound, there, host, 0, 7), "ask/reply");
    // The number of the other family's echo reply is nothing here.
    assert_eq!(
        sees("outside", inbound, there, host, 129, 7),
        "drop:default"
    );
    // An echo reply of the host answers what outsiders asked.
    let outbound = Direction::Outbound;
    assert_eq!(
        sees("outside", outbound, "192.0.2.10", there, 0, 9),
        "ping-in/reply"
    );
    assert_eq!(
        sees("outside", outbound, "192.0.2.10", there, 14, 9),
        "drop:default"
    );
}

/// A packet quoted as it was sent: TCP between two ends.
fn quoted_tcp(from: &str, to: &str, source: u16, destination: u16) -> Vec<u8> {
    v4_between(from, to, 6, &[], &tcp(source, destination))
}

#[test]
fn errors_pass_that_are_about_a_conversation() {
    let mut story = Story::gateway();
    let (edge, host, client) = ("192.0.2.10", "192.0.2.20", "198.51.100.7");
    let inbound = Direction::Inbound;
    let outbound = Direction::Outbound;
    // About what the host answers to outsiders.
    let answer = error_about("203.0.113.1", edge, &quoted_tcp(edge, client, 443, 50_000));
    assert_eq!(story.judge("outside", inbound, &answer), "icmp-error");
    // About what it opens, once it has.
    let opened = error_about("203.0.113.1", host, &quoted_tcp(host, client, 40_000, 5061));
    assert_eq!(story.judge("outside", inbound, &opened), "drop:default");
    story.sees("outside>", "tcp 192.0.2.20:40000 198.51.100.7:5061 S");
    assert_eq!(story.judge("outside", inbound, &opened), "icmp-error");
    // What the host says of packets from outside: that opened, and that answered.
    let refused = error_about(edge, client, &quoted_tcp(client, edge, 50_000, 443));
    assert_eq!(story.judge("outside", outbound, &refused), "icmp-error");
    let too_big = error_about(host, client, &quoted_tcp(client, host, 5061, 40_000));
    assert_eq!(story.judge("outside", outbound, &too_big), "icmp-error");
    let nothing = error_about(host, client, &quoted_tcp(client, host, 5061, 40_001));
    assert_eq!(story.judge("outside", outbound, &nothing), "drop:default");
    // Forwarded to the inside, about what the inside answers to outsiders.
    assert_eq!(story.judge("inside", outbound, &answer), "icmp-error");
}

#[test]
fn an_error_about_an_echo_needs_its_identifier() {
    let mut story = Story::gateway();
    let (host, there) = ("10.0.0.9", "198.51.100.7");
    let request = icmp_between(host, there, 8, 7);
    assert_eq!(story.judge("inside", Direction::Inbound, &request), "ask");
    for (kind, identifier, expected) in [
        (8, 7, "icmp-error"),
        (8, 8, "drop:default"),
        (13, 7, "drop:default"),
    ] {
        let sent = icmp_between(host, there, kind, identifier);
        let error = error_about("203.0.113.1", host, &sent[14..]);
        let counter = story.judge("outside", Direction::Inbound, &error);
        assert_eq!(counter, expected, "{kind} {identifier}");
    }
}

#[test]
fn a_drop_beats_replies_only_where_it_says_so() {
    for (replies, expected) in [("", "sip-out/reply"), ("replies: drop, ", "no-more")] {
        let drop = format!(
            "      - {{ id: no-more, interface: outside, direction: inbound, {replies}action: drop }}\n"
        );
        let mut story = Story::of(&(GATEWAY.to_owned() + &drop));
        story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S");
        let answer = "tcp 198.51.100.7:5061 192.0.2.10:40000 SA";
        assert_eq!(story.sees("outside<", answer), expected);
        let other = "tcp 198.51.100.7:5061 192.0.2.10:40001 SA";
        assert_eq!(story.sees("outside<", other), "no-more");
    }
}

/// The policy in force decides, not the one that made the entry.
#[test]
fn an_entry_without_its_rule_admits_nothing() {
    let mut story = Story::gateway();
    story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S");
    let without = GATEWAY.lines().filter(|line| !line.contains("id: sip-out"));
    let mut next = Story::of(&without.collect::<Vec<_>>().join("\n"));
    next.conversations = story.conversations.clone();
    let answer = "tcp 198.51.100.7:5061 192.0.2.10:40000 SA";
    assert_eq!(next.sees("outside<", answer), "drop:default");
    assert_eq!(story.sees("outside<", answer), "sip-out/reply");
}

/// A drop in one role's list says nothing of another's.
#[test]
fn a_list_speaks_for_its_own_role() {
    let drop = "      - { id: nothing-more, interface: outside, direction: outbound, action: drop }
      - { id: late, interface: outside, direction: outbound, action: allow }\n";
    let mut story = Story::of(&(GATEWAY.to_owned() + drop));
    story.sees("inside<", "tcp 10.0.0.9:50000 198.51.100.7:80 S");
    let answer = "tcp 198.51.100.7:80 10.0.0.9:50000 SA";
    assert_eq!(story.sees("outside<", answer), "browse/reply");
}

#[test]
fn a_hook_that_only_tracks_records_and_drops_nothing() {
    let text = GATEWAY.replace(
        "outside: { outbound: enforce }",
        "outside: { outbound: track }",
    );
    let mut story = Story::of(&text);
    assert_eq!(
        story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S"),
        "sip-out"
    );
    assert_eq!(story.entries(), 1);
    for packet in [
        "tcp 192.0.2.10:40000 198.51.100.7:25 S",
        "tcp 192.0.2.10:40000 198.51.100.7:666 S",
        "tcp 192.0.2.10:443 198.51.100.7:50000 SA",
    ] {
        assert_eq!(
            story.sees("outside>", packet),
            "allow:untracked",
            "{packet}"
        );
    }
    assert_eq!(story.entries(), 1);
    assert_eq!(
        story.sees("outside<", "tcp 198.51.100.7:5061 192.0.2.10:40000 SA"),
        "sip-out/reply"
    );
}

#[test]
fn the_rules_of_an_ignored_side_open_nothing() {
    let mut story = Story::gateway();
    story.policy.interfaces[0].outbound = Outbound::Ignore;
    story.sees("inside<", "tcp 10.0.0.9:50000 198.51.100.7:80 S");
    assert_eq!(
        story.sees("outside<", "tcp 198.51.100.7:80 10.0.0.9:50000 SA"),
        "browse/reply"
    );
    assert_eq!(
        story.sees("outside<", "tcp 198.51.100.7:5061 10.0.0.9:50000 SA"),
        "drop:default"
    );
}

#[test]
fn audit_mode_lets_replies_be_replies() {
    let mut story = Story::of(&GATEWAY.replace("version: 1", "version: 1\nmode: audit"));
    story.sees("outside>", "tcp 192.0.2.10:40000 198.51.100.7:5061 S");
    let answer = "tcp 198.51.100.7:5061 192.0.2.10:40000 SA";
    assert_eq!(story.sees("outside<", answer), "sip-out/reply");
    let other = "tcp 198.51.100.7:5061 192.0.2.10:40001 SA";
    assert_eq!(story.sees("outside<", other), "audit:default");
}

#[test]
fn which_hooks_are_attached() {
    let gateway = Story::gateway().policy;
    let attached = |policy: &Policy| {
        let mut hooks = Vec::new();
        for role in &policy.interfaces {
            for (direction, side) in [(Direction::Inbound, '<'), (Direction::Outbound, '>')] {
                if policy.is_attached(&role.name, direction) {
                    hooks.push(format!("{}{side}", role.name));
                }
            }
        }
        hooks.join(" ")
    };
    assert_eq!(attached(&gateway), "outside< outside> inside< inside>");
    let keeping = |ids: &[&str], outbound: Outbound| {
        let mut policy = gateway.clone();
        policy.rules.retain(|rule| ids.contains(&&*rule.id));
        for role in &mut policy.interfaces {
            role.outbound = outbound;
        }
        attached(&policy)
    };
    assert_eq!(keeping(&[], Outbound::Enforce), "");
    assert_eq!(keeping(&["web-in"], Outbound::Enforce), "outside< outside>");
    assert_eq!(keeping(&["web-in"], Outbound::Track), "outside<");
    assert_eq!(keeping(&["web-in"], Outbound::Ignore), "outside<");
    assert_eq!(keeping(&["sip-out"], Outbound::Track), "outside< outside>");
    assert_eq!(keeping(&["sip-out"], Outbound::Ignore), "");
    assert_eq!(keeping(&["browse"], Outbound::Ignore), "outside< inside<");
    assert_eq!(
        keeping(&["browse"], Outbound::Enforce),
        "outside< inside< inside>"
    );
}
