//! What a packet costs over the number of rules, as a picture.

use anyhow::Result;

use super::peers;
use super::plot::{self, Chart, Line, Series};
use super::rate::Rate;
use super::sets::Sets;

/// A picture of what packets cost under filter sets, and of what a packet costs across a wire
/// that no rule allows: by filters that differ in the number of their rules, and by those
/// whose rules have no number.
pub(super) fn picture(sets: Option<&Sets>, rates: &[Rate]) -> Result<String> {
    let mut series = sets.map(Sets::series).unwrap_or_default();
    let by_flavour = series.len();
    for rate in rates {
        let Some((member, cost)) = rate.member.as_ref().zip(rate.nanoseconds_over_base()) else {
            continue;
        };
        let name = format!("veth: {}", member.series);
        let place = series.iter().position(|series| series.name == name);
        let place = place.unwrap_or_else(|| {
            series.push(Series {
                name,
                points: Vec::new(),
                color: series.len() - by_flavour + 3,
                line: Line::Solid,
            });
            series.len() - 1
        });
        series[place].points.push((member.rules, cost));
    }
    let levels = peers::levels(rates);
    plot::draw(&Chart {
        title: "What a packet costs over the number of rules",
        x: "rules",
        y: "ns over a program that does nothing else",
        series: &series,
        levels: &levels,
    })
}
