//! Counting.
//!
//! Counters are global data of the program, with a block for each CPU: its address is a sum,
//! where the slot of a per-CPU array has to be looked up by a key in memory.

use core::arch::asm;
use core::cell::UnsafeCell;

use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::{BLOCK, Block, Count, Counter};
use edge_filter_ebpf::opaque;
use edge_filter_ebpf::small::Settled;
use edge_filter_ebpf::tables::Tables;

use crate::{Maps, immediate};

/// The first block of counters; the loader makes [`Constant::CounterBlocks`] of it.
#[repr(transparent)]
struct Counters(UnsafeCell<Block>);

// SAFETY: each CPU writes to blocks of its own.
unsafe impl Sync for Counters {}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.counters")]
static COUNTERS: Counters = Counters(UnsafeCell::new(
    [Count {
        packets: 0,
        bytes: 0,
    }; BLOCK],
));

/// Counts `packets` packets of `bytes` bytes together. `None`, and they must not pass, if
/// there is no such counter.
#[inline(always)]
pub(crate) fn count(counter: Counter, packets: u32, bytes: u64) -> Option<()> {
    let mask = u64::from(Maps.constant(Constant::CpuMask));
    let block = u64::from(counter.0) / BLOCK as u64 * (mask + 1) + cpu();
    if block >= Maps.constant(Constant::CounterBlocks).into() {
        return None;
    }
    // LLVM would make an OR of the sum, and the verifier knows less of one.
    let at = opaque::sum(
        block * size_of::<Block>() as u64,
        u64::from(counter.0) % BLOCK as u64 * size_of::<Count>() as u64,
    );
    // SAFETY: the block is there, and the counter within it.
    unsafe { add(behind_begin(at), packets, bytes) };
    Some(())
}

/// The first block of one CPU's counters, by its address.
#[derive(Clone, Copy)]
pub(crate) struct FirstBlock(u64);

impl FirstBlock {
    /// That of the CPU that runs this.
    #[inline(always)]
    pub(crate) fn of_this_cpu() -> Self {
        Self(behind_begin(cpu() * size_of::<Block>() as u64))
    }

    /// Counts packets whose counter is known to be in the block.
    #[inline(always)]
    pub(crate) fn count(self, settled: Settled, packets: u32, bytes: u64) {
        // SAFETY: the counter is in it, and the block this CPU's.
        unsafe { add(opaque::sum(settled.at().into(), self.0), packets, bytes) };
    }
}

/// The same, and whether they pass.
#[inline(always)]
pub(crate) fn settle(counter: Counter, packets: u32, bytes: u64) -> bool {
    count(counter, packets, bytes).is_some() && counter.passes(&Maps)
}

/// The number of this CPU.
#[inline(always)]
fn cpu() -> u64 {
    // SAFETY: the helper takes nothing.
    let number = unsafe { bpf_get_smp_processor_id() };
    immediate::masked_by_cpus(number).into()
}

/// The address `at` bytes behind the begin of all counters.
#[inline(always)]
fn behind_begin(at: u64) -> u64 {
    let mut place = at;
    // SAFETY: the sum of two registers. LLVM would know a single block.
    unsafe {
        asm!(
            "{begin} = {counters} ll",
            "{place} += {begin}",
            place = inout(reg) place,
            begin = out(reg) _,
            counters = sym COUNTERS,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    place
}

/// Adds to the counter that lies at `place`.
///
/// # Safety
/// There is one, of this CPU.
#[inline(always)]
unsafe fn add(place: u64, packets: u32, bytes: u64) {
    // SAFETY: the caller says so.
    unsafe {
        core::hint::assert_unchecked(place != 0);
        // The counter belongs to this CPU, and programs of one hook do not interrupt
        // each other there.
        let count = &mut *(place as *mut Count);
        count.packets += u64::from(packets);
        count.bytes += bytes;
    }
}
