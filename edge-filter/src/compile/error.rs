//! Why a policy cannot be compiled, and what to do.

use edge_filter_ebpf::replies::MAX_LISTS;

use super::budget::OverBudget;
use super::limits::{MAX_BITS, MAX_RULES, MAX_TABLE};
use crate::policy::Direction;

/// Why a hook cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// There are more rules than bits.
    #[error(
        "{interface} {direction}: {rules} rules, and a hook holds at most {MAX_RULES}; \
         split the policy over several roles"
    )]
    TooManyRules {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// How many rules it has.
        rules: usize,
    },
    /// There are more rules whose replies are to be known than bits are left.
    #[error(
        "{interface} {direction}: {rules} rules, and with the rules of other hooks whose \
         conversations it must know they take {} bits, while a hook holds at most {MAX_BITS}; \
         merge neighbouring networks or port ranges, or split a rule's services by fewer ports",
        words * 64
    )]
    TooManyReplies {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// How many rules it has itself.
        rules: usize,
        /// How many 64-bit words all of them take.
        words: usize,
    },
    /// Too many roles have drop rules between those that allow.
    #[error(
        "the rules of {lists} hooks that know conversations have a drop before their last allow, \
         and at most {MAX_LISTS} can be asked; merge roles, or move the drops behind"
    )]
    TooManyLists {
        /// How many lists would have to be asked.
        lists: u32,
    },
    /// A table is larger than a program may reach.
    #[error(
        "{interface} {direction}: the {table} of its rules take {mebibytes} MiB, and a hook \
         holds at most {} MiB of them; merge neighbouring networks or port ranges, or split the \
         rules over several roles",
        MAX_TABLE >> 20
    )]
    TableTooLarge {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
        /// What the table holds.
        table: &'static str,
        /// Its size in MiB, rounded up.
        mebibytes: usize,
    },
    /// The tables of all hooks together need more memory than they may.
    #[error("{0}")]
    OverBudget(Box<OverBudget>),
}
