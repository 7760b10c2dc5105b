//! Reading a policy's file.

use std::fs;
use std::path::Path;

use jiff::Zoned;

use super::failure::Failure;
use super::output::complain;
use crate::policy::{self, Checked};

/// Reads and checks the policy in `path`, as of today.
pub(super) fn read(path: &Path) -> Result<Checked, Failure> {
    let text = fs::read_to_string(path).map_err(|cause| Failure::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let today = Zoned::now().date();
    Ok(policy::read(&path.display().to_string(), &text, today)?)
}

/// The same; warnings go to standard error.
pub(super) fn read_aloud(path: &Path) -> Result<Checked, Failure> {
    let checked = read(path)?;
    checked
        .warnings
        .iter()
        .for_each(|warning| complain(&warning.to_string()));
    Ok(checked)
}
