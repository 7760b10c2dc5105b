use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::thread;

use super::*;
use crate::flow::life::state;
use crate::flow::memory::{FlowTable, shape};
use crate::flow::{Flows, Tuple};
use crate::packet::protocol::{TCP, UDP};
use crate::packet::tcp::{ACK, FIN, SYN};
use crate::packet::{Address, Family};

fn tuple(protocol: u8, number: u32) -> Tuple {
    Tuple {
        family: Family::V4,
        source: Address::v4(0xc000_020a),
        destination: Address::v4(number),
        protocol,
        source_port: 40_000,
        destination_port: 5061,
    }
}

/// The life of `tuple` in `table`; `Life(0)` if it is not there at all.
fn life(table: &FlowTable, tuple: &Tuple) -> Life {
    let words = tuple.words();
    find(table, home(table, &words), &words).unwrap().life
}

fn flags(text: &str) -> u8 {
    text.chars().fold(0, |flags, flag| {
        flags
            | match flag {
                'S' => SYN,
                'A' => ACK,
                'F' => FIN,
                'R' => RST,
                other => panic!("{other} is no flag"),
            }
    })
}

#[test]
fn words_give_back_the_tuple() {
    for family in [Family::V4, Family::V6] {
        let tuple = Tuple {
            family,
            source: Address { high: 1, low: 2 },
            destination: Address { high: 3, low: 4 },
            protocol: 255,
            source_port: 0xabcd,
            destination_port: 0x1234,
        };
        assert_eq!(Tuple::from_words(tuple.words()), tuple);
    }
}

/// Every field of the tuple counts: with one of them changed it is another.
#[test]
fn each_field_tells_conversations_apart() {
    let table = FlowTable::new(1024, 7);
    let known = tuple(TCP, 9);
    table.record(&known, SYN);
    assert!(table.is_live(&known));
    for other in [
        Tuple {
            family: Family::V6,
            ..known
        },
        Tuple {
            source: Address {
                low: 1,
                ..known.source
            },
            ..known
        },
        Tuple {
            source: Address::v4(0xc000_020b),
            ..known
        },
        Tuple {
            destination: Address {
                low: 1,
                ..known.destination
            },
            ..known
        },
        Tuple {
            destination: Address::v4(8),
            ..known
        },
        Tuple {
            protocol: UDP,
            ..known
        },
        Tuple {
            source_port: 40_001,
            ..known
        },
        Tuple {
            destination_port: 5062,
            ..known
        },
        Tuple {
            source_port: 5061,
            destination_port: 40_000,
            ..known
        },
    ] {
        assert!(!table.is_live(&other), "{other:?}");
        assert!(!table.is_answered(&other, ACK), "{other:?}");
    }
}

/// The opener's packets (`>`) and the other side's (`<`), by their TCP flags.
#[test]
fn how_tcp_comes_to_its_end() {
    for (packets, expected) in [
        (">S", state::OPEN),
        (">A", state::OPEN),
        (">FA", state::CLOSING),
        (">R", state::FREE),
        (">RA", state::FREE),
        (">S <SA >A", state::OPEN),
        (">S >FA", state::CLOSING),
        (">S >R", state::CLOSING),
        (">S >FA >A", state::CLOSING),
        (">S >FA >S", state::OPEN),
        (">S <FA", state::OPEN),
        (">S <RA", state::RESET),
        (">S <RA >A", state::OPEN),
        (">S <RA >FA", state::CLOSING),
        (">S >FA <R", state::CLOSING),
        ("<R", state::FREE),
    ] {
        let table = FlowTable::new(64, 1);
        table.set_now(1000);
        for packet in packets.split_whitespace() {
            let (side, text) = packet.split_at(1);
            if side == ">" {
                table.record(&tuple(TCP, 1), flags(text));
            } else {
                table.is_answered(&tuple(TCP, 1), flags(text));
            }
        }
        assert_eq!(life(&table, &tuple(TCP, 1)).state(), expected, "{packets}");
    }
}

