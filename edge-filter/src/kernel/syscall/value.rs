//! Global data: maps of one value.

use std::io;
use std::os::fd::BorrowedFd;

use super::{BPF_MAP_LOOKUP_ELEM, MapElement, MapInfo, bpf, number, object_info};

// enum bpf_map_type, include/uapi/linux/bpf.h.
const BPF_MAP_TYPE_ARRAY: u32 = 2;

/// The only value of an array, in words of this machine.
pub(in crate::kernel) fn only_value(map: BorrowedFd<'_>) -> io::Result<Vec<u64>> {
    let mut info = MapInfo::default();
    object_info(map, &mut info)?;
    if info.kind != BPF_MAP_TYPE_ARRAY || info.entries != 1 {
        return Err(io::Error::other("it is no array of one value"));
    }
    // The kernel hands out whole words (`round_up(value_size, 8)`).
    let words = info.value_size.div_ceil(8);
    let mut value = vec![0_u64; usize::try_from(words).map_err(io::Error::other)?];
    let key = 0_u32;
    let element = MapElement {
        map: number(map),
        key: (&raw const key).addr() as u64,
        value: value.as_mut_ptr().addr() as u64,
        ..Default::default()
    };
    bpf(BPF_MAP_LOOKUP_ELEM, &element)?;
    Ok(value)
}
