//! What the figures are held against: the least, or the most, that each of them is to be.

use serde::Serialize;

use super::section::{Section, table};

/// A bar, and what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What is held against it, with its unit.
    pub name: String,
    /// On which side of it the figure is to be.
    pub side: Side,
    /// The bar.
    pub bar: f64,
    /// The figure; absent if there is none.
    pub found: Option<f64>,
    /// Whether it is met; absent if that is not known.
    pub met: Option<bool>,
    /// Whether it is an aim: one that is not to be missed for long.
    pub aim: bool,
}

/// A side of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The bar or more.
    AtLeast,
    /// The bar or less.
    AtMost,
}

impl Bar {
    /// A figure that is to be `bar` or more.
    #[must_use]
    pub fn at_least(name: impl Into<String>, bar: f64, found: Option<f64>) -> Self {
        Self::new(name.into(), Side::AtLeast, bar, found)
    }

    /// A figure that is to be `bar` or less.
    #[must_use]
    pub fn at_most(name: impl Into<String>, bar: f64, found: Option<f64>) -> Self {
        Self::new(name.into(), Side::AtMost, bar, found)
    }

    fn new(name: String, side: Side, bar: f64, found: Option<f64>) -> Self {
        let met = found.map(|found| match side {
            Side::AtLeast => found >= bar,
            Side::AtMost => found <= bar,
        });
        Self {
            name,
            side,
            bar,
            found,
            met,
            aim: false,
        }
    }

    /// The same as an aim.
    #[must_use]
    pub fn as_aim(self) -> Self {
        Self { aim: true, ..self }
    }
}

/// The bars as a section.
pub(super) fn section(bars: &[Bar]) -> Section {
    let mut table = table(&["figure", "bar", "found", ""], 1..3);
    for bar in bars {
        let side = match bar.side {
            Side::AtLeast => "≥",
            Side::AtMost => "≤",
        };
        let kind = if bar.aim { "aim: " } else { "" };
        let met = match bar.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        };
        let found = bar.found.map(|found| format!("{found:.2}"));
        table.add_row([
            bar.name.clone(),
            format!("{side} {}", bar.bar),
            found.unwrap_or_default(),
            format!("{kind}{met}"),
        ]);
    }
    Section {
        title: "Bars",
        about: "What the medians are held against; of filter sets, the worst of the flavours."
            .to_owned(),
        table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_on_its_own_side() {
        for (bar, met) in [
            (Bar::at_least("ratio", 0.9, Some(0.9)), Some(true)),
            (Bar::at_least("ratio", 0.9, Some(0.8)), Some(false)),
            (Bar::at_most("cost", 15.0, Some(14.0)), Some(true)),
            (Bar::at_most("cost", 15.0, Some(15.1)), Some(false)),
            (Bar::at_most("cost", 15.0, None), None),
        ] {
            assert_eq!(bar.met, met, "{bar:?}");
        }
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let bars = [Bar::at_least("ratio", 0.9, None).as_aim()];
        let text = section(&bars).to_string();
        assert!(text.contains("aim: not measured"), "{text}");
        assert!(!text.contains("missed"), "{text}");
    }
}
