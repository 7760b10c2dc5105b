//! `edge-filter check`: every mistake in a policy, without a look at the machine.

use serde_json::json;

use super::args::CheckArgs;
use super::failure::Failure;
use super::output::{print, print_json};
use super::policy_file;
use crate::compile::compile;
use crate::kernel::KernelError;
use crate::policy::{Checked, Direction, Outbound, Policy};

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    if args.json.json {
        return run_json(args);
    }
    let (Checked { policy, warnings }, _) = policy_file::read_aloud(&args.policy)?;
    compile_all(&policy)?;
    let warnings = match warnings.len() {
        0 => String::new(),
        some => format!(", {}", counted(some, "warning")),
    };
    print(&format!(
        "{}: valid: policy '{}', {} on {}, {}{warnings}",
        args.policy.display(),
        policy.name,
        counted(policy.rules.len(), "rule"),
        counted(policy.interfaces.len(), "interface"),
        counted(policy.tests.len(), "test"),
    ))
}

/// So many of what `name` names one of.
fn counted(count: usize, name: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {name}{ending}")
}

fn run_json(args: &CheckArgs) -> Result<(), Failure> {
    let (policy, findings) = match policy_file::read(&args.policy) {
        Ok(Checked { policy, warnings }) => (Some(policy), warnings),
        Err(Failure::Invalid(errors)) => (None, errors.iter().cloned().collect()),
        Err(failure) => return Err(failure),
    };
    if let Some(policy) = &policy {
        compile_all(policy)?;
    }
    let printed = print_json(&json!({
        "valid": policy.is_some(),
        "policy": policy.as_ref().map(|policy| json!({
            "name": policy.name,
            "hash": policy.hash,
            "rules": policy.rules.len(),
            "tests": policy.tests.len(),
        })),
        "diagnostics": findings,
    }));
    if policy.is_some() {
        printed
    } else {
        Err(Failure::Said)
    }
}

/// Rules that are valid one by one may still be too many for the tables.
fn compile_all(policy: &Policy) -> Result<(), KernelError> {
    for interface in &policy.interfaces {
        for direction in [Direction::Inbound, Direction::Outbound] {
            if direction == Direction::Outbound && interface.outbound == Outbound::Ignore {
                continue;
            }
            compile(policy, interface, direction)
                .map_err(|error| KernelError::new("compile the policy").because(error))?;
        }
    }
    Ok(())
}
