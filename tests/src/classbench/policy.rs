//! A set as a policy of version 1: one role, and a rule for every filter, in order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use anyhow::{Context, Result};
use edge_filter::policy::{self, Action, Direction, Policy};

use super::{Filter, Set};
use crate::generate::MAIN_ROLE;

/// The role that has the rules.
pub const ROLE: &str = MAIN_ROLE;

/// What the filters leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The side on which the rules stand.
    pub direction: Direction,
    /// What they do.
    pub actions: Actions,
}

/// What the rules of a set do: its filters say nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actions {
    /// The first allows, the second drops, and so on, so that it matters which decides.
    Alternating,
    /// All the same.
    All(Action),
}

/// Inbound, with alternating actions.
impl Default for Form {
    fn default() -> Self {
        Self {
            direction: Direction::Inbound,
            actions: Actions::Alternating,
        }
    }
}

/// The protocols with ports, as policies call them.
const WITH_PORTS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Set {
    /// The text of the policy. Its rules are called `r1`, `r2` and so on.
    #[must_use]
    pub fn yaml(&self, form: Form) -> String {
        // JSON's way to quote is one of YAML's.
        let name = serde_json::Value::from(self.name.as_str());
        let outbound = match form.direction {
            Direction::Inbound => "ignore",
            Direction::Outbound => "enforce",
        };
        let mut services = BTreeMap::new();
        let mut rules = String::new();
        for (filter, number) in self.filters.iter().zip(1..) {
            let service = service(filter);
            writeln!(
                rules,
                "      - {{ id: r{number}, interface: {ROLE}, direction: {}, from: {}, to: {}{}, \
                 action: {} }}",
                form.direction,
                endpoint(filter.source, filter.source_ports.as_ref()),
                endpoint(
                    filter.destination,
                    filter
                        .destination_ports
                        .as_ref()
                        .filter(|_| service.is_none())
                ),
                match (&service, filter.protocol) {
                    (Some((name, _)), _) => format!(", service: {name}"),
                    (None, Some(protocol)) => format!(", protocol: {}", protocol_name(protocol)),
                    (None, None) => String::new(),
                },
                form.actions.of(number),
            )
            .expect("a string grows");
            services.extend(service);
        }
        let mut text = format!(
            "version: 1\nname: {name}\ninterfaces:\n  {ROLE}: {{ outbound: {outbound}, vlans: \
             [untagged] }}\n"
        );
        if !services.is_empty() {
            text += "services:\n";
            for (name, entries) in services {
                writeln!(text, "  {name}: {entries}").expect("a string grows");
            }
        }
        text + "default_action: drop\ngroups:\n  - name: filters\n    rules:\n" + &rules
    }

    /// The policy, read from its text.
    ///
    /// # Errors
    /// The product's own reader refuses the text.
    pub fn policy(&self, form: Form) -> Result<Policy> {
        let file = format!("{}.yaml", self.name);
        let today = jiff::Zoned::now().date();
        let checked = policy::read(&file, &self.yaml(form), today);
        Ok(checked.with_context(|| format!("read {file}"))?.policy)
    }
}

impl Actions {
    /// What the rule does that is `number`, counted from 1.
    fn of(self, number: usize) -> Action {
        match self {
            Self::Alternating if number % 2 == 1 => Action::Allow,
            Self::Alternating => Action::Drop,
            Self::All(action) => action,
        }
    }
}

/// One end of a rule.
fn endpoint(network: ipnet::IpNet, ports: Option<&RangeInclusive<u16>>) -> String {
    let ports = ports.map_or_else(String::new, |ports| format!(", ports: [{}]", range(ports)));
    format!("{{ networks: [\"{network}\"]{ports} }}")
}

fn range(ports: &RangeInclusive<u16>) -> String {
    let (first, last) = (ports.start(), ports.end());
    if first == last {
        first.to_string()
    } else {
        format!("\"{first}-{last}\"")
    }
}

fn protocol_name(protocol: u8) -> String {
    match protocol {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// What stands for any protocol where a filter asks for ports: each of those that have
/// any, under a name, with its entries.
fn service(filter: &Filter) -> Option<(String, String)> {
    if filter.protocol.is_some() {
        return None;
    }
    let (name, ports) = match (&filter.source_ports, &filter.destination_ports) {
        (None, None) => return None,
        (Some(_), None) => ("with-ports".to_owned(), String::new()),
        (_, Some(ports)) => (
            format!("with-port-{}-{}", ports.start(), ports.end()),
            format!(", ports: [{}]", range(ports)),
        ),
    };
    let entries = WITH_PORTS.map(|protocol| format!("{{ protocol: {protocol}{ports} }}"));
    Some((name, format!("[{}]", entries.join(", "))))
}
