//! A place for state that ends with the command: where no other one can be written to.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// One in each place where it can be made, with mode 0700. Whether it takes anything is
    /// another question.
    pub(super) fn each() -> impl Iterator<Item = Self> {
        let parents = [PathBuf::from(MEMORY), std::env::temp_dir()];
        parents.into_iter().filter_map(|parent| {
            let path = mkdtemp(&parent.join("edge-filter-XXXXXX")).ok()?;
            Some(Self { path })
        })
    }

    /// The same state, but that an emergency lies here.
    pub(super) fn instead_of(&self, state: &StateDir) -> StateDir {
        StateDir {
            durable: state.durable.clone(),
            emergency: Some(self.path.join("state")),
            begun: Arc::default(),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What is left is found by nobody.
        let _ = fs::remove_dir_all(&self.path);
    }
}
