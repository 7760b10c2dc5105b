//! The packets by which a DHCP client keeps its lease.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::needs::{Need, Place, Purpose, beside};
use super::packet::{Content, DHCP, DHCPV6};
use crate::policy::{Action, Direction, Policy, Rule};

const UDP: u8 = 17;
/// How many DHCP servers are thought of.
const MOST_SERVERS: usize = 64;

impl Place<'_> {
    pub(super) fn leases(self, policy: &Policy) -> Vec<Need> {
        let leased = self.layer.addresses.iter().filter(|own| own.leased);
        let need = leased.map(|own| {
            let contents = match own.address {
                IpAddr::V4(address) => self.dhcp(address, policy),
                IpAddr::V6(_) => self.dhcpv6(policy),
            };
            self.need(
                Purpose::Lease(self.layer.name.clone(), own.address),
                contents,
            )
        });
        need.collect()
    }

    /// RFC 2131 §4.3.2: a lease is renewed with its server, and if that is silent, or the
    /// link was down, asked for by broadcast.
    fn dhcp(self, own: Ipv4Addr, policy: &Policy) -> Vec<(Direction, Vec<Content>)> {
        use Direction::{Inbound, Outbound};
        let (server_port, client_port) = DHCP;
        let client = |address: Ipv4Addr| SocketAddr::new(address.into(), client_port);
        let servers: Vec<SocketAddr> = self
            .servers(policy, beside(own).into())
            .into_iter()
            .map(|address| SocketAddr::new(address, server_port))
            .collect();
        let to_servers = |from| servers.iter().map(move |to| Content::Udp { from, to: *to });
        let from_servers = |to| {
            servers
                .iter()
                .map(move |from| Content::Udp { from: *from, to })
        };
        let everybody = Content::Udp {
            from: client(Ipv4Addr::UNSPECIFIED),
            to: SocketAddr::new(Ipv4Addr::BROADCAST.into(), server_port),
        };
        vec![
            (Outbound, to_servers(client(own)).collect()),
            (Inbound, from_servers(client(own)).collect()),
            (Outbound, vec![everybody]),
            (Inbound, from_servers(client(Ipv4Addr::BROADCAST)).collect()),
        ]
    }

    /// RFC 8415 §18.2.4: a client asks all servers of its link, and they answer it alone.
    fn dhcpv6(self, policy: &Policy) -> Vec<(Direction, Vec<Content>)> {
        /// `All_DHCP_Relay_Agents_and_Servers` (RFC 8415 §7.1).
        const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
        let (server_port, client_port) = DHCPV6;
        let own = self.addresses_v6().find(Ipv6Addr::is_unicast_link_local);
        let Some(own) = own else {
            return Vec::new();
        };
        let client = SocketAddr::new(own.into(), client_port);
        let asked = Content::Udp {
            from: client,
            to: SocketAddr::new(SERVERS.into(), server_port),
        };
        let servers = self.servers(policy, self.neighbour().into()).into_iter();
        let answers = servers.map(|address| Content::Udp {
            from: SocketAddr::new(address, server_port),
            to: client,
        });
        vec![
            (Direction::Outbound, vec![asked]),
            (Direction::Inbound, answers.collect()),
        ]
    }

    /// Where the DHCP server may be: beside the host, or wherever a rule of the role
    /// allows something to be that may be DHCP. Those that name the protocol come first, for
    /// no more than [`MOST_SERVERS`] are asked about: each is judged as often as there are
    /// rules.
    fn servers(self, policy: &Policy, beside: IpAddr) -> Vec<IpAddr> {
        let mut rules: Vec<&Rule> = policy
            .rules
            .iter()
            .filter(|rule| {
                rule.interface == self.device.interface
                    && rule.action == Action::Allow
                    && may_be_dhcp(rule)
            })
            .collect();
        rules.sort_by_key(|rule| rule.transports.is_empty());
        let named = rules.into_iter().flat_map(|rule| {
            let other_side = match rule.direction {
                Direction::Inbound => &rule.from,
                Direction::Outbound => &rule.to,
            };
            other_side.networks.iter().flatten().map(IpNet::addr)
        });
        let is_own = |server: IpAddr| {
            let mut own = self.layer.addresses.iter();
            own.any(|own| own.address == server)
        };
        let mut servers = vec![beside];
        for server in named {
            if servers.len() == MOST_SERVERS {
                break;
            }
            let may_be = server.is_ipv4() == beside.is_ipv4() && !server.is_unspecified();
            if may_be && !is_own(server) && !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers
    }
}

/// Whether DHCP may be among what the rule matches.
fn may_be_dhcp(rule: &Rule) -> bool {
    let ports = [DHCP.0, DHCP.1, DHCPV6.0, DHCPV6.1];
    rule.transports.is_empty()
        || rule.transports.iter().any(|transport| {
            let mut ranges = transport.ports.iter();
            transport.protocol == UDP
                && (transport.ports.is_empty()
                    || ranges.any(|range| ports.iter().any(|port| range.contains(port))))
        })
}
