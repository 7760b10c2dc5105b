//! The tools that can build the BPF object: which are installed, their
//! versions, and a cargo that uses them and nothing else of the environment.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::process;

/// The only target the object is built for.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// What to install, and how, for either way.
pub(crate) const INSTALL: &str = "\
Debian or Ubuntu, from packages alone:
    apt-get install rustc-web cargo-web libstd-rust-web-dev-bpf \\
        llvm-22-dev libpolly-22-dev zlib1g-dev libzstd-dev
    PATH=/usr/lib/llvm-22/bin:$PATH LLVM_PREFIX=/usr/lib/llvm-22 \\
        cargo install --locked bpf-linker@0.13.0 --no-default-features --features llvm-22
anywhere, with rustup:
    rustup toolchain install nightly --component rust-src
    cargo install --locked bpf-linker";

/// Where the distribution's compiler stands. Not looked up in PATH: there,
/// rustup's usually comes first, and has no `core` for the BPF target.
const DISTRIBUTION_BIN: &str = "/usr/bin";

/// A compiler with a `core` for the BPF target.
enum Compiler {
    /// The distribution's: `core` is precompiled for the target.
    Distribution,
    /// A nightly of rustup's: `core` is compiled from its sources on the way.
    Nightly(String),
}

/// One complete set of tools.
pub(crate) struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
    /// Where the compiler would keep the sources of `core`.
    pub(crate) library_sources: PathBuf,
    /// The commit the compiler was built from.
    pub(crate) commit: String,
    /// What the manifest records.
    pub(crate) versions: Versions,
}

/// The versions that decide the object's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    /// As `rustc -V` says it, without the name.
    pub(crate) rustc: String,
    /// As `bpf-linker -V` says it, without the name.
    pub(crate) bpf_linker: String,
    /// Rustc's LLVM, and the library that bpf-linker is linked to.
    pub(crate) llvm: String,
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "rustc {}, bpf-linker {}, LLVM {}",
            self.rustc, self.bpf_linker, self.llvm
        )
    }
}

/// Every complete set of tools on this machine, the distribution's first: it
/// changes seldom, a nightly every day.
pub(crate) fn installed(nightly: &str) -> Vec<Toolchain> {
    let Some(linker) = find_linker() else {
        return Vec::new();
    };
    [
        Compiler::Distribution,
        Compiler::Nightly(nightly.to_owned()),
    ]
    .into_iter()
    .filter_map(|compiler| Toolchain::probe(compiler, &linker))
    .collect()
}

impl Toolchain {
    fn probe(compiler: Compiler, linker: &Path) -> Option<Self> {
        let sysroot = process::probe(compiler.rustc().args(["--print", "sysroot"]))?;
        let rustlib = Path::new(sysroot.trim_end()).join("lib/rustlib");
        let library_sources = rustlib.join("src/rust");
        let core = match compiler {
            Compiler::Distribution => rustlib.join(TARGET).join("lib"),
            Compiler::Nightly(_) => library_sources.join("library/core"),
        };
        if !core.is_dir() {
            return None;
        }
        let verbose = process::probe(compiler.rustc().arg("-vV"))?;
        let field = |name: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::to_owned)
        };
        let linker_version = process::probe(clean(&mut Command::new(linker)).arg("-V"))?;
        let versions = Versions {
            rustc: field("rustc ")?,
            bpf_linker: linker_version
                .trim()
                .trim_start_matches("bpf-linker ")
                .to_owned(),
            llvm: format!("{}; {}", field("LLVM version: ")?, linker_llvm(linker)),
        };
        Some(Self {
            commit: field("commit-hash: ")?,
            compiler,
            linker: linker.to_owned(),
            library_sources,
            versions,
        })
    }

    /// A cargo that builds for the BPF target with these tools. `rustflags` are
    /// the only flags the compiler gets.
    pub(crate) fn cargo(&self, rustflags: &[String]) -> Command {
        let mut cargo = self.compiler.cargo();
        // An absolute path to the linker cannot stand among the flags: they are
        // to be the same on every machine.
        cargo
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\u{1f}"));
        cargo
    }

    /// What `cargo build` must be told beside the target.
    pub(crate) fn build_args(&self) -> &'static [&'static str] {
        match self.compiler {
            Compiler::Distribution => &[],
            Compiler::Nightly(_) => &["-Zbuild-std=core"],
        }
    }
}

impl Compiler {
    fn rustc(&self) -> Command {
        self.tool("rustc")
    }

    fn cargo(&self) -> Command {
        let mut cargo = self.tool("cargo");
        if let Self::Distribution = self {
            // aya-ebpf asks for one unstable feature.
            cargo
                .env("RUSTC", Path::new(DISTRIBUTION_BIN).join("rustc"))
                .env("RUSTC_BOOTSTRAP", "1");
        }
        cargo
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = match self {
            Self::Distribution => Command::new(Path::new(DISTRIBUTION_BIN).join(name)),
            Self::Nightly(toolchain) => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", toolchain, name]);
                rustup
            }
        };
        clean(&mut command);
        command
    }
}

/// Takes away what a surrounding `cargo run` (of another toolchain) and the
/// user's own settings would tell the compiler. Where cargo finds its registry
/// and how it reaches the network stays.
fn clean(command: &mut Command) -> &mut Command {
    const KEPT: &[&str] = &["CARGO_HOME", "RUSTUP_HOME", "RUST_BACKTRACE"];
    const KEPT_PREFIXES: &[&str] = &[
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
        "RUSTUP_DIST_",
        "RUSTUP_UPDATE_",
    ];
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let misleads = text.starts_with("CARGO") || text.starts_with("RUST");
        let kept = KEPT.contains(&text) || KEPT_PREFIXES.iter().any(|p| text.starts_with(p));
        // LD_LIBRARY_PATH: `cargo run` points it at its own toolchain's libraries.
        if (misleads && !kept) || text == "LD_LIBRARY_PATH" || text.starts_with("AYA_") {
            command.env_remove(name);
        }
    }
    command
}

/// bpf-linker in PATH, or where `cargo install` puts it.
fn find_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    env::split_paths(&path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
        .find(|candidate| candidate.is_file())
}

/// Which LLVM generates the code. bpf-linker does not say; where it is linked
/// dynamically, the library's file name does.
fn linker_llvm(linker: &Path) -> String {
    process::probe(clean(&mut Command::new("ldd")).arg(linker))
        .and_then(|libraries| {
            libraries
                .split_whitespace()
                .find(|word| word.starts_with("libLLVM"))
                .map(str::to_owned)
        })
        .unwrap_or_else(|| "bpf-linker's own".to_owned())
}

/// The toolchain to use: the one that made the recorded object if it is here,
/// otherwise the first.
pub(crate) fn choose(nightly: &str, recorded: Option<&Versions>) -> Option<Toolchain> {
    let mut found = installed(nightly);
    let same = found
        .iter()
        .position(|toolchain| Some(&toolchain.versions) == recorded)
        .unwrap_or(0);
    (same < found.len()).then(|| found.swap_remove(same))
}

/// The error for a machine without the tools.
pub(crate) fn none_installed<T>() -> Result<T> {
    anyhow::bail!("nothing here can build the BPF object; install one of\n{INSTALL}")
}
