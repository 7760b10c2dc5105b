//! The table of hostile frames, as the reference model judges it.

use std::collections::BTreeSet;

use edge_filter::policy::model::Model;
use edge_filter::policy::{Action, Direction, DropReason, Policy};
use edge_filter_tests::cases::{
    self, Case, Kind, PolicyVariant, ROLE, Report, policy, valid_frames,
};

/// Judges by the model for one hook.
fn by_model(
    direction: Direction,
    software: bool,
) -> impl FnMut(&Policy, &[u8]) -> (String, Action) {
    move |policy, frame| {
        let model = Model::new(policy, ROLE, direction, software).expect("a model of the hook");
        let verdict = model.judge(frame);
        (verdict.counter.to_string(), verdict.action)
    }
}

fn run(cases: &[Case], direction: Direction, software: bool) -> Report {
    cases::run_cases(cases, by_model(direction, software))
}

#[test]
fn every_case_has_its_verdict() {
    cases::run(by_model(Direction::Inbound, false)).assert_clean();
}

#[test]
fn where_super_packets_exist_ordinary_ones_are_judged_alike() {
    cases::run(by_model(Direction::Inbound, true)).assert_clean();
}

#[test]
fn super_packets_pass_only_where_they_exist() {
    for software in [false, true] {
        run(
            &cases::super_packets(software),
            Direction::Inbound,
            software,
        )
        .assert_clean();
    }
}

#[test]
fn outbound_cases_have_their_verdicts() {
    run(&cases::outbound(), Direction::Outbound, true).assert_clean();
}

#[test]
fn runts_are_malformed() {
    run(&cases::runts(), Direction::Inbound, false).assert_clean();
}

#[test]
fn no_prefix_of_a_valid_frame_passes() {
    let mut judge = by_model(Direction::Inbound, false);
    let policy = PolicyVariant::new(Kind::Standard).policy();
    let frames = valid_frames();
    assert!(frames.len() >= 50, "{} valid frames", frames.len());
    let malformed = ("drop:malformed".to_owned(), Action::Drop);
    let mut wrong = Vec::new();
    for valid in &frames {
        let whole = judge(&policy, &valid.frame);
        if whole != (valid.counter.clone(), Action::Allow) {
            wrong.push(format!("{}: whole: {whole:?}", valid.name));
        }
        for prefix in valid.prefixes() {
            let verdict = judge(&policy, prefix);
            if verdict != malformed {
                wrong.push(format!(
                    "{}: first {}: {verdict:?}",
                    valid.name,
                    prefix.len()
                ));
            }
        }
        for frame in valid.shortened() {
            let verdict = judge(&policy, &frame);
            if verdict != malformed {
                wrong.push(format!(
                    "{}: shortened to {}: {verdict:?}",
                    valid.name,
                    frame.len()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_runner_reports_what_is_wrong() {
    let cases = cases::cases();
    let report = cases::run_cases(&cases[..4], |_, _| ("nobody".to_owned(), Action::Drop));
    assert_eq!((report.judged, report.failures.len()), (8, 8));
    let text = report.to_string();
    assert!(
        text.contains("nobody") && text.contains(&cases[0].name),
        "{text}"
    );
}

#[test]
fn names_are_unique_and_every_reason_has_a_case() {
    let cases = cases::cases();
    let mut names = BTreeSet::new();
    for case in &cases {
        assert!(
            names.insert(&case.name),
            "two cases are called {}",
            case.name
        );
    }
    let counters: BTreeSet<_> = cases.iter().map(|case| case.counter.as_str()).collect();
    for reason in DropReason::ALL {
        // Nothing is known that would run a loop out.
        if reason != DropReason::Internal {
            for prefix in ["drop", "audit"] {
                let counter = format!("{prefix}:{}", reason.as_str());
                assert!(counters.contains(counter.as_str()), "no case for {counter}");
            }
        }
    }
    assert!(counters.contains("tcp-5062-no") && counters.contains("audit:tcp-5062-no"));
}

#[test]
fn policies_are_told_apart() {
    let variants: BTreeSet<_> = cases::cases().iter().map(|case| case.policy).collect();
    let hashes: BTreeSet<_> = variants
        .iter()
        .map(|variant| variant.policy().hash)
        .collect();
    assert_eq!(variants.len(), hashes.len());
    assert!(policy().interface(ROLE).is_some());
}
