//! The file of a plan: written where the user says, without harm to what is there already.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// The longest plan that is read, in bytes: its policy may take 16 MiB, and each byte of that
/// six in JSON.
const LONGEST: u64 = 128 << 20;

/// How many names are tried for what is written beside a file.
const NAMES: usize = 16;

/// Writes a file whole: at any instant it is the old one or the new one. A new one is its
/// owner's alone, as what it says of the host is; an old one keeps its owner and its mode.
/// What a symbolic link leads to is replaced, not the link. What is no file (a pipe, a
/// terminal) is written to, and stays what it is.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => replace(&fs::canonicalize(path)?, Some(&there), text),
        Ok(_) => OpenOptions::new().write(true).open(path)?.write_all(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            let reason = "it is a symbolic link to what is not there";
            Err(io::Error::new(io::ErrorKind::NotFound, reason))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(path, None, text),
        Err(error) => Err(error),
    }
}

/// Beside its place first: a full disk costs nothing that is there.
fn replace(path: &Path, there: Option<&Metadata>, text: &[u8]) -> io::Result<()> {
    let (beside, mut file) = create_beside(path)?;
    let mut written = || {
        if let Some(there) = there {
            fchown(&file, Some(there.uid()), Some(there.gid()))?;
            file.set_permissions(there.permissions())?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

/// A new file that nobody else has made, under a name that nobody can know before.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..NAMES {
        let number = RandomState::new().build_hasher().finish();
        let beside = path.with_file_name(format!(".plan-{number:016x}.new"));
        // What is there, be it a symbolic link, is not opened.
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok((beside, made?)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Reads JSON from a file, or from anything else that ends in time.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    parse(File::open(path)?, LONGEST)
}

/// Reads JSON, and no further than `longest` bytes.
pub(super) fn parse<T: DeserializeOwned>(text: impl Read, longest: u64) -> io::Result<T> {
    let mut text = BufReader::new(text.take(longest));
    serde_json::from_reader(&mut text).map_err(|error| {
        if text.get_ref().limit() == 0 {
            let reason = format!("it is longer than {} MiB", longest >> 20);
            return io::Error::new(io::ErrorKind::FileTooLarge, reason);
        }
        error.into()
    })
}
