//! nftables at the ingress hook of a device, before the stack: the earliest place it has.

use anyhow::{Context, Result};
use serde::Deserialize;

use super::super::rate::Member;
use super::super::receiver::{Receiver, lab};
use super::super::traffic::Traffic;
use super::nft_script::{COUNTER, Form, script};
use super::rules::Rules;
use super::tool::NFT;
use crate::lab::Lab;
use crate::lab::offload::take_redirected;
use crate::lab::product::expect_exit;

/// A lab whose outer device nftables stands at.
pub(super) struct Nftables {
    lab: Lab,
    name: String,
    form: Form,
    /// How many rules it has, as a member of a series.
    rules: Option<usize>,
}

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
