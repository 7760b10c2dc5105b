//! Counters: where every packet's way ends.
//!
//! A counter is an index into the per-CPU array of its hook: first the drop
//! reasons, then what passes without a rule, then the rules. The index says
//! what became of the packet, so the data path hands nothing else around.

use crate::config::Constant;
use crate::tables::Tables;

/// An index into a hook's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Counter(pub u32);

/// What one slot of the per-CPU array holds. Both wrap at 2⁶⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Count {
    /// Packets as they were on the wire.
    pub packets: u64,
    /// Their bytes, from the destination MAC to the end, without FCS.
    pub bytes: u64,
}

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

    /// The first rule; rule `i` counts at `FIRST_RULE + i`.
    pub const FIRST_RULE: u32 = 21;

    /// Not a counter: the frame's source must bring more of it within reach.
    pub const NOT_LINEAR: Self = Self(u32::MAX);

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

    /// Whether a packet that moved this counter passes.
    #[inline(always)]
    pub fn passes<T: Tables>(self, tables: &T) -> bool {
        if self.0 >= Self::FIRST_RULE {
            tables.bit(
                tables.constant(Constant::Passing),
                self.0 - Self::FIRST_RULE,
            )
        } else if self.0 >= Self::ALLOW_DEFAULT.0 {
            true
        } else {
            tables.constant(Constant::Audit) != 0
        }
    }
}
