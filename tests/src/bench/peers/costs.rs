//! What xdp-filter's programs cost on the packets that ours are measured on, and what ours
//! costs under a policy that asks for nothing more than xdp-filter's smallest program can.

use std::os::fd::BorrowedFd;

use anyhow::{Context, Result, ensure};
use edge_filter::policy::{self, Action, Direction};

use super::super::case::{Case, NoOp};
use super::super::documented::{Documented, POLICY, ROLE};
use super::rules::Rules;
use super::xdp_filter::{TCP, TCP_AND_UDP, XdpFilter};
use crate::judge::{Hook, Judge as _, KernelJudge};

/// The programs.
pub(crate) struct Costs {
    /// xdp-filter's for both protocols, and for TCP alone.
    filters: [Option<XdpFilter>; 2],
    ports_only: KernelJudge,
}

/// What a table calls xdp-filter's programs.
pub(crate) const XDP_FILTER: [&str; 2] = ["xdp-filter tcp,udp", "xdp-filter tcp"];
/// What it calls ours under the policy of ports.
pub(crate) const PORTS_ONLY: &str = "TCP ports only";

/// The ports of TCP that the documented policy has open, to anybody, at any address.
pub(super) const PORTS_ONLY_POLICY: &str = "\
version: 1
name: tcp-ports-only
interfaces:
  external: { devices: [eth0], vlans: [untagged] }
  internal: { devices: [eth1], vlans: [untagged] }
default_action: drop
groups:
  - name: ports
    rules:
      - id: open
        interface: external
        direction: inbound
        to: { ports: [443, 5061, 5269] }
        protocol: tcp
        action: allow
";

impl Costs {
    /// Loads them, xdp-filter's if it is installed.
    pub(crate) fn load() -> Result<Self> {
        let rules = Rules::read(POLICY, ROLE)?;
        let date = jiff::Zoned::now().date();
        let policy = policy::read("tcp-ports-only.yaml", PORTS_ONLY_POLICY, date);
        let policy = policy.context("read the policy of ports")?.policy;
        Ok(Self {
            filters: [
                XdpFilter::new(TCP_AND_UDP, &rules)?,
                XdpFilter::new(TCP, &rules)?,
            ],
            ports_only: KernelJudge::new(Hook::inbound(&policy, ROLE)),
        })
    }

    /// Judges every packet once by the policy of ports.
    pub(crate) fn judge(&mut self, documented: &Documented) -> Result<()> {
        for (name, frame, action) in documented.clients() {
            let verdict = self.ports_only.judge(frame);
            ensure!(
                verdict.action == action,
                "'{name}' counts as {verdict} where only ports are asked for"
            );
        }
        Ok(())
    }

    /// The cases, on the packets of `documented`.
    pub(crate) fn cases<'p>(&'p self, documented: &'p Documented) -> Vec<Case<'p>> {
        let filters = XDP_FILTER.iter().zip(&self.filters);
        let mut programs: Vec<(&str, BorrowedFd<'_>)> = filters
            .filter_map(|(name, filter)| Some((*name, filter.as_ref()?.program())))
            .collect();
        programs.push((PORTS_ONLY, self.ports_only.descriptor()));
        let mut cases = Vec::new();
        for (of, program) in programs {
            for (name, frame, action) in documented.clients() {
                cases.push(Case {
                    name: format!("{of}: {name}"),
                    counter: counter(of, action),
                    program,
                    frame: frame.to_vec(),
                    answer: KernelJudge::answer(Direction::Inbound, action),
                    no_op: NoOp::Xdp,
                    rounds: Vec::new(),
                });
            }
        }
        cases
    }
}

/// The counter that moves: xdp-filter's are those of its answers.
fn counter(of: &str, action: Action) -> String {
    match (of, action) {
        (PORTS_ONLY, Action::Allow) => "open",
        (PORTS_ONLY, Action::Drop) => "drop:default",
        (_, Action::Allow) => "XDP_PASS",
        (_, Action::Drop) => "XDP_DROP",
    }
    .to_owned()
}
