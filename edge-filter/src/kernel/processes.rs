//! The processes that this one descends from, as `/proc` shows them (`proc(5)`).

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Its name: the first 15 bytes of its program's, unless it chose another.
    pub name: String,
    /// The variables that it was started with, as far as they begin with `SSH_`.
    pub variables: Vec<(String, String)>,
    /// The inodes of its sockets in the order of their descriptors; none if this process
    /// may not look.
    pub sockets: Option<Vec<u64>>,
}

/// This process, its parent, and so on.
///
/// # Errors
/// `/proc` does not even show this process.
pub fn ancestry() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    let mut next = process::id();
    while next != 0 {
        let (name, parent) = match status(next) {
            Ok(status) => status,
            Err(error) if found.is_empty() => return Err(error),
            // It has ended meanwhile, and those below it have another parent.
            Err(_) => break,
        };
        found.push(Process {
            id: next,
            name,
            variables: variables(next),
            sockets: sockets(next).ok(),
        });
        next = parent;
    }
    Ok(found)
}

/// Name and parent of a process.
fn status(id: u32) -> io::Result<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim().to_owned())
            .ok_or_else(|| io::Error::other(format!("/proc/{id}/status has no {key}")))
    };
    let parent = field("PPid:")?.parse().map_err(io::Error::other)?;
    Ok((field("Name:")?, parent))
}

/// None where this process may not look: then the sockets must do.
fn variables(id: u32) -> Vec<(String, String)> {
    let text = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    text.split(|byte| *byte == 0)
        .filter_map(|variable| {
            let (key, value) = str::from_utf8(variable).ok()?.split_once('=')?;
            let wanted = key.starts_with("SSH_");
            wanted.then(|| (key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn sockets(id: u32) -> io::Result<Vec<u64>> {
    let mut found: Vec<(u32, u64)> = Vec::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        let entry = entry?;
        let Ok(target) = fs::read_link(entry.path()) else {
            // It was closed meanwhile.
            continue;
        };
        let inode = str::from_utf8(target.as_os_str().as_bytes())
            .ok()
            .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']'))
            .and_then(|inode| inode.parse().ok());
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        found.extend(number.zip(inode));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, inode)| inode).collect())
}
