//! The format of filter files.

use std::fs;

use edge_filter_tests::classbench::{Filter, Flavour, Recipe, Set, generate, parse};
use edge_filter_tests::generate::seeded;

use crate::real;

/// Lines that are no filters, or none that a policy can say, and what the error says.
const BAD: [(&str, &[&str]); 22] = [
    (
        "192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0xFF",
        &["begin with '@'"],
    ),
    ("# a comment", &["begin with '@'"]),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535",
        &["8 words", "protocol/mask"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0:65535 0:65535 0x06/0xFF",
        &["5 words", "blanks around"],
    ),
    (
        "@192.0.2.1 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0xFF",
        &["'192.0.2.1' is no network", "ADDRESS/BITS"],
    ),
    (
        "@192.0.2.1/33 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0xFF",
        &["'192.0.2.1/33' is no network"],
    ),
    (
        "@192.0.2.1/32 host/32 0 : 65535 0 : 65535 0x06/0xFF",
        &["'host/32' is no network"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/30 0 : 65535 0 : 65535 0x06/0xFF",
        &["bits behind the prefix", "192.0.2.0/30"],
    ),
    (
        "@192.0.2.1/32 2001:db8::/32 0 : 65535 0 : 65535 0x06/0xFF",
        &["different IP versions"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 - 65535 0 : 65535 0x06/0xFF",
        &["'0 - 65535' is no range", "LOW : HIGH"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 80 : 65536 0x06/0xFF",
        &["'65536'", "0 to 65535"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 x : 80 0x06/0xFF",
        &["'x' in 'x : 80' is no port"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 90 : 80 0 : 65535 0x06/0xFF",
        &["backwards", "80 : 90"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 1023 0 : 65535 0x06/0xFF",
        &["port 0", "begin with 1"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 0 0x06/0xFF",
        &["port 0"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 80 : 80 0x01/0xFF",
        &["0x01 has no ports", "UDP (0x11)"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 80 : 80 0 : 65535 0x2f/0xFF",
        &["0x2f has no ports"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0x0F",
        &["some bits of the protocol", "0x06/0xFF"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0x00",
        &["some bits of the protocol", "0x00/0x00"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 0x106/0xFF",
        &["'0x106/0xFF' is no protocol", "0x0 to 0xff"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 tcp",
        &["'tcp' is no protocol", "0x06/0xFF"],
    ),
    (
        "@192.0.2.1/32 192.0.2.2/32 0 : 65535 0 : 65535 0x06/0xFF syn",
        &["flags 'syn'", "0x0000/0x0200"],
    ),
];

#[test]
fn what_is_no_filter_is_named_with_its_line() {
    const GOOD: &str = "@192.0.2.1/32\t192.0.2.2/32\t0 : 65535\t0 : 65535\t0x00/0x00\t\n\n";
    for (line, words) in BAD {
        let error = parse("set.rules", &format!("{GOOD}{line}\n{GOOD}")).expect_err(line);
        let message = format!("{error:#}");
        assert!(message.starts_with("set.rules:3: "), "{line}: {message}");
        for word in words {
            assert!(message.contains(word), "{line}: {message}");
        }
    }
    for empty in ["", "\n \n"] {
        let error = parse("set.rules", empty).expect_err("there is nothing");
        assert!(error.to_string().contains("no filter"), "{error}");
    }
}

#[test]
fn every_column_is_read() {
    let text = "@192.0.2.0/24\t198.51.100.7/32\t0 : 65535\t1521 : 1525\t0x06/0xFF\t0x1000/0x1000\t\r\n\
                @0.0.0.0/0 0.0.0.0/0 1024 : 65535 0 : 65535 0x00/0x00 0x0000/0x0000 0x1/0x2\n\
                @2001:db8::/32 ::/0 0 : 65535 0 : 65535 0x3A/0xff\n\
                @10.0.0.0/8 10.0.0.0/9 0 : 65535 0 : 65535 0x00/0xFF";
    let network = |text: &str| text.parse().expect("a network");
    let expected = [
        (
            "192.0.2.0/24",
            "198.51.100.7/32",
            Some(6),
            None,
            Some(1521..=1525),
        ),
        ("0.0.0.0/0", "0.0.0.0/0", None, Some(1024..=65535), None),
        ("2001:db8::/32", "::/0", Some(58), None, None),
        // Protocol 0 by itself, which is not any.
        ("10.0.0.0/8", "10.0.0.0/9", Some(0), None, None),
    ]
    .map(
        |(source, destination, protocol, source_ports, destination_ports)| Filter {
            source: network(source),
            destination: network(destination),
            protocol,
            source_ports,
            destination_ports,
        },
    );
    assert_eq!(parse("set.rules", text).expect("four filters"), expected);
}

#[test]
fn what_is_written_is_read_again() {
    for (flavour, seed) in Flavour::ALL.into_iter().zip(1..) {
        let recipe = Recipe {
            flavour,
            filters: 500,
            v6_percent: 30,
        };
        let set = generate(&mut seeded(seed), &recipe);
        let lines: Vec<String> = set.filters.iter().map(Filter::to_string).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(format!("{}.rules", set.name));
        fs::write(&file, lines.join("\n")).expect("a file");
        assert_eq!(Set::read(&file).expect("a set"), set);
        let missing = Set::read(&folder.path().join("none.rules"));
        let error = missing.expect_err("there is no such file");
        assert!(format!("{error:#}").contains("none.rules"), "{error:#}");
    }
}

/// Each file of the folder is read to its last line.
#[test]
fn the_sets_of_classbench_are_read() {
    for set in real::sets("the test of the format") {
        println!("{}: {} filters", set.name, set.filters.len());
        assert!(set.filters.len() >= 500, "{}", set.name);
    }
}
