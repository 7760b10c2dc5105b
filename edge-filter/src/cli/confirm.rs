//! `edge-filter confirm`: keep the policy that is on trial.

use super::applied::report;
use super::args::JsonArgs;
use super::failure::Failure;
use crate::generation::Instance;
use crate::generation::confirm::confirm;

pub(super) fn run(instance: &Instance, args: &JsonArgs) -> Result<(), Failure> {
    report(&confirm(instance)?, args)
}
