//! What the rules say of a packet: by the table of outcomes where there is one, by a
//! search through the bit vectors otherwise.

use crate::classify::Classes;
use crate::config::{Constant, NONE};
use crate::counter::Counter;
use crate::outcome::{Outcome, Own, Reply};
use crate::replies::{Group, allowed_by};
use crate::search::{Match, Vectors};
use crate::tables::Tables;

/// The rules, as a packet asks them. Which of the two it is follows from the policy's
/// constants.
#[derive(Debug, Clone, Copy)]
pub enum Rules<'a> {
    /// Everything is known.
    Known(Outcome),
    /// Each question is a search.
    Searched(Vectors<'a>),
}

impl<'a> Rules<'a> {
    /// The rules as a packet of `classes` asks them. `None` past a table's end.
    #[inline(always)]
    pub fn of<T: Tables>(classes: Classes, tables: &'a T) -> Option<Self> {
        if has_outcomes(tables) {
            return Some(Self::Known(Outcome::of(&classes, tables)));
        }
        Vectors::of(classes, tables).map(Self::Searched)
    }

    /// The same for packets that are rare, which need less of the stack so.
    #[inline(always)]
    pub fn far<T: Tables>(classes: Classes, tables: &'a T) -> Option<Self> {
        if has_outcomes(tables) {
            return Some(Self::Known(Outcome::of(&classes, tables)));
        }
        Some(Self::Searched(Vectors::far(classes)))
    }

    /// What the hook's own rules and the default say.
    #[inline(always)]
    pub fn own<T: Tables>(&self, tables: &T) -> Own {
        match self {
            Self::Known(outcome) => outcome.own(),
            Self::Searched(vectors) => searched(vectors, tables),
        }
    }

    /// Whether a packet that the hook's own rules allow, and that opens a conversation, is
    /// recorded; `tracked` is what [`Self::own`] said (`docs/verdicts.md` §13.3).
    ///
    /// # Errors
    /// [`Counter::INTERNAL`] if a loop ran out.
    #[inline(always)]
    pub fn is_recorded<T: Tables>(&self, tracked: bool, tables: &T) -> Result<bool, Counter> {
        match self {
            Self::Known(_) => Ok(tracked),
            Self::Searched(vectors) => Ok(tracked
                && !allows(Group::MirroredOpen, vectors, tables)?
                && !allows(Group::Open, vectors, tables)?),
        }
    }

    /// What is said of the packet as a reply (§13.4). If a loop ran out, it is one by a
    /// rule, and its counter is [`Counter::INTERNAL`].
    #[inline(always)]
    pub fn reply<T: Tables>(&self, tables: &T) -> Reply {
        let vectors = match self {
            Self::Known(outcome) => return outcome.reply(),
            Self::Searched(vectors) => vectors,
        };
        if tables.constant(Constant::AnswersOpen) != 0 {
            let counter = allowed_by(Group::MirroredOpen, vectors, tables);
            if counter != Counter::NOTHING {
                return Reply::ByRule(counter);
            }
        }
        match allowed_by(Group::MirroredTracking, vectors, tables) {
            Counter::NOTHING => Reply::No,
            Counter::INTERNAL => Reply::ByRule(Counter::INTERNAL),
            counter => Reply::ByFlow(counter),
        }
    }

    /// Whether outsiders may open the conversation that the packet itself belongs to.
    ///
    /// # Errors
    /// [`Counter::INTERNAL`] if a loop ran out.
    #[inline(always)]
    pub fn is_open<T: Tables>(&self, tables: &T) -> Result<bool, Counter> {
        match self {
            Self::Known(outcome) => Ok(outcome.is_open()),
            Self::Searched(vectors) => allows(Group::Open, vectors, tables),
        }
    }
}

/// The outcome of `classes` by a search: what a table of outcomes is filled with.
///
/// # Errors
/// [`Counter::INTERNAL`] if a loop ran out.
#[cfg(not(target_arch = "bpf"))]
pub fn outcome<T: Tables>(classes: Classes, tables: &T) -> Result<Outcome, Counter> {
    let rules = Rules::Searched(Vectors::of(classes, tables).ok_or(Counter::INTERNAL)?);
    let own = match rules.own(tables) {
        Own::Final(Counter::INTERNAL) => return Err(Counter::INTERNAL),
        Own::Allowed { counter, tracked } => Own::Allowed {
            counter,
            tracked: rules.is_recorded(tracked, tables)?,
        },
        refused => refused,
    };
    let reply = match rules.reply(tables) {
        Reply::ByRule(Counter::INTERNAL) => return Err(Counter::INTERNAL),
        reply => reply,
    };
    Ok(Outcome::new(own, reply, rules.is_open(tables)?))
}

#[inline(always)]
fn has_outcomes<T: Tables>(tables: &T) -> bool {
    tables.constant(Constant::Outcomes) != 0
}

/// What the hook's own rules and the default say, by a search.
#[inline(always)]
fn searched<T: Tables>(vectors: &Vectors<'_>, tables: &T) -> Own {
    let own = tables.constant(Constant::OwnWords);
    let only_tracks = tables.constant(Constant::OnlyTracks) != 0;
    match vectors.first(tables, 0, own) {
        Match::Internal => Own::Final(Counter::INTERNAL),
        Match::Rule(rule) => {
            let counter = Counter::rule(rule);
            if !tables.drops(rule) {
                let tracked = tables.constant(Constant::Tracking) != 0;
                Own::Allowed { counter, tracked }
            } else if only_tracks || drops_replies(rule, tables) {
                Own::Final(counter)
            } else {
                Own::Refused(counter)
            }
        }
        Match::None => match Counter::by_default(tables) {
            Counter::DEFAULT if !only_tracks => Own::Refused(Counter::DEFAULT),
            counter => Own::Final(counter),
        },
    }
}

/// Whether rule number `rule` drops what answers a conversation, too.
#[inline(always)]
fn drops_replies<T: Tables>(rule: u32, tables: &T) -> bool {
    let dropping = tables.constant(Constant::DroppingReplies);
    dropping != NONE && tables.bit(dropping, rule)
}

#[inline(always)]
fn allows<T: Tables>(group: Group, vectors: &Vectors<'_>, tables: &T) -> Result<bool, Counter> {
    match allowed_by(group, vectors, tables) {
        Counter::NOTHING => Ok(false),
        Counter::INTERNAL => Err(Counter::INTERNAL),
        _ => Ok(true),
    }
}
