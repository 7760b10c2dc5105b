//! The walks that few frames need: IPv4 options, IPv6 extension headers, and
//! what an ICMP error quotes.
//!
//! They loop, and the verifier would follow every way through them together
//! with every way that leads there and on from there. So a source of frames may
//! run them out of line, where they are verified once and by themselves.

use crate::counter::Counter;
use crate::frame::Frame;
use crate::packet::Ip;
use crate::tables::Tables;
use crate::{ipv4, ipv6, quote};

/// A frame whose walks may run elsewhere. By default they run in place.
pub trait Walks: Frame + Sized {
    /// Walks the IPv4 options from offset `at` to `end`.
    ///
    /// # Errors
    /// The counter of the fault that they have.
    #[inline(always)]
    fn options(&mut self, at: u32, end: u32) -> Result<(), Counter> {
        ipv4::walk(self, at, end)
    }

    /// Walks the IPv6 extension headers from offset `at` on, the first of which
    /// is of type `next`. Returns the protocol and the offset of its header.
    ///
    /// # Errors
    /// The counter of the fault that they have.
    #[inline(always)]
    fn extension_headers(&mut self, next: u8, at: u32, end: u32) -> Result<(u8, u32), Counter> {
        ipv6::walk(self, next, at, end)
    }

    /// Whether the packet that the ICMP error in `outer` mirrors is allowed.
    ///
    /// # Errors
    /// The counter of the fault that the quote has.
    #[inline(always)]
    fn mirrors_allowed<T: Tables>(&mut self, outer: &Ip, tables: &T) -> Result<bool, Counter> {
        quote::mirrors_allowed(self, outer, tables)
    }
}

impl Walks for crate::frame::Memory<'_> {}
