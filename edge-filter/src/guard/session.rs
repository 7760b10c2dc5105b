//! Which connection the command came by: of those that are open, the one that it, or a
//! process that it descends from, belongs to.
//!
//! `SSH_CONNECTION` names it where it is there, which it is not behind `sudo`; but sudo
//! has a parent whose environment still has it, and up the line stands the `sshd` that
//! holds the connection itself. Both are asked, for neither is always right: a variable
//! outlives its connection where a terminal multiplexer does, and `sshd` may be out of
//! sight. What is named counts only if the kernel says that it is established.

use std::net::{IpAddr, SocketAddr};

use crate::kernel::processes::Process;
use crate::kernel::sockets::Connection;

/// What servers of SSH call the processes that hold a session's connection.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "dropbear", "tinysshd"];

/// What is known of the session without asking for sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Traces {
    /// The connections that variables name, the nearest process's first.
    named: Vec<Named>,
    /// The sockets of each server of SSH, in the order of their descriptors.
    held: Vec<Vec<u64>>,
    /// A server of SSH whose sockets this process may not see.
    pub(super) unseen: Option<u32>,
}

/// A connection in the words of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    peer: SocketAddr,
    /// Only `SSH_CONNECTION` knows the address.
    local: (Option<IpAddr>, u16),
}

impl Traces {
    /// What `ancestry`, this process first, shows.
    pub(super) fn of(ancestry: &[Process]) -> Self {
        let mut traces = Self::default();
        for process in ancestry {
            let variable = |name: &str| {
                let mut variables = process.variables.iter();
                variables
                    .find(|(key, _)| key == name)
                    .and_then(|(_, value)| Named::read(value))
            };
            let named = variable("SSH_CONNECTION").or_else(|| variable("SSH_CLIENT"));
            traces
                .named
                .extend(named.filter(|named| !traces.named.contains(named)));
            if SERVERS.contains(&&*process.name) {
                match &process.sockets {
                    Some(sockets) => traces.held.push(sockets.clone()),
                    None => traces.unseen = traces.unseen.or(Some(process.id)),
                }
            }
        }
        traces
    }

    /// Whether there is none at all: the command was not started by SSH.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The connections among `open` that the command may have come by.
    ///
    /// Where variables name only connections that have ended, a multiplexer was left and
    /// taken up again by another session: any at the same port may be it.
    pub(super) fn sessions(&self, open: &[Connection]) -> Vec<Connection> {
        let named = self
            .named
            .iter()
            .filter_map(|named| open.iter().find(|connection| named.is(connection)));
        // The connection comes before those that it forwards, which have higher numbers.
        let held = self.held.iter().filter_map(|sockets| {
            let mut inodes = sockets.iter();
            inodes.find_map(|inode| open.iter().find(|connection| connection.inode == *inode))
        });
        let mut found: Vec<Connection> = Vec::new();
        for connection in named.chain(held) {
            if !found.contains(connection) {
                found.push(*connection);
            }
        }
        if found.is_empty() {
            let port = |connection: &&Connection| {
                let mut named = self.named.iter();
                named.any(|named| named.local.1 == connection.local.port())
            };
            found = open.iter().filter(port).copied().collect();
        }
        found
    }
}

impl Named {
    /// `PEER PORT ADDRESS PORT` (`SSH_CONNECTION`), or `PEER PORT LOCALPORT`
    /// (`SSH_CLIENT`): ssh(1), ENVIRONMENT.
    fn read(value: &str) -> Option<Self> {
        let words: Vec<&str> = value.split_whitespace().collect();
        let (peer, peer_port, local, local_port) = match words[..] {
            [peer, peer_port, local, local_port] => (peer, peer_port, Some(local), local_port),
            [peer, peer_port, local_port] => (peer, peer_port, None, local_port),
            _ => return None,
        };
        Some(Self {
            peer: SocketAddr::new(address(peer)?, peer_port.parse().ok()?),
            local: (
                match local {
                    Some(local) => Some(address(local)?),
                    None => None,
                },
                local_port.parse().ok()?,
            ),
        })
    }

    fn is(&self, connection: &Connection) -> bool {
        let (address, port) = self.local;
        connection.peer.ip() == self.peer.ip()
            && connection.peer.port() == self.peer.port()
            && connection.local.port() == port
            && address.is_none_or(|address| address == connection.local.ip())
    }
}

