//! A trial of which no record tells: what the kernel itself still knows of it.

use std::os::fd::BorrowedFd;

use jiff::{Timestamp, Unit};

use super::attached::{Afterwards, Attached, Trouble};
use crate::kernel::KernelError;
use crate::kernel::trial::{Course, SinceBoot, course_of};

/// The trial of a program that no record names.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostTrial {
    course: Course,
    pub(super) is_over: bool,
    /// What decides afterwards.
    pub(super) afterwards: Afterwards,
}

impl LostTrial {
    /// That of `program`, `now`.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(super) fn of(
        program: BorrowedFd<'_>,
        afterwards: Afterwards,
        now: SinceBoot,
    ) -> Result<Self, KernelError> {
        let course = course_of(program)?;
        Ok(Self {
            course,
            is_over: now >= course.deadline,
            afterwards,
        })
    }

    /// The newest that any attached program belongs to.
    pub(super) fn newest(attached: &[Attached]) -> Option<Self> {
        let trials = attached.iter().filter_map(|link| link.lost_trial);
        trials.max_by_key(|trial| (trial.course.deadline, trial.afterwards))
    }

    /// Why it does not filter its side now.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match (self.is_over, self.course.is_open, self.afterwards) {
            (false, true, _) => Some(Trouble::OpenOnTrial),
            (true, _, Afterwards::Nobody) => Some(Trouble::TrialOver),
            _ => None,
        }
    }

    /// When it reverts by itself, or did, by the calendar.
    ///
    /// # Errors
    /// The kernel does not tell the time, or no calendar goes that far.
    pub(super) fn deadline(&self) -> Result<Timestamp, KernelError> {
        let (SinceBoot(deadline), SinceBoot(now)) = (self.course.deadline, SinceBoot::now()?);
        let boot = Timestamp::now().checked_sub(now);
        let found = boot.and_then(|boot| boot.checked_add(deadline)?.round(Unit::Second));
        found.map_err(|error| KernelError::new("tell when a trial is over").because(error))
    }
}
