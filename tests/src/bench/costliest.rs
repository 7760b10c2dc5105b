//! The packets that cost most, as an attacker would choose them: looked for on the host,
//! by how often the program asks its tables. That is the same on every machine, and what
//! the time of the kernel's program grows with.

use std::cmp::Reverse;
use std::collections::HashSet;

use edge_filter::compile::TableImage;
use edge_filter::cost::lookups_for;
use rand::RngExt;

use crate::classbench::Header;
use crate::generate::{Dice, any};

/// How often a search begins anew: from the costliest headers that are known, and from
/// any; and how many steps it makes that lead nowhere.
const FROM_COSTLY: usize = 8;
const FROM_ANY: usize = 8;
const PATIENCE: usize = 600;

/// How often the program asks `tables` to judge a packet of `header`.
fn cost(tables: &TableImage, header: &Header) -> u32 {
    // Which rows they are makes no difference to the sum.
    lookups_for(tables, tables.rows.len(), &header.frame()).total()
}

/// The `count` costliest headers that a search finds, the first of them the costliest.
/// Each step takes over a field of another of `headers`: what costs is what different
/// rules have in common without any of them matching.
pub(super) fn costliest(
    dice: &mut Dice,
    tables: &TableImage,
    headers: &[Header],
    count: usize,
) -> Vec<Header> {
    let mut known: Vec<(u32, Header)> = headers
        .iter()
        .map(|header| (cost(tables, header), *header))
        .collect();
    costliest_first(&mut known);
    known.truncate(FROM_COSTLY);
    for _ in 0..FROM_ANY {
        let header = any(dice, headers);
        known.push((cost(tables, &header), header));
    }
    let climbed = known
        .into_iter()
        .map(|start| climb(dice, tables, headers, start));
    let found: HashSet<(u32, Header)> = climbed.collect();
    let mut found: Vec<(u32, Header)> = found.into_iter().collect();
    costliest_first(&mut found);
    let headers = found.into_iter().map(|(_, header)| header);
    headers.take(count).collect()
}

fn costliest_first(found: &mut [(u32, Header)]) {
    found.sort_by_key(|(most, header)| (Reverse(*most), *header));
}

/// The header, and what it costs, to which steps lead that each cost no less.
fn climb(
    dice: &mut Dice,
    tables: &TableImage,
    headers: &[Header],
    (mut most, mut best): (u32, Header),
) -> (u32, Header) {
    let mut idle = 0;
    while idle < PATIENCE {
        let other = any(dice, headers);
        let step = crossed(dice, best, other);
        let costs = cost(tables, &step);
        idle = if costs > most { 0 } else { idle + 1 };
        if costs >= most {
            (most, best) = (costs, step);
        }
    }
    (most, best)
}

/// `one` with some of the fields of `other`.
fn crossed(dice: &mut Dice, one: Header, other: Header) -> Header {
    match dice.random_range(0..5) {
        0 => Header {
            source: other.source,
            ..one
        },
        1 => Header {
            destination: other.destination,
            ..one
        },
        // Ports belong to their protocol.
        2 => Header {
            protocol: other.protocol,
            ports: other.ports,
            ..one
        },
        3 if one.protocol == other.protocol => Header {
            ports: (other.ports.0, one.ports.1),
            ..one
        },
        3 => other,
        _ => Header {
            source: other.source,
            destination: other.destination,
            ..one
        },
    }
}

#[cfg(test)]
mod tests {
    use edge_filter::compile::compile;
    use edge_filter::policy::Direction;

    use super::*;
    use crate::classbench::{Flavour, Form, Packets, ROLE, Recipe, generate};
    use crate::generate::seeded;
    use crate::judge;

    #[test]
    fn what_is_found_costs_more_than_what_was_known() {
        for flavour in Flavour::ALL {
            let recipe = Recipe {
                flavour,
                filters: 1_500,
                v6_percent: 0,
            };
            let dice = &mut seeded(1);
            let policy = generate(dice, &recipe).policy(Form::default()).unwrap();
            let role = policy.interface(ROLE).unwrap();
            let tables = compile(&policy, role, Direction::Inbound).unwrap();
            let packets = Packets::new(judge::Hook::inbound(&policy, ROLE));
            let mut headers: Vec<Header> = (0..2_000).map(|_| packets.header(dice)).collect();
            // Where all cost much the same, little is left to be found beside the costliest.
            headers.sort_by_key(|header| cost(&tables, header));
            headers.truncate(500);
            let most = headers.last().map(|header| cost(&tables, header));
            let search = |seed| costliest(&mut seeded(seed), &tables, &headers, 3);
            let found = search(1);
            let costs: Vec<u32> = found.iter().map(|header| cost(&tables, header)).collect();
            println!("{recipe:?}: {most:?} before the search, then {costs:?}");
            assert_eq!(found.len(), 3);
            assert!(costs.is_sorted_by(|one, next| one >= next), "{costs:?}");
            assert!(Some(costs[0]) > most, "{recipe:?}");
            assert_eq!(found, search(1), "a seed says it all");
        }
    }
}
