//! Where things are: the checkout that is being worked on, and where cargo puts
//! what it builds.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The checkout and its build directory, both absolute.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout that `cargo xtask` was called in.
    pub(crate) fn locate() -> Result<Self> {
        // Set by `cargo run`; the path known at compile time serves a binary
        // that is started by hand.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .context("finding the workspace above xtask/")?
            .canonicalize()
            .with_context(|| format!("finding the workspace above {}", package.display()))?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(directory) if !directory.is_empty() => std::path::absolute(directory)
                .context("making CARGO_TARGET_DIR an absolute path")?,
            _ => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the checkout, named from its root.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where the BPF object is built: beside the host's own artifacts, because
    /// another compiler makes it.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// The cargo that runs this task, in the workspace's root, with the build
    /// directory that the caller chose.
    pub(crate) fn cargo(&self) -> Command {
        let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// Runs `cargo build` with these arguments and says where the executables
    /// are, which `--target`, profiles and settings would otherwise decide.
    pub(crate) fn build(&self, args: &[&str]) -> Result<Built> {
        let messages = process::stdout(
            self.cargo()
                .args([
                    "build",
                    "--locked",
                    "--message-format=json-render-diagnostics",
                ])
                .args(args),
        )?;
        Ok(Built::from_messages(&messages))
    }
}

/// The executables that one `cargo build` made.
pub(crate) struct Built(Vec<PathBuf>);

/// The part of cargo's messages that names an executable.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

impl Built {
    fn from_messages(messages: &str) -> Self {
        let executables = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)
            .collect();
        Self(executables)
    }

    /// The executable of this name.
    pub(crate) fn executable(&self, name: &str) -> Result<&Path> {
        self.0
            .iter()
            .find(|path| path.file_stem() == Some(OsStr::new(name)))
            .map(PathBuf::as_path)
            .with_context(|| format!("cargo built no executable named {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let built = Built::from_messages(
            "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
             {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/demo\"}\n\
             not a message\n\
             {\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(
            built.executable("demo").expect("built"),
            Path::new("/t/debug/demo")
        );
        assert!(built.executable("edge-filter").is_err());
    }
}
