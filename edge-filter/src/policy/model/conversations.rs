//! Section 14: the conversations that the trusted side has opened, and the time.

use std::collections::HashMap;
use std::net::IpAddr;

use super::protocol::TCP;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// Seconds that a TCP conversation may be idle: 2 h 4 min (RFC 5382, REQ-5).
const TCP_IDLE: u64 = 7440;
/// The same once it is closing, or was reset.
const TCP_ENDING_IDLE: u64 = 60;
/// Seconds that any other may be idle (RFC 4787, REQ-5).
const OTHER_IDLE: u64 = 120;

/// A conversation, as its opener sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// The opener's address.
    pub source: IpAddr,
    /// The other side's.
    pub destination: IpAddr,
    /// The IP protocol number.
    pub protocol: u8,
    /// Source and destination port; of an ICMP echo, its identifier twice; 0 if the
    /// protocol has neither.
    pub ports: (u16, u16),
}

/// How far a conversation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Open,
    /// TCP, and its opener has sent FIN or RST.
    Closing,
    /// TCP, and the other side has sent RST.
    Reset,
}

/// What is known of a conversation. Times are whole seconds of one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversation {
    /// When the entry was made.
    pub made: u64,
    /// When its opener used it last, or the other side reset it.
    pub used: u64,
    /// How far it has come.
    pub state: State,
}

/// The flow table of a host, shared by all its hooks, and without a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conversations(HashMap<Tuple, Conversation>);

impl Conversations {
    /// Every conversation that is live at the second `now`.
    pub fn live(&self, now: u64) -> impl Iterator<Item = (&Tuple, &Conversation)> {
        self.0
            .iter()
            .filter(move |(tuple, conversation)| conversation.is_live(tuple.protocol, now))
    }

    /// The conversation of `tuple`, if it is live at the second `now`.
    #[must_use]
    pub fn get(&self, tuple: &Tuple, now: u64) -> Option<&Conversation> {
        self.0
            .get(tuple)
            .filter(|conversation| conversation.is_live(tuple.protocol, now))
    }

    /// Section 14.3: its opener sends a packet with these TCP flags (0 if it is not
    /// TCP), which makes an entry unless it is RST.
    pub(crate) fn record(&mut self, tuple: Tuple, tcp_flags: u8, now: u64) {
        let has = |flag: u8| tcp_flags & flag != 0;
        let before = self.get(&tuple, now).copied();
        if before.is_none() && has(RST) {
            return;
        }
        let state = match before.map(|conversation| conversation.state) {
            _ if has(FIN) || has(RST) => State::Closing,
            Some(State::Closing) if !has(SYN) => State::Closing,
            _ => State::Open,
        };
        let made = before.map_or(now, |conversation| conversation.made);
        self.0.insert(
            tuple,
            Conversation {
                made,
                used: now,
                state,
            },
        );
    }

    /// Section 14.4: the other side answers with these TCP flags. Whether there is
    /// anything to answer.
    pub(super) fn answer(&mut self, tuple: &Tuple, tcp_flags: u8, now: u64) -> bool {
        if self.get(tuple, now).is_none() {
            return false;
        }
        if let Some(conversation) = self.0.get_mut(tuple)
            && conversation.state == State::Open
            && tcp_flags & RST != 0
        {
            conversation.state = State::Reset;
            conversation.used = now;
        }
        true
    }
}

