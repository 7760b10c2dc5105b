//! `networks` and `services`: what names stand for, and what the lists that
//! use the names resolve to.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::diagnostic::suggest;
use super::super::document::{self, Document, List};
use super::super::network;
use super::super::outline::Node;
use super::super::rule::{Ports, Transport};
use super::transports::Protocol;
use super::{Definition, Resolver, quoted};

/// The network that every policy knows.
const ANY: &str = "any";

/// What a list of networks holds.
pub(super) enum Networks {
    /// `any`: every address of either family.
    Any,
    These(Vec<IpNet>),
}

impl Networks {
    /// As prefixes, also where that is every address.
    pub(super) fn prefixes(self) -> Vec<IpNet> {
        match self {
            Self::Any => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
            Self::These(prefixes) => prefixes,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn networks(&mut self, document: &Document, root: &Node) {
        let Some(networks) = self.section(&document.networks, root, "networks") else {
            return;
        };
        let node = root.get("networks");
        for (index, (name, list)) in networks.0.iter().enumerate() {
            let (mark, node) = (node.key_at(index), node.at(index));
            self.network_name(name, mark);
            let mut value = Vec::new();
            if let Some(list) = self
                .findings
                .item(list, node, &format!("the network '{name}'"))
            {
                self.not_empty(
                    list,
                    node,
                    "a network's list of addresses",
                    "a network holds at least one address",
                );
                for (index, item) in list.iter().enumerate() {
                    let node = node.at(index);
                    let what = format!("an entry of the network '{name}'");
                    if let Some(text) = self.findings.item(item, node, &what) {
                        value.extend(self.defined_network(text, node, networks));
                    }
                }
            }
            self.networks.insert(
                name.clone(),
                Definition {
                    mark,
                    used: false,
                    value,
                },
            );
        }
    }

    fn network_name(&mut self, name: &str, mark: super::Mark) {
        if name == ANY {
            self.findings.help(
                mark,
                "the network 'any' is every address, and cannot be defined otherwise",
                "give it another name",
            );
        } else if !matches!(network::parse(name), Ok(None)) {
            self.findings.help(
                mark,
                format!("a network cannot be called '{name}', which reads as an address"),
                "give it a name that begins with a letter",
            );
        } else {
            self.findings.name(name, mark, "the name of a network");
        }
    }

    fn defined_network(
        &mut self,
        text: &str,
        node: &Node,
        all: &document::Entries<List<String>>,
    ) -> Option<IpNet> {
        match network::parse(text) {
            Ok(Some(net)) => return Some(net),
            Err(complaint) => self.findings.complain(node.mark, &complaint),
            Ok(None) if text == ANY || all.0.iter().any(|(name, _)| name == text) => {
                self.findings.help(
                    node.mark,
                    format!("a network is made of addresses, and '{text}' is a network's name"),
                    "name both networks where this one is used",
                );
            }
            Ok(None) => self.findings.help(
                node.mark,
                format!("{} is neither an address nor a network", quoted(text)),
                "write addresses such as 192.0.2.1, 192.0.2.0/24 or \"2001:db8::/32\"; host \
                 names are not looked up",
            ),
        }
        None
    }

    /// A list of networks where they are used: names, CIDRs, addresses, `any`.
    /// `None` if it holds an error.
    pub(super) fn network_list(&mut self, list: &List<String>, node: &Node) -> Option<Networks> {
        let before = self.findings.count();
        self.not_empty(
            list,
            node,
            "the list of networks",
            "an empty list would match no address; write [any] for every",
        );
        let mut prefixes = Vec::new();
        let mut any = false;
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            let Some(text) = self
                .findings
                .item(item, node, "an entry of the list of networks")
            else {
                continue;
            };
            if text == ANY {
                any = true;
                if list.len() > 1 {
                    self.findings.help(
                        node.mark,
                        "'any' stands beside other networks, which then mean nothing",
                        "keep 'any' alone, or remove it",
                    );
                }
            } else {
                prefixes.extend(self.used_network(text, node));
            }
        }
        if self.findings.count() > before {
            return None;
        }
        Some(if any {
            Networks::Any
        } else {
            Networks::These(prefixes)
        })
    }

    fn used_network(&mut self, text: &str, node: &Node) -> Vec<IpNet> {
        if let Some(network) = self.networks.get_mut(text) {
            network.used = true;
            return network.value.clone();
        }
        match network::parse(text) {
            Ok(Some(net)) => return vec![net],
            Err(complaint) => self.findings.complain(node.mark, &complaint),
            Ok(None) if self.services.contains_key(text) => self.findings.help(
                node.mark,
                format!("'{text}' is a service, where networks are listed"),
                format!("write 'service: {text}' in the rule, and the addresses here"),
            ),
            Ok(None) => {
                let known = self.networks.keys().map(String::as_str).chain([ANY]);
                let help = suggest(text, known);
                self.findings.add(
                    node.mark,
                    format!("there is no network called {}", quoted(text)),
                    help,
                );
            }
        }
        Vec::new()
    }

    pub(super) fn services(&mut self, document: &Document, root: &Node) {
        let Some(services) = self.section(&document.services, root, "services") else {
            return;
        };
        let node = root.get("services");
        for (index, (name, list)) in services.0.iter().enumerate() {
            let (mark, node) = (node.key_at(index), node.at(index));
            self.findings.name(name, mark, "the name of a service");
            let mut value = Vec::new();
            if let Some(list) = self
                .findings
                .item(list, node, &format!("the service '{name}'"))
            {
                self.not_empty(
                    list,
                    node,
                    "a service's list of protocols",
                    "a service has at least one protocol",
                );
                for (index, item) in list.iter().enumerate() {
                    let node = node.at(index);
                    let what = format!("an entry of the service '{name}'");
                    if let Some(service) = self.findings.item(item, node, &what) {
                        value.extend(self.service(service, node));
                    }
                }
            }
            self.services.insert(
                name.clone(),
                Definition {
                    mark,
                    used: false,
                    value,
                },
            );
        }
    }

    fn service(&mut self, service: &document::Service, node: &Node) -> Option<Transport> {
        self.findings
            .unknown_keys::<document::Service>(node, "an entry of a service");
        let of = "an entry of a service";
        let scalar = self
            .findings
            .required(&service.protocol, node, "protocol", of)?;
        let ports = self.optional_ports(&service.ports, node);
        let at = node.get("protocol");
        let Protocol::Number(protocol) = self.protocol(scalar, at)? else {
            self.findings.help(
                at.mark,
                "a service names its protocols, and 'any' is none",
                "leave 'service' and 'protocol' out of a rule that is for any protocol",
            );
            return None;
        };
        let ports = ports?;
        self.ports_fit(protocol, &ports, node.key("ports"))
            .then_some(Transport { protocol, ports })
    }

    /// Ports where they are optional: `Some` and empty if they are not written,
    /// `None` if they hold an error.
    pub(super) fn optional_ports(
        &mut self,
        field: &document::Field<List<document::Scalar>>,
        node: &Node,
    ) -> Option<Ports> {
        if !field.is_written() {
            return Some(Ports::new());
        }
        let list = self.findings.optional(field, node, "ports")?;
        self.ports(list, node.get("ports"))
    }
}
