//! `edge-filter detach`: take the filter off every device.

use super::failure::Failure;
use super::output::print;
use crate::generation::Instance;
use crate::generation::detach::detach;

pub(super) fn run(instance: &Instance) -> Result<(), Failure> {
    let devices = detach(instance)?;
    print(&if devices.is_empty() {
        "nothing was enforced".to_owned()
    } else {
        format!("not filtered any more: {}", devices.join(", "))
    })
}