impl Conversation {
    /// Section 14.2.
    fn is_live(&self, protocol: u8, now: u64) -> bool {
        let idle = match (protocol, self.state) {
            (TCP, State::Open) => TCP_IDLE,
            (TCP, _) => TCP_ENDING_IDLE,
            _ => OTHER_IDLE,
        };
        now.saturating_sub(self.used) <= idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::protocol::UDP;

    const ACK: u8 = 0x10;

    fn tuple(protocol: u8) -> Tuple {
        Tuple {
            source: "192.0.2.10".parse().unwrap(),
            destination: "198.51.100.7".parse().unwrap(),
            protocol,
            ports: (40_000, 5061),
        }
    }

    /// What has become of a TCP conversation after its opener (`>`) and the other
    /// side (`<`) have sent packets with these flags, all in the second 1000.
    fn after(packets: &str) -> Option<State> {
        let mut conversations = Conversations::default();
        for packet in packets.split_whitespace() {
            let (side, flags) = packet.split_at(1);
            let flags = flags.chars().fold(0, |flags, flag| {
                flags
                    | match flag {
                        'S' => SYN,
                        'A' => ACK,
                        'F' => FIN,
                        'R' => RST,
                        other => panic!("{other} is no flag"),
                    }
            });
            if side == ">" {
                conversations.record(tuple(TCP), flags, 1000);
            } else {
                conversations.answer(&tuple(TCP), flags, 1000);
            }
        }
        let found = conversations.get(&tuple(TCP), 1000);
        found.map(|conversation| conversation.state)
    }

    #[test]
    fn how_tcp_comes_to_its_end() {
        for (packets, state) in [
            (">S", Some(State::Open)),
            (">A", Some(State::Open)),
            (">FA", Some(State::Closing)),
            (">R", None),
            (">RA", None),
            (">S <SA >A", Some(State::Open)),
            (">S >FA", Some(State::Closing)),
            (">S >R", Some(State::Closing)),
            (">S >FA >A", Some(State::Closing)),
            (">S >FA >S", Some(State::Open)),
            (">S <FA", Some(State::Open)),
            (">S <RA", Some(State::Reset)),
            (">S <RA >A", Some(State::Open)),
            (">S <RA >FA", Some(State::Closing)),
            (">S >FA <R", Some(State::Closing)),
            ("<R", None),
        ] {
            assert_eq!(after(packets), state, "{packets}");
        }
    }

    /// The last second in which a conversation is live, counted from its last use.
    fn lasts(conversations: &Conversations, tuple: &Tuple, used: u64) -> u64 {
        let end = (used..used + 10_000).find(|&now| conversations.get(tuple, now).is_none());
        end.expect("it ends") - used - 1
    }

    #[test]
    fn how_long_a_conversation_may_be_idle() {
        for (protocol, flags, idle) in [
            (TCP, SYN, 7440),
            (TCP, FIN | ACK, 60),
            (UDP, 0, 120),
            (132, 0, 120),
            (1, 0, 120),
            (47, 0, 120),
        ] {
            let mut conversations = Conversations::default();
            conversations.record(tuple(protocol), flags, 50);
            assert_eq!(lasts(&conversations, &tuple(protocol), 50), idle);
        }
        let mut conversations = Conversations::default();
        conversations.record(tuple(TCP), SYN, 50);
        assert!(conversations.answer(&tuple(TCP), RST, 90));
        assert_eq!(lasts(&conversations, &tuple(TCP), 90), 60);
        // Saying so again does not make it last.
        assert!(conversations.answer(&tuple(TCP), RST, 100));
        assert_eq!(lasts(&conversations, &tuple(TCP), 90), 60);
    }

    /// What the other side sends keeps nothing alive; what the opener sends does.
    #[test]
    fn only_the_opener_refreshes() {
        let mut conversations = Conversations::default();
        conversations.record(tuple(UDP), 0, 1000);
        assert!(conversations.answer(&tuple(UDP), 0, 1100));
        assert!(conversations.answer(&tuple(UDP), 0, 1120));
        assert!(!conversations.answer(&tuple(UDP), 0, 1121));
        conversations.record(tuple(UDP), 0, 1200);
        conversations.record(tuple(UDP), 0, 1300);
        assert!(conversations.answer(&tuple(UDP), 0, 1420));
        let found = conversations.get(&tuple(UDP), 1420).unwrap();
        assert_eq!((found.made, found.used), (1200, 1300));
    }

    #[test]
    fn the_other_way_round_is_another_conversation() {
        let mut conversations = Conversations::default();
        conversations.record(tuple(TCP), SYN, 0);
        let there = tuple(TCP);
        let back = Tuple {
            source: there.destination,
            destination: there.source,
            ports: (there.ports.1, there.ports.0),
            ..there
        };
        assert!(conversations.get(&back, 0).is_none());
        assert_eq!(conversations.live(0).count(), 1);
        assert_eq!(conversations.live(7441).count(), 0);
    }
}
