//! `edge-filter run`: the daemon.

use std::sync::Arc;
use std::time::Duration;

use super::args::RunArgs;
use super::failure::Failure;
use super::intent::overrides;
use super::policy_file;
use crate::daemon::{self, Given};
use crate::generation::Instance;
use crate::generation::last_good::Management;
use crate::generation::sites::Sites;

pub(super) fn run(
    instance: &Instance,
    management: Management,
    args: &RunArgs,
) -> Result<(), Failure> {
    let given = match args.policy.clone() {
        Some(path) => Some(Given {
            read: Arc::new(move || {
                policy_file::read_with_text(&path).map_err(|failure| failure.to_string())
            }),
            overrides: overrides(&args.interface)?,
            sites: Sites {
                mode: args.mode.into(),
                egress: args.egress.into(),
            },
            budget: args.memory.budget(),
        }),
        None => None,
    };
    let every = Duration::from_secs(args.watch.into());
    Ok(daemon::run(
        instance,
        given,
        management,
        every,
        args.debug_bpf,
    )?)
}
