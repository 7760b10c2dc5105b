//! Signals that wait until a change is whole.

use std::marker::PhantomData;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What a terminal, the end of a session or an administrator ends or stops a process with
/// (signal(7)). SIGKILL cannot wait.
const WAITING: [Signal; 5] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGTSTP,
];

/// As long as it exists, they wait to reach this thread. Then each has the effect that it
/// would have had.
#[derive(Debug)]
#[must_use = "they wait as long as it exists"]
pub struct Held {
    before: SigSet,
    /// The mask is that of the thread.
    _thread: PhantomData<*const ()>,
}

/// Has them wait.
///
/// # Panics
/// Never: the kernel refuses no mask of signals that it knows.
pub fn hold() -> Held {
    let waiting: SigSet = WAITING.into_iter().collect();
    let before = waiting.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    Held {
        before: before.expect("the signals exist"),
        _thread: PhantomData,
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.before.thread_set_mask().expect("it was the mask");
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn they_wait_until_nobody_holds_them() {
        let mask = || SigSet::thread_get_mask().unwrap();
        let before = mask();
        // This one does nothing where it is not stopped: it ends the wait.
        let probe: SigSet = [Signal::SIGTERM].into_iter().collect();
        {
            let _outer = hold();
            {
                let _held = hold();
                raise(Signal::SIGTERM).unwrap();
            }
            assert!(WAITING.iter().all(|&signal| mask().contains(signal)));
            assert_eq!(probe.wait().unwrap(), Signal::SIGTERM);
        }
        assert_eq!(mask(), before);
    }
}
