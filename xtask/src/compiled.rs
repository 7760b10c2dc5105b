//! Which crates are compiled into the BPF object, and where their sources lie
//! on this machine.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{
    process,
    toolchain::{TARGET, Toolchain},
    workspace::Workspace,
};

/// A crate whose code can end up in the object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The directory of its `Cargo.toml`.
    pub(crate) directory: PathBuf,
}

/// The parts of `cargo metadata` that are needed here (format version 1).
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// Absent for a normal dependency, otherwise `dev` or `build`.
    kind: Option<String>,
}

/// The crates that `package` is compiled from for the BPF target, itself
/// excluded, sorted by name. Downloads what cargo has not got yet.
pub(crate) fn into_object(
    workspace: &Workspace,
    toolchain: &Toolchain,
    package: &str,
) -> Result<Vec<Compiled>> {
    let json = process::stdout(
        toolchain
            .cargo(&[])
            .current_dir(workspace.root())
            .args(["metadata", "--format-version=1", "--locked", "--quiet"])
            .arg(format!("--filter-platform={TARGET}")),
    )?;
    let metadata = serde_json::from_str(&json).context("reading cargo's metadata")?;
    reachable(&metadata, package)
}

fn reachable(metadata: &Metadata, package: &str) -> Result<Vec<Compiled>> {
    let start = metadata
        .packages
        .iter()
        .find(|candidate| candidate.name == package)
        .with_context(|| format!("the workspace has no package {package}"))?;
    let mut reached = vec![start];
    let mut next = 0;
    while let Some(package) = reached.get(next) {
        next += 1;
        let node = metadata
            .resolve
            .nodes
            .iter()
            .find(|node| node.id == package.id);
        for dependency in node.into_iter().flat_map(|node| &node.deps) {
            let found = metadata.packages.iter().find(|p| p.id == dependency.pkg);
            if let Some(found) = found
                && dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
                && !found.is_macro()
                && !reached.iter().any(|seen| seen.id == found.id)
            {
                reached.push(found);
            }
        }
    }
    let mut compiled = reached[1..]
        .iter()
        .map(|package| {
            let directory = package.manifest_path.parent();
            Ok(Compiled {
                name: package.name.clone(),
                version: package.version.clone(),
                directory: directory
                    .context("a manifest without a directory")?
                    .to_owned(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    compiled.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(compiled)
}

impl Package {
    /// Macros run in the compiler: what they expand to counts as the source
    /// that calls them.
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_dependencies_that_are_no_macros_are_compiled_in() {
        let metadata = serde_json::from_str(
            r#"{
                "packages": [
                    { "id": "path", "name": "path", "version": "0.1.0", "manifest_path": "/w/path/Cargo.toml", "targets": [{ "kind": ["lib"] }] },
                    { "id": "lib", "name": "lib", "version": "1.2.3", "manifest_path": "/r/lib-1.2.3/Cargo.toml", "targets": [{ "kind": ["lib"] }] },
                    { "id": "deep", "name": "deep", "version": "2.0.0", "manifest_path": "/r/deep-2.0.0/Cargo.toml", "targets": [{ "kind": ["lib"] }] },
                    { "id": "macro", "name": "macro", "version": "1.0.0", "manifest_path": "/r/macro-1.0.0/Cargo.toml", "targets": [{ "kind": ["proc-macro"] }] },
                    { "id": "build", "name": "build", "version": "1.0.0", "manifest_path": "/r/build-1.0.0/Cargo.toml", "targets": [{ "kind": ["lib"] }] }
                ],
                "resolve": { "nodes": [
                    { "id": "path", "deps": [
                        { "pkg": "lib", "dep_kinds": [{ "kind": null }] },
                        { "pkg": "macro", "dep_kinds": [{ "kind": null }] },
                        { "pkg": "build", "dep_kinds": [{ "kind": "build" }] }
                    ] },
                    { "id": "lib", "deps": [{ "pkg": "deep", "dep_kinds": [{ "kind": "dev" }, { "kind": null }] }] }
                ] }
            }"#,
        )
        .expect("valid metadata");
        let compiled = reachable(&metadata, "path").expect("the package exists");
        let names: Vec<_> = compiled.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["deep", "lib"]);
        assert_eq!(compiled[1].directory, PathBuf::from("/r/lib-1.2.3"));
    }
}
