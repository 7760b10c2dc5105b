//! Counters: where every packet's way ends.
//!
//! A counter is an index into the counters of its hook: first the drop
//! reasons, then what passes without a rule, then the rules. The index says
//! what became of the packet, so the data path hands nothing else around.

use crate::config::{Constant, NONE};
use crate::tables::Tables;

/// An index into a hook's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Counter(pub u32);

/// What a counter holds for one CPU. Both wrap at 2⁶⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// Packets as they were on the wire.
    pub packets: u64,
    /// Their bytes, from the destination MAC to the end, without FCS.
    pub bytes: u64,
}

/// How many counters lie together for one CPU.
pub const BLOCK: usize = 256;

/// Counters of one CPU, a page of memory where pages are small. Behind it lie those of the
/// same indices for the next CPU, and behind those of all CPUs the next indices.
pub type Block = [Count; BLOCK];

impl Counter {
    /// No rule matched, and the default is to drop.
    pub const DEFAULT: Self = Self(0);
    /// A header is cut short, or contradicts itself or the frame.
    pub const MALFORMED: Self = Self(1);
    /// A fragment.
    pub const FRAGMENT: Self = Self(2);
    /// Too many IPv6 extension headers, or hop-by-hop not first.
    pub const EXTENSION_HEADERS: Self = Self(3);
    /// IPv6 next header 59.
    pub const NO_NEXT_HEADER: Self = Self(4);
    /// Source routing.
    pub const OPTIONS: Self = Self(5);
    /// TCP flags that no TCP sends.
    pub const TCP_FLAGS: Self = Self(6);
    /// An ethertype that is not let through.
    pub const ETHERTYPE: Self = Self(7);
    /// A VLAN id that may not appear.
    pub const VLAN: Self = Self(8);
    /// An essential protocol, misused.
    pub const ESSENTIALS: Self = Self(9);
    /// An impossible source, or land.
    pub const MARTIAN: Self = Self(10);
    /// A loop ran out. Nothing is known that gets here.
    pub const INTERNAL: Self = Self(11);

    /// No rule matched, and the default is to allow.
    pub const ALLOW_DEFAULT: Self = Self(12);
    /// ARP.
    pub const ARP: Self = Self(13);
    /// Neighbour discovery.
    pub const ND: Self = Self(14);
    /// Multicast listener discovery.
    pub const MLD: Self = Self(15);
    /// An ICMP error that mirrors an allowed packet.
    pub const ICMP_ERROR: Self = Self(16);
    /// LACP, EAPOL, LLDP, STP.
    pub const LINK_CONTROL: Self = Self(17);
    /// An echo request.
    pub const PING: Self = Self(18);
    /// DHCP to a client.
    pub const DHCP_CLIENT: Self = Self(19);
    /// One of the policy's ethertypes.
    pub const ALLOWED_ETHERTYPE: Self = Self(20);

    /// What a hook that only tracks lets by.
    pub const ALLOW_UNTRACKED: Self = Self(21);

    /// The first rule; rule `i` counts at `FIRST_RULE + i`. Behind the rules come
    /// the replies.
    pub const FIRST_RULE: u32 = 22;

    /// Not a counter: the frame's source must bring more of it within reach.
    pub const NOT_LINEAR: Self = Self(u32::MAX);

    /// Not a counter: nothing is decided yet.
    pub const NOTHING: Self = Self(u32::MAX - 1);

    /// The counter of rule number `rule`.
    #[inline(always)]
    #[must_use]
    pub fn rule(rule: u32) -> Self {
        Self(Self::FIRST_RULE + rule)
    }

    /// The counter of a packet that no rule decided.
    #[inline(always)]
    pub fn by_default<T: Tables>(tables: &T) -> Self {
        if tables.constant(Constant::DefaultAllow) == 0 {
            Self::DEFAULT
        } else {
            Self::ALLOW_DEFAULT
        }
    }

    /// The counter that moves instead of this one at a hook that drops nothing, where
    /// only what essentials and rules admit counts by itself.
    #[inline(always)]
    #[must_use]
    pub fn at_hook<T: Tables>(self, tables: &T) -> Self {
        if tables.constant(Constant::OnlyTracks) == 0 {
            return self;
        }
        let admitted = if self.0 >= Self::FIRST_RULE {
            self == Self::NOT_LINEAR || !tables.drops(self.0 - Self::FIRST_RULE)
        } else {
            self.0 > Self::ALLOW_DEFAULT.0
        };
        if admitted {
            self
        } else {
            Self::ALLOW_UNTRACKED
        }
    }

    /// Whether a packet that moved this counter passes.
    #[inline(always)]
    pub fn passes<T: Tables>(self, tables: &T) -> bool {
        if self.0 >= Self::FIRST_RULE {
            let passing = tables.constant(Constant::Passing);
            passing == NONE || tables.bit(passing, self.0 - Self::FIRST_RULE)
        } else if self.0 >= Self::ALLOW_DEFAULT.0 {
            true
        } else {
            tables.constant(Constant::Audit) != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::ByHand;

    #[test]
    fn faults_and_the_default_pass_in_audit_mode_alone() {
        let enforced = ByHand::new();
        let audited = ByHand::new().with(Constant::Audit, 1);
        for counter in (0..=Counter::INTERNAL.0).map(Counter) {
            assert!(!counter.passes(&enforced), "{counter:?}");
            assert!(counter.passes(&audited), "{counter:?}");
        }
    }

    #[test]
    fn essentials_and_the_allowing_default_pass() {
        for counter in (Counter::ALLOW_DEFAULT.0..Counter::FIRST_RULE).map(Counter) {
            assert!(counter.passes(&ByHand::new()), "{counter:?}");
        }
        assert_eq!(Counter::ALLOW_UNTRACKED.0 + 1, Counter::FIRST_RULE);
    }

    /// Audit mode changes nothing here: the compiler put audited rules into the
    /// set, and a rule that is in neither set must not pass by it.
    #[test]
    fn a_rule_passes_by_its_set_alone() {
        let passing = [0, 63, 64, 511, 512, 65_535];
        for audit in [0, 1] {
            let tables = ByHand::new()
                .with_set(Constant::Ethertypes, &[3])
                .with_set(Constant::Passing, &passing)
                .with(Constant::Audit, audit);
            for rule in 0..65_536 {
                let passes = Counter::rule(rule).passes(&tables);
                assert_eq!(passes, passing.contains(&rule), "rule {rule}");
            }
        }
    }

    #[test]
    fn what_is_no_counter_does_not_pass() {
        let tables = ByHand::new().with_set(Constant::Passing, &[0]);
        assert!(!Counter::NOT_LINEAR.passes(&tables));
    }

    #[test]
    fn the_default_follows_the_policy() {
        let allowing = ByHand::new().with(Constant::DefaultAllow, 1);
        assert_eq!(Counter::by_default(&ByHand::new()), Counter::DEFAULT);
        assert_eq!(Counter::by_default(&allowing), Counter::ALLOW_DEFAULT);
    }
}
