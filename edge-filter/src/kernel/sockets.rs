//! The conversations of this host's own sockets, as the kernel lists them
//! (`sock_diag(7)`).

use std::io;
use std::net::SocketAddr;

use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, TCP_CLOSING, TCP_FIN_WAIT1, TCP_FIN_WAIT2,
    TCP_LAST_ACK, TCP_TIME_WAIT,
};
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::flow_table::{ACK, FIN, Opened, tuple};
use super::netlink;

/// The conversations of TCP and of connected UDP sockets, each as this host sends it,
/// whoever opened it. Those that are not answered yet are among them.
///
/// # Errors
/// The kernel refuses to tell, or cannot.
pub fn conversations() -> io::Result<Vec<Opened>> {
    let mut found = Vec::new();
    for protocol in [IPPROTO_TCP, IPPROTO_UDP] {
        let states = StateFlags::all() - StateFlags::LISTEN - StateFlags::SYN_RECV;
        for socket in sockets(protocol, &states)? {
            found.extend(conversation(protocol, socket.state, &socket.socket_id));
        }
    }
    Ok(found)
}

/// A TCP connection of this host that both sides have opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// This host's end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// The device that it is bound to, as connections between link-local addresses are.
    pub device: Option<u32>,
    /// The inode by which `/proc/PID/fd` names the socket; 0 if no process holds it.
    pub inode: u64,
}

/// The TCP connections of this network namespace that are established. Addresses of IPv4
/// are such, whatever the socket's family.
///
/// # Errors
/// The kernel refuses to tell, or cannot.
pub fn established() -> io::Result<Vec<Connection>> {
    let found = sockets(IPPROTO_TCP, &StateFlags::ESTABLISHED)?;
    let connections = found.iter().map(|socket| {
        let id = &socket.socket_id;
        let end = |address: std::net::IpAddr, port| SocketAddr::new(address.to_canonical(), port);
        Connection {
            local: end(id.source_address, id.source_port),
            peer: end(id.destination_address, id.destination_port),
            device: Some(id.interface_id).filter(|device| *device != 0),
            inode: socket.inode.into(),
        }
    });
    Ok(connections.collect())
}

/// The sockets of one protocol, of both families.
fn sockets(protocol: u8, states: &StateFlags) -> io::Result<Vec<InetResponseHeader>> {
    let mut found = Vec::new();
    for (family, any) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let request = InetRequest {
            family,
            protocol,
            extensions: ExtensionFlags::empty(),
            states: states.clone(),
            socket_id: any,
        };
        let answers = netlink::dump(NETLINK_SOCK_DIAG, SockDiagMessage::InetRequest(request))?;
        for answer in answers {
            if let SockDiagMessage::InetResponse(socket) = answer {
                found.push(socket.header);
            }
        }
    }
    Ok(found)
}

/// The conversation of a socket; none if it talks to nobody.
fn conversation(protocol: u8, state: u8, socket: &SocketId) -> Option<Opened> {
    if socket.destination_port == 0 || socket.destination_address.is_unspecified() {
        return None;
    }
    let tuple = tuple(
        (socket.source_address, socket.source_port),
        (socket.destination_address, socket.destination_port),
        protocol,
    )?;
    let flags = match (protocol, state) {
        (
            IPPROTO_TCP,
            TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING | TCP_LAST_ACK | TCP_TIME_WAIT,
        ) => FIN | ACK,
        (IPPROTO_TCP, _) => ACK,
        _ => 0,
    };
    Some((tuple, flags))
}
