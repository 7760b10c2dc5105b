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

    /// Puts `new` in the place of `old`, fully ordered; whether `old` was there.
    #[inline(always)]
    #[must_use]
    pub fn exchange(&self, old: u64, new: u64) -> bool {
        #[cfg(target_arch = "bpf")]
        {
            let found: u64;
            // SAFETY: an atomic exchange of a word that lives as long as this reference
            // (kernel 5.12 on). The core library has none for this target.
            unsafe {
                core::arch::asm!(
                    "r0 = cmpxchg_64({word} + 0, r0, {new})",
                    word = in(reg) self.0.get(),
                    new = in(reg) new,
                    inout("r0") old => found,
                    options(nostack, preserves_flags),
                );
            }
            found == old
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::Ordering::SeqCst;
            let found = self.atomic().compare_exchange(old, new, SeqCst, SeqCst);
            found.is_ok()
        }
    }

    /// Turns over `bits`.
    #[inline(always)]
    pub fn flip(&self, bits: u64) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: an atomic change of a word that lives as long as this reference.
        unsafe {
            core::arch::asm!(
                "lock *(u64 *)({word} + 0) ^= {bits}",
                word = in(reg) self.0.get(),
                bits = in(reg) bits,
                options(nostack, preserves_flags),
            );
        }
        #[cfg(not(target_arch = "bpf"))]
        self.atomic()
            .fetch_xor(bits, core::sync::atomic::Ordering::SeqCst);
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