#[test]
fn how_long_a_conversation_may_be_idle() {
    for (protocol, first, idle) in [
        (TCP, "S", 7440),
        (TCP, "FA", 60),
        (UDP, "", 120),
        (132, "", 120),
        (1, "", 120),
    ] {
        let table = FlowTable::new(64, 1);
        table.set_now(50);
        table.record(&tuple(protocol, 1), flags(first));
        for (now, live) in [(50, true), (50 + idle, true), (51 + idle, false)] {
            table.set_now(now);
            assert_eq!(table.is_live(&tuple(protocol, 1)), live, "{protocol} {now}");
            assert_eq!(table.is_answered(&tuple(protocol, 1), 0), live);
        }
        table.set_now(50);
        table.is_answered(&tuple(protocol, 1), 0);
        table.set_now(51 + idle);
        assert!(
            !table.is_live(&tuple(protocol, 1)),
            "answers refresh nothing"
        );
    }
}

#[test]
fn a_reset_leaves_a_minute() {
    let table = FlowTable::new(64, 1);
    table.record(&tuple(TCP, 1), SYN);
    table.set_now(5000);
    assert!(table.is_answered(&tuple(TCP, 1), RST));
    table.set_now(5050);
    assert!(table.is_answered(&tuple(TCP, 1), RST));
    table.set_now(5060);
    assert!(table.is_live(&tuple(TCP, 1)));
    table.set_now(5061);
    assert!(!table.is_live(&tuple(TCP, 1)));
}

/// An entry that is over is made anew in its own place.
#[test]
fn a_conversation_is_there_once() {
    let table = FlowTable::new(64, 1);
    for now in [0, 200, 400, 10_000] {
        table.set_now(now);
        table.record(&tuple(UDP, 1), 0);
        table.record(&tuple(UDP, 1), 0);
        assert_eq!(table.live(), [tuple(UDP, 1)]);
    }
    let used = table.buckets().flat_map(|bucket| &bucket.slots);
    assert_eq!(used.filter(|slot| slot.life() != Life(0)).count(), 1);
}

#[test]
fn four_fifths_fit_without_an_eviction() {
    for seed in [0, 1, 0xdead_beef, u64::MAX] {
        let table = FlowTable::new(65_536, seed);
        for number in 0..65_536 * 4 / 5 {
            table.record(&tuple(TCP, number), SYN);
        }
        assert_eq!(table.evicted(), 0, "seed {seed}");
        assert_eq!(table.live().len(), 65_536 * 4 / 5);
    }
}

/// A table never holds more than it may, always takes the newest, and counts what
/// gives way.
#[test]
fn a_full_table_takes_the_newest_and_counts_the_others() {
    for entries in [1, 2, 15, 16, 17, 100, 1000] {
        let table = FlowTable::new(entries, 3);
        for number in 0..5000 {
            table.record(&tuple(TCP, number), SYN);
            assert!(table.is_live(&tuple(TCP, number)), "{number} of {entries}");
        }
        let held = table.live().len();
        let (buckets, places) = shape(entries);
        let capacity = (buckets * places) as usize;
        assert!(
            (0..16).contains(&(capacity - entries as usize)),
            "{entries}"
        );
        assert!(held <= capacity, "{held} of {capacity}");
        assert!(held + 10 > capacity * 9 / 10, "{held} of {capacity}");
        assert_eq!(table.evicted(), 5000 - held as u64);
    }
}

/// What would end soonest gives way: UDP before TCP, and what is over before both.
#[test]
fn what_would_end_soonest_gives_way() {
    let table = FlowTable::new(16, 3);
    for number in 0..16 {
        let protocol = if number == 5 { UDP } else { TCP };
        table.record(&tuple(protocol, number), 0);
    }
    table.record(&tuple(TCP, 100), SYN);
    assert!(!table.is_live(&tuple(UDP, 5)));
    assert_eq!(table.evicted(), 1);
    // One is closing, and one was used longest ago.
    table.set_now(10);
    for number in (0..16).filter(|&number| number != 5 && number != 9) {
        table.record(
            &tuple(TCP, number),
            if number == 7 { FIN | ACK } else { ACK },
        );
    }
    table.record(&tuple(TCP, 101), SYN);
    assert!(!table.is_live(&tuple(TCP, 7)));
    table.record(&tuple(TCP, 102), SYN);
    let gone = [9, 100].map(|number| !table.is_live(&tuple(TCP, number)));
    assert_eq!(
        gone.iter().filter(|gone| **gone).count(),
        1,
        "one of the two"
    );
    assert_eq!(table.evicted(), 3);
    // What is over makes room for nothing.
    table.set_now(100_000);
    for number in 200..216 {
        table.record(&tuple(TCP, number), SYN);
    }
    assert_eq!(table.evicted(), 3);
    assert_eq!(table.live().len(), 16);
}

