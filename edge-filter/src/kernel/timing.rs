//! What a run of a program costs, by `BPF_PROG_TEST_RUN`: on a frame in memory, on no
//! device.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::syscall;
use crate::policy::Direction;

/// A program that passes every frame without a look at it: what all programs cost that are
/// run in this way.
#[derive(Debug)]
pub struct NoOp(OwnedFd);

/// How often a program runs for one figure, and of how many figures the median is taken.
const RUNS: u32 = 10_000;
const ROUNDS: usize = 11;

impl NoOp {
    /// Loads one of the kind that runs on `direction`.
    ///
    /// # Errors
    /// The kernel refuses, as it does without privileges.
    pub fn load(direction: Direction) -> io::Result<Self> {
        /// `XDP_PASS` and `TC_ACT_OK`.
        const PASS: [u64; 2] = [2, 0];
        let (kind, pass) = match direction {
            Direction::Inbound => (syscall::ProgramKind::Xdp, PASS[0]),
            Direction::Outbound => (syscall::ProgramKind::Classifier, PASS[1]),
        };
        // `r0 = pass; exit`, Documentation/bpf/standardization/instruction-set.rst.
        syscall::program_load(kind, &[pass << 32 | 0xb7, 0x95]).map(Self)
    }

    /// The nanoseconds that a run of `program` on `frame` takes longer, in the median over
    /// rounds in which both run in turn.
    ///
    /// # Errors
    /// The kernel refuses to run one of them.
    pub fn nanoseconds_above(&self, program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<f64> {
        let mut rounds = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let nothing = nanoseconds(self.0.as_fd(), frame)?;
            rounds.push(nanoseconds(program, frame)? - nothing);
        }
        rounds.sort_by(f64::total_cmp);
        Ok(rounds[ROUNDS / 2])
    }
}

/// Nanoseconds of one run: the time of this thread, which leaves out whoever else the
/// processor works for.
fn nanoseconds(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<f64> {
    let begin = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    syscall::test_run(program, frame, RUNS)?;
    let end = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let taken = Duration::from(end).saturating_sub(begin.into());
    Ok(taken.as_secs_f64() * 1e9 / f64::from(RUNS))
}
