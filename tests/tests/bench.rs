//! The benchmark runs, each of its packets meets the counter that it is named for, and
//! every frame that is sent is counted. How long anything takes is not looked at here.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Result;
use edge_filter_tests::bench::{
    Effort, Figure, Part, Plan, Rate, Results, Spread, Tool, Update, Volume, measure,
};

const EFFORT: Effort = Effort {
    repeats: 100,
    rounds: 2,
};

const VOLUME: Volume = Volume {
    time: Duration::from_millis(20),
    frames: 3000,
    rounds: 2,
};

/// One part, as little of it as can be measured.
fn plan(part: Part) -> Plan {
    Plan {
        parts: [part].into(),
        effort: EFFORT,
        sets: vec![100],
        volume: VOLUME,
        updates: 1,
    }
}

/// Measures one part.
fn only(part: Part) -> Result<Results> {
    let results = measure(&plan(part))?;
    for tool in missing(&results) {
        // Not by a macro, whose words are kept back when a test succeeds.
        writeln!(io::stderr(), "NOT TESTED: {tool}")?;
    }
    Ok(results)
}

/// The other filters that are not installed.
fn missing(results: &Results) -> impl Iterator<Item = &Tool> {
    results.tools.iter().filter(|tool| tool.version.is_none())
}

fn is_installed(results: &Results, name: &str) -> bool {
    missing(results).all(|tool| tool.name != name)
}

/// The median is that of the rounds, and so is the most.
fn assert_ordered(figure: &Figure) {
    let rounds = Spread::of(figure.rounds.iter().copied()).expect("there is a round");
    assert!(figure.rounds.len() >= EFFORT.rounds as usize, "{figure:?}");
    let least = figure.cost.least;
    assert!(least.is_finite(), "{figure:?}");
    assert_eq!(figure.cost, Spread { least, ..rounds }, "{figure:?}");
}

/// Every receiver of frames has a rate. That the frames were all received and counted is
/// what makes a run count.
fn assert_measured(rates: &[Rate]) {
    for rate in rates {
        let spread = rate.packets_per_second;
        let spread = spread.unwrap_or_else(|| panic!("no run counts: {rate:?}"));
        assert!(spread.least > 0.0, "{rate:?}");
        assert!(spread.least <= spread.median && spread.median <= spread.most);
        assert!(rate.ratio.is_some_and(|ratio| ratio > 0.0), "{rate:?}");
        assert!(rate.cores == 2 || rate.overflowed == 0.0, "{rate:?}");
    }
}

/// The bars of which this is part of the name, each with a figure or not.
fn bars(results: &Results, name: &str) -> Vec<bool> {
    let bars = results.bars.iter().filter(|bar| bar.name.contains(name));
    bars.map(|bar| bar.found.is_some() && bar.met.is_some())
        .collect()
}

#[test]
fn every_case_is_judged_as_it_says() -> Result<()> {
    let results = only(Part::Program)?;
    let report = results.program.as_ref().expect("it was asked for");
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
        "open",
    ] {
        assert!(counters.contains(&counter), "{counter} of {counters:?}");
    }
    let has_xdp_filter = is_installed(&results, "xdp-filter");
    assert_eq!(counters.contains(&"XDP_PASS"), has_xdp_filter);
    assert_eq!(counters.contains(&"XDP_DROP"), has_xdp_filter);
    report.figures.iter().for_each(assert_ordered);
    assert_eq!(bars(&results, "ns over the no-op"), [true; 3]);
    assert_eq!(bars(&results, "verified instructions"), [true]);
    assert_eq!(bars(&results, "xdp-filter"), [has_xdp_filter; 2]);
    let json = serde_json::to_value(&results)?;
    let figures = &json["program"]["figures"];
    assert_eq!(figures.as_array().map(Vec::len), Some(counters.len()));
    let first = &json["bars"][0];
    assert_eq!(first["side"], "at_most");
    assert!(first["bar"].is_number() && first["found"].is_number() && first["met"].is_boolean());
    assert!(json.get("throughput").is_none(), "it was not asked for");
    Ok(())
}

