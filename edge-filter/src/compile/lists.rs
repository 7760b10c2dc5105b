//! The lists that know conversations (`docs/verdicts.md` §13.1), as one hook asks
//! them.
//!
//! A group of lists is laid out so that its lists are asked in their order: lists
//! that only allow run into each other, and behind one that drops the next begins at
//! a word of its own, where the search goes on once a drop has ended that list.

use std::borrow::Cow;
use std::ops::Range;

use edge_filter_ebpf::config::{Config, Constant, fate};
use edge_filter_ebpf::counter::Counter;

use super::index;
use super::patterns::{Patterns, mirrored};
use crate::policy::{Action, Direction, Interface, Outbound, Policy, Rule, Trust};

/// The rules of one hook.
type List<'p> = Vec<&'p Rule>;

/// What one hook asks of the lists.
#[derive(Debug, Default)]
pub(super) struct Lists<'p> {
    /// The hook's own rules, then the groups.
    pub(super) patterns: Patterns<'p>,
    /// The words of the hook's own rules.
    pub(super) own_words: u32,
    /// The words of the tracking lists, mirrored.
    pub(super) mirrored_tracking: Range<u32>,
    /// The words of the open lists, mirrored.
    pub(super) mirrored_open: Range<u32>,
    /// The words of the open lists.
    pub(super) open: Range<u32>,
    /// How many lists a group has to be asked for at most.
    pub(super) longest: u32,
    /// The words at which a search may begin.
    starts: Vec<usize>,
    /// What is said by each bit behind the hook's own words.
    pub(super) fates: Vec<u32>,
    /// The rules whose replies are counted here, in the order of their counters.
    pub(super) replies: Vec<&'p Rule>,
    /// Whether packets that the hook's rules allow are recorded.
    pub(super) tracking: bool,
    /// Whether the hook drops nothing.
    pub(super) only_tracks: bool,
    /// Whether the mirror of what the open lists allow is a reply here.
    pub(super) answers_open: bool,
}

