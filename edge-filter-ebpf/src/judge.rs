//! The ways that a frame is judged, for programs of either kind: in place if it is common, or
//! at least linear, and by copies of its headers otherwise.
//!
//! Each way is a function of its own, so that its stack and that of another are not there at
//! once: 512 bytes hold a whole chain of calls.

use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::{common, judge_any};

use crate::context::Context;
use crate::linear::Linear;
use crate::{Maps, copied};

/// Judges a frame of `length` bytes.
#[inline(always)]
pub(crate) fn judge<C: Context>(context: C, length: u32) -> Counter {
    match judge_cached(context, length) {
        Counter::NOTHING => {}
        common => return common,
    }
    match judge_linear(context, length) {
        Counter::NOT_LINEAR => copied::judge(context, length),
        counter => counter,
    }
}

/// Judges a common frame by what is known of recent packets; [`Counter::NOTHING`] if it is not
/// common.
#[inline(never)]
fn judge_cached<C: Context>(context: C, length: u32) -> Counter {
    common::judge(&mut Linear::new(context, length), &Maps).unwrap_or(Counter::NOTHING)
}

/// Judges any frame by its first buffer; [`Counter::NOT_LINEAR`] if more of it is needed.
#[inline(never)]
fn judge_linear<C: Context>(context: C, length: u32) -> Counter {
    judge_any(&mut Linear::new(context, length), &Maps)
}
