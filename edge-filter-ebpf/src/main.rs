//! The kernel's side: maps, the entry point, and the frames and tables that the
//! library asks for. Nothing is decided here.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod context;
mod copied;
mod count;
mod diagnostics;
mod flows;
mod immediate;
mod judge;
mod kernel_context;
mod linear;
mod out_of_line;
mod seed;
mod tc;
mod trial;
mod xdp;

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use edge_filter_ebpf::cache::{BLOCK_LINES, Block, Line};
use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::flow::Tuple;
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::search::Match;
use edge_filter_ebpf::small::Small;
use edge_filter_ebpf::tables::{Chunk, FEW, Path, Row, Tables};

/// The first of [`TRANSPORTS`](edge_filter_ebpf::tables::TRANSPORTS) classes, with which the
/// loader fills the section.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.transports")]
static TRANSPORTS: u32 = 0;
/// The first of [`PORTS`](edge_filter_ebpf::tables::PORTS) classes of source ports, in the
/// same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.source_ports")]
static SOURCE_PORTS: u32 = 0;
/// The prefixes that addresses are compared with, in the same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.few")]
static FEW_PREFIXES: [Path; 4 * FEW] = [Path::EMPTY; 4 * FEW];
/// The first of [`Constant::Rows`] rows, in the same way.
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
/// The first of [`OUTCOMES`](edge_filter_ebpf::outcome::OUTCOMES) outcomes, in the same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.outcomes")]
static OUTCOMES: Outcome = Outcome::NOTHING;
/// The begin of a small policy's tables ([`edge_filter_ebpf::small::Small`]), in the same way.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.small")]
static SMALL: u64 = 0;
/// What is known of recent packets. The loader leaves one block where nothing is kept.
#[map]
static CACHE: PerCpuArray<Block> = PerCpuArray::with_max_entries(1, 0);

/// The tables in the kernel.
struct Maps;

/// Where item number `index` of a table lies, by assembly: LLVM would know the table by
/// its first item alone. The caller has checked that there is one.
macro_rules! place {
    ($table:ident, $item:ty, $index:expr) => {{
        let mut place = u64::from($index);
        // SAFETY: a shift and an addition of registers.
        unsafe {
            asm!(
                "{place} <<= {shift}",
                "{begin} = {table} ll",
                "{place} += {begin}",
                place = inout(reg) place,
                begin = out(reg) _,
                shift = const size_of::<$item>().ilog2(),
                table = sym $table,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        const { assert!(size_of::<$item>().is_power_of_two()) };
        // SAFETY: the item is there, and never changes.
        unsafe {
            core::hint::assert_unchecked(place != 0);
            &*(place as *const $item)
        }
    }};
}

/// The begin of a table, by assembly: LLVM would know what stands there, before the loader
/// has put anything there.
macro_rules! begin {
    ($table:ident, $item:ty) => {{
        let begin: *const $item;
        // SAFETY: the address of a static. What lies there is read as the loader left it.
        unsafe {
            asm!(
                "{begin} = {table} ll",
                begin = out(reg) begin,
                table = sym $table,
                options(pure, nomem, nostack, preserves_flags),
            );
            core::hint::assert_unchecked(!begin.is_null());
        }
        begin
    }};
}

/// Item number `index` of a table of `count` items.
macro_rules! item {
    ($table:ident, $item:ty, $index:expr, $count:expr) => {{
        let index: u32 = $index;
        if index < $count {
            Some(place!($table, $item, index))
        } else {
            None
        }
    }};
}

impl Tables for Maps {
    #[inline(always)]
    fn constant(&self, constant: Constant) -> u32 {
        immediate::constant(constant)
    }

    #[inline(always)]
    fn masked_by_second_halves(&self, value: u32) -> u32 {
        immediate::masked_by_second_halves(value)
    }

    #[inline(always)]
    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        let row = item!(ROWS, Row, row, self.constant(Constant::Rows))?;
        Some(row[slot as usize & 0xff])
    }

    #[inline(always)]
    fn few(&self, number: usize) -> &Path {
        let paths = begin!(FEW_PREFIXES, Path);
        // SAFETY: the number is below the array's length by construction.
        unsafe { &*paths.add(number) }
    }

    #[inline(always)]
    fn transport(&self, index: u32) -> u32 {
        *place!(TRANSPORTS, u32, index)
    }

    #[inline(always)]
    fn source_port(&self, port: u16) -> u32 {
        *place!(SOURCE_PORTS, u32, port)
    }

    #[inline(always)]
    fn path(&self, index: u32) -> Option<&Path> {
        item!(PATHS, Path, index, self.constant(Constant::Paths))
    }

    #[inline(always)]
    fn chunk(&self, index: u32) -> Option<&Chunk> {
        item!(CHUNKS, Chunk, index, self.constant(Constant::Chunks))
    }

    #[inline(always)]
    fn vectors(&self, classes: Classes) -> Option<[u64; 4]> {
        let last = self.constant(Constant::Chunks) - self.constant(Constant::VectorChunks);
        let [source, destination, transport, source_port] = classes.in_order();
        if source > last || destination > last || transport > last || source_port > last {
            return None;
        }
        let vector = |class: u32| core::ptr::from_ref(place!(CHUNKS, Chunk, class)) as u64;
        Some([
            vector(source),
            vector(destination),
            vector(transport),
            vector(source_port),
        ])
    }

    #[inline(always)]
    fn vector_word(&self, vector: u64, number: u32) -> u64 {
        // SAFETY: the vector is there, and so many words behind the last one as a search
        // asks for: the loader appends them.
        unsafe { *(vector as *const u64).add(number as usize) }
    }

    #[inline(always)]
    fn item(&self, index: u32) -> Option<u32> {
        item!(ROWS, u32, index, self.constant(Constant::Rows) << 8).copied()
    }

    #[inline(always)]
    fn outcome(&self, index: u16) -> &Outcome {
        place!(OUTCOMES, Outcome, index)
    }

    #[inline(always)]
    fn line(&self, number: u32) -> Option<&Line> {
        let block = CACHE.get(number / BLOCK_LINES as u32)?;
        Some(&block[number as usize % BLOCK_LINES])
    }

    #[inline(always)]
    fn outcome_anew(&self, tuple: &Tuple, tcp_flags: u8) -> Outcome {
        out_of_line::outcome_anew(tuple, tcp_flags)
    }

    #[inline(always)]
    fn small(&self) -> &Small {
        let small = begin!(SMALL, Small);
        // SAFETY: the loader has put it there, and it never changes.
        unsafe { &*small }
    }

    #[inline(always)]
    fn first_of_many(&self, classes: Classes, begin: u32, end: u32) -> Match {
        out_of_line::first_of_many(classes, begin, end)
    }

    #[inline(always)]
    fn first_of_candidates(&self, classes: Classes, candidates: u64, first: u32) -> Match {
        out_of_line::first_of_candidates(classes, candidates, first)
    }

    #[inline(always)]
    fn said_by_lists(&self, classes: Classes, begin: u32, end: u32) -> Counter {
        out_of_line::said_by_lists(classes, begin, end)
    }
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
