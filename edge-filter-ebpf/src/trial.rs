//! Trials: past its deadline a program hands every frame to the one that decided before
//! it, whether or not any process is alive to notice.
//!
//! The programs that can do so are entry points of their own, so that those of a policy
//! that is no trial hold nothing of it. The tail call comes before any other call: the
//! kernel lets those that call functions make one with 256 bytes of stack at most.

use core::cell::UnsafeCell;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::ProgramArray;

/// Its one program decides when the trial is over. The array is pinned: it empties with
/// the last reference that a process or a pin has to it.
#[map]
static PREVIOUS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The state of a trial, which processors share.
#[repr(C)]
struct Trial {
    /// When it is over, in nanoseconds of `CLOCK_BOOTTIME`, which goes on while the machine
    /// sleeps. Userspace sets it once, before the program is attached.
    deadline: UnsafeCell<u64>,
    /// The tick (`jiffies`) in which that clock was asked last.
    checked: UnsafeCell<u64>,
    /// Not 0 once it is over. A word of its own, which nobody sets back.
    over: UnsafeCell<u64>,
}

// SAFETY: each number is read and written whole, and any that was ever written will do.
unsafe impl Sync for Trial {}

/// In a section of its own, which userspace knows as a map of one value.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.trial")]
static TRIAL: Trial = Trial {
    deadline: UnsafeCell::new(0),
    checked: UnsafeCell::new(0),
    over: UnsafeCell::new(0),
};

/// Whether the deadline has passed. The clock is asked once a tick, for it costs more than
/// most frames do: so the answer is late by a tick at most, 10 ms where they are longest.
#[inline(always)]
pub(crate) fn is_over() -> bool {
    let Trial {
        deadline,
        checked,
        over,
    } = &TRIAL;
    // SAFETY: the helpers take nothing and read clocks; the pointers are to a static.
    unsafe {
        if over.get().read_volatile() != 0 {
            return true;
        }
        let tick = bpf_jiffies64();
        if checked.get().read_volatile() == tick {
            return false;
        }
        let passed = bpf_ktime_get_boot_ns() >= deadline.get().read_volatile();
        if passed {
            over.get().write_volatile(1);
        } else {
            checked.get().write_volatile(tick);
        }
        passed
    }
}

/// Has the program from before the trial decide; it returns only if there is none.
#[inline(always)]
pub(crate) fn hand_back(context: &impl EbpfContext) {
    // SAFETY: nothing here waits to be dropped.
    unsafe { PREVIOUS.tail_call(context, 0) };
}
