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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_bits_of_its_members_alone() {
        let members = [0, 63, 64, 511, 512, 4095];
        let chunks = chunks(&members, 4096);
        assert_eq!(chunks.len(), 8);
        for number in 0..4096_u32 {
            let word = chunks[number as usize / 512][number as usize / 64 % 8];
            let found = word >> (number % 64) & 1 != 0;
            assert_eq!(found, members.contains(&number), "{number}");
        }
    }

    #[test]
    fn a_set_has_room_for_its_capacity() {
        for (capacity, length) in [(0, 0), (1, 1), (512, 1), (513, 2), (65_536, 128)] {
            assert_eq!(chunks(&[], capacity).len(), length, "{capacity}");
        }
    }
}
