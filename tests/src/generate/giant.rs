//! Super-packets: what segmentation offload hands to a hook before it has cut
//! it up (`docs/verdicts.md` §3).

use rand::RngExt;

use super::Dice;

/// The longest that the length field of an IP header can say.
const LONGEST: usize = 65_535;

/// `frame` with a length of 0 in its IP header, padded to about as many bytes as
/// the length field could just still, or no longer, say. `None` if it is not IP.
#[must_use]
pub fn giant(dice: &mut Dice, frame: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    while let [0x81, 0x00] | [0x88, 0xa8] = frame.get(at..at + 2)? {
        at += 4;
    }
    let (length, counted_from) = match frame[at..at + 2] {
        [0x08, 0x00] => (at + 4, at + 2),
        [0x86, 0xdd] => (at + 6, at + 42),
        _ => return None,
    };
    let mut giant = frame.to_vec();
    giant.get_mut(length..length + 2)?.fill(0);
    giant.resize(counted_from + LONGEST + dice.random_range(0..3), 0);
    Some(giant)
}
