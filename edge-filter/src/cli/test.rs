//! `edge-filter test`: the tests that a policy carries.

use std::fmt::Write;

use serde_json::{Value, json};

use super::args::TestArgs;
use super::failure::Failure;
use super::output::{print, print_json};
use super::policy_file;
use crate::policy::explain::{TestOutcome, run_tests};

pub(super) fn run(args: &TestArgs) -> Result<(), Failure> {
    let policy = policy_file::read(&args.policy)?.policy;
    let outcomes = run_tests(&policy);
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    let printed = if args.json.json {
        print_json(&json!({
            "passed": outcomes.len() - failed,
            "failed": failed,
            "tests": outcomes.iter().map(in_json).collect::<Vec<_>>(),
        }))
    } else {
        print(&in_words(
            &args.policy.display().to_string(),
            &outcomes,
            failed,
        ))
    };
    if failed == 0 {
        return printed;
    }
    Err(Failure::TestsFailed {
        failed,
        all: outcomes.len(),
    })
}

fn in_words(file: &str, outcomes: &[TestOutcome<'_>], failed: usize) -> String {
    let mut text = String::new();
    for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
        let _ = writeln!(
            text,
            "{file}:{}: '{}'\n  expected {}\n  got      {}",
            outcome.test.line,
            outcome.test.name,
            expected(outcome),
            got(outcome),
        );
    }
    if outcomes.is_empty() {
        let _ = writeln!(text, "{file}: the policy carries no tests");
    } else {
        let _ = writeln!(
            text,
            "{file}: {} passed, {failed} failed",
            outcomes.len() - failed
        );
    }
    text
}

fn expected(outcome: &TestOutcome<'_>) -> String {
    let expect = &outcome.test.expect;
    match &expect.rule {
        Some(rule) => format!("{} by {rule}", expect.action),
        None => expect.action.to_string(),
    }
}

fn got(outcome: &TestOutcome<'_>) -> String {
    match &outcome.got {
        Ok(got) => format!("{} by {}", got.action, got.id),
        Err(error) => error.to_string(),
    }
}

fn in_json(outcome: &TestOutcome<'_>) -> Value {
    json!({
        "name": outcome.test.name,
        "line": outcome.test.line,
        "passed": outcome.passed(),
        "expected": {
            "action": outcome.test.expect.action.as_str(),
            "id": outcome.test.expect.rule,
        },
        "got": outcome.got.as_ref().ok(),
        "error": outcome.got.as_ref().err().map(ToString::to_string),
    })
}
