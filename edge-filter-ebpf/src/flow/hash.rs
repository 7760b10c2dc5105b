//! The keyed hash by which a conversation finds its buckets.
//!
//! It is the multilinear one of Lemire and Kaser ("Strongly universal string hashing is
//! fast", The Computer Journal, 2014): a sum of products of each half of a word with a
//! secret key. Who does not know the keys cannot choose conversations that meet: the
//! sums of any two differ in their upper halves as random numbers do. The products do
//! not wait for one another, and those of zeroes, as in IPv4, cost nothing.

use super::Words;

/// The number of secret keys: one for each half of five words, and one more.
pub const KEYS: usize = 11;

/// The keys of a table, from its seed (splitmix64; Steele, Lea and Flood, OOPSLA 2014).
#[must_use]
pub fn keys(seed: u64) -> [u64; KEYS] {
    let mut state = seed;
    core::array::from_fn(|_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut key = state;
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        key ^ (key >> 31)
    })
}

/// The hash of a conversation under the keys that `key` knows by their numbers.
#[inline(always)]
pub(super) fn hash(words: &Words, key: impl Fn(usize) -> u64) -> u64 {
    // From the golden ratio: what the upper half holds is spread over both.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = key(KEYS - 1);
    for (number, word) in words.iter().enumerate() {
        let (high, low) = (word >> 32, word & 0xffff_ffff);
        sum = sum
            .wrapping_add(key(2 * number).wrapping_mul(high))
            .wrapping_add(key(2 * number + 1).wrapping_mul(low));
    }
    let spread = (sum ^ sum >> 32).wrapping_mul(SPREAD);
    spread ^ spread >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conversations that differ in a single bit, or are neighbours, fall into as many
    /// buckets as random ones would.
    #[test]
    fn neighbours_are_spread_like_strangers() {
        const BUCKETS: usize = 4096;
        for seed in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let keys = keys(seed);
            for bits in [0_u32, 16, 32, 48] {
                for word in 0..5 {
                    let mut filled = [0_u32; BUCKETS];
                    for number in 0..BUCKETS as u64 {
                        let mut words: Words = [0xc000_020a_0000_0000, 0, 7, 0, 6 << 8 | 4];
                        words[word] ^= number << bits;
                        let hash = hash(&words, |key| keys[key]);
                        filled[(hash >> 52) as usize] += 1;
                    }
                    // Of as many balls as bins, 1/e of the bins stay empty: 1,507.
                    let empty = filled.iter().filter(|count| **count == 0).count();
                    assert!(empty < 2600, "{seed:#x}, word {word}, bit {bits}: {empty}");
                    let most = filled.iter().max().unwrap();
                    assert!(*most <= 12, "{seed:#x}, word {word}, bit {bits}: {most}");
                }
            }
        }
    }

    #[test]
    fn another_seed_is_another_hash() {
        let words = [1, 2, 3, 4, 5];
        let of = |seed| hash(&words, |key| keys(seed)[key]);
        let hashes: std::collections::HashSet<u64> = (0..1000).map(of).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
