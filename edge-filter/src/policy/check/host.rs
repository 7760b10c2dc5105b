//! `essentials`, `ethertypes` and `flows`: what concerns the host rather than
//! any one conversation.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::super::document::{self, Document};
use super::super::outline::Node;
use super::super::{Essentials, Flows};
use super::{Action, Resolver};

/// More conversations than this need more memory than a table should take:
/// an entry is about a hundred bytes.
const MAX_FLOWS: u64 = 1 << 24;

/// The first number that is an ethertype and not a length (IEEE 802.3).
const FIRST_ETHERTYPE: u64 = 0x0600;

/// The ethertypes that the language judges otherwise.
const JUDGED: [(u64, &str, &str); 5] = [
    (0x0800, "IPv4", "rules decide about it"),
    (0x86dd, "IPv6", "rules decide about it"),
    (0x0806, "ARP", "set it under 'essentials': 'arp'"),
    (
        0x8100,
        "a VLAN tag",
        "list the VLANs under the role's 'vlans'",
    ),
    (
        0x88a8,
        "a VLAN tag",
        "list the VLANs under the role's 'vlans'",
    ),
];

impl Resolver<'_> {
    pub(super) fn essentials(&mut self, document: &Document, root: &Node) -> Essentials {
        let mut essentials = Essentials::default();
        let Some(written) = self.section(&document.essentials, root, "essentials") else {
            return essentials;
        };
        let node = root.get("essentials");
        self.findings
            .unknown_keys::<document::Essentials>(node, "'essentials'");
        let actions: [(&mut Action, _, _); 7] = [
            (&mut essentials.arp, &written.arp, "arp"),
            (&mut essentials.nd, &written.nd, "nd"),
            (&mut essentials.mld, &written.mld, "mld"),
            (
                &mut essentials.icmp_errors,
                &written.icmp_errors,
                "icmp-errors",
            ),
            (
                &mut essentials.link_control,
                &written.link_control,
                "link-control",
            ),
            (&mut essentials.ping, &written.ping, "ping"),
            (
                &mut essentials.dhcp_client,
                &written.dhcp_client,
                "dhcp-client",
            ),
        ];
        for (action, field, key) in actions {
            if let Some(word) = self.findings.optional_word(field, node, key) {
                *action = word;
            }
        }
        let key = "router-advertisements";
        if let Some(list) = self.findings.optional(&written.router_advertisements, node, key)
            // The default is an empty list, so writing it is no mistake.
            && !list.is_empty()
            && let Some(networks) = self.network_list(list, node.get(key))
        {
            essentials.router_advertisements = networks.prefixes();
            essentials
                .router_advertisements
                .retain(|net| matches!(net, IpNet::V6(_)));
            if essentials.router_advertisements.is_empty() {
                self.findings.help(
                    node.get(key).mark,
                    "router advertisements are IPv6, and these sources are IPv4",
                    "list the router's link-local address, such as \"fe80::1\"",
                );
            }
        }
        essentials
    }

    pub(super) fn ethertypes(&mut self, document: &Document, root: &Node) -> BTreeSet<u16> {
        let mut ethertypes = BTreeSet::new();
        let Some(list) = self.section(&document.ethertypes, root, "ethertypes") else {
            return ethertypes;
        };
        let node = root.get("ethertypes");
        for (index, item) in list.iter().enumerate() {
            let node = node.at(index);
            if self
                .findings
                .item(item, node, "an entry of 'ethertypes'")
                .is_none()
            {
                continue;
            }
            let Some(ethertype) = self.ethertype(node) else {
                continue;
            };
            if !ethertypes.insert(ethertype) {
                self.findings.help(
                    node.mark,
                    format!("the ethertype {ethertype:#06x} is in this list twice"),
                    "remove one of them",
                );
            }
        }
        ethertypes
    }

    /// Ethertypes are printed in hexadecimal everywhere, so both notations are
    /// taken here, and here alone.
    fn ethertype(&mut self, node: &Node) -> Option<u16> {
        let typed = node.typed();
        let hexadecimal = typed
            .strip_prefix("0x")
            .filter(|digits| !digits.starts_with('+'));
        let number = match hexadecimal {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => super::super::ports::decimal(typed),
        };
        let Some(number) = number else {
            self.findings.help(
                node.mark,
                format!("{} is not the number of an ethertype", super::quoted(typed)),
                "write it as 0x88f7 or in plain decimal digits",
            );
            return None;
        };
        if let Some((_, name, help)) = JUDGED.iter().find(|(judged, ..)| *judged == number) {
            self.findings.help(
                node.mark,
                format!("the ethertype {number:#06x} is {name}, which cannot be let through here"),
                *help,
            );
            return None;
        }
        let ethertype = u16::try_from(number)
            .ok()
            .filter(|_| number >= FIRST_ETHERTYPE);
        if ethertype.is_none() {
            self.findings.help(
                node.mark,
                format!("{number:#06x} is not an ethertype"),
                "ethertypes are 0x0600 to 0xffff; smaller numbers are lengths",
            );
        }
        ethertype
    }

    pub(super) fn flows(&mut self, document: &Document, root: &Node) -> Flows {
        let mut flows = Flows::default();
        let Some(written) = self.section(&document.flows, root, "flows") else {
            return flows;
        };
        let node = root.get("flows");
        self.findings
            .unknown_keys::<document::Flows>(node, "'flows'");
        let Some(scalar) = self.findings.optional(&written.entries, node, "entries") else {
            return flows;
        };
        let at = node.get("entries");
        let Some(entries) = self
            .findings
            .number(scalar, at, "the number of flow entries")
        else {
            return flows;
        };
        match u32::try_from(entries) {
            Ok(size) if (1..=MAX_FLOWS).contains(&entries) => flows.entries = size,
            _ => self.findings.help(
                at.mark,
                format!("a flow table of {entries} entries cannot be made"),
                format!(
                    "it holds 1 to {MAX_FLOWS}; the default is {}",
                    flows.entries
                ),
            ),
        }
        flows
    }
}
