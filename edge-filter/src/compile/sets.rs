//! Sets of numbers, one bit a number, for what is asked by number alone: VLAN
//! ids, ethertypes, and which rules let pass.

use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::tables::Chunk;

use super::counters::CounterSlot;
use super::index;
use crate::policy::{Action, Interface, Policy, Rule};

/// The bits of one chunk.
const CHUNK_BITS: u32 = 512;

/// The most VLAN ids that there can be, and ethertypes.
const VLANS: u32 = 4096;
const ETHERTYPES: u32 = 65_536;

/// Numbers, all of them below `capacity`.
pub(super) struct Set {
    pub(super) members: Vec<u32>,
    pub(super) capacity: u32,
}

/// The sets of one hook, by the constants that say where they are, or that there is
/// none. `slots` are the counters of its rules and of their replies.
pub(super) fn of(
    policy: &Policy,
    interface: &Interface,
    rules: &[&Rule],
    slots: &[CounterSlot],
) -> [(Constant, Option<Set>); 5] {
    let passing = numbers(slots, |slot| slot.action == Action::Allow);
    let dropping = numbers(rules, |rule| rule.action == Action::Drop);
    let dropping_replies = numbers(rules, |rule| rule.drops_replies);
    let vlans = interface.vlans.as_ref();
    let vlans = vlans.map(|vlans| vlans.iter().map(|&id| id.into()).collect());
    let ethertypes: Vec<u32> = policy.ethertypes.iter().map(|&kind| kind.into()).collect();
    let all_pass = passing.len() == slots.len();
    let some = |members: Vec<u32>| (!members.is_empty()).then_some(members);
    [
        (
            Constant::Passing,
            (!all_pass).then_some(passing),
            index(slots.len()),
        ),
        (Constant::Dropping, some(dropping), index(rules.len())),
        (
            Constant::DroppingReplies,
            some(dropping_replies),
            index(rules.len()),
        ),
        (Constant::Vlans, vlans, VLANS),
        (Constant::Ethertypes, some(ethertypes), ETHERTYPES),
    ]
    .map(|(constant, members, capacity)| {
        let set = members.map(|members| Set { members, capacity });
        (constant, set)
    })
}

/// The numbers of the items that are `wanted`.
fn numbers<T>(items: &[T], wanted: impl Fn(&T) -> bool) -> Vec<u32> {
    let wanted = items.iter().zip(0..).filter(|(item, _)| wanted(item));
    wanted.map(|(_, number)| number).collect()
}

/// How many chunks all of `sets` take.
pub(super) fn chunk_count(sets: &[(Constant, Option<Set>)]) -> usize {
    let sets = sets.iter().filter_map(|(_, set)| set.as_ref());
    sets.map(|set| set.capacity.div_ceil(CHUNK_BITS) as usize)
        .sum()
}

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
