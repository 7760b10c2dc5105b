//! `interfaces`: the roles, their devices, and what is done on each side.

use std::collections::BTreeSet;

use super::super::Interface;
use super::super::diagnostic::Mark;
use super::super::document::{self, Document, Field, List, Scalar};
use super::super::outline::Node;
use super::{Claimed, Resolver, quoted};

/// The longest name of a device in bytes (`IFNAMSIZ` less the NUL,
/// include/uapi/linux/if.h).
const MAX_DEVICE: usize = 15;

/// The last VLAN id; 4095 is reserved (IEEE 802.1Q).
const MAX_VLAN: u64 = 4094;

impl Resolver<'_> {
    pub(super) fn interfaces(&mut self, document: &Document, root: &Node) {
        let node = root.get("interfaces");
        if !document.interfaces.is_written() {
            self.findings
                .say(root.mark, "a policy has no 'interfaces', and needs one");
        }
        let Some(interfaces) = self.section(&document.interfaces, root, "interfaces") else {
            return;
        };
        let mut claimed = Claimed::new();
        for (index, (name, interface)) in interfaces.0.iter().enumerate() {
            let (mark, node) = (node.key_at(index), node.at(index));
            self.findings.name(name, mark, "the name of a role");
            let role = format!("the role '{name}'");
            // A role may be nothing but its name: the command line can give
            // it devices, and the defaults are the rest.
            let empty = document::Interface::default();
            let interface = match interface {
                Field::Empty => &empty,
                field => self.findings.item(field, node, &role).unwrap_or(&empty),
            };
            let interface = self.interface(name, interface, node, &mut claimed);
            self.interfaces.push(interface);
            self.interface_marks.push(mark);
        }
    }

    fn interface(
        &mut self,
        name: &str,
        interface: &document::Interface,
        node: &Node,
        claimed: &mut Claimed,
    ) -> Interface {
        self.findings
            .unknown_keys::<document::Interface>(node, "a role");
        let devices = self.findings.optional(&interface.devices, node, "devices");
        let devices = devices.map(|list| self.devices(list, node.get("devices"), claimed));
        let outbound = self
            .findings
            .optional_word(&interface.outbound, node, "outbound");
        let trust = self.findings.optional_word(&interface.trust, node, "trust");
        let vlans = self.findings.optional(&interface.vlans, node, "vlans");
        let vlans = vlans.map(|list| self.vlans(list, node.get("vlans")));
        let protects = self
            .findings
            .optional(&interface.protects, node, "protects")
            .and_then(|list| self.network_list(list, node.get("protects")));
        Interface {
            name: name.to_owned(),
            devices: devices.unwrap_or_default(),
            outbound: outbound.unwrap_or_default(),
            trust: trust.unwrap_or_default(),
            vlans,
            protects: protects
                .map(super::definitions::Networks::prefixes)
                .unwrap_or_default(),
        }
    }

    fn devices(&mut self, list: &List<String>, node: &Node, claimed: &mut Claimed) -> Vec<String> {
        self.not_empty(
            list,
            node,
            "the list of devices",
            "leave 'devices' out if the command line is to name them",
        );
        let mut devices = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            let Some(device) = self
                .findings
                .item(item, node, "an entry of the list of devices")
            else {
                continue;
            };
            self.device_name(device, node.mark);
            if claimed.insert(device.clone()) {
                devices.push(device.clone());
            } else {
                self.findings.help(
                    node.mark,
                    format!("the device {} plays a role already", quoted(device)),
                    "a device plays one role; remove it from the other one",
                );
            }
        }
        devices
    }

    /// The kernel's own rules (`dev_valid_name`, net/core/dev.c).
    fn device_name(&mut self, device: &str, mark: Mark) {
        let forbidden = |c: char| matches!(c, '/' | ':' | '\0') || c.is_ascii_whitespace();
        if device.is_empty() || matches!(device, "." | "..") || device.contains(forbidden) {
            self.findings.help(
                mark,
                format!("{} cannot be the name of a device", quoted(device)),
                "the kernel takes no '/', ':', blanks or NUL in it; `ip link` lists the names",
            );
        } else if device.len() > MAX_DEVICE {
            self.findings.help(
                mark,
                format!(
                    "{} is longer than the name of a device can be",
                    quoted(device)
                ),
                format!("the kernel takes {MAX_DEVICE} bytes; `ip link` lists the names"),
            );
        }
    }

    fn vlans(&mut self, list: &List<Scalar>, node: &Node) -> BTreeSet<u16> {
        self.not_empty(
            list,
            node,
            "the list of VLANs",
            "write [untagged], or leave it out for any VLAN",
        );
        let mut vlans = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            let scalar = self
                .findings
                .item(item, node, "an entry of the list of VLANs");
            let Some(id) = scalar.and_then(|scalar| self.vlan(scalar, node)) else {
                continue;
            };
            if !vlans.insert(id) {
                self.findings.help(
                    node.mark,
                    format!("the VLAN '{}' is in this list twice", node.typed()),
                    "remove one of them",
                );
            }
        }
        vlans
    }

    fn vlan(&mut self, scalar: &Scalar, node: &Node) -> Option<u16> {
        if matches!(scalar, Scalar::Text(text) if text == "untagged") {
            return Some(0);
        }
        let id = self
            .findings
            .number(scalar, node, "a VLAN id (or 'untagged')")?;
        if id == 0 {
            self.findings.help(
                node.mark,
                "VLAN 0 is the mark of a frame that belongs to no VLAN",
                "write untagged",
            );
            return None;
        }
        let known = u16::try_from(id).ok().filter(|_| id <= MAX_VLAN);
        if known.is_none() {
            self.findings.help(
                node.mark,
                format!("there is no VLAN {id}"),
                format!("VLAN ids are 1 to {MAX_VLAN}"),
            );
        }
        known
    }

    /// An optional section of the document: absent and empty mean the same,
    /// since people comment out the last entry of one.
    pub(super) fn section<'d, T: super::fields::Expected>(
        &mut self,
        field: &'d Field<T>,
        root: &Node,
        key: &str,
    ) -> Option<&'d T> {
        match field {
            Field::Empty => None,
            field => self.findings.optional(field, root, key),
        }
    }

    /// Refuses an empty list.
    pub(super) fn not_empty<T>(&mut self, list: &[T], node: &Node, what: &str, help: &str) {
        if list.is_empty() {
            self.findings
                .help(node.mark, format!("{what} is empty"), help);
        }
    }
}
