//! Warnings.
use super::check::Resolved;
use super::diagnostic::{Diagnostic, Findings, Severity};

/// Everything odd about a policy, in the order of the file.
pub(super) fn warnings(file: &str, resolved: &Resolved) -> Vec<Diagnostic> {
    let findings = Findings::new(file, Severity::Warning);
    let _ = resolved;
    findings.into_sorted()
}
