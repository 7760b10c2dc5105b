//! Reading a policy's file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use jiff::Zoned;

use super::failure::Failure;
use super::output::complain;
use crate::policy::{self, Checked};

/// The longest policy that is read, in bytes: some 100,000 rules.
const LONGEST: u64 = 16 << 20;

/// Reads and checks the policy in `path`, as of today.
pub(super) fn read(path: &Path) -> Result<Checked, Failure> {
    check(path, &read_text(path)?)
}

/// The same with the text; warnings go to standard error.
pub(super) fn read_aloud(path: &Path) -> Result<(Checked, String), Failure> {
    let (checked, text) = read_with_text(path)?;
    checked
        .warnings
        .iter()
        .for_each(|warning| complain(&warning.to_string()));
    Ok((checked, text))
}

/// The same with the text, and nothing is said.
pub(super) fn read_with_text(path: &Path) -> Result<(Checked, String), Failure> {
    let text = read_text(path)?;
    let checked = check(path, &text)?;
    Ok((checked, text))
}

/// Checks the text of a policy that lies, or lay, in `path`.
pub(super) fn check(path: &Path, text: &str) -> Result<Checked, Failure> {
    let today = Zoned::now().date();
    Ok(policy::read(&path.display().to_string(), text, today)?)
}

fn read_text(path: &Path) -> Result<String, Failure> {
    text(path).map_err(|cause| Failure::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

/// The text of a file that need not be there.
pub(super) fn text_if_there(path: &Path) -> Result<Option<String>, Failure> {
    match read_text(path) {
        Err(Failure::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        text => text.map(Some),
    }
}

/// The text of a file, or of anything else that ends in time.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        let reason = format!("it is longer than {} MiB", LONGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}
