//! Generations: what is enforced at one time, from one policy.
//!
//! A generation is applied whole or not at all ([`apply`]): every program is
//! loaded and verified before the first device changes hands, and the one before
//! goes on enforcing if anything fails. Programs and tables are never changed,
//! only replaced; what outlives a generation is what it counted ([`tally`]), and, while the
//! daemon runs, when ([`last_hits`]).
//! [`record`] keeps on disk what the kernel does not know: the names.
//!
//! [`difference`] compares policies, [`proposal`] says what one would change about what is
//! enforced, and [`planned`] keeps that until it is applied.
//!
//! [`keep`] enforces again what was committed, [`last_good`] does so after a reboot or a
//! crash, whatever has become of the state, and [`emergency`] is where state lies then.

pub mod applied;
pub mod apply;
mod attached;
mod change;
mod closing;
pub mod confirm;
pub mod conversations;
pub mod counted;
pub mod detach;
pub mod difference;
pub mod emergency;
mod files;
mod flows;
pub mod history;
pub mod keep;
pub mod last_good;
pub mod last_hits;
pub mod lasting;
mod leftovers;
mod lost_trial;
mod next;
mod owner;
mod passing;
pub mod plan;
pub mod planned;
pub mod proposal;
mod reading;
pub mod record;
mod recorded;
mod remains;
mod reserve;
pub mod rollback;
pub mod rules;
pub mod sites;
pub mod state_dir;
pub mod status;
pub mod tally;
mod trial;
mod whole;

use std::path::{Path, PathBuf};

use crate::kernel::pins::PinRoot;
use state_dir::StateDir;

/// One instance of edge-filter on a host: its pins and its state.
#[derive(Debug, Clone)]
pub struct Instance {
    /// What the kernel holds.
    pub pins: PinRoot,
    /// What the kernel does not know.
    pub state: StateDir,
}

impl Instance {
    /// The instance whose pins and state lie at these places; below `run_dir`, which others
    /// may share, is where its state lies in an emergency.
    #[must_use]
    pub fn new(pin_root: PathBuf, state_dir: PathBuf, run_dir: &Path) -> Self {
        Self {
            state: StateDir::new(state_dir).with_run_dir(run_dir, &pin_root),
            pins: PinRoot::new(pin_root),
        }
    }
}
