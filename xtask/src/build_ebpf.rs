//! `cargo xtask build-ebpf`: compiles the data path for the kernel, writes the
//! object that is committed, and checks that the two belong together. The same
//! sources and tools give the same bytes wherever they lie.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    compiled::{self, Compiled},
    manifest::{self, Manifest},
    process, strip,
    toolchain::{self, TARGET, Toolchain},
    workspace::Workspace,
};

const OBJECT: &str = "edge-filter-ebpf/prebuilt/edge-filter.bpf.o";
const MANIFEST: &str = "edge-filter-ebpf/prebuilt/manifest.json";

/// The flags that are the same on every machine. They are part of the sources'
/// hash; the remapped paths, which are not, leave no trace in the object.
const FLAGS: &[&str] = &[
    // BTF is made from debug information.
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Ctarget-cpu=v3",
    // aya-ebpf would take the host's: the object is to be the same everywhere,
    // and no XDP program reads registers by architecture.
    "--cfg=bpf_target_arch=\"x86_64\"",
];

/// When `--check` compares bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebuild {
    /// If the recorded tools are the ones installed here.
    WhenSameTools,
    /// Always; not being able to is a failure.
    Required,
}

/// Builds the object and writes it with its manifest.
pub(crate) fn build(workspace: &Workspace, nightly: Option<&str>) -> Result<()> {
    let Some(toolchain) = toolchain::choose(nightly, None) else {
        return toolchain::none_installed();
    };
    println!("building with {}", toolchain.versions);
    let sources = manifest::sources_hash(workspace, FLAGS)?;
    let object = compile(workspace, &toolchain)?;
    let path = workspace.path(OBJECT);
    let directory = path.parent().context("naming the object's directory")?;
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    fs::write(&path, &object).with_context(|| format!("writing {}", path.display()))?;
    let manifest = Manifest::new(sources, toolchain.versions, &object);
    manifest.write(&workspace.path(MANIFEST))?;
    println!(
        "wrote {OBJECT} ({} bytes), sha256 {}",
        object.len(),
        manifest.object_sha256
    );
    println!("wrote {MANIFEST}");
    Ok(())
}

/// Says of each check whether it was made, and fails on the first that fails.
pub(crate) fn check(workspace: &Workspace, nightly: Option<&str>, rebuild: Rebuild) -> Result<()> {
    let manifest = Manifest::read(&workspace.path(MANIFEST))?;
    let path = workspace.path(OBJECT);
    let object = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    ensure!(
        manifest.describes(&object),
        "{OBJECT} is not the object that {MANIFEST} describes; run `cargo xtask build-ebpf`"
    );
    println!("ok: the committed object is the one its manifest describes");
    ensure!(
        manifest.sources_sha256 == manifest::sources_hash(workspace, FLAGS)?,
        "the sources of edge-filter-ebpf (or what else decides the object: its dependencies, the \
         release profile, the flags) have changed since {OBJECT} was built; run \
         `cargo xtask build-ebpf` and commit what it writes"
    );
    println!("ok: the manifest describes these sources");
    compare(workspace, nightly, rebuild, &manifest, &object)
}

/// Rebuilds the object, where that is possible and asked for, and compares.
fn compare(
    workspace: &Workspace,
    nightly: Option<&str>,
    rebuild: Rebuild,
    manifest: &Manifest,
    object: &[u8],
) -> Result<()> {
    let recorded = manifest.versions();
    let Some(toolchain) = toolchain::choose(nightly, Some(&recorded)) else {
        if rebuild == Rebuild::Required {
            return toolchain::none_installed();
        }
        println!(
            "not checked: the tools to rebuild the object are not installed, so its bytes were \
             not compared; to compare them, install one of\n{}",
            toolchain::INSTALL
        );
        return Ok(());
    };
    let same_tools = toolchain.versions == recorded;
    if !same_tools && rebuild == Rebuild::WhenSameTools {
        println!(
            "not checked: the object was built with {recorded}; here is {}, so the bytes were \
             not compared",
            toolchain.versions
        );
        return Ok(());
    }
    if rebuild == Rebuild::Required {
        empty(&workspace.bpf_target())?;
    }
    let again = compile(workspace, &toolchain)?;
    if again == object {
        println!("ok: rebuilt with {}: the same bytes", toolchain.versions);
        return Ok(());
    }
    let kept = workspace.bpf_target().join("edge-filter.bpf.o");
    fs::write(&kept, &again).with_context(|| format!("writing {}", kept.display()))?;
    let kept = kept.display();
    if same_tools {
        bail!(
            "rebuilt with the recorded tools, the object's bytes differ from {OBJECT} (the \
             rebuilt one is {kept}); run `cargo xtask build-ebpf` and commit what it writes"
        );
    }
    bail!(
        "{OBJECT} was built with {recorded}; rebuilt with {} its bytes differ, as they may (the \
         rebuilt one is {kept}); install the recorded versions, or run `cargo xtask build-ebpf` \
         and commit what it writes",
        toolchain.versions
    );
}

/// Removes what was built before: a rebuild that has to count may trust no file's
/// time of change.
fn empty(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Compiles and links the object, and drops its DWARF.
fn compile(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let crates = compiled::into_object(workspace, toolchain, manifest::PACKAGE)?;
    if let Some(stranger) = crates.iter().find(|c| !manifest::is_of_family(&c.name)) {
        bail!(
            "{} {} is compiled into the BPF object, but xtask/src/manifest.rs does not hash it; \
             teach it to",
            stranger.name,
            stranger.version
        );
    }
    let flags = flags(workspace, toolchain, &crates);
    let target_dir = workspace.bpf_target();
    process::run(
        toolchain
            .cargo(&flags)
            .current_dir(workspace.root())
            .args(["build", "--locked", "--release", "--features=program"])
            .arg(format!("--package={}", manifest::PACKAGE))
            .arg("--bin=edge-filter")
            .arg(format!("--target={TARGET}"))
            .arg("--target-dir")
            .arg(&target_dir)
            .args(toolchain.build_args()),
    )
    .context("building the BPF object (bpf-linker's LLVM must not be older than rustc's)")?;
    let linked: PathBuf = [
        target_dir.as_os_str(),
        TARGET.as_ref(),
        "release".as_ref(),
        "edge-filter".as_ref(),
    ]
    .iter()
    .collect();
    let linked = fs::read(&linked).with_context(|| format!("reading {}", linked.display()))?;
    strip::strip_dwarf(&linked)
}

/// [`FLAGS`], and names in place of the directories of this machine. The last
/// prefix that matches wins, so what may lie inside the workspace stands after
/// it.
fn flags(workspace: &Workspace, toolchain: &Toolchain, crates: &[Compiled]) -> Vec<String> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags: Vec<String> = FLAGS.iter().map(ToString::to_string).collect();
    flags.push(remap(workspace.root(), "/edge-filter"));
    flags.extend(crates.iter().map(|found| {
        remap(
            &found.directory,
            &format!("/crates/{}-{}", found.name, found.version),
        )
    }));
    // Where the library's sources are installed, rustc names those instead of
    // the path that it recorded when the library was built.
    flags.push(remap(
        &toolchain.library_sources,
        &format!("/rustc/{}", toolchain.commit),
    ));
    flags
}
