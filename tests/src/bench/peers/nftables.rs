//! nftables at the ingress hook of a device, before the stack: the earliest place it has.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::super::rate::Member;
use super::super::receiver::{Receiver, lab};
use super::super::traffic::Traffic;
use super::rules::{Flat, Rules};
use super::tool::NFT;
use crate::lab::Lab;
use crate::lab::offload::take_redirected;
use crate::lab::product::expect_exit;

/// How rules are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each as a rule, one after the other.
    Rules,
    /// As the elements of a set for each family: sources, destinations, protocols and ports
    /// concatenated, with intervals.
    Sets,
}

/// A lab whose outer device nftables stands at.
pub(super) struct Nftables {
    lab: Lab,
    name: String,
    form: Form,
    /// How many rules it has, as a member of a series.
    rules: Option<usize>,
}

/// What counts the dropped.
const COUNTER: &str = "dropped";

/// `nft --json list counter`.
#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    packets: u64,
}

impl Nftables {
    /// Sets up `rules`, if nftables is installed.
    pub(super) fn new(policy: &str, rules: &Rules, form: Form) -> Result<Option<Self>> {
        let Some(nft) = NFT.find() else {
            return Ok(None);
        };
        let lab = lab()?;
        take_redirected(&lab.external.edge)?;
        let file = lab.mounts.write("rules.nft", &script(rules, form))?;
        let mut load = lab.edge.command_in(nft, &lab.mounts);
        expect_exit(load.arg("-f").arg(file), 0)?;
        Ok(Some(Self {
            lab,
            name: name(policy, form),
            form,
            rules: None,
        }))
    }

    /// The same as a member of a series.
    pub(super) fn in_series(self, rules: usize) -> Self {
        Self {
            rules: Some(rules),
            ..self
        }
    }
}

/// What a table calls it.
pub(super) fn name(policy: &str, form: Form) -> String {
    format!("nftables, {policy} as {}", form.as_str())
}

impl Form {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Sets => "sets",
        }
    }
}

impl Receiver for Nftables {
    fn name(&self) -> &str {
        &self.name
    }

    fn member(&self) -> Option<Member> {
        let series = format!("nftables, as {}", self.form.as_str());
        self.rules.map(|rules| Member::new(series, rules))
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn counted(&self, _: &Traffic) -> Result<u64> {
        let nft = NFT.find().context("nftables is gone")?;
        let mut list = self.lab.edge.command(nft);
        list.args(["--json", "list", "counter", "netdev", "bench", COUNTER]);
        let output = expect_exit(&mut list, 0)?;
        let listing: Listing =
            serde_json::from_slice(&output.stdout).context("read what nftables counts")?;
        let counter = listing.nftables.into_iter().find_map(|item| item.counter);
        Ok(counter.context("nftables lists no counter")?.packets)
    }
}

/// What sets `rules` up in one transaction, in place of what is there.
pub(crate) fn script(rules: &Rules, form: Form) -> String {
    let device = "external";
    let mut script = format!(
        "table netdev bench\ndelete table netdev bench\ntable netdev bench {{\n  counter {COUNTER} {{}}\n"
    );
    if form == Form::Sets {
        for (name, address, is_ipv4) in [("v4", "ipv4_addr", true), ("v6", "ipv6_addr", false)] {
            let _ = writeln!(
                script,
                "  set {name} {{\n    type {address} . {address} . inet_proto . inet_service\n    \
                 flags interval\n    counter"
            );
            let elements: Vec<String> = rules
                .rules
                .iter()
                .filter(|rule| rule.is_ipv4() == is_ipv4)
                .map(element)
                .collect();
            if !elements.is_empty() {
                let _ = writeln!(
                    script,
                    "    elements = {{ {} }}",
                    elements.join(",\n      ")
                );
            }
            script.push_str("  }\n");
        }
    }
    let _ = writeln!(
        script,
        "  chain ingress {{\n    type filter hook ingress device \"{device}\" priority 0; policy accept"
    );
    for network in &rules.protected {
        let family = if network.addr().is_ipv4() {
            "ip"
        } else {
            "ip6"
        };
        let _ = writeln!(script, "    {family} saddr {network} counter drop");
    }
    script.push_str(
        "    ether type arp counter accept\n    \
         icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } counter accept\n",
    );
    match form {
        Form::Rules => {
            for rule in &rules.rules {
                let _ = writeln!(script, "    {} counter accept", matches(rule));
            }
        }
        Form::Sets => script.push_str(
            "    ip saddr . ip daddr . ip protocol . th dport @v4 accept\n    \
             ip6 saddr . ip6 daddr . ip6 nexthdr . th dport @v6 accept\n",
        ),
    }
    let _ = writeln!(script, "    counter name {COUNTER} drop\n  }}\n}}");
    script
}

/// `198.51.100.0/25 . 192.0.2.10 . tcp . 5061`
fn element(rule: &Flat) -> String {
    let (from, to) = (rule.from, rule.to);
    let (protocol, ports) = (rule.protocol.as_str(), rule.ports('-'));
    format!("{from} . {to} . {protocol} . {ports}")
}

/// `ip saddr 198.51.100.0/25 ip daddr 192.0.2.10 tcp dport 5061`
fn matches(rule: &Flat) -> String {
    let family = if rule.is_ipv4() { "ip" } else { "ip6" };
    let mut text = String::new();
    for (word, network) in [("saddr", rule.from), ("daddr", rule.to)] {
        if network.prefix_len() > 0 {
            let _ = write!(text, "{family} {word} {network} ");
        }
    }
    let _ = write!(text, "{} dport {}", rule.protocol.as_str(), rule.ports('-'));
    text
}
