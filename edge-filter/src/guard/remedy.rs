//! What would let pass what a policy drops: found by trying, so that it is what helps.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::judge::{Dropped, dropped};
use super::needs::Need;
use super::packet::{Content, Message};
use crate::policy::{
    Action, CounterId, Direction, DropReason, Endpoint, Interface, Policy, Rule, Transport,
};

const TCP: u8 = 6;
/// The group that new rules stand in.
const GROUP: &str = "management";

/// Changes of a policy, in YAML: its text can be pasted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remedy {
    essentials: BTreeSet<&'static str>,
    routers: Option<Vec<IpNet>>,
    roles: Vec<RoleChange>,
    rules: Vec<NewRule>,
    /// The name of their group.
    group: String,
}

/// What a role says anew.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RoleChange {
    interface: String,
    vlans: Option<BTreeSet<u16>>,
    protects: Option<Vec<IpNet>>,
}

/// A rule to stand before all others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NewRule {
    id: String,
    interface: String,
    direction: Direction,
    host: IpAddr,
    peer: IpAddr,
    /// The host's port.
    port: u16,
}

/// What lets all of `needs` pass by `policy`; none if nothing that is known here does.
#[must_use]
pub(super) fn find(policy: &Policy, needs: &[Need]) -> Option<Remedy> {
    let mut policy = policy.clone();
    let mut remedy = Remedy {
        group: free(GROUP, |name| policy.taken.groups.contains(name)),
        ..Remedy::default()
    };
    for need in needs {
        // Each change answers the first complaint, and none is made twice.
        while let Some(complaint) = dropped(&policy, need).first() {
            remedy.answer(complaint, &mut policy)?;
        }
    }
    Some(remedy)
}

impl Remedy {
    /// Changes `policy` so that the packet of `complaint` comes further; none if nothing
    /// helps.
    fn answer(&mut self, complaint: &Dropped, policy: &mut Policy) -> Option<()> {
        let by_default_or_rule = matches!(
            complaint.by,
            CounterId::Rule(_) | CounterId::Drop(DropReason::Default)
        );
        match (&complaint.packet.content, &complaint.by) {
            (_, CounterId::Drop(DropReason::Vlan)) => self.admit_vlans(complaint, policy),
            (content, CounterId::Drop(DropReason::Martian)) => {
                self.unprotect(&complaint.interface, content.source()?, policy)
            }
            (
                Content::Neighbour {
                    message: Message::RouterAdvertisement,
                    from,
                    ..
                },
                CounterId::Drop(DropReason::Essentials),
            ) => {
                let router = IpNet::from(IpAddr::from(*from));
                let listed = &mut policy.essentials.router_advertisements;
                let is_new = !listed.contains(&router);
                listed.push(router);
                self.routers = Some(listed.clone());
                is_new.then_some(())
            }
            (Content::Arp { .. }, _) if by_default_or_rule => {
                self.essential("arp", &mut policy.essentials.arp)
            }
            (Content::Neighbour { .. }, _) if by_default_or_rule => {
                self.essential("nd", &mut policy.essentials.nd)
            }
            (Content::Udp { .. }, _) if by_default_or_rule => {
                self.essential("dhcp-client", &mut policy.essentials.dhcp_client)
            }
            (Content::Tcp { from, to, .. }, _) if by_default_or_rule => {
                self.allow(complaint, (*from, *to), policy)
            }
            _ => None,
        }
    }

    fn essential(&mut self, key: &'static str, setting: &mut Action) -> Option<()> {
        *setting = Action::Allow;
        self.essentials.insert(key).then_some(())
    }

    fn admit_vlans(&mut self, complaint: &Dropped, policy: &mut Policy) -> Option<()> {
        let tags = &complaint.packet.tags;
        let role = role_mut(policy, &complaint.interface)?;
        let vlans = role.vlans.as_mut()?;
        let before = vlans.len();
        if tags.is_empty() {
            vlans.insert(0);
        }
        vlans.extend(tags);
        let vlans = vlans.clone();
        let grown = vlans.len() > before;
        self.role(&complaint.interface).vlans = Some(vlans);
        grown.then_some(())
    }

    fn unprotect(&mut self, interface: &str, source: IpAddr, policy: &mut Policy) -> Option<()> {
        let protects = &mut role_mut(policy, interface)?.protects;
        let before = protects.len();
        protects.retain(|network| !network.contains(&source));
        let protects = protects.clone();
        let shrunk = protects.len() < before;
        self.role(interface).protects = Some(protects);
        shrunk.then_some(())
    }

