//! Small policies: all addresses are compared with a few prefixes, and all outcomes are
//! known. For them the program holds a second copy of the common frame's way, without the
//! tries and the searches of larger ones.

use crate::config::Constant;
use crate::flow::{Flows, Tuple};
use crate::outcome::Outcome;
use crate::tables::{Chunk, Path, Tables};

/// The tables of a small policy ([`Constant::Small`]).
#[derive(Debug, Clone, Copy)]
pub struct Small<'a, T>(pub &'a T);

impl<T: Tables> Tables for Small<'_, T> {
    const SMALL: bool = true;

    #[inline(always)]
    fn constant(&self, constant: Constant) -> u32 {
        self.0.constant(constant)
    }

    #[inline(always)]
    fn few(&self, number: usize) -> &Path {
        self.0.few(number)
    }

    #[inline(always)]
    fn transport(&self, index: u32) -> u32 {
        self.0.transport(index)
    }

    #[inline(always)]
    fn source_port(&self, port: u16) -> u32 {
        self.0.source_port(port)
    }

    #[inline(always)]
    fn entry(&self, _: u32, _: u32) -> Option<u32> {
        None
    }

    #[inline(always)]
    fn path(&self, _: u32) -> Option<&Path> {
        None
    }

    #[inline(always)]
    fn chunk(&self, _: u32) -> Option<&Chunk> {
        None
    }

    #[inline(always)]
    fn outcome(&self, index: u16) -> &Outcome {
        self.0.outcome(index)
    }
}

impl<T: Flows> Flows for Small<'_, T> {
    #[inline(always)]
    fn record(&self, tuple: &Tuple, tcp_flags: u8) {
        self.0.record(tuple, tcp_flags);
    }

    #[inline(always)]
    fn is_answered(&self, tuple: &Tuple, tcp_flags: u8) -> bool {
        self.0.is_answered(tuple, tcp_flags)
    }

    #[inline(always)]
    fn is_live(&self, tuple: &Tuple) -> bool {
        self.0.is_live(tuple)
    }
}
