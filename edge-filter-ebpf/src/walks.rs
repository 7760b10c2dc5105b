//! The walks that few frames need: IPv4 options, IPv6 extension headers, and
//! what an ICMP error quotes.
//!
//! They loop, and the verifier would follow every way through them together
//! with every way that leads there and on from there. So each source of frames
//! says where they run: in place, or out of line, where they are verified once
//! and by themselves (`docs/decisions/0002-rare-walks-out-of-line.md`).

use crate::counter::Counter;
use crate::flow::Flows;
use crate::frame::Frame;
use crate::packet::{Chain, Ip};
use crate::tables::Tables;

/// A frame that can be walked.
pub trait Walks: Frame {
    /// Walks the IPv4 options from offset `at` to `end`, by `ipv4::walk`.
    ///
    /// # Errors
    /// The counter of the fault that they have.
    fn options(&mut self, at: u32, end: u32) -> Result<(), Counter>;

    /// Walks the IPv6 extension headers from offset `at` on, the first of which
    /// is of type `next`, by `ipv6::walk`.
    ///
    /// # Errors
    /// The counter of the fault that they have.
    fn extension_headers(&mut self, next: u8, at: u32, end: u32) -> Result<Chain, Counter>;

    /// Whether the packet that the ICMP error in `outer` mirrors is allowed, by
    /// `quote::mirrors_allowed`.
    ///
    /// # Errors
    /// The counter of the fault that the quote has.
    fn mirrors_allowed<T: Tables + Flows>(
        &mut self,
        outer: &Ip,
        tables: &T,
    ) -> Result<bool, Counter>;
}
