//! How many packets per second a receiver takes, as a figure among others.

use comfy_table::Table;
use serde::Serialize;

use super::runner::Run;
use super::section::{self, columns};
use super::spread::Spread;

/// One receiver and one kind of traffic.
#[derive(Debug, Clone, Serialize)]
pub struct Rate {
    /// The traffic.
    pub traffic: String,
    /// Who receives it.
    pub receiver: String,
    /// Which of a series this is, if it is one.
    #[serde(flatten)]
    pub member: Option<Member>,
    /// How many cores send and receive.
    pub cores: u32,
    /// The frames of a run.
    pub frames: u32,
    /// Packets per second; absent if no run counts.
    pub packets_per_second: Option<Spread>,
    /// What it is held against.
    pub base: String,
    /// The rate ÷ that of `base` in the same round: the median of the rounds.
    pub ratio: Option<f64>,
    /// The part of the frames that found the ring full: only ever between two cores.
    pub overflowed: f64,
    /// How many runs did not count, and were repeated.
    pub discarded: u32,
}

/// One of several receivers that differ in the number of their rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What they have in common.
    pub series: String,
    /// How many rules this one has.
    pub rules: usize,
}

/// The rounds of one receiver; one that does not count leaves its place empty.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Who receives.
    pub(super) receiver: String,
    /// Which of a series that is.
    pub(super) member: Option<Member>,
    /// The frames of a run.
    pub(super) frames: u32,
    /// How many runs did not count, and were repeated.
    pub(super) discarded: u32,
    /// The runs that count.
    pub(super) rounds: Vec<Option<Run>>,
}

impl Rate {
    /// The figure of what `measured` found, whose rounds went beside those of `base`.
    pub(super) fn new(traffic: &str, cores: u32, measured: &Measured, base: &Measured) -> Self {
        let runs = || measured.rounds.iter().flatten();
        let ratios = measured
            .rounds
            .iter()
            .zip(&base.rounds)
            .filter_map(|(run, base)| Some(run.as_ref()?.rate() / base.as_ref()?.rate()));
        Self {
            traffic: traffic.to_owned(),
            receiver: measured.receiver.clone(),
            member: measured.member.clone(),
            cores,
            frames: measured.frames,
            packets_per_second: Spread::of(runs().map(Run::rate)),
            base: base.receiver.clone(),
            ratio: Spread::of(ratios).map(|spread| spread.median),
            overflowed: Spread::of(runs().map(Run::overflowed_part))
                .map_or(0.0, |spread| spread.median),
            discarded: measured.discarded,
        }
    }

    /// Nanoseconds that a packet takes longer than one of `base`.
    pub(super) fn nanoseconds_over_base(&self) -> Option<f64> {
        Some((1.0 - self.ratio?) / self.packets_per_second?.median * 1e9)
    }
}

impl Member {
    /// The one with so many rules.
    pub(super) fn new(series: impl Into<String>, rules: usize) -> Self {
        Self {
            series: series.into(),
            rules,
        }
    }
}

/// The figures as a table.
pub(super) fn table(rates: &[Rate]) -> Table {
    let names = [
        "frames to",
        "receiver",
        "cores",
        "median Mpps",
        "least",
        "most",
        "ratio",
        "to",
        "overflowed",
        "discarded runs",
    ];
    let mut table = section::table(&names, 2..names.len());
    for rate in rates {
        let figures = rate.packets_per_second.map_or_else(
            || ["no run counts".to_owned(), String::new(), String::new()],
            |spread| columns(spread, |rate| significant(rate / 1e6)),
        );
        let [median, least, most] = figures;
        table.add_row([
            rate.traffic.clone(),
            rate.receiver.clone(),
            rate.cores.to_string(),
            median,
            least,
            most,
            rate.ratio.map_or_else(String::new, significant),
            rate.base.clone(),
            format!("{:.1} %", rate.overflowed * 100.0),
            rate.discarded.to_string(),
        ]);
    }
    table
}

/// Three digits that count: rates lie far apart.
fn significant(number: f64) -> String {
    let before_point = number.abs().log10().floor();
    let decimals = (2.0 - before_point).clamp(0.0, 9.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 to 9"
    )]
    let decimals = decimals as usize;
    format!("{number:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (number, text) in [
            (14.296, "14.3"),
            (0.721_4, "0.721"),
            (0.003_361, "0.00336"),
            (1234.5, "1234"),
            (1.0, "1.00"),
            (0.0, "0.000000000"),
        ] {
            assert_eq!(significant(number), text);
        }
    }
}
