//! What becomes of the process when its memory has run out.
//!
//! The standard library would abort it with a line that helps nobody. Whatever is done to
//! devices is prepared beforehand (`generation::reserve`); what is left behind is cleared
//! away by the next command that changes anything.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, but that it ends the process, with exit code 1 and a message,
/// where that has no memory.
#[derive(Debug)]
pub struct OrExit;

const MESSAGE: &str = "error: out of memory\n  help: free some, or raise what limits this process \
                       (`ulimit -v`, MemoryMax= or LimitAS= of its unit); `edge-filter status` says \
                       what is enforced\n";

/// Says so, and ends the process: by system calls alone, since nothing can be allocated.
fn exit() -> ! {
    // SAFETY: the message is as long as it is said to be; the process ends by the second
    // call, which runs no code of ours any more.
    unsafe {
        libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(1)
    }
}

fn or_exit(memory: *mut u8) -> *mut u8 {
    if memory.is_null() { exit() } else { memory }
}

// SAFETY: what is handed out and taken back is the system allocator's own, by the same
// contract, but for null, which is never handed out.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_exit(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_exit(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: by the caller's promise.
        or_exit(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}
