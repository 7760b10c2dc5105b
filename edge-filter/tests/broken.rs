//! Policies that are wrong, each in a way of its own that its file's name says,
//! and everything that is said about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edge_filter::policy::{Diagnostic, read};

/// The day on which the policies are read.
const TODAY: jiff::civil::Date = jiff::civil::date(2027, 6, 30);

/// The policies of a directory beside this file, by name.
fn policies(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(directory);
    let entries = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// A message without what is particular to one policy: quoted text and numbers.
fn cause(diagnostic: &Diagnostic) -> String {
    let parts = diagnostic.message.split('\'').enumerate();
    let outside = parts.map(|(index, part)| if index % 2 == 0 { part } else { "X" });
    outside
        .collect::<String>()
        .chars()
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

#[test]
fn every_broken_policy_is_refused_for_a_cause_of_its_own() {
    let policies = policies("broken");
    assert!(
        policies.len() >= 60,
        "{} broken policies are left",
        policies.len()
    );
    let mut causes: BTreeMap<String, String> = BTreeMap::new();
    let mut alike = Vec::new();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("broken/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for (name, text) in &policies {
        let Err(found) = read(&format!("{name}.yaml"), text, TODAY) else {
            panic!("{name} is not refused");
        };
        insta::assert_snapshot!(name.as_str(), found.to_string());
        let first = found.iter().next().unwrap();
        if let Some(other) = causes.insert(cause(first), name.clone()) {
            alike.push(format!("{name} and {other}: {}", first.message));
        }
    }
    assert!(
        alike.is_empty(),
        "the same cause twice:\n{}",
        alike.join("\n")
    );
}

/// A snapshot of a policy that is gone would be believed for ever.
#[test]
fn every_snapshot_has_its_policy() {
    for directory in ["broken", "odd"] {
        let names: Vec<String> = policies(directory)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let snapshots = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(directory)
            .join("snapshots");
        for entry in std::fs::read_dir(snapshots).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(
                names.iter().any(|known| known == name),
                "{directory}: {name}"
            );
        }
    }
}

#[test]
fn every_odd_policy_is_read_with_its_warnings() {
    let policies = policies("odd");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("odd/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for (name, text) in &policies {
        let checked = read(&format!("{name}.yaml"), text, TODAY)
            .unwrap_or_else(|found| panic!("{name} is refused:\n{found}"));
        assert!(!checked.warnings.is_empty(), "{name} is not odd");
        let lines: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(name.as_str(), lines.join("\n"));
    }
}
