//! The flow table in the kernel, for programs of either kind.
//!
//! Its functions are global, so that the verifier checks each of them once. They are
//! handed the five words of a tuple, with TCP flags in bits 16 to 23 of the last.

use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use core::arch::asm;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::flow::bucket::{Bucket, Buckets, Header};
use edge_filter_ebpf::flow::hash::KEYS;
use edge_filter_ebpf::flow::table;
use edge_filter_ebpf::flow::{Flows, Tuple, Words};
use edge_filter_ebpf::packet::Family;
use edge_filter_ebpf::tables::Tables;

use crate::Maps;

/// The buckets, and the header behind them. All programs share it.
#[map]
static FLOWS: Array<Bucket> = Array::with_max_entries(1, 0);

/// The keys of its hash, set before the program is loaded.
#[unsafe(no_mangle)]
static FLOW_KEYS: [u64; KEYS] = [0; KEYS];

/// Where the TCP flags stand in a tuple's last word.
const FLAGS: u32 = 16;

impl Buckets for Maps {
    #[inline(always)]
    fn count(&self) -> u32 {
        self.constant(Constant::FlowBuckets)
    }

    #[inline(always)]
    fn places(&self) -> u32 {
        self.constant(Constant::FlowPlaces)
    }

    #[inline(always)]
    fn key(&self, number: usize) -> u64 {
        // SAFETY: the number is below the array's length. The read is volatile because
        // the loader replaces what the compiler sees.
        unsafe {
            (&raw const FLOW_KEYS)
                .cast::<u64>()
                .add(number)
                .read_volatile()
        }
    }

    #[inline(always)]
    fn nanoseconds(&self) -> u64 {
        // SAFETY: the helper takes nothing and reads a clock.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        FLOWS.get(index)
    }

    #[inline(always)]
    fn evict(&self) {
        if let Some(bucket) = FLOWS.get(self.count()) {
            let counter = Header(bucket).evicted().as_ptr();
            // SAFETY: an atomic addition to a word of the map.
            unsafe {
                asm!(
                    "lock *(u64 *)({counter} + 0) += {one}",
                    counter = in(reg) counter,
                    one = in(reg) 1_u64,
                    options(nostack, preserves_flags),
                );
            }
        }
    }
}

/// Records a packet of the opener.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn edge_filter_record(a: u64, b: u64, c: u64, d: u64, e: u64) -> u32 {
    let (words, flags) = apart(a, b, c, d, e);
    table::record(&Maps, &words, flags);
    0
}

/// Whether a packet of the other side answers a live conversation.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_answered(a: u64, b: u64, c: u64, d: u64, e: u64) -> u32 {
    let (words, flags) = apart(a, b, c, d, e);
    table::is_answered(&Maps, &words, flags).into()
}

/// The same of IPv4, with both addresses in one word.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_answered_v4(addresses: u64, e: u64) -> u32 {
    let (words, flags) = apart(addresses >> 32 << 32, 0, addresses << 32, 0, e);
    table::is_answered(&Maps, &words, flags).into()
}

/// Whether there is a live entry.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_live(a: u64, b: u64, c: u64, d: u64, e: u64) -> u32 {
    let (words, _) = apart(a, b, c, d, e);
    table::is_live(&Maps, &words).into()
}

impl Flows for Maps {
    #[inline(always)]
    fn record(&self, tuple: &Tuple, tcp_flags: u8) {
        let [a, b, c, d, e] = together(tuple, tcp_flags);
        edge_filter_record(a, b, c, d, e);
    }

    #[inline(always)]
    fn is_answered(&self, tuple: &Tuple, tcp_flags: u8) -> bool {
        let [a, b, c, d, e] = together(tuple, tcp_flags);
        let answered = match tuple.family {
            Family::V4 => edge_filter_answered_v4(a | c >> 32, e),
            Family::V6 => edge_filter_answered(a, b, c, d, e),
        };
        answered != 0
    }

    #[inline(always)]
    fn is_live(&self, tuple: &Tuple) -> bool {
        let [a, b, c, d, e] = tuple.words();
        edge_filter_live(a, b, c, d, e) != 0
    }
}

/// The words of a tuple, with TCP flags in the last.
#[inline(always)]
pub(crate) fn together(tuple: &Tuple, tcp_flags: u8) -> Words {
    let [a, b, c, d, e] = tuple.words();
    [a, b, c, d, e | u64::from(tcp_flags) << FLAGS]
}

/// The words of a tuple and the TCP flags.
#[inline(always)]
pub(crate) fn apart(a: u64, b: u64, c: u64, d: u64, e: u64) -> (Words, u8) {
    ([a, b, c, d, e & !(0xff << FLAGS)], (e >> FLAGS) as u8)
}
