//! The manifest beside the committed BPF object: which sources and which tools
//! it was made from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{toolchain::Versions, workspace::Workspace};

pub(crate) const PACKAGE: &str = "edge-filter-ebpf";
/// How the names of the crates begin that the object is built with: aya's, and what
/// aya-log-common makes numbers of kinds with. No other crate is compiled into it
/// (`build-ebpf` refuses one), so that no other change of `Cargo.lock` matters.
const FAMILIES: [&str; 2] = ["aya-", "num_enum"];

/// `edge-filter-ebpf/prebuilt/manifest.json`. Hashes are SHA-256, in lower-case
/// hexadecimal digits.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The hash of everything that decides the object beside the tools
    /// ([`sources_hash`]).
    pub(crate) sources_sha256: String,
    /// As `rustc -V` says it, without the name.
    pub(crate) rustc: String,
    /// As `bpf-linker -V` says it, without the name.
    pub(crate) bpf_linker: String,
    /// Rustc's LLVM, and the library that bpf-linker is linked to.
    pub(crate) llvm: String,
    /// The hash of the object's bytes.
    pub(crate) object_sha256: String,
}

impl Manifest {
    pub(crate) fn new(sources_sha256: String, versions: Versions, object: &[u8]) -> Self {
        Self {
            sources_sha256,
            rustc: versions.rustc,
            bpf_linker: versions.bpf_linker,
            llvm: versions.llvm,
            object_sha256: hex(Sha256::digest(object).as_slice()),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| {
            format!(
                "reading {}; `cargo xtask build-ebpf` writes it",
                path.display()
            )
        })?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("writing the manifest")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn versions(&self) -> Versions {
        Versions {
            rustc: self.rustc.clone(),
            bpf_linker: self.bpf_linker.clone(),
            llvm: self.llvm.clone(),
        }
    }

    pub(crate) fn describes(&self, object: &[u8]) -> bool {
        self.object_sha256 == hex(Sha256::digest(object).as_slice())
    }
}

/// Hashes what the object is made from: the sources and `Cargo.toml` of
/// `edge-filter-ebpf`, the versions of the crates compiled into it, the
/// workspace's release profile and the compiler's flags.
pub(crate) fn sources_hash(workspace: &Workspace, flags: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    // Each part goes in with its name and length, so that no two sets of parts
    // look alike.
    let mut part = |name: &str, content: &[u8]| {
        hash.update(format!("{name}\0{}\0", content.len()));
        hash.update(content);
    };
    let package = workspace.path(PACKAGE);
    let mut files = vec![package.join("Cargo.toml")];
    collect_files(&package.join("src"), &mut files)?;
    let mut named = files
        .into_iter()
        .map(|file| {
            let relative = file.strip_prefix(&package).context("naming a source")?;
            Ok((relative.to_string_lossy().into_owned(), file))
        })
        .collect::<Result<Vec<_>>>()?;
    named.sort();
    for (name, file) in named {
        let content = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        part(&name, &content);
    }
    let lock = read_toml(&workspace.path("Cargo.lock"))?;
    part("packages", bpf_packages(&lock)?.join("\n").as_bytes());
    let root = read_toml(&workspace.path("Cargo.toml"))?;
    let profile = root.get("profile").and_then(|p| p.get("release"));
    part(
        "profile",
        profile
            .map(ToString::to_string)
            .unwrap_or_default()
            .as_bytes(),
    );
    part("flags", flags.join("\n").as_bytes());
    Ok(hex(hash.finalize().as_slice()))
}

fn collect_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("reading {}", directory.display());
    for entry in fs::read_dir(directory).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn read_toml(path: &Path) -> Result<toml::Table> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    text.parse()
        .with_context(|| format!("reading {}", path.display()))
}

/// Whether a crate's version is part of what the object is made from.
pub(crate) fn is_of_family(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The crates of [`FAMILIES`] that the data path's package leads to, as
/// `name version checksum`, sorted.
fn bpf_packages(lock: &toml::Table) -> Result<Vec<String>> {
    let packages = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .context("Cargo.lock lists no packages")?;
    let text = |package: &toml::Value, key: &str| {
        package
            .get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut reached = vec![PACKAGE.to_owned()];
    let mut lines = Vec::new();
    let mut next = 0;
    while let Some(name) = reached.get(next).cloned() {
        next += 1;
        let package = packages
            .iter()
            .find(|package| text(package, "name") == name)
            .with_context(|| format!("Cargo.lock has no package {name}"))?;
        if name != PACKAGE {
            lines.push(format!(
                "{name} {} {}",
                text(package, "version"),
                text(package, "checksum")
            ));
        }
        let dependencies = package.get("dependencies").and_then(toml::Value::as_array);
        for dependency in dependencies
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
        {
            // "name", or "name version" where the lock holds several.
            let dependency = dependency.split(' ').next().unwrap_or_default();
            if is_of_family(dependency) && !reached.iter().any(|seen| seen == dependency) {
                reached.push(dependency.to_owned());
            }
        }
    }
    ensure!(
        !lines.is_empty(),
        "{PACKAGE} depends on none of {FAMILIES:?} in Cargo.lock"
    );
    lines.sort();
    Ok(lines)
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        [[package]]
        name = "anyhow"
        version = "1.0.0"
        checksum = "a1"

        [[package]]
        name = "aya-ebpf"
        version = "0.2.1"
        checksum = "b2"
        dependencies = ["aya-ebpf-cty", "anyhow"]

        [[package]]
        name = "aya-ebpf-cty"
        version = "0.3.0"
        checksum = "c3"

        [[package]]
        name = "aya-obj"
        version = "0.3.0"
        checksum = "d4"

        [[package]]
        name = "edge-filter-ebpf"
        version = "0.1.0"
        dependencies = ["aya-ebpf 0.2.1"]
    "#;

    fn packages(lock: &str) -> Vec<String> {
        bpf_packages(&lock.parse().expect("valid TOML")).expect("a complete lock")
    }

    #[test]
    fn only_the_crates_of_the_object_count() {
        assert_eq!(
            packages(LOCK),
            ["aya-ebpf 0.2.1 b2", "aya-ebpf-cty 0.3.0 c3"]
        );
    }

    #[test]
    fn an_update_counts_if_the_object_holds_the_crate() {
        assert_eq!(
            packages(LOCK),
            packages(&LOCK.replace("a1", "ff").replace("d4", "ff"))
        );
        assert_ne!(packages(LOCK), packages(&LOCK.replace("c3", "ff")));
    }

    #[test]
    fn a_lock_without_the_data_path_is_an_error() {
        let lock = LOCK.replace("edge-filter-ebpf", "other");
        let error = bpf_packages(&lock.parse().expect("valid TOML")).expect_err("no data path");
        assert!(error.to_string().contains("edge-filter-ebpf"), "{error}");
    }

    #[test]
    fn the_manifest_describes_its_object_alone() {
        let versions = Versions {
            rustc: "1.96.0".to_owned(),
            bpf_linker: "0.13.0".to_owned(),
            llvm: "22.1.8".to_owned(),
        };
        let manifest = Manifest::new("00".to_owned(), versions.clone(), b"object");
        assert!(manifest.describes(b"object"));
        assert!(!manifest.describes(b"Object"));
        assert_eq!(manifest.versions(), versions);
    }
}
