//! What runs out while something else is being done: the remedy is the same whatever that
//! was.

use std::error::Error;
use std::io;

use nix::errno::Errno;

const FILES: &str = "this process may not open more files, and each side of a device takes some \
                     thirty of them while a policy is applied: raise the limit, with `ulimit -n \
                     4096` or LimitNOFILE= of its unit";

const ALL_FILES: &str = "the machine may not open more files: raise `sysctl fs.file-max`, or end \
                         what holds so many (`lsof` tells)";

const MEMORY: &str = "there is no memory left for it: free some; if a control group limits this \
                      process (MemoryMax= of its unit, memory.max of the group in \
                      /proc/self/cgroup), raise that, for the kernel's tables count there, too; \
                      `edge-filter check --stats POLICY` says what the tables take";

/// The remedy, if `error`, or what caused it, is that something has run out.
pub(super) fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match number(error)? {
        libc::EMFILE => Some(FILES),
        libc::ENFILE => Some(ALL_FILES),
        libc::ENOMEM => Some(MEMORY),
        _ => None,
    }
}

/// The number of the first error of the system in the chain.
pub(super) fn number(error: &(dyn Error + 'static)) -> Option<i32> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.into_iter().find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return error.raw_os_error();
        }
        cause.downcast_ref::<Errno>().map(|errno| *errno as i32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aya::EbpfError;
    use aya::maps::MapError;

    #[test]
    fn what_has_run_out_is_found_below_other_errors() {
        let error = |number| {
            EbpfError::MapError(MapError::CreateError {
                name: ".rodata.rows".to_owned(),
                io_error: io::Error::from_raw_os_error(number),
            })
        };
        for (number, expected) in [
            (libc::EMFILE, Some(FILES)),
            (libc::ENFILE, Some(ALL_FILES)),
            (libc::ENOMEM, Some(MEMORY)),
            (libc::EBUSY, None),
        ] {
            assert_eq!(remedy(&error(number)), expected, "{number}");
        }
        assert_eq!(remedy(&Errno::EMFILE), Some(FILES));
        assert_eq!(remedy(&io::Error::other("no number")), None);
    }
}