/// While slots change hands all the time, nobody is taken for somebody else: the
/// strangers share every word but one with the writers' conversations.
#[test]
fn readers_never_see_half_a_conversation() {
    let table = FlowTable::new(32, 11);
    let done = AtomicBool::new(false);
    // Both sides of a tuple are made of the same number, so that any mixture of two
    // is a stranger.
    let of = |source: u32, destination: u32| Tuple {
        source: Address::v4(source),
        source_port: source as u16,
        ..tuple(TCP, destination)
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let table = &table;
                scope.spawn(move || {
                    for round in 0..200_000_u32 {
                        let number = (round * 2 + writer) % 64;
                        table.record(&of(number, number), SYN);
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..2_u32)
            .map(|reader| {
                let (table, done) = (&table, &done);
                scope.spawn(move || {
                    let mut strangers = 0_u64;
                    let mut round = reader;
                    while !done.load(Relaxed) {
                        round = round.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let (source, destination) = (round >> 8 & 63, round >> 16 & 63);
                        if source != destination {
                            strangers += u64::from(table.is_live(&of(source, destination)));
                        }
                    }
                    strangers
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Relaxed);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 0);
        }
    });
    assert!(table.live().len() <= 32);
}

/// Many CPUs that keep up one conversation leave one entry, and the latest second.
#[test]
fn refreshing_from_everywhere_loses_nothing() {
    let table = FlowTable::new(64, 5);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for now in 0..20_000 {
                    table.set_now(now);
                    table.record(&tuple(TCP, 1), ACK);
                }
            });
        }
    });
    assert!(table.is_live(&tuple(TCP, 1)));
    assert_eq!(table.live().len(), 1);
}

/// Two CPUs that enter conversations in lockstep, many times over; what is left.
fn in_lockstep(rounds: u32, conversation: impl Fn(u32) -> Tuple + Sync) -> Vec<FlowTable> {
    let tables: Vec<FlowTable> = (0..rounds)
        .map(|round| FlowTable::new(16, round.into()))
        .collect();
    let steps = [AtomicU32::new(0), AtomicU32::new(0)];
    thread::scope(|scope| {
        for cpu in 0..2 {
            let (tables, steps, conversation) = (&tables, &steps, &conversation);
            scope.spawn(move || {
                for (table, step) in tables.iter().zip(1..) {
                    steps[cpu as usize].store(step, SeqCst);
                    while steps[1 - cpu as usize].load(SeqCst) < step {
                        std::hint::spin_loop();
                    }
                    table.record(&conversation(cpu), SYN);
                }
            });
        }
    });
    tables
}

/// Of two new conversations in the same instant neither takes the other's place.
#[test]
fn nobody_is_evicted_while_there_is_room() {
    for table in in_lockstep(2_000, |cpu| tuple(TCP, cpu)) {
        assert_eq!(table.evicted(), 0);
        assert_eq!(table.live().len(), 2);
    }
}

/// One conversation that begins on two CPUs in the same instant is there once, and
/// nothing of it is left when it has ended.
#[test]
fn a_conversation_that_begins_twice_ends_once() {
    for table in in_lockstep(2_000, |_| tuple(TCP, 7)) {
        assert_eq!(table.live(), [tuple(TCP, 7)]);
        assert_eq!(table.evicted(), 0);
        table.record(&tuple(TCP, 7), FIN | ACK);
        table.set_now(100);
        table.record(&tuple(UDP, 8), 0);
        assert!(!table.is_answered(&tuple(TCP, 7), ACK));
    }
}

/// The same without luck: both entries stand before either is looked for.
#[test]
fn of_several_entries_the_first_is_kept() {
    for entries in [16, 64] {
        let table = FlowTable::new(entries, 5);
        let words = tuple(TCP, 7).words();
        let home = home(&table, &words);
        for index in [home.first, home.second] {
            let bucket = table.bucket(index).unwrap();
            for number in [3, 9] {
                let old = bucket.slots[number].life();
                bucket.move_in::<FlowTable>(number, old, home.tag, &words, SYN, 0);
            }
        }
        let found = life(&table, &tuple(TCP, 7));
        end_others(&table, home, &words, 0);
        assert_eq!(table.live(), [tuple(TCP, 7)]);
        assert_eq!(life(&table, &tuple(TCP, 7)), found);
    }
}
