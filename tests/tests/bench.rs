//! The benchmark runs, and each of its packets meets the counter that it is named for.
//! How long anything takes is not looked at here.

use anyhow::Result;
use edge_filter_tests::bench::{Effort, run};

#[test]
fn every_case_is_judged_as_it_says() -> Result<()> {
    let report = run(Effort {
        repeats: 100,
        rounds: 2,
    })?;
    let counters: Vec<&str> = report
        .figures
        .iter()
        .map(|figure| figure.counter.as_str())
        .collect();
    for counter in [
        "s1-federation-sip-out",
        "s1-federation-sip-out/reply",
        "s4-client-sip-in/reply",
        "s8-xmpp-in",
        "drop:default",
        "drop:fragment",
    ] {
        assert!(counters.contains(&counter), "{counter} of {counters:?}");
    }
    let ordered = |figure: &edge_filter_tests::bench::Figure| {
        figure.least <= figure.median && figure.median <= figure.most
    };
    assert!(report.figures.iter().all(ordered));
    let json = serde_json::to_value(&report)?;
    assert_eq!(
        json["figures"].as_array().map(Vec::len),
        Some(counters.len())
    );
    Ok(())
}

#[test]
fn nothing_is_not_measured() {
    for (repeats, rounds) in [(0, 1), (1, 0)] {
        let error = run(Effort { repeats, rounds }).expect_err("there is nothing to do");
        assert!(error.to_string().contains("nothing is measured"), "{error}");
    }
}
