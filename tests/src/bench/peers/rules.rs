//! What arrives at one role under a policy, in the words that all filters have: protocols,
//! networks and destination ports.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use edge_filter::policy::{self, Action, Direction, Rule, Transport};
use ipnet::IpNet;

/// The rules of what arrives; what none of them allows is dropped.
#[derive(Debug)]
pub(crate) struct Rules {
    /// In order: one for each combination of networks and ports of a policy's rule.
    pub(super) rules: Vec<Flat>,
    /// Addresses that must not be the source.
    pub(super) protected: Vec<IpNet>,
}

/// A rule with one source, one destination, one protocol and one range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flat {
    pub(super) from: IpNet,
    pub(super) to: IpNet,
    pub(super) protocol: Protocol,
    pub(super) ports: RangeInclusive<u16>,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// Every address of a family.
const ANY: [IpNet; 2] = [
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
];

impl Rules {
    /// Reads the policy `text`, and flattens what arrives at `role`.
    pub(crate) fn read(text: &str, role: &str) -> Result<Self> {
        let policy = policy::read("policy.yaml", text, jiff::Zoned::now().date());
        let policy = policy.context("read the policy")?.policy;
        ensure!(
            policy.default_action == Action::Drop,
            "what no rule allows is not dropped"
        );
        let interface = policy
            .interface(role)
            .context("the policy has no such role")?;
        let mut rules = Vec::new();
        for rule in policy.rules_of(role, Direction::Inbound) {
            rules.extend(flatten(rule).with_context(|| format!("the rule {}", rule.id))?);
        }
        Ok(Self {
            rules,
            protected: interface.protects.clone(),
        })
    }
}

fn flatten(rule: &Rule) -> Result<Vec<Flat>> {
    ensure!(
        rule.action == Action::Allow
            && rule.from.except.is_empty()
            && rule.to.except.is_empty()
            && rule.from.ports.is_empty(),
        "not every filter can say this"
    );
    let any = || ANY.to_vec();
    let sources = rule.from.networks.clone().unwrap_or_else(any);
    let destinations = rule.to.networks.clone().unwrap_or_else(any);
    let mut flat = Vec::new();
    for from in &sources {
        for to in &destinations {
            if from.addr().is_ipv4() != to.addr().is_ipv4() {
                continue;
            }
            for Transport { protocol, ports } in &rule.transports {
                for ports in ports {
                    flat.push(Flat {
                        from: *from,
                        to: *to,
                        protocol: Protocol::numbered(*protocol)?,
                        ports: ports.clone(),
                    });
                }
            }
        }
    }
    Ok(flat)
}

impl Flat {
    /// Whether it is IPv4's.
    pub(super) fn is_ipv4(&self) -> bool {
        self.to.addr().is_ipv4()
    }

    /// The ports, with `between` between the two ends of a range.
    pub(super) fn ports(&self, between: char) -> String {
        let (first, last) = (self.ports.start(), self.ports.end());
        let mut text = first.to_string();
        if first != last {
            let _ = write!(text, "{between}{last}");
        }
        text
    }
}

impl Protocol {
    fn numbered(number: u8) -> Result<Self> {
        match number {
            6 => Ok(Self::Tcp),
            17 => Ok(Self::Udp),
            _ => bail!("not every filter knows the ports of protocol {number}"),
        }
    }

    /// The word that all of them use.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::documented::{POLICY, ROLE};
    use super::*;

    #[test]
    fn the_documented_policy_has_four_rules_for_what_arrives_by_either_family() {
        let rules = Rules::read(POLICY, ROLE).expect("it can be said");
        let of_ipv4: Vec<String> = rules
            .rules
            .iter()
            .filter(|rule| rule.is_ipv4())
            .map(|rule| {
                let (protocol, ports) = (rule.protocol.as_str(), rule.ports('-'));
                format!("{} {} {protocol} {ports}", rule.from, rule.to)
            })
            .collect();
        assert_eq!(
            of_ipv4,
            [
                "198.51.100.0/25 192.0.2.10/32 tcp 5061",
                "0.0.0.0/0 192.0.2.10/32 tcp 443",
                "203.0.113.0/24 192.0.2.10/32 udp 3478",
                "0.0.0.0/0 192.0.2.10/32 tcp 5269",
            ]
        );
        assert_eq!(rules.rules.len(), 8);
        assert_eq!(rules.protected.len(), 4);
    }
}
