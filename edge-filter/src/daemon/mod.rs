//! The daemon: it watches the devices, and has what was committed enforced again where
//! that is no longer so.
//!
//! It enforces nothing itself. Programs, tables and counters are the kernel's, and what it
//! does to them is what `apply` does, under the same lock; whoever kills it changes
//! nothing of what is enforced.
//!
//! In this order, and why:
//!
//! 1. *Arguments* are read: they name files, and open none.
//! 2. *Privileges* are given up ([`privileges`]), before the first byte of a file or of the
//!    kernel is read: nothing that is read can then be turned against more than what is
//!    left. It is the only thread at that moment, and threads inherit what it has.
//! 3. *Devices* are listened to ([`link_events`](crate::kernel::link_events)), before the
//!    first look at them: what happens between the look and the listening would be lost.
//! 4. *The policy* that it was started with is applied, or what was committed last is
//!    looked after; where that cannot be read any more, the policy of last resort is.
//! 5. *Readiness* is told ([`notify`]), when that has been done or has failed with a reason.
//! 6. From then on it *runs* ([`serve`]), and looks at the counters now and then ([`watch`]).

mod debug;
mod log;
mod notify;
mod pace;
pub mod privileges;
mod serve;
mod watch;
mod words;
mod work;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::budget::Budget;
use crate::generation::Instance;
use crate::generation::last_good::Management;
use crate::generation::plan::Overrides;
use crate::generation::sites::Sites;
use crate::kernel::KernelError;
use crate::policy::Checked;

use log::Log;

/// Reads the policy's file: what was read, with its text, or what is wrong.
pub type ReadPolicy = dyn Fn() -> Result<(Checked, String), String> + Send + Sync;

/// The policy that a daemon is to apply when it starts, and whenever it is told to reload.
#[derive(Clone)]
pub struct Given {
    /// Reads it, as it is by then.
    pub read: Arc<ReadPolicy>,
    /// The devices of roles, in the place of those that it names.
    pub overrides: Overrides,
    /// Where its programs may run.
    pub sites: Sites,
    /// What its tables may take.
    pub budget: Budget,
}

/// Runs until SIGTERM or SIGINT, and looks at the counters `every` so often; with `debug`, has
/// the programs say what becomes of frames. Where what was
/// committed last cannot be read, `management` holds what is let in.
///
/// # Errors
/// It cannot begin: a privilege cannot be given up, or it cannot listen, or the policy
/// cannot be applied and none was committed before.
pub fn run(
    instance: &Instance,
    given: Option<Given>,
    management: Management,
    every: Duration,
    debug: bool,
) -> Result<(), KernelError> {
    privileges::give_up()?;
    let log = Log::to_stderr();
    let starting = |error: io::Error| KernelError::new("start").because(error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(starting)?;
    runtime.block_on(serve::serve(
        instance,
        given,
        management,
        (every, debug),
        log,
    ))
}
