//! Files of state: each is replaced whole, so that a crash at any instant leaves the
//! old one or the new one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::KernelError;

/// The extension of a file that is not whole yet.
const UNFINISHED: &str = "new";

/// The files of a directory that need not be there.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, KernelError> {
    let reading = |error: io::Error| {
        let remedy = remedy(&error);
        KernelError::new(format!("read {}", directory.display()))
            .because(error)
            .try_this(remedy)
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(reading)?,
    };
    entries
        .map(|entry| Ok(entry.map_err(reading)?.path()))
        .collect()
}

/// The highest number that a file of a generation has: no host comes near it.
pub(super) const HIGHEST: u64 = u64::MAX >> 1;

/// The files of a directory that are named by a number and whole, with their numbers. What
/// bears a number beyond all others is none of them.
pub(super) fn numbered(directory: &Path) -> Result<Vec<(u64, PathBuf)>, KernelError> {
    let mut files: Vec<(u64, PathBuf)> = list(directory)?
        .into_iter()
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .filter_map(|path| Some((path.file_stem()?.to_str()?.parse().ok()?, path)))
        .filter(|(number, _)| *number <= HIGHEST)
        .collect();
    files.sort_unstable();
    Ok(files)
}

/// What changes when a file is replaced; none if there is no such file.
pub(super) fn stamp(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// What a file holds; none if there is no such file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, KernelError> {
    let reading = || KernelError::new(format!("read {}", path.display()));
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| {
            let remedy = remedy(&error);
            reading().because(error).try_this(remedy)
        })?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        reading().because(error).try_this(
            "the file is damaged: `edge-filter apply --last-good` goes on from what the others \
                 tell, and `edge-filter apply POLICY` sets it aside",
        )
    })
}

/// A file that is whole and on the disk, and not at its place yet. It is removed unless it
/// is put there.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

impl Staged {
    /// Puts it at its place, which takes no more room.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(super) fn put(self) -> Result<(), KernelError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::rename(&self.temporary, &self.path)
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(|error| unwritten(&self.path, error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After `put` it is not there. On a disk that is full, half a file helps nobody.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes by a temporary file, so that the file is whole at any instant.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), KernelError> {
    stage(path, value)?.put()
}

/// Does all of [`write`] that can fail for want of room.
pub(super) fn stage<T: Serialize>(path: &Path, value: &T) -> Result<Staged, KernelError> {
    let writing = |error| unwritten(path, error);
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(directory)
        .map_err(writing)?;
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| writing(error.into()))?;
    text.push(b'\n');
    let staged = Staged {
        temporary: path.with_extension(UNFINISHED),
        path: path.to_owned(),
    };
    File::create(&staged.temporary)
        .and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        })
        .map_err(writing)?;
    Ok(staged)
}

fn unwritten(path: &Path, error: io::Error) -> KernelError {
    let remedy = remedy(&error);
    KernelError::new(format!("write {}", path.display()))
        .because(error)
        .try_this(remedy)
}

/// Writes what may be lost: replaced whole, but not flushed to the disk, and only into a
/// directory that is there.
pub(super) fn note<T: Serialize>(path: &Path, value: &T) -> Result<(), KernelError> {
    let temporary = path.with_extension(UNFINISHED);
    let written = serde_json::to_vec(value)
        .map_err(io::Error::from)
        .and_then(|text| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        let remedy = remedy(&error);
        KernelError::new(format!("write {}", path.display()))
            .because(error)
            .try_this(remedy)
    })
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let remedy = remedy(&error);
            Err(KernelError::new(format!("remove {}", path.display()))
                .because(error)
                .try_this(remedy))
        }
        _ => Ok(()),
    }
}

