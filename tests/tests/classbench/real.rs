//! Sets that `ClassBench` itself made, where they are at hand.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use edge_filter_tests::classbench::Set;

/// Where they are looked for; `EDGE_FILTER_CLASSBENCH` may name another folder.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/classbench");
/// What their files are called.
const EXTENSION: &str = "rules";
/// How many there are at least, in a folder of them.
const LEAST: usize = 6;

/// All of them. They are no part of this repository: where they are not, there are none,
/// and the user is told that `what` was not done.
pub(crate) fn sets(what: &str) -> Vec<Set> {
    let folder = env::var_os("EDGE_FILTER_CLASSBENCH").unwrap_or_else(|| FOLDER.into());
    let folder = Path::new(&folder);
    if !folder.is_dir() {
        // Past the test runner, which shows what is printed only of failures.
        let warned = writeln!(
            std::io::stderr(),
            "WARNING: {} is not there: {what} was NOT run on the sets of ClassBench; \
             EDGE_FILTER_CLASSBENCH=DIR names a folder of them",
            folder.display()
        );
        warned.expect("standard error takes a line");
        return Vec::new();
    }
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension() == Some(OsStr::new(EXTENSION)))
        .collect();
    files.sort();
    assert!(
        files.len() >= LEAST,
        "{} files in {}",
        files.len(),
        folder.display()
    );
    files
        .iter()
        .map(|file| Set::read(file).unwrap_or_else(|error| panic!("{error:#}")))
        .collect()
}
