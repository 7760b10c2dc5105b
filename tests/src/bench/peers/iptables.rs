//! iptables in the table `raw`, before the stack looks for a route: the earliest place it has.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::super::receiver::{Receiver, lab};
use super::super::traffic::Traffic;
use super::rules::Rules;
use super::tool::IPTABLES;
use crate::lab::Lab;
use crate::lab::offload::take_redirected;
use crate::lab::product::expect_exit;

/// A lab whose edge has rules of iptables.
pub(super) struct Iptables {
    lab: Lab,
    name: String,
}

/// What the names of all of them begin with.
pub(super) const NAME: &str = "iptables-legacy raw";

/// The last rule, which counts the dropped.
const DROP: &str = "-A PREROUTING -i external -j DROP";

/// What says where it keeps its lock, instead of on the machine's own file systems.
const LOCK: &str = "XTABLES_LOCKFILE";

impl Iptables {
    /// Sets up the IPv4 part of `rules`, if iptables is installed.
    pub(super) fn new(policy: &str, rules: &Rules) -> Result<Option<Self>> {
        let Some(restore) = IPTABLES.beside("-restore") else {
            return Ok(None);
        };
        let lab = lab()?;
        take_redirected(&lab.external.edge)?;
        let file = lab.mounts.write("rules.iptables", &script(rules))?;
        let mut load = lab.edge.command_in(restore, &lab.mounts);
        expect_exit(
            load.env(LOCK, lab.mounts.inside("xtables.lock")).arg(file),
            0,
        )?;
        Ok(Some(Self {
            lab,
            name: format!("{NAME}, {policy}"),
        }))
    }
}

impl Receiver for Iptables {
    fn name(&self) -> &str {
        &self.name
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn counted(&self, _: &Traffic) -> Result<u64> {
        let save = IPTABLES.beside("-save").context("iptables is gone")?;
        let mut list = self.lab.edge.command(save);
        let output = expect_exit(list.args(["-c", "-t", "raw"]), 0)?;
        let rules = String::from_utf8_lossy(&output.stdout);
        // `[PACKETS:BYTES] RULE`
        let counts = rules.lines().find_map(|line| line.strip_suffix(DROP));
        counts
            .and_then(|counts| counts.trim().strip_prefix('[')?.split_once(':'))
            .context("iptables does not list its last rule")?
            .0
            .parse()
            .context("read what iptables counts")
    }
}

fn script(rules: &Rules) -> String {
    let mut script = "*raw\n:PREROUTING ACCEPT\n".to_owned();
    for network in rules.protected.iter().filter(|net| net.addr().is_ipv4()) {
        let _ = writeln!(script, "-A PREROUTING -i external -s {network} -j DROP");
    }
    for rule in rules.rules.iter().filter(|rule| rule.is_ipv4()) {
        let (from, to) = (rule.from, rule.to);
        let (protocol, ports) = (rule.protocol.as_str(), rule.ports(':'));
        let _ = writeln!(
            script,
            "-A PREROUTING -i external -s {from} -d {to} -p {protocol} --dport {ports} -j ACCEPT"
        );
    }
    script + DROP + "\nCOMMIT\n"
}
