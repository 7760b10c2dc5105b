//! What a packet costs over the number of rules, as a picture.

use anyhow::{Context, Result};

use super::super::plot::{self, Chart, Level, Series};
use super::super::rate::Rate;
use super::{iptables, xdp_filter};

/// A picture of what a packet costs that no rule allows, over the number of rules; and of
/// those filters whose rules have no number.
pub(crate) fn picture(rates: &[Rate]) -> Result<String> {
    let mut series: Vec<Series> = Vec::new();
    for rate in rates {
        let Some((member, cost)) = rate.member.as_ref().zip(rate.nanoseconds_over_base()) else {
            continue;
        };
        let rules = u32::try_from(member.rules).context("a number of rules")?;
        let point = (f64::from(rules), cost);
        match series
            .iter_mut()
            .find(|series| series.name == member.series)
        {
            Some(series) => series.points.push(point),
            None => series.push(Series {
                name: member.series.clone(),
                points: vec![point],
            }),
        }
    }
    let others = rates.iter().filter(|rate| {
        let name = &rate.receiver;
        name.starts_with(xdp_filter::NAME) || name.starts_with(iptables::NAME)
    });
    let levels: Vec<Level> = others
        .filter_map(|rate| {
            let y = rate.nanoseconds_over_base()?;
            let name = rate.receiver.clone();
            Some(Level { name, y })
        })
        .collect();
    plot::draw(&Chart {
        title: "Dropping a packet that no rule allows, across a veth pair",
        x: "rules",
        y: "ns over a program that only drops",
        series: &series,
        levels: &levels,
    })
}
