//! The constants of one generation at one hook.
//!
//! They lie in `.rodata`, which the kernel freezes before it verifies the
//! program: the verifier knows their values and removes the code that a policy
//! does not use.

/// Stands for "there is none" where a constant is an index.
pub const NONE: u32 = u32::MAX;

/// The bits of [`Constant::Essentials`]: the essentials set to `allow`.
pub mod essential {
    /// `arp`
    pub const ARP: u32 = 1;
    /// `nd`
    pub const ND: u32 = 1 << 1;
    /// `mld`
    pub const MLD: u32 = 1 << 2;
    /// `icmp-errors`
    pub const ICMP_ERRORS: u32 = 1 << 3;
    /// `link-control`
    pub const LINK_CONTROL: u32 = 1 << 4;
    /// `ping`
    pub const PING: u32 = 1 << 5;
    /// `dhcp-client`
    pub const DHCP_CLIENT: u32 = 1 << 6;
}

/// A constant, by its place in [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Constant {
    /// 1 if the policy is in audit mode: every would-be drop passes.
    Audit,
    /// 1 if `default_action` is `allow`.
    DefaultAllow,
    /// 1 on an outbound hook.
    Outbound,
    /// 1 where super-packets can appear, whose length fields are 0
    /// (`docs/verdicts.md` §3).
    SoftwareLengths,
    /// The essentials that are allowed, as bits of [`essential`].
    Essentials,
    /// The set of VLAN ids that may appear, 0 for untagged; [`NONE`] for any.
    /// A set is the number of its first chunk.
    Vlans,
    /// The set of further ethertypes; [`NONE`] if there are none.
    Ethertypes,
    /// The trie entry at which the lookup of an IPv4 source begins.
    SourceV4,
    /// The same of an IPv4 destination.
    DestinationV4,
    /// The same of an IPv6 source.
    SourceV6,
    /// The same of an IPv6 destination.
    DestinationV6,
    /// The first of the 769 rows of protocols and destination ports.
    Transports,
    /// The first of the 256 rows of source ports; [`NONE`] if no rule names any.
    SourcePorts,
    /// The number of 64-rule words in a bit vector; 0 if the hook has no rules.
    Words,
    /// The set of rules whose packets pass: those that allow, and audited drops.
    Passing,
    /// The set of rules that allow.
    Allowing,
}

/// All constants of one generation at one hook, indexed by [`Constant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Config(pub [u32; Config::LENGTH]);

impl Config {
    /// The number of constants.
    pub const LENGTH: usize = Constant::Allowing as usize + 1;

    /// What the object holds before a policy's constants replace it: no rules,
    /// and every packet dropped.
    pub const EMPTY: Self = Self([0; Self::LENGTH]);

    /// The value of a constant.
    #[must_use]
    pub fn get(&self, constant: Constant) -> u32 {
        self.0[constant as usize]
    }

    /// Sets a constant.
    pub fn set(&mut self, constant: Constant, value: u32) {
        self.0[constant as usize] = value;
    }
}
