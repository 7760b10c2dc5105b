//! Runs the table against whatever judges frames.

use std::fmt::{self, Write as _};

use edge_filter::policy::{Action, Policy};

use super::{Case, cases};

/// What became of the table.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The number of frames that were judged, bases included.
    pub judged: usize,
    /// The verdicts that were not as the table has them.
    pub failures: Vec<Failure>,
}

/// A verdict that is not as the table has it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The case's name; ` (base)` behind it if its base was refused.
    pub name: String,
    /// The name of the policy.
    pub policy: String,
    /// The frame.
    pub frame: Vec<u8>,
    /// The counter and the action that the table has.
    pub expected: (String, Action),
    /// The counter and the action that were observed.
    pub observed: (String, Action),
    /// Where the table has it from.
    pub reference: &'static str,
}

/// Runs [`cases`]. `judge` gets a policy and a frame for its inbound hook, and
/// says which counter moved and whether the frame passed. The same policy comes
/// many times in a row; its `hash` tells it from others.
pub fn run(judge: impl FnMut(&Policy, &[u8]) -> (String, Action)) -> Report {
    run_cases(&cases(), judge)
}

/// Runs some cases; see [`run`].
pub fn run_cases(
    cases: &[Case],
    mut judge: impl FnMut(&Policy, &[u8]) -> (String, Action),
) -> Report {
    let mut report = Report::default();
    let mut current = None;
    for case in cases {
        let policy = match current.take() {
            Some((variant, policy)) if variant == case.policy => policy,
            _ => case.policy(),
        };
        let base = (case.base_counter.to_owned(), Action::Allow);
        let frame = (case.counter.clone(), case.action);
        for (suffix, frame, expected) in [(" (base)", &case.base, base), ("", &case.frame, frame)] {
            let observed = judge(&policy, frame);
            report.judged += 1;
            if observed != expected {
                report.failures.push(Failure {
                    name: format!("{}{suffix}", case.name),
                    policy: policy.name.clone(),
                    frame: frame.clone(),
                    expected,
                    observed,
                    reference: case.reference,
                });
            }
        }
        current = Some((case.policy, policy));
    }
    report
}

impl Report {
    /// Panics with every failure, if there is one.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.judged > 0, "no frame was judged");
        assert!(self.failures.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}\n")?;
        }
        write!(
            f,
            "{} of {} frames judged otherwise",
            self.failures.len(),
            self.judged
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.frame.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        write!(
            f,
            "{}\n  policy    {}\n  frame     {hex}\n  expected  {} {}\n  observed  {} {}\n  reference {}",
            self.name,
            self.policy,
            self.expected.1,
            self.expected.0,
            self.observed.1,
            self.observed.0,
            self.reference,
        )
    }
}
