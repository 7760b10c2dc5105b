use super::*;
use crate::generation::counted::{CountedPolicy, CounterReport};
use crate::generation::record::SlotRecord;
use crate::generation::state_dir::StateDir;
use crate::kernel::counters::Count;
use crate::kernel::pins::PinRoot;
use crate::policy::Action;

const BEGIN: &str = "2026-11-26T10:00:00Z";

/// The moment `seconds` after a begin.
fn moment(seconds: u64) -> Moment {
    let at: Timestamp = BEGIN.parse().expect("a time");
    Moment {
        at: at + Duration::from_secs(seconds),
        since_boot: Duration::from_secs(1000 + seconds),
        boot: Some("this one".to_owned()),
    }
}

fn at(seconds: u64) -> Timestamp {
    moment(seconds).at
}

/// What two sides of `eth0` have counted in generation `generation`.
fn counted(generation: u64, inbound: &[(&str, u64)], outbound: &[(&str, u64)]) -> Counters {
    let hook = |direction, counts: &[(&str, u64)]| {
        let counters = counts.iter().map(|(id, packets)| CounterReport {
            slot: SlotRecord {
                id: (*id).to_owned(),
                kind: "rule".to_owned(),
                action: Action::Allow,
            },
            count: Count {
                packets: *packets,
                bytes: packets * 100,
            },
            last_hit: None,
        });
        HookCounters {
            interface: "external".to_owned(),
            device: "eth0".to_owned(),
            direction,
            sum: Count::default(),
            watched_since: None,
            counters: counters.collect(),
        }
    };
    Counters {
        policy: Some(CountedPolicy {
            name: "edge".to_owned(),
            hash: String::new(),
            generation,
        }),
        hooks: vec![
            hook(Direction::Inbound, inbound),
            hook(Direction::Outbound, outbound),
        ],
        nameless: 0,
    }
}

fn inbound(hits: &LastHits, id: &str) -> LastHit {
    hits.of("eth0", Direction::Inbound, id)
}

fn hit(after: u64, until: u64, since: u64) -> LastHit {
    LastHit {
        after: Some(at(after)),
        until: Some(at(until)),
        since: Some(at(since)),
    }
}

fn none_since(since: u64) -> LastHit {
    LastHit {
        since: Some(at(since)),
        ..LastHit::default()
    }
}

#[test]
fn a_counter_moved_between_two_looks() {
    let mut hits = LastHits::new(&counted(1, &[("a", 5), ("b", 0)], &[("a", 7)]), moment(0));
    assert_eq!(inbound(&hits, "a"), none_since(0));
    // Nothing is news while nothing moves.
    assert!(!hits.look(&counted(1, &[("a", 5), ("b", 0)], &[("a", 7)]), moment(10)));
    assert!(hits.look(&counted(1, &[("a", 5), ("b", 1)], &[("a", 7)]), moment(20)));
    assert_eq!(inbound(&hits, "a"), none_since(0));
    assert_eq!(inbound(&hits, "b"), hit(10, 20, 0));
    // A rule of a new generation was not hit before it was there, and the same rule on
    // another side is another counter.
    assert!(hits.look(
        &counted(2, &[("a", 5), ("b", 1), ("c", 3)], &[("a", 8)]),
        moment(30)
    ));
    assert_eq!(inbound(&hits, "b"), hit(10, 20, 0));
    assert_eq!(inbound(&hits, "c"), hit(20, 30, 0));
    assert_eq!(hits.of("eth0", Direction::Outbound, "a"), hit(20, 30, 0));
    assert_eq!(hits.of("eth1", Direction::Inbound, "a"), LastHit::default());
}

