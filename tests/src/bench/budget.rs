//! What programs cost, beside the time that a packet may take where packets of the least
//! length follow each other without a gap.

use super::program::Programs;
use super::section::{Section, table};
use super::sets::{SetFigures, Sets, WAYS};

/// Gigabits per second.
const LINKS: [f64; 4] = [10.0, 25.0, 40.0, 100.0];
/// The shortest frame with its preamble and the gap behind it (IEEE 802.3): 64 + 8 + 12
/// bytes.
const BITS: f64 = 8.0 * 84.0;

/// The documented policy's packets that are told.
const PACKETS: [&str; 3] = [
    "inbound: a rule, IPv4",
    "inbound: no rule, IPv4",
    "inbound: a rule, IPv6",
];

/// Nanoseconds from one packet to the next.
fn interval(gigabits: f64) -> f64 {
    BITS / gigabits
}

/// What was measured as parts of those times.
pub(super) fn section(programs: Option<&Programs>, sets: Option<&Sets>) -> Section {
    let links = LINKS.map(|link| format!("{link}GbE: {} ns", round(interval(link))));
    let mut names = vec!["packet", "ns"];
    names.extend(links.iter().map(String::as_str));
    let mut table = table(&names, 1..names.len());
    for (name, cost) in costs(programs, sets) {
        let mut row = vec![name, format!("{cost:.1}")];
        row.extend(LINKS.map(|link| format!("{:.0} %", cost / interval(link) * 100.0)));
        table.add_row(row);
    }
    Section {
        title: "Beside line rate",
        about: "What the program costs, as a part of the time between two frames of 64 bytes at \
                line rate:\nwhat one core spends on it, besides what the driver takes. Above \
                100 %, one core cannot."
            .to_owned(),
        table,
    }
}

/// The packets, and the nanoseconds of each; of filter sets, the worst of the flavours.
fn costs(programs: Option<&Programs>, sets: Option<&Sets>) -> Vec<(String, f64)> {
    let mut costs = Vec::new();
    for packet in PACKETS {
        let cost = programs.and_then(|programs| programs.cost(packet));
        costs.extend(cost.map(|cost| (format!("documented policy, {packet}"), cost.median)));
    }
    for rules in sets.map(Sets::sizes).unwrap_or_default() {
        for (way, name) in WAYS.into_iter().enumerate() {
            let median = |set: &SetFigures| set.ways()[way].median;
            let cost = sets.and_then(|sets| sets.most(rules, median));
            costs.extend(cost.map(|cost| (format!("{rules} rules, {name}"), cost)));
        }
    }
    costs
}

/// Without a digit that says nothing.
fn round(nanoseconds: f64) -> f64 {
    (nanoseconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_frames_leave_this_much_time() {
        let intervals = LINKS.map(|link| round(interval(link)));
        assert_eq!(
            intervals.map(|time| time.to_string()),
            ["67.2", "26.88", "16.8", "6.72"]
        );
    }
}
