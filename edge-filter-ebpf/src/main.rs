//! The kernel's side: maps, the entry point, and the frames and tables that the
//! library asks for. Nothing is decided here.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod context;
mod copied;
mod flows;
mod linear;
mod out_of_line;
mod seed;
mod tc;
mod xdp;

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::config::{Config, Constant};
use edge_filter_ebpf::counter::{Count, Counter};
use edge_filter_ebpf::search::Match;
use edge_filter_ebpf::tables::{Chunk, Path, Row, Tables};

/// The constants of this generation, set before the program is loaded.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::EMPTY;

/// The first of [`Constant::Rows`] rows, with which the loader fills the section.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.rows")]
static ROWS: Row = [0; 256];
/// The first of [`Constant::Paths`] paths, in the same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.paths")]
static PATHS: Path = Path::EMPTY;
/// The first of [`Constant::Chunks`] chunks, in the same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.chunks")]
static CHUNKS: Chunk = [0; 8];
#[map]
static COUNTERS: PerCpuArray<Count> = PerCpuArray::with_max_entries(Counter::FIRST_RULE, 0);

/// The tables in the kernel.
struct Maps;

/// Where item number `index` of a table lies, if it has that many: what LLVM does not
/// see, since it would know the table by its first item alone, and take the bounds
/// check for another's.
macro_rules! item {
    ($table:ident, $item:ty, $index:expr, $count:expr) => {{
        let index: u32 = $index;
        if index < $count {
            let mut place = u64::from(index);
            // SAFETY: a multiplication and an addition of registers.
            unsafe {
                asm!(
                    "{place} *= {size}",
                    "{begin} = {table} ll",
                    "{place} += {begin}",
                    place = inout(reg) place,
                    begin = out(reg) _,
                    size = const size_of::<$item>(),
                    table = sym $table,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            Some(place)
        } else {
            None
        }
    }};
}

impl Tables for Maps {
    #[inline(always)]
    fn constant(&self, constant: Constant) -> u32 {
        // SAFETY: the index is below the array's length by construction. The
        // read is volatile because the loader replaces what the compiler sees.
        unsafe { core::ptr::read_volatile(&raw const CONFIG.0[constant as usize]) }
    }

    #[inline(always)]
    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        let place = item!(ROWS, Row, row, self.constant(Constant::Rows))?;
        // SAFETY: the row is there, and has 256 entries.
        Some(unsafe { *(place as *const u32).add(slot as usize & 0xff) })
    }

    #[inline(always)]
    fn path(&self, index: u32) -> Option<&Path> {
        let place = item!(PATHS, Path, index, self.constant(Constant::Paths))?;
        // SAFETY: the path is there, and never changes.
        Some(unsafe { &*(place as *const Path) })
    }

    #[inline(always)]
    fn chunk(&self, index: u32) -> Option<&Chunk> {
        let place = item!(CHUNKS, Chunk, index, self.constant(Constant::Chunks))?;
        // SAFETY: the chunk is there, and never changes.
        Some(unsafe { &*(place as *const Chunk) })
    }

    #[inline(always)]
    fn first_of_many(&self, classes: Classes, begin: u32, end: u32) -> Match {
        out_of_line::first_of_many(classes, begin, end)
    }

    #[inline(always)]
    fn said_by_lists(&self, classes: Classes, begin: u32, end: u32) -> Counter {
        out_of_line::said_by_lists(classes, begin, end)
    }
}

/// Counts `packets` packets of `bytes` bytes together, and says whether they pass.
#[inline(always)]
fn settle(counter: Counter, packets: u32, bytes: u32) -> bool {
    let Some(count) = COUNTERS.get_ptr_mut(counter.0) else {
        return false;
    };
    // SAFETY: the slot belongs to this CPU, and programs of one hook do not
    // interrupt each other there.
    unsafe {
        (*count).packets += u64::from(packets);
        (*count).bytes += u64::from(bytes);
    }
    counter.passes(&Maps)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: every index is masked and every division is by a constant, so
    // that no panic is ever linked; the verifier refuses a program that loops.
    unsafe { core::hint::unreachable_unchecked() }
}

/// Some helpers are for programs under the GPL alone.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