#[test]
fn what_is_counted_anew_is_watched_anew() {
    let mut hits = LastHits::new(&counted(7, &[("a", 5), ("b", 9)], &[("a", 7)]), moment(0));
    hits.look(&counted(7, &[("a", 6), ("b", 9)], &[("a", 7)]), moment(10));
    // On one side alone.
    assert!(hits.look(&counted(8, &[("a", 6), ("b", 2)], &[("a", 7)]), moment(20)));
    assert_eq!(inbound(&hits, "a"), none_since(20));
    assert_eq!(hits.of("eth0", Direction::Outbound, "a"), none_since(0));
    // After `detach` and `apply`, though no sum is lower.
    assert!(hits.look(&counted(1, &[("a", 6), ("b", 2)], &[("a", 7)]), moment(30)));
    assert_eq!(inbound(&hits, "a"), none_since(30));
    // A side that is not there any more, and comes back.
    let mut one = counted(1, &[("a", 6), ("b", 2)], &[("a", 7)]);
    one.hooks.pop();
    assert!(hits.look(&one, moment(40)));
    assert!(hits.look(&counted(1, &[("a", 6), ("b", 2)], &[("a", 9)]), moment(50)));
    assert_eq!(hits.of("eth0", Direction::Outbound, "a"), none_since(50));
}

#[test]
fn a_calendar_that_is_set_moves_what_is_known() {
    for (set, forward) in [(3600_u64, true), (86_400, false)] {
        let mut hits = LastHits::new(&counted(1, &[("a", 5)], &[]), moment(0));
        hits.look(&counted(1, &[("a", 6)], &[]), moment(10));
        let by = Duration::from_secs(set);
        let then = |time: Timestamp| if forward { time + by } else { time - by };
        let mut now = moment(20);
        now.at = then(now.at);
        assert!(hits.look(&counted(1, &[("a", 6)], &[]), now));
        let expected = LastHit {
            after: Some(then(at(0))),
            until: Some(then(at(10))),
            since: Some(then(at(0))),
        };
        assert_eq!(inbound(&hits, "a"), expected);
    }
}

#[test]
fn the_file_bridges_the_time_when_nobody_looks_but_no_start_of_the_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let instance = Instance {
        pins: PinRoot::new(directory.path().join("pins")),
        state: StateDir::new(directory.path().to_owned()),
    };
    let (first, later) = (
        counted(1, &[("a", 5), ("b", 1)], &[]),
        counted(1, &[("a", 5), ("b", 2)], &[]),
    );
    assert_eq!(LastHits::known(&instance, &first, moment(0)), None);
    let mut hits = LastHits::new(&counted(1, &[("a", 4), ("b", 1)], &[]), moment(0));
    hits.look(&first, moment(10));
    instance.state.keep_last_hits(&hits).expect("it is kept");
    let known = LastHits::known(&instance, &later, moment(500)).expect("it is known");
    assert_eq!(inbound(&known, "a"), hit(0, 10, 0));
    assert_eq!(inbound(&known, "b"), hit(10, 500, 0));
    let mut after_boot = moment(500);
    after_boot.boot = Some("another one".to_owned());
    assert_eq!(LastHits::known(&instance, &later, after_boot), None);
    // Half a file, as a crash may leave it.
    let file = directory.path().join("last-hits.json");
    let text = std::fs::read(&file).expect("a file");
    std::fs::write(&file, &text[..text.len() / 2]).expect("it is written");
    assert_eq!(LastHits::known(&instance, &later, moment(500)), None);
    assert!(instance.state.has_last_hits());
    instance.state.clear().expect("it is cleared");
    assert!(!instance.state.has_last_hits());
}

#[test]
fn of_two_sides_the_later_hit_and_the_later_begin_count() {
    assert_eq!(hit(0, 10, 0).and(hit(20, 30, 5)), hit(20, 30, 5));
    assert_eq!(hit(20, 30, 0).and(none_since(5)), hit(20, 30, 5));
    assert_eq!(none_since(0).and(none_since(5)), none_since(5));
    let half_known = LastHit {
        since: None,
        ..hit(20, 30, 0)
    };
    assert_eq!(hit(20, 30, 0).and(LastHit::default()), half_known);
}