impl<'p> Lists<'p> {
    /// The lists as the hook of `interface` and `direction` asks them, whose own
    /// rules are `own`.
    pub(super) fn of(
        policy: &'p Policy,
        interface: &Interface,
        direction: Direction,
        own: &[&'p Rule],
    ) -> Self {
        let trusted = interface.trust == Trust::Trusted;
        let outbound = direction == Direction::Outbound;
        let tracking = is_tracking(interface, direction);
        let only_tracks = outbound && interface.outbound == Outbound::Track;
        let answers_open = tracking && trusted != outbound;
        let patterns = Patterns::of(own);
        let mut lists = Self {
            own_words: index(patterns.words()),
            patterns,
            tracking,
            only_tracks,
            answers_open,
            ..Self::default()
        };
        let counted = |counts: bool| if counts { Counts::Yes } else { Counts::No };
        lists.mirrored_tracking = lists.push(
            &tracking_lists(policy),
            Turned::Mirrored,
            counted(!only_tracks),
            own.len(),
        );
        if tracking {
            let open = open_lists(policy);
            lists.mirrored_open = lists.push(
                &open,
                Turned::Mirrored,
                counted(answers_open && !only_tracks),
                own.len(),
            );
            if trusted && outbound {
                lists.open = lists.push(&open, Turned::AsWritten, Counts::No, own.len());
            }
        }
        lists
    }

    /// The ranges of words within which a search always goes to the end: the bits of each may
    /// be in any order.
    pub(super) fn segments(&self) -> Vec<Range<usize>> {
        let mut starts = vec![0];
        starts.extend(&self.starts);
        starts.push(self.patterns.words());
        starts.dedup();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Writes down where everything stands.
    pub(super) fn set(&self, config: &mut Config) {
        config.set(Constant::OwnWords, self.own_words);
        config.set(Constant::Tracking, self.tracking.into());
        config.set(Constant::OnlyTracks, self.only_tracks.into());
        config.set(Constant::AnswersOpen, self.answers_open.into());
        config.set(Constant::Lists, self.longest);
        for (words, begin, end) in [
            (
                &self.mirrored_tracking,
                Constant::MirroredTracking,
                Constant::MirroredTrackingEnd,
            ),
            (
                &self.mirrored_open,
                Constant::MirroredOpen,
                Constant::MirroredOpenEnd,
            ),
            (&self.open, Constant::Open, Constant::OpenEnd),
        ] {
            config.set(begin, words.start);
            config.set(end, words.end);
        }
    }

    /// Lays out one group; the words that it takes.
    fn push(
        &mut self,
        group: &[List<'p>],
        turned: Turned,
        counts: Counts,
        own_rules: usize,
    ) -> Range<u32> {
        let begin = self.patterns.words();
        let mut bit = begin * 64;
        // Drops, which are told apart from replies until the next list's place is
        // known.
        let mut open_drops: Vec<usize> = Vec::new();
        let mut asked = 0;
        for list in group {
            if asked == 0 || !open_drops.is_empty() {
                asked += 1;
                bit = self.patterns.words() * 64;
                self.starts.push(self.patterns.words());
                self.end_list(&mut open_drops);
            }
            for &rule in list {
                let reply = (rule.action == Action::Allow).then(|| match counts {
                    Counts::Yes => self.reply_counter(rule, own_rules),
                    Counts::No => Counter(0),
                });
                let patterns: Vec<Cow<'p, Rule>> = match turned {
                    Turned::Mirrored => mirrored(rule).into_iter().map(Cow::Owned).collect(),
                    Turned::AsWritten => vec![Cow::Borrowed(rule)],
                };
                for pattern in patterns {
                    self.patterns.push(bit, pattern);
                    let fate = bit - self.own_words as usize * 64;
                    self.fates.resize(fate + 1, 0);
                    match reply {
                        Some(counter) => self.fates[fate] = fate::ALLOWED | counter.0,
                        None => open_drops.push(fate),
                    }
                    bit += 1;
                }
            }
        }
        self.end_list(&mut open_drops);
        self.longest = self.longest.max(asked);
        index(begin)..index(self.patterns.words())
    }

    /// What a drop says: go on behind everything there is until now.
    fn end_list(&mut self, drops: &mut Vec<usize>) {
        let next = index(self.patterns.words());
        for fate in drops.drain(..) {
            self.fates[fate] = next;
        }
    }

    /// The counter of the replies to what `rule` allows. A rule stands in one list.
    fn reply_counter(&mut self, rule: &'p Rule, own_rules: usize) -> Counter {
        self.replies.push(rule);
        Counter::rule(index(own_rules + self.replies.len() - 1))
    }
}

/// How a group's rules are asked about a packet.
#[derive(Debug, Clone, Copy)]
enum Turned {
    AsWritten,
    Mirrored,
}

/// Whether what the group allows is counted as a reply.
#[derive(Debug, Clone, Copy)]
enum Counts {
    Yes,
    No,
}

/// Whether the packets that this hook's rules allow are recorded.
fn is_tracking(interface: &Interface, direction: Direction) -> bool {
    match direction {
        Direction::Outbound => interface.outbound != Outbound::Ignore,
        Direction::Inbound => interface.trust == Trust::Trusted,
    }
}

fn tracking_lists(policy: &Policy) -> Vec<List<'_>> {
    let hooks = policy.interfaces.iter().flat_map(|interface| {
        [Direction::Outbound, Direction::Inbound]
            .into_iter()
            .filter(|&direction| is_tracking(interface, direction))
            .map(|direction| list(policy, interface, direction))
    });
    hooks.filter(|list| !list.is_empty()).collect()
}

fn open_lists(policy: &Policy) -> Vec<List<'_>> {
    let untrusted = policy
        .interfaces
        .iter()
        .filter(|interface| interface.trust == Trust::Untrusted);
    untrusted
        .map(|interface| list(policy, interface, Direction::Inbound))
        .filter(|list| !list.is_empty())
        .collect()
}

/// The rules of one hook as far as they can allow anything: behind the last that
/// allows, a drop changes nothing.
fn list<'p>(policy: &'p Policy, interface: &'p Interface, direction: Direction) -> List<'p> {
    let mut rules: List<'_> = policy.rules_of(&interface.name, direction).collect();
    let last = rules.iter().rposition(|rule| rule.action == Action::Allow);
    rules.truncate(last.map_or(0, |last| last + 1));
    rules
}

#[cfg(test)]
mod tests;