#[test]
fn sets_are_judged_as_the_model_says() -> Result<()> {
    let results = only(Part::Sets)?;
    let report = results.sets.as_ref().expect("it was asked for");
    let names: Vec<&str> = report.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["acl-100", "fw-100", "ipc-100"]);
    let text = results.to_string();
    for set in &report.sets {
        let lengths = [&set.hot, &set.unknown, &set.hostile].map(Vec::len);
        assert_eq!(lengths, [16, 16, 3], "{}", set.name);
        let figures = set.hot.iter().chain(&set.unknown).chain(&set.hostile);
        let figures = figures.chain([&set.distinct]);
        figures.for_each(assert_ordered);
        let [middle, most] = set.hot_middle_and_most();
        assert!(middle.cost.median <= most.cost.median, "{set:?}");
        let rule = |figure: &&Figure| figure.counter.starts_with('r');
        assert!(set.hot.iter().filter(rule).count() >= 12, "{set:?}");
        assert!(
            set.table_bytes > 0 && set.verified_instructions > 0,
            "{set:?}"
        );
        assert!(text.contains(&set.name), "{text}");
    }
    // Of 1,000 rules or more; there are only these.
    assert_eq!(bars(&results, "rules"), [false; 6]);
    assert_eq!(bars(&results, "verified instructions"), [true]);
    let json = serde_json::to_value(&results)?;
    assert_eq!(json["sets"]["sets"][0]["flavour"], "acl");
    assert!(results.picture()?.contains("acl: other headers"));
    let markdown = results.markdown();
    for line in ["# Figures", "## Filter sets", "| acl-100 ", "| 100 rules, "] {
        assert!(
            markdown.lines().any(|found| found.starts_with(line)),
            "{line}: {markdown}"
        );
    }
    Ok(())
}

#[test]
fn what_is_sent_through_a_wire_is_received_and_counted() -> Result<()> {
    let results = only(Part::Throughput)?;
    let rates = results.throughput.as_deref().expect("it was asked for");
    assert_measured(rates);
    for traffic in [
        "no rule, IPv4",
        "no rule, IPv6",
        "a rule, IPv4",
        "a rule, IPv6",
    ] {
        let of = |rate: &&Rate| rate.traffic == traffic && rate.base.starts_with("XDP_");
        let on_one_core = rates.iter().filter(of).filter(|rate| rate.cores == 1);
        assert_eq!(on_one_core.count(), 2, "{traffic}");
    }
    let on_two_cores = rates.iter().filter(|rate| rate.cores == 2).count();
    assert!([0, 3].contains(&on_two_cores), "{rates:?}");
    assert_eq!(bars(&results, "÷ XDP_DROP program"), [true; 2]);
    let text = results.to_string();
    assert!(text.contains("edge-filter, documented policy"), "{text}");
    Ok(())
}

#[test]
fn other_filters_receive_and_count_the_same() -> Result<()> {
    let results = only(Part::Peers)?;
    let rates = results.peers.as_deref().expect("it was asked for");
    assert_measured(rates);
    let receivers: Vec<&str> = rates.iter().map(|rate| rate.receiver.as_str()).collect();
    for (tool, name, count) in [
        ("nft", "nftables, documented policy", 2),
        ("nft", "nftables, 10 rules", 2),
        ("nft", "nftables, 10000 rules", 2),
        ("xdp-filter", "xdp-filter tcp,udp", 1),
        ("iptables-legacy", "iptables-legacy raw", 1),
    ] {
        let count = if is_installed(&results, tool) {
            count
        } else {
            0
        };
        let found = receivers
            .iter()
            .filter(|receiver| receiver.starts_with(name));
        assert_eq!(found.count(), count, "{name} of {receivers:?}");
    }
    let has_nftables = is_installed(&results, "nft");
    assert_eq!(bars(&results, "÷ nftables"), [has_nftables; 3]);
    let sizes = rates.iter().filter_map(|rate| rate.member.as_ref());
    let ours = sizes.filter(|member| member.series == "edge-filter");
    let ours: Vec<usize> = ours.map(|member| member.rules).collect();
    assert_eq!(ours, [10, 100, 1000, 10_000]);
    if has_nftables {
        // However short the run, its 10,000 rules take longer than none.
        assert!(results.picture()?.contains("nftables, as rules"));
    }
    Ok(())
}

#[test]
fn updates_end_and_are_seen() -> Result<()> {
    let results = only(Part::Updates)?;
    let updates = results.updates.as_deref().expect("it was asked for");
    for rules in [10, 10_000] {
        let of = |filter: &str| {
            let of = |update: &&Update| update.rules == rules && update.filter.starts_with(filter);
            updates.iter().filter(of).collect::<Vec<_>>()
        };
        let [ours] = of("edge-filter")[..] else {
            panic!("one of ours with {rules} rules: {updates:?}");
        };
        assert!(ours.done.least > 0.0);
        assert!(ours.first_packet.is_some_and(|spread| spread.least > 0.0));
        let others = if is_installed(&results, "nft") { 2 } else { 0 };
        assert_eq!(of("nft").len(), others);
    }
    Ok(())
}

#[test]
fn nothing_is_not_measured() {
    for (repeats, rounds, rules) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        let error = measure(&Plan {
            effort: Effort { repeats, rounds },
            sets: vec![rules],
            ..plan(Part::Sets)
        })
        .expect_err("there is nothing to do");
        assert!(error.to_string().contains("nothing is measured"), "{error}");
    }
}
