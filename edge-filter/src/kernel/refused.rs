//! Why the kernel took no program, and what to try.

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;

use super::{KernelError, privileges};

/// Why the kernel did not make the maps of the program.
pub(super) fn unmade(error: EbpfError) -> KernelError {
    let errno = match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => io_error.raw_os_error(),
        _ => None,
    };
    let remedy = match errno {
        Some(libc::E2BIG) => LARGE_TABLES.to_owned(),
        Some(libc::EPERM | libc::EACCES) => privileges::remedy(),
        _ => OLD_KERNEL.to_owned(),
    };
    KernelError::new("load the BPF program")
        .because(error)
        .try_this(remedy)
}

const LARGE_TABLES: &str = "Linux before 6.0 takes no table of more than 4 MiB: use a later \
                            kernel, or merge networks and port ranges";

const OLD_KERNEL: &str = "it takes Linux 5.18 or later, built with CONFIG_BPF_SYSCALL";

const NO_TRIALS: &str = "this kernel lets no program that calls functions hand over to another \
                         one, which a trial does (x86-64: Linux 5.10, arm64: Linux 6.0): apply it \
                         without --confirm";

/// How much of the verifier's log is shown: its end tells what it refused.
const LOG_LINES: usize = 8;

/// Why the kernel did not load the program. Thousands of lines of the verifier's
/// log would say less.
pub(super) fn refused(error: ProgramError) -> KernelError {
    let loading = KernelError::new("load the BPF program");
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return loading.because(error).try_this(OLD_KERNEL);
    };
    let log = verifier_log.to_string();
    let remedy = match io_error.raw_os_error() {
        Some(libc::E2BIG) => "the verifier gave up after a million instructions: split the \
                              rules of this hook over several roles, or merge some"
            .to_owned(),
        Some(libc::EPERM) if log.is_empty() => privileges::remedy(),
        // The verifier's words say nothing about what has run out.
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => String::new(),
        _ if log.contains("tail_calls are not allowed") => NO_TRIALS.to_owned(),
        _ => {
            let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n    ");
            format!(
                "this kernel's verifier refuses it, which is a fault of edge-filter: report it \
                 with the policy, `uname -r` and these lines\n    {end}"
            )
        }
    };
    loading.because(io_error).try_this(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_to_do_depends_on_what_the_kernel_answered() {
        for (errno, remedy) in [
            (libc::E2BIG, LARGE_TABLES),
            (libc::ENOMEM, "memory.max"),
            (libc::EMFILE, "ulimit -n"),
            (libc::ENFILE, "fs.file-max"),
            (libc::EPERM, "this is "),
            (libc::EINVAL, OLD_KERNEL),
        ] {
            let error = EbpfError::MapError(MapError::CreateError {
                name: ".rodata.rows".to_owned(),
                io_error: io::Error::from_raw_os_error(errno),
            });
            let message = unmade(error).to_string();
            assert!(message.contains(remedy), "{message}");
            assert!(message.contains(".rodata.rows"), "{message}");
        }
    }
}