/// Link-local addresses have their device behind them: `fe80::1%eth0`.
fn address(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    let address: IpAddr = address.parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, variables: &[(&str, &str)], sockets: Option<&[u64]>) -> Process {
        let variables = variables.iter();
        Process {
            id: 7,
            name: name.to_owned(),
            variables: variables
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            sockets: sockets.map(<[u64]>::to_vec),
        }
    }

    fn connection(inode: u64, peer: &str, local: &str) -> Connection {
        Connection {
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            device: None,
            inode,
        }
    }

    /// One session, another one, a forwarded connection of the first, and the web.
    fn open() -> Vec<Connection> {
        vec![
            connection(30, "198.51.100.9:443", "192.0.2.10:51000"),
            connection(20, "198.51.100.8:50008", "192.0.2.10:22"),
            connection(11, "127.0.0.1:5432", "127.0.0.1:40404"),
            connection(10, "198.51.100.7:50007", "192.0.2.10:22"),
            connection(12, "[fe80::7]:50017", "[fe80::10]:22"),
        ]
    }

    fn found(ancestry: &[Process]) -> Vec<u64> {
        let sessions = Traces::of(ancestry).sessions(&open());
        sessions.iter().map(|connection| connection.inode).collect()
    }

    const SELF: &str = "edge-filter";
    const FIRST: (&str, &str) = ("SSH_CONNECTION", "198.51.100.7 50007 192.0.2.10 22");

    #[test]
    fn a_variable_names_it() {
        let shell = |variable| process("bash", &[variable], Some(&[]));
        for variable in [FIRST, ("SSH_CLIENT", "198.51.100.7 50007 22")] {
            assert_eq!(found(&[shell(variable)]), [10], "{variable:?}");
        }
        let mapped = (
            "SSH_CONNECTION",
            "::ffff:198.51.100.7 50007 ::ffff:192.0.2.10 22",
        );
        assert_eq!(found(&[shell(mapped)]), [10]);
        let zoned = ("SSH_CONNECTION", "fe80::7%eth0 50017 fe80::10%eth0 22");
        assert_eq!(found(&[shell(zoned)]), [12]);
    }

    #[test]
    fn behind_sudo_the_parents_still_know() {
        let sudo = [
            process(SELF, &[], Some(&[])),
            process("sudo", &[], Some(&[99])),
            process("bash", &[FIRST], Some(&[])),
        ];
        assert_eq!(found(&sudo), [10]);
    }

    #[test]
    fn the_server_holds_it_before_what_it_forwards() {
        for server in SERVERS {
            let chain = [
                process(SELF, &[], Some(&[])),
                process(server, &[], Some(&[77, 10, 11])),
                process(server, &[], Some(&[10])),
                // The listener holds no connection.
                process(server, &[], Some(&[3])),
            ];
            assert_eq!(found(&chain), [10], "{server}");
        }
    }

    #[test]
    fn others_connections_are_their_own() {
        let agent = [
            process(SELF, &[], Some(&[])),
            process("agent", &[], Some(&[30])),
        ];
        assert_eq!(found(&agent), [0_u64; 0]);
        assert!(Traces::of(&agent).is_empty());
    }

    #[test]
    fn what_has_ended_stands_for_any_at_its_port() {
        let stale = ("SSH_CONNECTION", "203.0.113.1 50001 192.0.2.10 22");
        let screen = [
            process(SELF, &[stale], Some(&[])),
            process("tmux: server", &[stale], Some(&[4])),
        ];
        assert_eq!(found(&screen), [20, 10, 12]);
        // But not where the server itself is up the line.
        let shell = [
            process(SELF, &[stale], Some(&[])),
            process("sshd", &[], Some(&[20])),
        ];
        assert_eq!(found(&shell), [20]);
    }

    #[test]
    fn variables_that_are_none() {
        for value in [
            "",
            "198.51.100.7",
            "a b c d",
            "198.51.100.7 70000 192.0.2.10 22",
        ] {
            let shell = process("bash", &[("SSH_CONNECTION", value)], Some(&[]));
            assert!(Traces::of(&[shell]).is_empty(), "{value}");
        }
    }

    #[test]
    fn a_server_out_of_sight_is_said() {
        let chain = [process(SELF, &[], Some(&[])), process("sshd", &[], None)];
        let traces = Traces::of(&chain);
        assert_eq!(traces.unseen, Some(7));
        assert!(!traces.is_empty());
        assert_eq!(traces.sessions(&open()), []);
    }
}
