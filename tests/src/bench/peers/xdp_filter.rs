//! xdp-filter of xdp-tools: what no port is open for is dropped. It knows no networks
//! beside ports, and no ports of one address.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};

use super::super::receiver::{Receiver, lab};
use super::super::traffic::Traffic;
use super::rules::{Protocol, Rules};
use super::tool::XDP_FILTER;
use crate::bpf::program_by_id;
use crate::lab::Lab;
use crate::lab::mounts::Mounts;
use crate::lab::product::expect_exit;

/// What the names of all of them begin with.
pub(super) const NAME: &str = "xdp-filter";

/// What it is loaded with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    /// As its command line takes them.
    list: &'static str,
    protocols: &'static [Protocol],
}

/// Both protocols: it has no object for just these two, and takes the one with everything.
pub(crate) const TCP_AND_UDP: Features = Features {
    list: "tcp,udp",
    protocols: &[Protocol::Tcp, Protocol::Udp],
};

/// TCP alone, for which it has an object of its own.
pub(crate) const TCP: Features = Features {
    list: "tcp",
    protocols: &[Protocol::Tcp],
};

/// A lab whose outer device it stands at.
pub(crate) struct XdpFilter {
    lab: Lab,
    name: String,
    program: OwnedFd,
}

impl XdpFilter {
    /// Loads it with the ports of `rules` open, if it is installed.
    pub(crate) fn new(features: Features, rules: &Rules) -> Result<Option<Self>> {
        let Some(filter) = XDP_FILTER.find() else {
            return Ok(None);
        };
        let mut lab = lab()?;
        lab.mounts = Mounts::for_others()?;
        let run = |arguments: &[&str]| {
            let mut command = lab.edge.command_in(&filter, &lab.mounts);
            expect_exit(command.args(arguments), 0)
        };
        let device = lab.external.edge.device;
        let Features { list, protocols } = features;
        run(&["load", "-m", "native", "-p", "deny", "-f", list, device])?;
        for protocol in protocols {
            let open = rules.rules.iter().filter(|rule| rule.protocol == *protocol);
            let mut ports: Vec<u16> = open.flat_map(|rule| rule.ports.clone()).collect();
            ports.sort_unstable();
            ports.dedup();
            for port in ports {
                let (protocol, port) = (protocol.as_str(), port.to_string());
                run(&["port", "-m", "dst", "-p", protocol, &port])?;
            }
        }
        let devices = lab.edge.devices()?;
        let id = devices.get(device).copied().flatten();
        let id = id.context("xdp-filter has attached no program")?;
        let program = program_by_id(id).context("take hold of xdp-filter's program")?;
        Ok(Some(Self {
            lab,
            name: format!("{NAME} {list}, the policy's ports"),
            program,
        }))
    }

    /// The program that it has attached.
    pub(crate) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }
}

impl Receiver for XdpFilter {
    fn name(&self) -> &str {
        &self.name
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn counted(&self, _: &Traffic) -> Result<u64> {
        let filter = XDP_FILTER.find().context("xdp-filter is gone")?;
        let mut status = self.lab.edge.command_in(filter, &self.lab.mounts);
        // Where its object has no filters of addresses, it fails when it comes to them, behind
        // what is read here.
        let output = status.arg("status").output().context("ask xdp-filter")?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `XDP_DROP  NUMBER pkts  NUMBER KiB`
        let mut lines = text.lines().map(str::split_whitespace);
        let count =
            lines.find_map(|mut words| (words.next()? == "XDP_DROP").then(|| words.next())?);
        count
            .context("xdp-filter's status says nothing of XDP_DROP")?
            .parse()
            .context("read what xdp-filter counts")
    }
}
