//! How things stand at the edge: what is attached, pinned and on the disk, to be held
//! against how they stood before a fault.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};

use super::Lab;
use super::product::expect_exit;

/// Everything that a command which was refused must leave as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The devices, each with the number of the XDP program on it.
    pub devices: BTreeMap<String, Option<u32>>,
    /// Each hook: its device, direction, program and generation, and whether it filters.
    pub hooks: Vec<(String, String, u32, u64, bool)>,
    /// What is pinned.
    pub pins: Vec<PathBuf>,
    /// The files of state, with what they hold.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Standing {
    /// How they stand now.
    pub fn of(lab: &Lab) -> Result<Self> {
        let hooks = lab.status()?.hooks.into_iter().map(|hook| {
            (
                hook.device,
                hook.direction,
                hook.program_id,
                hook.generation,
                hook.filtered,
            )
        });
        Ok(Self {
            devices: lab.edge.devices()?,
            hooks: hooks.collect(),
            pins: lab.mounts.pins()?,
            files: files(lab)?,
        })
    }

    /// The same where nothing is enforced, and `status` has nothing to tell.
    pub fn of_none(lab: &Lab) -> Result<Self> {
        let status = lab.json(&["status"])?;
        ensure!(status["policy"].is_null(), "{status:#}");
        Ok(Self {
            devices: lab.edge.devices()?,
            hooks: Vec::new(),
            pins: lab.mounts.pins()?,
            files: files(lab)?,
        })
    }

    /// Fails unless they stand as before.
    pub fn assert_same(&self, lab: &Lab) -> Result<()> {
        let now = Self::of(lab)?;
        ensure!(
            now.devices == self.devices,
            "other programs are attached: {:?}, and before {:?}",
            now.devices,
            self.devices
        );
        ensure!(
            now.hooks == self.hooks,
            "`status` says {:?}, and before {:?}",
            now.hooks,
            self.hooks
        );
        ensure!(
            now.pins == self.pins,
            "pinned is {:?}, and before {:?}",
            now.pins,
            self.pins
        );
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        ensure!(
            names(&now.files) == names(&self.files),
            "the files of state are {:?}, and before {:?}",
            names(&now.files),
            names(&self.files)
        );
        ensure!(now.files == self.files, "files of state have changed");
        Ok(())
    }
}

/// The files below the state directory, with what they hold.
pub fn files(lab: &Lab) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let root = lab.mounts.outside("state/edge-filter");
    let mut found = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("last-hits.json") {
                // What a daemon has seen is written whenever something was counted.
                found.insert(path.strip_prefix(&root)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// What a command says that must exit with 1, if it holds all of `words`: one error with a
/// remedy, and no panic.
pub fn refusal(command: &mut Command, words: &[&str]) -> Result<String> {
    let output = expect_exit(command, 1)?;
    let message = String::from_utf8(output.stderr)?;
    ensure!(!message.contains("panicked"), "{message}");
    for word in words.iter().chain(&["error: ", "help: "]) {
        ensure!(message.contains(word), "no \"{word}\" in:\n{message}");
    }
    Ok(message)
}
