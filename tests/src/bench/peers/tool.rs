//! The programs of other filters: whether they are installed, and if not, what to do.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;

use super::super::section::{self, Section};

/// A program that somebody else's filter is set up by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: &'static str,
    /// Debian's package of it.
    package: &'static str,
    /// What has it tell its version.
    version: &'static [&'static str],
}

/// A program, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it says of its version; absent if it is not installed.
    pub version: Option<String>,
    /// What installs it.
    pub install: String,
}

pub(crate) const NFT: Program = Program {
    name: "nft",
    package: "nftables",
    version: &["--version"],
};

pub(super) const XDP_FILTER: Program = Program {
    name: "xdp-filter",
    package: "xdp-tools",
    version: &["status", "--version"],
};

/// The variant that hands its rules to the kernel's own tables of iptables, and not to those of
/// nftables.
pub(super) const IPTABLES: Program = Program {
    name: "iptables-legacy",
    package: "iptables",
    version: &["--version"],
};

impl Program {
    /// Where it is, if it is installed. Tools of the administrator are not always in a
    /// user's `PATH`.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        self.beside("")
    }

    /// The program whose name has this behind it.
    pub(super) fn beside(&self, suffix: &str) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let name = format!("{}{suffix}", self.name);
        env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|directory| directory.join(&name))
            .find(|file| file.is_file())
    }

    fn tool(&self) -> Tool {
        let version = self.find().map(|program| {
            let output = Command::new(program).args(self.version).output();
            let said = output.map(|output| output.stdout).unwrap_or_default();
            String::from_utf8_lossy(&said).trim().to_owned()
        });
        Tool {
            name: self.name.to_owned(),
            version,
            install: format!("apt-get install {}", self.package),
        }
    }
}

/// All of them.
pub(crate) fn tools() -> Vec<Tool> {
    [XDP_FILTER, NFT, IPTABLES]
        .iter()
        .map(Program::tool)
        .collect()
}

/// What was measured beside ours, as a section.
pub(crate) fn section(tools: &[Tool]) -> Section {
    let mut table = section::table(&["program", "version"], 0..0);
    for Tool {
        name,
        version,
        install,
    } in tools
    {
        let missing = || format!("not installed: {install}");
        table.add_row([name.clone(), version.clone().unwrap_or_else(missing)]);
    }
    Section {
        title: "Other filters",
        about: "The programs that set them up; those that are not installed are not measured."
            .to_owned(),
        table,
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) if version.starts_with(&self.name) => f.write_str(version),
            Some(version) => write!(f, "{}: {version}", self.name),
            None => write!(f, "{}: not installed: {}", self.name, self.install),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_installs_it() {
        let missing = Program {
            name: "no-such-filter",
            package: "no-such-package",
            version: &[],
        };
        assert_eq!(missing.find(), None);
        assert_eq!(
            missing.tool().to_string(),
            "no-such-filter: not installed: apt-get install no-such-package"
        );
    }
}
