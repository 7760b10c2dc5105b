use std::cell::Cell;

use super::*;
use crate::by_hand::{self, ByHand};
use crate::judge;
use crate::memory::{Cache, Hook, Memory};
use crate::packet::Address;

/// One rule for everything, which the cache stands before.
fn cached() -> ByHand {
    ByHand::new()
        .with_rules(1, &[])
        .with(Constant::Cached, 1)
        .with(Constant::SourcePorts, 0)
}

/// A TCP segment from 198.51.100.7:40000 to 192.0.2.10:5061.
fn segment(flags: u8) -> Vec<u8> {
    let mut tcp = by_hand::tcp();
    tcp[13] = flags;
    by_hand::ethernet(0x0800, &by_hand::ipv4(6, &[], &tcp))
}

fn judged(tables: &ByHand, cache: &Cache, frame: &[u8]) -> Counter {
    let hook = Hook {
        tables,
        cache,
        flows: tables,
    };
    judge(&mut Memory::new(frame), &hook)
}

/// The tuple of number `number`, of either family.
fn tuple(number: u16) -> Tuple {
    let key = by_hand::key();
    let v4 = Tuple::of(&key);
    if number.is_multiple_of(2) {
        return Tuple {
            source_port: number,
            ..v4
        };
    }
    let address = |low: u64| Address {
        high: 0x2001_0db8 << 32,
        low,
    };
    Tuple {
        family: Family::V6,
        source: address(number.into()),
        destination: address(u64::from(number) << 7),
        ..v4
    }
}

/// An outcome that no other tuple has.
fn outcome_of(number: u16) -> Outcome {
    finally(Counter(u32::from(number) + 1))
}

/// A cache is of one generation; that other tables stand behind it here shows who answers.
#[test]
fn what_is_known_is_not_asked_again() {
    let (tables, others) = (cached(), ByHand::new().with(Constant::Cached, 1));
    let cache = Cache::new();
    let frame = segment(0x10);
    assert_eq!(judged(&tables, &cache, &frame), Counter::rule(0));
    assert_eq!(judged(&others, &cache, &frame), Counter::rule(0), "known");
    assert_eq!(judged(&others, &Cache::new(), &frame), Counter::DEFAULT);
}

/// Other packets of the conversation are known by it, whatever their flags; another
/// conversation is not.
#[test]
fn a_conversation_is_known_by_its_tuple() {
    let (tables, others) = (cached(), ByHand::new().with(Constant::Cached, 1));
    let cache = Cache::new();
    judged(&tables, &cache, &segment(0x10));
    for flags in [0x02, 0x12, 0x11, 0x18, 0x04] {
        assert_eq!(judged(&others, &cache, &segment(flags)), Counter::rule(0));
    }
    let mut other = segment(0x10);
    other[34] ^= 1;
    assert_eq!(judged(&others, &cache, &other), Counter::DEFAULT);
}

#[test]
fn what_opens_a_connection_is_not_kept() {
    let (tables, others) = (cached(), ByHand::new().with(Constant::Cached, 1));
    let cache = Cache::new();
    assert_eq!(judged(&tables, &cache, &segment(0x02)), Counter::rule(0));
    assert_eq!(judged(&others, &cache, &segment(0x10)), Counter::DEFAULT);
}

#[test]
fn without_the_constant_nothing_is_kept() {
    let (tables, others) = (cached(), ByHand::new().with(Constant::Cached, 1));
    let cache = Cache::new();
    let without = tables.clone().with(Constant::Cached, 0);
    judged(&without, &cache, &segment(0x10));
    assert_eq!(judged(&others, &cache, &segment(0x10)), Counter::DEFAULT);
    // Nor is anything read.
    let known = Cache::new();
    judged(&tables, &known, &segment(0x10));
    let without = others.with(Constant::Cached, 0);
    assert_eq!(judged(&without, &known, &segment(0x10)), Counter::DEFAULT);
}

/// What cannot be decided is not kept either: the tables might be read again.
#[test]
fn a_fault_is_not_kept() {
    let broken = cached().with(Constant::SourceV4, u32::MAX);
    let cache = Cache::new();
    assert_eq!(judged(&broken, &cache, &segment(0x10)), Counter::INTERNAL);
    assert_eq!(judged(&cached(), &cache, &segment(0x10)), Counter::rule(0));
}

#[test]
fn a_line_answers_for_its_tuple_alone() {
    let line = Line::default();
    for number in 0..200 {
        assert_eq!(line.outcome(&tuple(number)), None, "an empty line");
    }
    for kept in 0..200 {
        line.keep(&tuple(kept), outcome_of(kept));
        for number in 0..200 {
            let expected = (number == kept).then(|| outcome_of(number));
            assert_eq!(line.outcome(&tuple(number)), expected);
        }
    }
}

/// Of as many neighbours as there are lines, more than half have a line to themselves or
/// share it with few, as strangers would (1 - 1/e of the lines are used).
#[test]
fn neighbours_are_spread_over_the_lines() {
    let place = |tuple: &Tuple| (hash(tuple) >> (u64::BITS - LINES.ilog2())) as usize;
    // The ports stand in the upper half of the last word.
    let places = (0..4).flat_map(|word| [0, 16, 32, 48].map(|shift| (word, shift)));
    for (word, shift) in places.chain([(4, 32), (4, 48)]) {
        let mut filled = vec![0_u32; LINES as usize];
        for number in 0..u64::from(LINES) {
            // An odd number is of IPv6, where all words count.
            let mut words = tuple(1).words();
            words[word] ^= number << shift;
            filled[place(&Tuple::from_words(words))] += 1;
        }
        let used = filled.iter().filter(|&&count| count > 0).count();
        assert!(
            used > LINES as usize / 2,
            "word {word} from bit {shift} on: {used} lines"
        );
    }
}

/// Whoever comes in between, at whatever point: nobody reads another tuple's outcome, and
/// what is left in the line is whole.
#[test]
fn an_interrupted_program_reads_and_leaves_no_mixture() {
    let numbers = [2, 4, 1, 3];
    let mut points = 0;
    for before in numbers {
        for outer in numbers {
            for inner in numbers {
                for point in 0.. {
                    let line = Line::default();
                    line.keep(&tuple(before), outcome_of(before));
                    let calls = Cell::new(0);
                    let at_point = |act: &dyn Fn()| {
                        if calls.replace(calls.get() + 1) == point {
                            act();
                        }
                    };
                    let whole = |line: &Line| {
                        for number in numbers {
                            let found = line.outcome(&tuple(number));
                            assert!(
                                found.is_none() || found == Some(outcome_of(number)),
                                "{before}, {outer} interrupted by {inner} at {point}"
                            );
                        }
                    };
                    let meddle = || {
                        whole(&line);
                        line.keep(&tuple(inner), outcome_of(inner));
                        whole(&line);
                    };
                    let read = line.read(&tuple(outer), || at_point(&meddle));
                    assert!(read.is_none() || read == Some(outcome_of(outer)));
                    let reader_ends = calls.replace(0) <= point;
                    line.write(&tuple(outer), outcome_of(outer), || at_point(&meddle));
                    whole(&line);
                    // However it went, the line can be written again.
                    line.keep(&tuple(inner), outcome_of(inner));
                    assert_eq!(line.outcome(&tuple(inner)), Some(outcome_of(inner)));
                    points += 1;
                    if reader_ends && calls.get() <= point {
                        break;
                    }
                }
            }
        }
    }
    assert!(points > 500, "{points} points");
}
