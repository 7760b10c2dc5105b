//! How long an entry lives (`docs/verdicts.md` §14.2 to 14.4).

use crate::packet::protocol::TCP;
use crate::packet::tcp::{FIN, RST, SYN};

/// Seconds that a TCP conversation may be idle: 2 h 4 min (RFC 5382, REQ-5).
pub const TCP_IDLE: u32 = 7440;
/// The same once it is closing, or was reset.
pub const TCP_ENDING_IDLE: u32 = 60;
/// Seconds that any other conversation may be idle (RFC 4787, REQ-5).
pub const OTHER_IDLE: u32 = 120;

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;

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
/// the first second in which it is over (32 bits, the highest), the number of the slot's
/// tenant (24) and its [`state`] (8). The tenant's number is odd while a new one moves
/// in. A free slot was over before the first second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Life(pub u64);

/// Seconds that a conversation may be idle.
#[inline(always)]
#[must_use]
pub const fn idle_time(protocol: u8, state: u8) -> u32 {
    match (protocol, state) {
        (TCP, state::OPEN) => TCP_IDLE,
        (TCP, _) => TCP_ENDING_IDLE,
        _ => OTHER_IDLE,
    }
}

impl Life {
    /// The first bit of the tenant's number.
    const TENANT: u32 = 8;
    const TENANTS: u64 = 0xff_ffff;

    /// The life of a conversation that was last used in the second `now`.
    #[inline(always)]
    #[must_use]
    pub const fn new(now: u32, protocol: u8, tenant: u32, state: u8) -> Self {
        let over = now as u64 + idle_time(protocol, state) as u64 + 1;
        Self(over << 32 | (tenant as u64 & Self::TENANTS) << Self::TENANT | state as u64)
    }

    /// The first second in which it is over.
    #[inline(always)]
    #[must_use]
    pub const fn over(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The second of the last use.
    #[inline(always)]
    #[must_use]
    pub const fn used(self, protocol: u8) -> u32 {
        self.over()
            .saturating_sub(idle_time(protocol, self.state()) + 1)
    }

    /// The number of the slot's tenant.
    #[inline(always)]
    #[must_use]
    pub const fn tenant(self) -> u32 {
        (self.0 >> Self::TENANT & Self::TENANTS) as u32
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

    /// The same while a new tenant moves in.
    #[inline(always)]
    #[must_use]
    pub const fn moving(self) -> Self {
        let tenant = (self.tenant() as u64 + 1) & Self::TENANTS;
        Self(self.0 & !(Self::TENANTS << Self::TENANT) | tenant << Self::TENANT)
    }

    /// Whether the conversation is live in the second `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_live(self, now: u32) -> bool {
        now < self.over()
    }

    /// The same at a time in nanoseconds: a multiplication, where asking for its second
    /// were a division.
    #[inline(always)]
    #[must_use]
    pub const fn is_live_at(self, nanoseconds: u64) -> bool {
        nanoseconds < self.over() as u64 * SECOND
    }

    /// The second of a time in nanoseconds; the division is spared if it is that of the
    /// last use.
    #[inline(always)]
    #[must_use]
    pub const fn second(self, protocol: u8, nanoseconds: u64) -> u32 {
        let used = self.used(protocol);
        if nanoseconds.wrapping_sub(used as u64 * SECOND) < SECOND {
            used
        } else {
            (nanoseconds / SECOND) as u32
        }
    }

    /// After a packet of the opener (§14.3), of a conversation that is live.
    #[inline(always)]
    #[must_use]
    pub const fn recorded(self, protocol: u8, tcp_flags: u8, now: u32) -> Self {
        let state = if tcp_flags & (FIN | RST) != 0
            || (self.state() == state::CLOSING && tcp_flags & SYN == 0)
        {
            state::CLOSING
        } else {
            state::OPEN
        };
        Self::new(now, protocol, self.tenant(), state)
    }

    /// The same, over by the second `now`.
    #[inline(always)]
    #[must_use]
    pub const fn ended(self, now: u32) -> Self {
        Self((now as u64) << 32 | self.0 & 0xffff_ffff)
    }

    /// After a packet of the other side (§14.4).
    #[inline(always)]
    #[must_use]
    pub const fn answered(self, protocol: u8, tcp_flags: u8, now: u32) -> Self {
        if tcp_flags & RST != 0 && self.state() == state::OPEN {
            Self::new(now, protocol, self.tenant(), state::RESET)
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
