//! Figures as a picture: some series over a number of things, and levels that do not depend
//! on it. Both scales are logarithmic, since filters lie far apart: what is not above zero
//! has no place, and is left out.

use anyhow::{Context, Result, ensure};
use plotters::coord::Shift;
use plotters::element::DashedPathElement;
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
    pub points: Vec<(usize, f64)>,
    /// The color, by its number: what belongs together has the same.
    pub color: usize,
    /// How it is drawn.
    pub line: Line,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Without a gap.
    Solid,
    /// With gaps.
    Dashed,
    /// In shorter dashes.
    ShortDashed,
    /// With as much gap as line.
    Dotted,
}

/// A line from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// The thing.
    pub name: String,
    /// What was found.
    pub y: f64,
}

/// The size of the picture, and of its part on the left that is not the legend, in pixels.
const SIZE: (u32, u32) = (1120, 600);
const CHART: u32 = 760;
const FONT: &str = "sans-serif";
/// Colors that most eyes tell apart (Okabe and Ito, "Color Universal Design"), in part.
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    BLACK,
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(128, 128, 128),
];
/// Of the legend: where it begins, how long a sample is, and the height of a line.
const TOP: i32 = 60;
const SAMPLE: i32 = 32;
const HEIGHT: i32 = 22;

/// A part of the picture.
type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;

/// A line of the legend.
struct Entry<'a> {
    name: &'a str,
    style: ShapeStyle,
    line: Line,
}

/// Draws `chart` as SVG.
///
/// # Errors
/// There is nothing to draw.
pub fn draw(chart: &Chart<'_>) -> Result<String> {
    let mut series: Vec<Series> = chart.series.to_vec();
    for series in &mut series {
        series.points.retain(|(x, y)| *x > 0 && has_place(*y));
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
    let (left, right) = ends(points().map(|(x, _)| place(*x)));
    let of_levels = levels.iter().map(|level| level.y);
    let (low, high) = ends(points().map(|(_, y)| *y).chain(of_levels));
    // A single place has no width, and nothing ought to lie on the frame.
    let (left, right) = (left / 1.2, right * 1.2);
    let (low, high) = (low / 1.5, high * 1.5);

    let picture = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    picture.fill(&WHITE).map_err(failed)?;
    let (area, beside) = picture.split_horizontally(CHART);
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
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_label_formatter(&f64::to_string)
        .y_label_formatter(&f64::to_string)
        .draw()
        .map_err(failed)?;
    let mut legend = Vec::new();
    for Series {
        name,
        points,
        color,
        line,
    } in series
    {
        let style = color_of(*color).stroke_width(2);
        let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (place(*x), *y)).collect();
        let line = *line;
        let drawn = match line.gap() {
            None => {
                let line = LineSeries::new(points, style).point_size(3);
                context.draw_series(line)
            }
            Some((length, gap)) => {
                context.draw_series(DashedLineSeries::new(points, length, gap, style))
            }
        };
        drawn.map_err(failed)?;
        legend.push(Entry { name, style, line });
    }
    let unused = series.iter().map(|series| series.color + 1).max();
    for (number, Level { name, y }) in levels.iter().enumerate() {
        let color = color_of(unused.unwrap_or_default() + number);
        let style = color.stroke_width(1);
        let line = LineSeries::new([(left, *y), (right, *y)], style);
        context.draw_series(line).map_err(failed)?;
        let line = Line::Solid;
        legend.push(Entry { name, style, line });
    }
    explain(&beside, &legend).map_err(failed)?;
    picture.present().map_err(failed)
}

/// Draws the legend.
fn explain<'s>(
    area: &Area<'s>,
    legend: &[Entry<'_>],
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'s> as DrawingBackend>::ErrorType>> {
    let mut at = TOP;
    for Entry { name, style, line } in legend {
        let ends = [(0, at), (SAMPLE, at)];
        match line.gap() {
            None => area.draw(&PathElement::new(ends, *style))?,
            Some((length, gap)) => {
                area.draw(&DashedPathElement::new(ends, length, gap, *style))?;
            }
        }
        let place = (SAMPLE + 8, at - 7);
        area.draw(&Text::new(*name, place, (FONT, 14)))?;
        at += HEIGHT;
    }
    Ok(())
}

impl Line {
    /// How long its parts are, and the gaps between, if there are some.
    fn gap(self) -> Option<(u32, u32)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((8, 5)),
            Self::ShortDashed => Some((4, 2)),
            Self::Dotted => Some((2, 4)),
        }
    }
}

fn color_of(number: usize) -> RGBColor {
    COLORS[number % COLORS.len()]
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn place(number: usize) -> f64 {
    number as f64
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

    fn series(name: &str, points: &[(usize, f64)]) -> Series {
        Series {
            name: name.to_owned(),
            points: points.to_vec(),
            color: 0,
            line: Line::Solid,
        }
    }

    #[test]
    fn every_series_and_every_level_is_drawn_and_named() {
        let series = [
            series("firewalls", &[(10, 15.0), (1000, 30.0), (10_000, 52.0)]),
            series("one size", &[(1000, 20.0)]),
            Series {
                line: Line::Dashed,
                ..series("with gaps", &[(10, 20.0), (1000, 20.0)])
            },
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
        for text in [
            "firewalls",
            "one size",
            "with gaps",
            "another filter",
            "rules",
            "ns",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // Two series, a level and many dashes, in the picture; their samples, in the legend.
        assert!(svg.matches("<polyline").count() >= 26, "{svg}");
        assert!(svg.matches("<circle").count() >= 4, "{svg}");
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let there = series("there", &[(10, 15.0), (100, 20.0)]);
        let with_zero = series("there", &[(10, 15.0), (20, -3.0), (100, 20.0)]);
        let nowhere = series("nowhere", &[(10, 0.0), (0, 10.0), (1, f64::NAN)]);
        let drawn = draw(&chart(&[there], &[])).expect("it can be drawn");
        let partly = draw(&chart(&[with_zero, nowhere.clone()], &[])).expect("it can be drawn");
        assert_eq!(drawn, partly);
        let error = draw(&chart(&[nowhere], &[])).expect_err("nothing has a place");
        assert!(error.to_string().contains("nothing to draw"), "{error}");
    }
}
