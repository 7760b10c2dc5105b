//! What is known of the tables of one hook before they are made: what they are made of,
//! how packets will be judged by them, and what memory they take.

use serde::Serialize;

use super::fields::Field;
use super::size::{Kind, Sizes};

/// What is known of the tables of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The hook's own rules.
    pub rules: usize,
    /// The conditions behind them, by which replies to the rules of other hooks are told.
    pub reply_conditions: usize,
    /// How packets are judged.
    pub judged: Judged,
    /// How many classes each field has.
    pub classes: ClassCounts,
    /// How many networks the address tables tell apart, both sides and families together.
    pub networks: usize,
    /// The memory that the tables take.
    pub bytes: Sizes,
}

/// How packets are judged, once their classes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// No rule is asked for anything.
    WithoutRules,
    /// Every combination of classes has its outcome in a table.
    ByOutcomes,
    /// Each class has a bit vector so short that its words lie together.
    InPlace,
    /// The bit vectors are searched word by word.
    WordByWord {
        /// Words of 64 conditions each in a vector.
        words: u32,
    },
}

/// How many classes each field has: what the rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// Source addresses.
    pub source: usize,
    /// Destination addresses.
    pub destination: usize,
    /// Protocols and destination ports.
    pub transport: usize,
    /// Source ports.
    pub source_port: usize,
}

impl ClassCounts {
    pub(super) fn of(&self, field: Field) -> usize {
        match field {
            Field::Source => self.source,
            Field::Destination => self.destination,
            Field::Transport => self.transport,
            Field::SourcePort => self.source_port,
        }
    }
}

impl Facts {
    /// What makes the tables of `kind` as large as they are: the shape of the rules.
    #[must_use]
    pub(super) fn shape(&self, kind: Kind) -> String {
        match kind {
            Kind::Vectors => format!("{} x {}", self.most_classes(), self.conditions()),
            Kind::AddressRows | Kind::AddressPaths => {
                format!("{} distinct networks", grouped(self.networks))
            }
            Kind::Ports => "every port of every protocol that has ports".to_owned(),
            Kind::RuleNumbers | Kind::Sets => self.conditions(),
            Kind::Outcomes => "a table of all outcomes, which is never smaller".to_owned(),
        }
    }

    /// The field that has most classes, in words.
    fn most_classes(&self) -> String {
        let fields = [
            (Field::Source, "source networks"),
            (Field::Destination, "destination networks"),
            (Field::Transport, "destination ports and protocols"),
            (Field::SourcePort, "source ports"),
        ];
        let (count, name) = fields
            .map(|(field, name)| (self.classes.of(field), name))
            .into_iter()
            .max_by_key(|(count, _)| *count)
            .expect("four fields");
        format!("{} distinct {name}", grouped(count))
    }

    /// What the bits of a vector stand for, in words.
    fn conditions(&self) -> String {
        let rules = format!("{} rules", grouped(self.rules));
        let replies = format!(
            "{} conditions that tell replies",
            grouped(self.reply_conditions)
        );
        match (self.rules, self.reply_conditions) {
            (_, 0) => rules,
            (0, _) => replies,
            _ => format!("({rules} + {replies})"),
        }
    }
}

/// A number with its thousands set apart.
#[must_use]
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (16_384, "16,384"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
