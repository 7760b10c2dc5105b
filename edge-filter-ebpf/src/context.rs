//! What the two kinds of programs are called with, and how each reaches a frame.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::{bpf_skb_load_bytes, bpf_xdp_load_bytes};

use edge_filter_ebpf::frame::NO_TAG;

use crate::copied::out_of_line;

/// The context of one run of a program.
pub(crate) trait Context: Copy {
    /// Where the part of the frame begins that is read in place.
    fn data(self) -> usize;

    /// The address behind its last byte.
    fn data_end(self) -> usize;

    /// The VLAN id of a tag that stands beside the frame; [`NO_TAG`] if none does.
    fn offloaded_tag(self) -> u32;

    /// Copies `length` bytes of the frame, from offset `at` on, to `bytes`; whether
    /// they are there.
    ///
    /// # Safety
    /// `bytes` has room for them.
    unsafe fn load_bytes(self, at: u32, bytes: *mut u8, length: u32) -> bool;

    /// [`crate::copied::parse_into`], out of line.
    fn parse(self, length: u32) -> u32;

    /// [`crate::copied::walk_options`], out of line.
    fn walk_options(self, at: u32, end: u32) -> u32;

    /// [`crate::copied::walk_extensions`], out of line.
    fn walk_extensions(self, next: u32, at: u32, end: u32) -> u64;

    /// [`crate::copied::read_quote`], out of line.
    fn read_quote(self, place: u64, destination_high: u64, destination_low: u64) -> u32;
}

/// That of an XDP program.
#[derive(Clone, Copy)]
pub(crate) struct Xdp(pub(crate) *mut xdp_md);

/// That of a classifier.
#[derive(Clone, Copy)]
pub(crate) struct Tc(pub(crate) *mut __sk_buff);

impl Context for Xdp {
    #[inline(always)]
    fn data(self) -> usize {
        // SAFETY: the context is the one that the kernel called with. The read is volatile
        // so that it stays where it is: handed to a function as the 32 bits that it seems to
        // be, an address is a number to the verifier.
        unsafe { (&raw const (*self.0).data).read_volatile() as usize }
    }

    #[inline(always)]
    fn data_end(self) -> usize {
        // SAFETY: as above.
        unsafe { (&raw const (*self.0).data_end).read_volatile() as usize }
    }

    #[inline(always)]
    fn offloaded_tag(self) -> u32 {
        NO_TAG
    }

    #[inline(always)]
    unsafe fn load_bytes(self, at: u32, bytes: *mut u8, length: u32) -> bool {
        // SAFETY: the caller made room.
        unsafe { bpf_xdp_load_bytes(self.0, at, bytes.cast(), length) == 0 }
    }

    out_of_line! {
        Xdp,
        xdp_md,
        edge_filter_in_parse,
        edge_filter_in_options,
        edge_filter_in_extensions,
        edge_filter_in_quote,
    }
}

impl Context for Tc {
    #[inline(always)]
    fn data(self) -> usize {
        // SAFETY: the context is the one that the kernel called with. The read is volatile
        // so that it stays where it is: handed to a function as the 32 bits that it seems to
        // be, an address is a number to the verifier.
        unsafe { (&raw const (*self.0).data).read_volatile() as usize }
    }

    #[inline(always)]
    fn data_end(self) -> usize {
        // SAFETY: as above.
        unsafe { (&raw const (*self.0).data_end).read_volatile() as usize }
    }

    #[inline(always)]
    fn offloaded_tag(self) -> u32 {
        // SAFETY: as above.
        let (present, control) = unsafe { ((*self.0).vlan_present, (*self.0).vlan_tci) };
        if present == 0 {
            NO_TAG
        } else {
            control & 0x0fff
        }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, at: u32, bytes: *mut u8, length: u32) -> bool {
        // SAFETY: the caller made room.
        unsafe { bpf_skb_load_bytes(self.0.cast(), at, bytes.cast(), length) == 0 }
    }

    out_of_line! {
        Tc,
        __sk_buff,
        edge_filter_out_parse,
        edge_filter_out_options,
        edge_filter_out_extensions,
        edge_filter_out_quote,
    }
}