/// Removes what a writer that was killed has left in a directory.
pub(super) fn sweep(directory: &Path) -> Result<(), KernelError> {
    for path in list(directory)? {
        if path
            .extension()
            .is_some_and(|extension| extension == UNFINISHED)
        {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Fails unless what is in a directory can be removed, or there is no such directory.
pub(super) fn check_clearing(directory: &Path) -> Result<(), KernelError> {
    match access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        Err(error) if error != Errno::ENOENT => {
            let removing = KernelError::new(format!("remove what is in {}", directory.display()));
            Err(removing.because(io::Error::from(error)))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it, or whatever is in its place.
pub(super) fn clear(path: &Path) -> Result<(), KernelError> {
    let removed = fs::symlink_metadata(path).and_then(|metadata| {
        if metadata.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let remedy = remedy(&error);
            Err(KernelError::new(format!("remove {}", path.display()))
                .because(error)
                .try_this(remedy))
        }
        _ => Ok(()),
    }
}

/// The same in one step, wherever that works: what is half removed is not in its place any more.
pub(super) fn discard(path: &Path) -> Result<(), KernelError> {
    let old = discarded(path);
    clear(&old)?;
    match fs::rename(path, &old) {
        Ok(()) => clear(&old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => empty(path),
    }
}

/// Removes what cannot be moved, a mount point say, with all that is in it. Of numbered files
/// the newest goes last, and a directory that stays is empty.
fn empty(path: &Path) -> Result<(), KernelError> {
    for (_, older) in numbered(path).unwrap_or_default() {
        clear(&older)?;
    }
    let cleared = clear(path);
    match fs::read_dir(path).map(|mut left| left.next().is_none()) {
        Ok(true) => Ok(()),
        _ => cleared,
    }
}

/// Where [`discard`] moves it.
pub(super) fn discarded(path: &Path) -> PathBuf {
    path.with_extension("old")
}

/// Fails unless a file is of the `expected` version.
pub(super) fn check_version(path: &Path, version: u32, expected: u32) -> Result<(), KernelError> {
    if version == expected {
        return Ok(());
    }
    Err(KernelError::new(format!("read {}", path.display()))
        .because(format!(
            "it is of version {version}, and this program writes {expected}"
        ))
        .try_this("use the edge-filter that wrote it"))
}

/// Fails unless the file that is named by `number` is that of the generation `inside`.
pub(super) fn check_number(path: &Path, number: u64, inside: u64) -> Result<(), KernelError> {
    if number == inside {
        return Ok(());
    }
    Err(KernelError::new(format!("read {}", path.display()))
        .because(format!(
            "it holds generation {inside}, and is a copy or was renamed"
        ))
        .try_this(
            "give it its own name back, or move it away; `edge-filter apply POLICY` sets it aside",
        ))
}

/// What to do where the state directory is not as it should be.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run it as root, or choose another place with --state-dir"
        }
        io::ErrorKind::StorageFull => {
            "free some space there; --state-dir names another place only before anything is \
             enforced"
        }
        io::ErrorKind::QuotaExceeded => {
            "free some space there, or raise the quota; --state-dir names another place only \
             before anything is enforced"
        }
        io::ErrorKind::NotADirectory => {
            "a file is in the place of a directory there: move it away, or name another place with \
             --state-dir"
        }
        io::ErrorKind::IsADirectory => {
            "a directory is in the place of that file, and not of this program's making: move it \
             away"
        }
        io::ErrorKind::AlreadyExists => {
            "the directory's name is taken, by a file or by a symbolic link to what is not there: \
             make the directory that it leads to, or name another place with --state-dir"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "`mount -o remount,rw` makes its file system writable; --state-dir chooses another place"
        }
        io::ErrorKind::FileTooLarge => {
            "this process may not write files of that size: raise the limit, with `ulimit -f` or \
             LimitFSIZE= of its unit"
        }
        _ => "choose another place with --state-dir",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_place_of_state_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let name = |name: &str| directory.path().join(name);
        fs::create_dir_all(name("history/9.json")).unwrap();
        fs::write(name("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", name("link")).unwrap();
        for (error, remedy) in [
            (
                read::<u32>(&name("history/9.json")).unwrap_err(),
                "a directory is in the place of that file",
            ),
            (
                list(&name("file/history")).unwrap_err(),
                "a file is in the place of a directory",
            ),
            (
                write(&name("file/history/1.json"), &1).unwrap_err(),
                "a file is in the place of a directory",
            ),
            (
                write(&name("link/history/1.json"), &1).unwrap_err(),
                "a symbolic link to what is not there",
            ),
        ] {
            let error = error.to_string();
            assert!(
                error.contains(remedy) && !error.contains("as root"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_half_removed_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        let old = discarded(&path);
        discard(&path).unwrap();
        // What was left by one that was ended is in nobody's way.
        for place in [&path, &old] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("7.json"), "").unwrap();
        }
        discard(&path).unwrap();
        assert!(!path.exists() && !old.exists());
        fs::write(&path, "").unwrap();
        discard(&path).unwrap();
        assert!(!path.exists() && !old.exists());
    }

    #[test]
    fn what_cannot_be_moved_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history");
        fs::create_dir_all(path.join("notes")).unwrap();
        for number in [7, 10, 9] {
            write(&path.join(format!("{number}.json")), &number).unwrap();
        }
        empty(&path).unwrap();
        assert!(!path.exists());
        empty(&path).unwrap();
        write(&path, &1).unwrap();
        empty(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_replaced_whole_and_leftovers_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("7.json");
        assert_eq!(read::<u32>(&path).unwrap(), None);
        write(&path, &1).unwrap();
        let first = stamp(&path);
        write(&path, &2).unwrap();
        assert_eq!(read(&path).unwrap(), Some(2));
        assert_ne!(stamp(&path), first);
        fs::write(directory.path().join("8.new"), "{").unwrap();
        // No generation comes after this one.
        let beyond = directory.path().join(format!("{}.json", u64::MAX));
        write(&beyond, &3).unwrap();
        fs::write(directory.path().join("notes.txt"), "").unwrap();
        assert_eq!(numbered(directory.path()).unwrap(), [(7, path)]);
        sweep(directory.path()).unwrap();
        assert_eq!(list(directory.path()).unwrap().len(), 3);
    }
}
