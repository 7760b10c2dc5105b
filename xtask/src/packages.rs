//! What the tests and the benchmark need from the system and cargo, and how it gets here:
//! by the system's package manager, after saying so.

use std::{env, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace::Workspace};

/// A program that the tests run, or the benchmark.
struct Program {
    name: &'static str,
    /// The package that holds it, by the names of apt, dnf, zypper and pacman.
    packages: [&'static str; 4],
}

const NFT: Program = Program {
    name: "nft",
    packages: ["nftables"; 4],
};

const PROGRAMS: &[Program] = &[
    Program {
        name: "ip",
        packages: ["iproute2", "iproute", "iproute2", "iproute2"],
    },
    Program {
        name: "tc",
        packages: ["iproute2", "iproute-tc", "iproute2", "iproute2"],
    },
    NFT,
    Program {
        name: "setpriv",
        packages: ["util-linux"; 4],
    },
    Program {
        name: "strace",
        packages: ["strace"; 4],
    },
    Program {
        name: "systemd-analyze",
        packages: ["systemd"; 4],
    },
];

/// The programs that set up other filters, which the benchmark measures beside ours.
const FILTERS: &[Program] = &[
    Program {
        name: "xdp-filter",
        packages: ["xdp-tools"; 4],
    },
    NFT,
    Program {
        name: "iptables-legacy",
        packages: ["iptables", "iptables-legacy", "iptables", "iptables-legacy"],
    },
];

/// A package manager and the words that install without a question.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
}

/// In the order of [`Program::packages`].
const MANAGERS: [Manager; 4] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes", "--no-install-recommends"],
    },
    Manager {
        program: "dnf",
        install: &["install", "--assumeyes"],
    },
    Manager {
        program: "zypper",
        install: &["--non-interactive", "install"],
    },
    Manager {
        program: "pacman",
        install: &["--sync", "--noconfirm"],
    },
];

/// Installs the programs that the tests run and that are missing. Without root, or
/// without a package manager that is known here, the error names the command.
pub(crate) fn ensure_programs() -> Result<()> {
    ensure("the tests run", PROGRAMS)
}

/// The same with the filters that the benchmark measures beside ours, if it can be done:
/// the benchmark says itself which it does without.
pub(crate) fn offer_filters() {
    if let Err(error) = ensure("the benchmark measures", FILTERS) {
        eprintln!("note: {error:#}");
    }
}

/// Installs what is missing of `programs`; `user` says who needs them.
fn ensure(user: &str, programs: &[Program]) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|p| !in_path(p.name)).collect();
    let names = missing
        .iter()
        .map(|p| p.name)
        .collect::<Vec<_>>()
        .join(", ");
    if missing.is_empty() {
        println!("every program that {user} is installed");
        return Ok(());
    }
    let Some((index, manager)) = MANAGERS
        .iter()
        .enumerate()
        .find(|(_, manager)| in_path(manager.program))
    else {
        bail!("{user} {names}, which is not in PATH; install it and try again");
    };
    let mut install = Command::new(manager.program);
    install
        .args(manager.install)
        .args(missing.iter().map(|program| program.packages[index]))
        .env("DEBIAN_FRONTEND", "noninteractive");
    if !is_root() {
        bail!(
            "{user} {names}, which is not in PATH; install it with `sudo {}`",
            process::shown(&install)
        );
    }
    println!(
        "not installed: {names}; running `{}`",
        process::shown(&install)
    );
    if process::run(&mut install).is_ok() {
        return Ok(());
    }
    if manager.program == "apt-get" {
        // On a new machine apt knows no packages yet.
        println!("running `apt-get update` and trying once more");
        process::run(Command::new("apt-get").arg("update"))?;
    }
    process::run(&mut install).with_context(|| format!("installing {names}"))
}

/// Adds rustfmt and clippy to the toolchain in use, where rustup manages it.
pub(crate) fn ensure_components(workspace: &Workspace) -> Result<()> {
    let missing: Vec<_> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(subcommand, _)| {
            process::probe(workspace.cargo().args([subcommand, "--version"])).is_none()
        })
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        println!("rustfmt and clippy are installed");
        return Ok(());
    }
    let mut add = Command::new("rustup");
    add.args(["component", "add"]).args(&missing);
    if !in_path("rustup") {
        bail!(
            "this Rust has no {}; install it with the package manager that Rust came from",
            missing.join(" and no ")
        );
    }
    println!(
        "not installed: {}; running `{}`",
        missing.join(", "),
        process::shown(&add)
    );
    process::run(&mut add)
}

/// Whether the effective user is root.
pub(crate) fn is_root() -> bool {
    process::probe(Command::new("id").arg("-u")).is_some_and(|uid| uid.trim() == "0")
}

fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // Tools of the administrator are not always in a user's PATH.
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(Into::into))
        .any(|directory| Path::new(&directory).join(program).is_file())
}
