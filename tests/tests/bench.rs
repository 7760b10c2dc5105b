//! The benchmark runs, and each of its packets meets the counter that it is named for.
//! How long anything takes is not looked at here.

use anyhow::Result;
use edge_filter_tests::bench::{Effort, Figure, run};

#[test]
fn every_case_is_judged_as_it_says() -> Result<()> {
    let report = run(&Effort {
        repeats: 100,
        rounds: 2,
        sets: vec![100],
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
    let ordered = |figure: &Figure| figure.least <= figure.median && figure.median <= figure.most;
    assert!(report.figures.iter().all(ordered));
    let names: Vec<&str> = report.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["acl-100", "fw-100", "ipc-100"]);
    for set in &report.sets {
        assert_eq!((set.hot.len(), set.hostile.len()), (16, 3), "{}", set.name);
        let mut figures = set.hot.iter().chain(&set.hostile).chain([&set.distinct]);
        assert!(figures.all(ordered), "{set:?}");
        let [middle, most] = set.hot_middle_and_most();
        assert!(middle.median <= most.median, "{set:?}");
        let rule = |figure: &&Figure| figure.counter.starts_with('r');
        assert!(set.hot.iter().filter(rule).count() >= 12, "{set:?}");
        assert!(
            set.table_bytes > 0 && set.verified_instructions > 0,
            "{set:?}"
        );
        assert!(report.to_string().contains(&set.name), "{report}");
    }
    let json = serde_json::to_value(&report)?;
    assert_eq!(json["sets"][0]["flavour"], "acl");
    assert_eq!(
        json["figures"].as_array().map(Vec::len),
        Some(counters.len())
    );
    Ok(())
}

#[test]
fn nothing_is_not_measured() {
    for (repeats, rounds, rules) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        let error = run(&Effort {
            repeats,
            rounds,
            sets: vec![rules],
        })
        .expect_err("there is nothing to do");
        assert!(error.to_string().contains("nothing is measured"), "{error}");
    }
}
