//! What is wrong with a policy, where, and what to do about it.

use std::fmt;

use serde::Serialize;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, and says something that is likely not meant.
    Warning,
}

/// One finding in a policy.
///
/// It prints as `FILE:LINE:COLUMN: error: rule 'ID': MESSAGE`, and the help,
/// if there is any, on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// The file, as the caller named it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The rule that it is about.
    pub rule: Option<String>,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// All the errors of a policy, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

/// A place in a file: line and column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// What is wrong with a value, said by a function that does not know where the
/// value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Gathers findings, and knows which file and which rule they are about.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    file: &'a str,
    severity: Severity,
    rule: Option<String>,
    found: Vec<Diagnostic>,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.help
            .as_ref()
            .map_or(Ok(()), |help| write!(f, "; {help}"))
    }
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some(help.into()),
        }
    }
}

impl Diagnostics {
    /// From findings that are in order, of which there is at least one.
    pub(super) fn of(found: Vec<Diagnostic>) -> Self {
        debug_assert!(!found.is_empty(), "a failure that says nothing");
        Self(found)
    }

    /// The findings, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: &'a str, severity: Severity) -> Self {
        Self {
            file,
            severity,
            rule: None,
            found: Vec::new(),
        }
    }

    /// What is found from here on is about this rule, or about none.
    pub(super) fn about(&mut self, rule: Option<&str>) {
        self.rule = rule.map(str::to_owned);
    }

    /// Adds a finding that its message says all about.
    pub(super) fn say(&mut self, mark: Mark, message: impl AsRef<str>) {
        self.add(mark, message, None::<&str>);
    }

    /// Adds a finding, and what to do about it.
    pub(super) fn help(&mut self, mark: Mark, message: impl AsRef<str>, help: impl AsRef<str>) {
        self.add(mark, message, Some(help));
    }

    /// Adds a finding, and what to do about it if that is known.
    pub(super) fn add(
        &mut self,
        mark: Mark,
        message: impl AsRef<str>,
        help: Option<impl AsRef<str>>,
    ) {
        self.found.push(Diagnostic {
            severity: self.severity,
            file: self.file.to_owned(),
            line: mark.line,
            column: mark.column,
            rule: self.rule.as_deref().map(printable),
            message: printable(message.as_ref()),
            help: help.map(|help| printable(help.as_ref())),
        });
    }

    /// Adds what a function complained of.
    pub(super) fn complain(&mut self, mark: Mark, complaint: &Complaint) {
        self.add(mark, &complaint.message, complaint.help.as_deref());
    }

    /// How many findings there are so far.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// The findings, in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found
            .sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.found
    }
}

/// Messages quote the policy, and a policy can hold anything: what would move
/// the cursor or end the line is escaped.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{feff}') {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// A help line: the candidate that `word` most likely stands for, or all of
/// them if they are few.
pub(super) fn suggest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    const FEW: usize = 12;
    let mut all: Vec<&str> = candidates.into_iter().collect();
    all.sort_unstable();
    nearest(word, all.iter().copied()).or_else(|| {
        let few = (1..=FEW).contains(&all.len());
        few.then(|| format!("it can be {}", alternatives(&all)))
    })
}

/// A help line: the candidate that `word` most likely stands for.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let fold = |word: &str| word.to_lowercase().replace('_', "-");
    let folded = fold(word);
    let distances = candidates.into_iter().map(|candidate| {
        (
            strsim::damerau_levenshtein(&folded, &fold(candidate)),
            candidate,
        )
    });
    let (distance, candidate) = distances.min()?;
    let near = distance <= 1 + folded.chars().count() / 4 && distance < candidate.chars().count();
    near.then(|| format!("did you mean '{candidate}'?"))
}

/// `'a', 'b' or 'c'`.
pub(super) fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            file,
            line,
            column,
            rule,
            message,
            help,
        } = self;
        write!(f, "{file}:{line}:{column}: {severity}: ")?;
        if let Some(rule) = rule {
            write!(f, "rule '{rule}': ")?;
        }
        f.write_str(message)?;
        if let Some(help) = help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_prints_place_rule_message_and_help() {
        let mut findings = Findings::new("p.yaml", Severity::Error);
        findings.about(Some("sip-out"));
        findings.help(Mark { line: 3, column: 7 }, "no port 0", "leave it out");
        findings.about(None);
        findings.say(Mark { line: 1, column: 2 }, "no name");
        let printed = Diagnostics::of(findings.into_sorted()).to_string();
        assert_eq!(
            printed,
            "p.yaml:1:2: error: no name\n\
             p.yaml:3:7: error: rule 'sip-out': no port 0\n  help: leave it out"
        );
    }

    #[test]
    fn a_policy_cannot_write_to_the_terminal() {
        let mut findings = Findings::new("p.yaml", Severity::Error);
        findings.say(Mark { line: 1, column: 1 }, "the key 'a\u{1b}[2J\nb'");
        let printed = Diagnostics::of(findings.into_sorted()).to_string();
        assert_eq!(printed, "p.yaml:1:1: error: the key 'a\\u{1b}[2J\\nb'");
    }

    #[test]
    fn a_suggestion_is_near_or_lists_the_few_that_there_are() {
        assert_eq!(
            suggest("inbuond", ["inbound", "outbound"]).unwrap(),
            "did you mean 'inbound'?"
        );
        assert_eq!(
            suggest("TCP", ["tcp", "udp"]).unwrap(),
            "did you mean 'tcp'?"
        );
        assert_eq!(
            suggest("sideways", ["b", "a"]).unwrap(),
            "it can be 'a' or 'b'"
        );
        assert_eq!(suggest("x", []), None);
    }
}
