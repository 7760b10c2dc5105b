//! A word that CPUs read and write at once.

use core::cell::UnsafeCell;

/// 64 bits, always read and written whole.
///
/// On the host it is an atomic number. The BPF target has no atomic loads and stores
/// (its instruction set got them late, in version 4): there its plain ones are whole
/// where they are aligned, and `volatile` keeps the compiler from dividing them.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(UnsafeCell<u64>);

// SAFETY: every access is atomic, on the host as on the CPUs that run BPF.
unsafe impl Sync for Word {}

impl Word {
    /// The number.
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        #[cfg(target_arch = "bpf")]
        // SAFETY: the word is aligned and lives as long as this reference.
        return unsafe { self.0.get().read_volatile() };
        #[cfg(not(target_arch = "bpf"))]
        self.atomic().load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Sets the number.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: as above.
        unsafe {
            self.0.get().write_volatile(value);
        }
        #[cfg(not(target_arch = "bpf"))]
        self.atomic()
            .store(value, core::sync::atomic::Ordering::Relaxed);
    }

    /// Where it lies.
    #[inline(always)]
    #[must_use]
    pub const fn as_ptr(&self) -> *mut u64 {
        self.0.get()
    }

    /// The number as the host's own atomic type.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn atomic(&self) -> &core::sync::atomic::AtomicU64 {
        // SAFETY: it is aligned, lives as long as this reference, and is never
        // accessed but atomically.
        unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0.get()) }
    }
}
