//! How long an entry lives (`docs/verdicts.md` §14.2 to 14.4).

use crate::packet::protocol::TCP;
use crate::packet::tcp::{FIN, RST, SYN};

/// Seconds that a TCP conversation may be idle: 2 h 4 min (RFC 5382, REQ-5).
pub const TCP_IDLE: u32 = 7440;
/// The same once it is closing, or was reset.
pub const TCP_ENDING_IDLE: u32 = 60;
/// Seconds that any other conversation may be idle (RFC 4787, REQ-5).
pub const OTHER_IDLE: u32 = 120;

/// How far a conversation has come: a byte, as it lies in the table.
pub mod state {
    /// No conversation was ever here.
    pub const FREE: u8 = 0;
    /// It goes on.
    pub const OPEN: u8 = 1;
    /// TCP, and its opener has sent FIN or RST.
    pub const CLOSING: u8 = 2;
    /// TCP, and the other side has sent RST.
    pub const RESET: u8 = 3;
}

/// What changes while a conversation lives, in one word that is exchanged at once:
/// the second of its last use (32 bits), the number of the slot's tenant (24) and its
/// [`state`] (8). The tenant's number is odd while a new one moves in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Life(pub u64);

impl Life {
    const TENANTS: u64 = 0xff_ffff;

    /// A life that was last used in the second `used`.
    #[inline(always)]
    #[must_use]
    pub const fn new(used: u32, tenant: u32, state: u8) -> Self {
        Self((used as u64) << 32 | (tenant as u64 & Self::TENANTS) << 8 | state as u64)
    }

    /// The second of the last use.
    #[inline(always)]
    #[must_use]
    pub const fn used(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The number of the slot's tenant.
    #[inline(always)]
    #[must_use]
    pub const fn tenant(self) -> u32 {
        (self.0 >> 8 & Self::TENANTS) as u32
    }

    /// How far the conversation has come.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> u8 {
        self.0 as u8
    }

    /// Whether a new tenant is moving in, and nothing can be said of either.
    #[inline(always)]
    #[must_use]
    pub const fn is_moving(self) -> bool {
        self.tenant() & 1 != 0
    }

    /// Seconds that are left, the present one not counted; less than 0 if it is over.
    #[inline(always)]
    #[must_use]
    pub const fn left(self, protocol: u8, now: u32) -> i64 {
        let idle = match (protocol, self.state()) {
            (_, state::FREE) => return -1,
            (TCP, state::OPEN) => TCP_IDLE,
            (TCP, _) => TCP_ENDING_IDLE,
            _ => OTHER_IDLE,
        };
        idle as i64 - now.saturating_sub(self.used()) as i64
    }

    /// Whether the conversation is live.
    #[inline(always)]
    #[must_use]
    pub const fn is_live(self, protocol: u8, now: u32) -> bool {
        self.left(protocol, now) >= 0
    }

    /// After a packet of the opener (§14.3), of a conversation that is live.
    #[inline(always)]
    #[must_use]
    pub const fn recorded(self, tcp_flags: u8, now: u32) -> Self {
        let state = if tcp_flags & (FIN | RST) != 0
            || (self.state() == state::CLOSING && tcp_flags & SYN == 0)
        {
            state::CLOSING
        } else {
            state::OPEN
        };
        Self::new(now, self.tenant(), state)
    }

    /// After a packet of the other side (§14.4).
    #[inline(always)]
    #[must_use]
    pub const fn answered(self, tcp_flags: u8, now: u32) -> Self {
        if tcp_flags & RST != 0 && self.state() == state::OPEN {
            Self::new(now, self.tenant(), state::RESET)
        } else {
            self
        }
    }
}

/// The state of a conversation that begins with these TCP flags.
#[inline(always)]
#[must_use]
pub const fn first_state(tcp_flags: u8) -> u8 {
    if tcp_flags & FIN == 0 {
        state::OPEN
    } else {
        state::CLOSING
    }
}
