//! Sets of numbers, one bit a number, for what is asked by number alone: VLAN
//! ids, ethertypes, and which rules let pass.

use edge_filter_ebpf::tables::Chunk;

/// The bits of one chunk.
const CHUNK_BITS: u32 = 512;

/// The set of `members`, all of them below `capacity`.
pub(super) fn chunks(members: &[u32], capacity: u32) -> Vec<Chunk> {
    let mut chunks = vec![Chunk::default(); capacity.div_ceil(CHUNK_BITS) as usize];
    for member in members {
        let chunk = &mut chunks[(member / CHUNK_BITS) as usize];
        chunk[(member / 64 % 8) as usize] |= 1 << (member % 64);
    }
    chunks
}
