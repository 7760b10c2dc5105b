//! Figures as a picture: some series over one quantity, and levels that do not depend
//! on it. Both scales are logarithmic, since filters lie far apart: what is not above zero
//! has no place, and is left out.

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;

/// A picture.
#[derive(Debug, Clone, Copy)]
pub struct Chart<'a> {
    /// What stands above it.
    pub title: &'a str,
    /// The quantity from left to right.
    pub x: &'a str,
    /// The quantity from bottom to top.
    pub y: &'a str,
    /// What was measured over the one quantity.
    pub series: &'a [Series],
    /// What does not depend on it.
    pub levels: &'a [Level],
}

/// Measurements of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The thing.
    pub name: String,
    /// Where it was measured, and what was found.
    pub points: Vec<(f64, f64)>,
}

/// A line from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The thing.
    pub name: String,
    /// What was found.
    pub y: f64,
}

/// The size of the picture, in pixels.
const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";

/// Draws `chart` as SVG.
///
/// # Errors
/// There is nothing to draw.
pub fn draw(chart: &Chart<'_>) -> Result<String> {
    let mut series: Vec<Series> = chart.series.to_vec();
    for series in &mut series {
        series
            .points
            .retain(|(x, y)| has_place(*x) && has_place(*y));
    }
    series.retain(|series| !series.points.is_empty());
    ensure!(!series.is_empty(), "there is nothing to draw");
    let mut levels = chart.levels.to_vec();
    levels.retain(|level| has_place(level.y));
    let mut svg = String::new();
    paint(&mut svg, chart, &series, &levels)
        .map_err(anyhow::Error::msg)
        .context("draw the picture")?;
    Ok(svg)
}

fn has_place(number: f64) -> bool {
    number.is_finite() && number > 0.0
}

fn paint(
    svg: &mut String,
    chart: &Chart<'_>,
    series: &[Series],
    levels: &[Level],
) -> Result<(), String> {
    let failed = |error: DrawingAreaErrorKind<_>| error.to_string();
    let points = || series.iter().flat_map(|series| &series.points);
    let (left, right) = ends(points().map(|(x, _)| *x));
    let of_levels = levels.iter().map(|level| level.y);
    let (low, high) = ends(points().map(|(_, y)| *y).chain(of_levels));
    // A single place has no width, and nothing ought to lie on the frame.
    let (left, right) = (left / 1.2, right * 1.2);
    let (low, high) = (low / 1.5, high * 1.5);

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let mut context = ChartBuilder::on(&area)
        .caption(chart.title, (FONT, 20))
        .margin(15)
        .x_label_area_size(45)
        .y_label_area_size(70)
        .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())
        .map_err(failed)?;
    context
        .configure_mesh()
        .x_desc(chart.x)
        .y_desc(chart.y)
        .label_style((FONT, 14))
        .x_label_formatter(&f64::to_string)
        .y_label_formatter(&f64::to_string)
        .draw()
        .map_err(failed)?;
    for (place, Series { name, points }) in series.iter().enumerate() {
        let color = Palette99::pick(place).to_rgba();
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
        let drawn = context.draw_series(line).map_err(failed)?;
        drawn
            .label(name)
            .legend(move |at| sample(at, color.stroke_width(2)));
    }
    for (place, Level { name, y }) in levels.iter().enumerate() {
        let color = Palette99::pick(series.len() + place).mix(0.8);
        let line = LineSeries::new([(left, *y), (right, *y)], color.stroke_width(1));
        let drawn = context.draw_series(line).map_err(failed)?;
        drawn
            .label(name)
            .legend(move |at| sample(at, color.stroke_width(1)));
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 14))
        .draw()
        .map_err(failed)?;
    area.present().map_err(failed)
}

/// A piece of a line, for the legend.
fn sample((x, y): (i32, i32), style: ShapeStyle) -> PathElement<(i32, i32)> {
    PathElement::new([(x, y), (x + 20, y)], style)
}

/// The least and the most.
fn ends(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold(
        (f64::INFINITY, f64::NEG_INFINITY),
        |(least, most), number| (least.min(number), most.max(number)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart<'a>(series: &'a [Series], levels: &'a [Level]) -> Chart<'a> {
        Chart {
            title: "cost over rules",
            x: "rules",
            y: "ns",
            series,
            levels,
        }
    }

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series {
            name: name.to_owned(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn every_series_and_every_level_is_drawn_and_named() {
        let series = [
            series(
                "firewalls",
                &[(10.0, 15.0), (1000.0, 30.0), (10_000.0, 52.0)],
            ),
            series("one size", &[(1000.0, 20.0)]),
        ];
        let level = Level {
            name: "another filter".to_owned(),
            y: 100.0,
        };
        let svg = draw(&chart(&series, &[level])).expect("it can be drawn");
        assert!(
            svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
            "{svg}"
        );
        for text in ["firewalls", "one size", "another filter", "rules", "ns"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // Two series and a level, in the picture; their samples, in the legend.
        assert!(svg.matches("<polyline").count() >= 6, "{svg}");
        assert!(svg.matches("<circle").count() >= 4, "{svg}");
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let there = series("there", &[(10.0, 15.0), (100.0, 20.0)]);
        let with_zero = series("there", &[(10.0, 15.0), (20.0, -3.0), (100.0, 20.0)]);
        let nowhere = series("nowhere", &[(10.0, 0.0), (0.0, 10.0), (1.0, f64::NAN)]);
        let drawn = draw(&chart(&[there], &[])).expect("it can be drawn");
        let partly = draw(&chart(&[with_zero, nowhere.clone()], &[])).expect("it can be drawn");
        assert_eq!(drawn, partly);
        let error = draw(&chart(&[nowhere], &[])).expect_err("nothing has a place");
        assert!(error.to_string().contains("nothing to draw"), "{error}");
    }
}
