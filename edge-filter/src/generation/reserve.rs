//! What must not run out from the first pin on, and between the first program that is
//! replaced and the last: where it would, nothing is done.
//!
//! What a process may have is not taken away by others: what it can take and give back
//! now, it can take again.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::kernel::KernelError;

/// More descriptors than are opened at a time while programs are replaced.
const FILES: usize = 16;
/// Bytes of address space; the conversations that are open, and the state, are read into
/// them.
const MEMORY: NonZeroUsize = NonZeroUsize::new(32 << 20).expect("it is not 0");

/// Fails if one of them would run out.
///
/// # Errors
/// This process may open too few files, or has too little memory.
pub(super) fn ensure() -> Result<(), KernelError> {
    let doing = || KernelError::new("begin to change what is enforced");
    files().map_err(|error| doing().because(error))?;
    memory().map_err(|error| doing().because(error))
}

fn files() -> io::Result<()> {
    let file = File::open("/dev/null")?;
    let copies = (1..FILES).map(|_| file.try_clone());
    copies.collect::<io::Result<Vec<_>>>().map(drop)
}

fn memory() -> io::Result<()> {
    let (readable, private) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
    // SAFETY: the mapping is at a place of the kernel's choice, nobody learns of it, and it
    // is gone when this function returns.
    unsafe {
        let place = mmap_anonymous(None, MEMORY, readable, private)?;
        munmap(place, MEMORY.get())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_given_back() {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        ensure().unwrap();
        assert!(open() < before + FILES / 2, "descriptors are left open");
    }
}