    fn allow(
        &mut self,
        complaint: &Dropped,
        (from, to): (SocketAddr, SocketAddr),
        policy: &mut Policy,
    ) -> Option<()> {
        let direction = complaint.direction;
        let (host, peer, word) = match direction {
            Direction::Inbound => (to, from, "from"),
            Direction::Outbound => (from, to, "to"),
        };
        // A colon is no part of an id.
        let address = peer.ip().to_string().replace(':', "-");
        let rule = NewRule {
            id: free(&format!("ssh-{word}-{address}"), |id| {
                policy.taken.rules.contains(id)
            }),
            interface: complaint.interface.clone(),
            direction,
            host: host.ip(),
            peer: peer.ip(),
            port: host.port(),
        };
        // Where even the first rule does not decide, another one does not either.
        let is_new = self.rules.iter().all(|known| {
            NewRule {
                id: rule.id.clone(),
                ..known.clone()
            } != rule
        });
        policy.taken.rules.insert(rule.id.clone());
        policy.rules.insert(0, rule.in_policy(&self.group));
        self.rules.push(rule);
        is_new.then_some(())
    }

    fn role(&mut self, interface: &str) -> &mut RoleChange {
        let known = self
            .roles
            .iter()
            .position(|change| change.interface == interface);
        let place = known.unwrap_or_else(|| {
            self.roles.push(RoleChange {
                interface: interface.to_owned(),
                vlans: None,
                protects: None,
            });
            self.roles.len() - 1
        });
        &mut self.roles[place]
    }
}

impl NewRule {
    fn in_policy(&self, group: &str) -> Rule {
        let side = |address: IpAddr| Endpoint {
            networks: Some(vec![address.into()]),
            ..Endpoint::default()
        };
        let (host, peer) = (side(self.host), side(self.peer));
        let port = vec![self.port..=self.port];
        let (from, to, ports) = match self.direction {
            Direction::Inbound => (peer, host, port),
            Direction::Outbound => {
                let host = Endpoint {
                    ports: port,
                    ..host
                };
                (host, peer, Vec::new())
            }
        };
        Rule {
            id: self.id.clone(),
            group: group.to_owned(),
            interface: self.interface.clone(),
            direction: self.direction,
            from,
            to,
            transports: vec![Transport {
                protocol: TCP,
                ports,
            }],
            action: Action::Allow,
            drops_replies: false,
            audit: false,
            comment: None,
            refs: Vec::new(),
            expires: None,
            line: 0,
        }
    }
}

fn role_mut<'p>(policy: &'p mut Policy, name: &str) -> Option<&'p mut Interface> {
    let mut roles = policy.interfaces.iter_mut();
    roles.find(|role| role.name == name)
}

/// `name`, or with a number behind it the first that is not taken.
fn free(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names
        .find(|name| !taken(name))
        .expect("numbers do not run out")
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what follows lets it pass; put it where the policy has these keys\n")?;
        if !self.essentials.is_empty() || self.routers.is_some() {
            f.write_str("\nessentials:")?;
        }
        for key in &self.essentials {
            write!(f, "\n  {key}: allow")?;
        }
        if let Some(routers) = &self.routers {
            write!(f, "\n  router-advertisements: {}", list(routers))?;
        }
        if !self.roles.is_empty() {
            f.write_str("\ninterfaces:")?;
        }
        for role in &self.roles {
            write!(f, "\n  {}:", role.interface)?;
            if let Some(vlans) = &role.vlans {
                let words: Vec<String> = vlans.iter().map(|id| vlan(*id)).collect();
                write!(f, "\n    vlans: [{}]", words.join(", "))?;
            }
            match role.protects.as_deref() {
                None => {}
                Some([]) => f.write_str("\n    # without `protects`")?,
                Some(networks) => write!(f, "\n    protects: {}", list(networks))?,
            }
        }
        if !self.rules.is_empty() {
            write!(
                f,
                "\ngroups:\n  - name: {} # before all other groups\n    rules:",
                self.group
            )?;
        }
        // The last that was found decides before the others.
        for rule in self.rules.iter().rev() {
            write!(f, "\n{rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NewRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            interface,
            direction,
            host,
            peer,
            port,
        } = self;
        let (host, peer) = (
            format!(
                "{{ networks: {}, ports: [{port}] }}",
                list(&[(*host).into()])
            ),
            format!("{{ networks: {} }}", list(&[(*peer).into()])),
        );
        let (from, to) = match direction {
            Direction::Inbound => (peer, host),
            Direction::Outbound => (host, peer),
        };
        write!(
            f,
            "      - id: {id}\n        interface: {interface}\n        direction: {direction}\n        \
             from: {from}\n        to: {to}\n        protocol: tcp\n        action: allow"
        )
    }
}

fn vlan(id: u16) -> String {
    match id {
        0 => "untagged".to_owned(),
        id => id.to_string(),
    }
}

/// Networks as YAML; what holds a colon needs quotes.
fn list(networks: &[IpNet]) -> String {
    let words: Vec<String> = networks
        .iter()
        .map(|network| {
            let is_host = network.prefix_len() == network.max_prefix_len();
            let word = if is_host {
                network.addr().to_string()
            } else {
                network.to_string()
            };
            match network {
                IpNet::V4(_) => word,
                IpNet::V6(_) => format!("\"{word}\""),
            }
        })
        .collect();
    format!("[{}]", words.join(", "))
}
