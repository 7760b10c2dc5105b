//! The constants of one generation at one hook.
//!
//! They stand in the program's instructions, which the loader completes: the verifier knows
//! their values and removes the code that a policy does not use.

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
    /// 1 if frames without a tag may not appear.
    TaggedOnly,
    /// The set of VLAN ids that may appear; [`NONE`] for any. A set is the number of
    /// its first chunk.
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
    /// How many prefixes an IPv4 source is compared with before that; at most
    /// [`FEW`](crate::tables::FEW).
    FewSourceV4,
    /// The same of an IPv4 destination.
    FewDestinationV4,
    /// The same of an IPv6 source.
    FewSourceV6,
    /// The same of an IPv6 destination.
    FewDestinationV6,
    /// 1 if any rule names source ports.
    SourcePorts,
    /// The number of 64-rule words in a bit vector; 0 if nothing is asked of any
    /// rule here.
    Words,
    /// The number of aggregate words that lead them.
    Aggregates,
    /// The number of chunks that a bit vector takes.
    VectorChunks,
    /// The first of these words hold the hook's own rules: so many.
    OwnWords,
    /// The set of rules and of replies whose packets pass: rules that allow,
    /// audited drops, and all replies; [`NONE`] if all of them do.
    Passing,
    /// The set of the hook's rules that drop, audited or not; [`NONE`] if all of
    /// them allow.
    Dropping,
    /// The set of the hook's rules that drop even replies; [`NONE`] if none does.
    DroppingReplies,
    /// 1 if the packets that this hook's rules allow are recorded
    /// (`docs/verdicts.md` §13.3).
    Tracking,
    /// 1 if the hook drops nothing (`docs/verdicts.md` §12).
    OnlyTracks,
    /// 1 if what mirrors the open lists is a reply here (§13.4).
    AnswersOpen,
    /// The words of the tracking lists, mirrored: the first of them,
    MirroredTracking,
    /// and the first behind them.
    MirroredTrackingEnd,
    /// The same of the open lists, mirrored.
    MirroredOpen,
    /// The first word behind them.
    MirroredOpenEnd,
    /// The same of the open lists as they are.
    Open,
    /// The first word behind them.
    OpenEnd,
    /// How many lists a group has at most; 0 if there are none. Neighbouring lists
    /// that only allow are one.
    Lists,
    /// Where in the rows, as one run of entries, stands what the lists say by each of
    /// their rules ([`fate`]): such that the number of a rule is added to it.
    Fates,
    /// Where in the rows, as one run of entries, stands the rule of each bit; [`NONE`] if the
    /// bits are in the order of the rules.
    Ranks,
    /// The number of rows that there are.
    Rows,
    /// The number of paths.
    Paths,
    /// The number of chunks.
    Chunks,
    /// 1 if the outcomes are known: the four classes of a packet add up to the index of its
    /// outcome. 0 if the rules are searched instead.
    Outcomes,
    /// 1 if the policy is small, and has the tables of one ([`crate::small`]).
    Small,
    /// 1 if an IPv4 source is looked up then.
    LooksUpSourceV4,
    /// The same of an IPv4 destination.
    LooksUpDestinationV4,
    /// What the number of a table for an IPv4 address's second half is masked with: none is
    /// higher.
    SecondHalves,
    /// How many steps find the region of an IPv6 source ([`crate::regions`]).
    StepsSourceV6,
    /// The same of an IPv6 destination.
    StepsDestinationV6,
    /// 1 if a table says of most IPv6 sources what they add, without these steps.
    GroupsSourceV6,
    /// The same of IPv6 destinations.
    GroupsDestinationV6,
    /// 1 if what is known of recent packets is kept ([`crate::cache`]).
    Cached,
    /// What the number of a CPU is masked with: no CPU has a higher one
    /// ([`crate::counter::Block`]).
    CpuMask,
    /// The number of blocks of counters, those of all CPUs.
    CounterBlocks,
    /// The flag of the kernel's own context that says of a frame that it goes on behind its first
    /// buffer (`XDP_FLAGS_HAS_FRAGS`); 0 where that context is not known.
    HasFragments,
    /// The number of buckets of the flow table.
    FlowBuckets,
    /// The places of each bucket that are used.
    FlowPlaces,
}

/// Stands in the object for the call that gives an XDP program the kernel's own context: the
/// operand of an instruction that calls,
pub const KERNEL_CONTEXT: i32 = 0x4e45_7c78;
/// and the offset of the one behind it, which loads the context's flags.
pub const KERNEL_CONTEXT_FLAGS: i16 = 0x7c78;

/// What a list says by one of its rules.
pub mod fate {
    /// Allowed: the rest of the number is the counter of the rule's replies.
    /// Otherwise this list says no, and the number is the first word of the next.
    pub const ALLOWED: u32 = 1 << 31;
}

/// All constants of one generation at one hook, indexed by [`Constant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Config(pub [u32; Config::LENGTH]);

impl Config {
    /// The number of constants.
    pub const LENGTH: usize = Constant::FlowPlaces as usize + 1;

    /// The first of the numbers that stand in the object where a constant belongs: this one
    /// for the first constant, and so on. A 32-bit operation puts it into a register or masks one
    /// with it, and nothing else in the object works with such a number.
    pub const PLACEHOLDER: u32 = 0xc045_f000;

    /// What a program without a policy works with: no rules, and every packet dropped.
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
