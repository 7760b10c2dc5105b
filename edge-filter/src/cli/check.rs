//! `edge-filter check`: every mistake in a policy, without a look at the machine.

use serde_json::{Value, json};

use super::args::CheckArgs;
use super::failure::Failure;
use super::output::{print, print_json, unless_reader_gone};
use super::policy_file;
use super::stats::Stats;
use crate::compile::CompileError;
use crate::compile::budget::{CompiledHook, compile_all};
use crate::kernel::KernelError;
use crate::policy::{Checked, Diagnostic, Interface, Policy};

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    if args.json.json {
        return run_json(args);
    }
    let (Checked { policy, warnings }, _) = policy_file::read_aloud(&args.policy)?;
    let compiled = compile_hooks(&policy, args);
    let stats = stats(&policy, args, &compiled);
    if let Err(error) = compiled {
        // What is too large is what somebody who asks for figures looks for.
        unless_reader_gone(stats.map_or(Ok(()), |stats| print(&stats.in_words())))?;
        return Err(KernelError::from(error).into());
    }
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
    ))?;
    stats.map_or(Ok(()), |stats| print(&format!("\n{}", stats.in_words())))
}

/// So many of what `name` names one of.
fn counted(count: usize, name: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {name}{ending}")
}

fn run_json(args: &CheckArgs) -> Result<(), Failure> {
    let (policy, findings) = match policy_file::read(&args.policy) {
        Ok(Checked { policy, warnings }) => (policy, warnings),
        Err(Failure::Invalid(errors)) => {
            let findings = errors.iter().cloned().collect::<Vec<_>>();
            unless_reader_gone(print_json(&report(None, &findings, None)))?;
            return Err(Failure::Said);
        }
        Err(failure) => return Err(failure),
    };
    let compiled = compile_hooks(&policy, args);
    let stats = stats(&policy, args, &compiled);
    let fits = compiled.map(drop).map_err(KernelError::from);
    if fits.is_ok() || stats.is_some() {
        let report = report(Some(&policy), &findings, stats.as_ref());
        unless_reader_gone(print_json(&report))?;
    }
    Ok(fits?)
}

fn report(policy: Option<&Policy>, findings: &[Diagnostic], stats: Option<&Stats>) -> Value {
    let mut report = json!({
        "valid": policy.is_some(),
        "policy": policy.map(|policy| json!({
            "name": policy.name,
            "hash": policy.hash,
            "rules": policy.rules.len(),
            "tests": policy.tests.len(),
        })),
        "diagnostics": findings,
    });
    if let Some(stats) = stats {
        report["stats"] = stats.in_json();
    }
    report
}

/// The figures, if they are asked for and there are any.
fn stats(
    policy: &Policy,
    args: &CheckArgs,
    compiled: &Result<Vec<CompiledHook>, CompileError>,
) -> Option<Stats> {
    if !args.stats {
        return None;
    }
    let budget = args.memory.budget();
    match compiled {
        Ok(hooks) => Some(Stats::of(policy, hooks, budget)),
        Err(CompileError::OverBudget(over)) => Some(Stats::of_sizes(&over.hooks, budget)),
        Err(_) => None,
    }
}

/// Rules that are valid one by one may still be too many for the tables. The devices are
/// those that the policy names; nobody looks whether there are any.
fn compile_hooks(policy: &Policy, args: &CheckArgs) -> Result<Vec<CompiledHook>, CompileError> {
    let devices = |interface: &Interface| interface.devices.len();
    compile_all(policy, devices, args.memory.budget())
}
