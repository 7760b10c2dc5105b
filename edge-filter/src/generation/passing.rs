//! A place for state that ends with the command: where no other one can be written to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

use super::state_dir::StateDir;

/// In memory, which is there where a disk is full.
const MEMORY: &str = "/dev/shm";

/// A directory of this process alone. It is removed with this value.
#[derive(Debug)]
pub(super) struct Passing {
    path: PathBuf,
}

impl Passing {
    /// Makes it, with mode 0700.
    ///
    /// # Errors
    /// No such place can be written to.
    pub(super) fn new() -> io::Result<Self> {
        let make = |parent: &Path| mkdtemp(&parent.join("edge-filter-XXXXXX"));
        let path = make(Path::new(MEMORY)).or_else(|_| make(&std::env::temp_dir()))?;
        Ok(Self { path })
    }

    /// The same state, but that an emergency lies here.
    pub(super) fn instead_of(&self, state: &StateDir) -> StateDir {
        StateDir {
            emergency: Some(self.path.join("state")),
            ..state.clone()
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What is left is found by nobody.
        let _ = fs::remove_dir_all(&self.path);
    }
}
