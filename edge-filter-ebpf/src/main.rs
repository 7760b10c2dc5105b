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

use aya_ebpf::bindings::BPF_F_RDONLY_PROG;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::config::{Config, Constant};
use edge_filter_ebpf::counter::{Count, Counter};
use edge_filter_ebpf::search::Match;
use edge_filter_ebpf::tables::{Chunk, Path, Row, Tables};

/// The constants of this generation, set before the program is loaded.
#[unsafe(no_mangle)]
static CONFIG: Config = Config::EMPTY;

#[map]
static ROWS: Array<Row> = Array::with_max_entries(1, BPF_F_RDONLY_PROG);
#[map]
static PATHS: Array<Path> = Array::with_max_entries(1, BPF_F_RDONLY_PROG);
#[map]
static CHUNKS: Array<Chunk> = Array::with_max_entries(1, BPF_F_RDONLY_PROG);
#[map]
static COUNTERS: PerCpuArray<Count> = PerCpuArray::with_max_entries(Counter::FIRST_RULE, 0);

/// The tables in the kernel.
struct Maps;

impl Tables for Maps {
    #[inline(always)]
    fn constant(&self, constant: Constant) -> u32 {
        // SAFETY: the index is below the array's length by construction. The
        // read is volatile because the loader replaces what the compiler sees.
        unsafe { core::ptr::read_volatile(&raw const CONFIG.0[constant as usize]) }
    }

    #[inline(always)]
    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        ROWS.get(row).map(|row| row[slot as usize & 0xff])
    }

    #[inline(always)]
    fn path(&self, index: u32) -> Option<&Path> {
        PATHS.get(index)
    }

    #[inline(always)]
    fn word(&self, chunk: u32, slot: u32) -> Option<u64> {
        CHUNKS.get(chunk).map(|chunk| chunk[slot as usize & 7])
    }

    #[inline(always)]
    fn first_of_many(&self, classes: Classes, begin: u32, end: u32) -> Match {
        out_of_line::first_of_many(classes, begin, end)
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
