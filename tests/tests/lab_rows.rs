//! The ten documented rows, end to end, for a host and for a gateway: each opens and
//! carries a mebibyte both ways, by its own counters, and nothing opens the other way.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result};
use edge_filter_tests::lab::conversation::{Call, Outcome, Transport};
use edge_filter_tests::lab::meter::Meter;
use edge_filter_tests::lab::product::{CounterName, Mode, counter};
use edge_filter_tests::lab::wire::End;
use edge_filter_tests::lab::{Lab, Plan, Shape};

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(250);
const TOKEN: &[u8] = b"a token of more than sixteen bytes";
const MEBIBYTE: usize = 1 << 20;

/// Who opens a row's conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// The protected side.
    Protected,
    /// Everybody else.
    Outsider,
}

/// A documented row.
#[derive(Debug, Clone, Copy)]
struct Row {
    rule: &'static str,
    opener: Opener,
    transport: Transport,
    port: u16,
    /// Another row documents the same port the other way.
    is_mutual: bool,
    /// The row of the internal side.
    is_internal: bool,
}

const fn row(
    rule: &'static str,
    opener: Opener,
    transport: Transport,
    port: u16,
    is_mutual: bool,
) -> Row {
    Row {
        rule,
        opener,
        transport,
        port,
        is_mutual,
        is_internal: false,
    }
}

/// S1 to S10. S1 and S3 differ in the partner alone, which this test plays by two
/// addresses.
const ROWS: [Row; 10] = {
    use Opener::{Outsider, Protected};
    use Transport::{Tcp, Udp};
    [
        row("s1", Protected, Tcp, 5061, false),
        row("s2", Outsider, Tcp, 5061, true),
        row("s3", Protected, Tcp, 5061, true),
        row("s4", Outsider, Tcp, 443, false),
        row("s5", Protected, Tcp, 50_000, false),
        row("s6", Protected, Udp, 3478, true),
        row("s7", Outsider, Udp, 3478, true),
        row("s8", Outsider, Tcp, 5269, true),
        row("s9", Protected, Tcp, 5269, true),
        Row {
            is_internal: true,
            ..row("s10", Outsider, Tcp, 23456, false)
        },
    ]
};

/// The rows as rules: of a host, outbound rules of `external`; of a gateway, whose inner
/// side is trusted, inbound rules of `internal`, and its tenth row one of `external`.
fn policy(shape: Shape) -> String {
    let (external, internal) = match shape {
        Shape::Host => ("outbound: enforce", "outbound: enforce"),
        Shape::Gateway => ("outbound: ignore", "outbound: ignore, trust: trusted"),
    };
    let mut text = format!(
        "version: 1\nname: rows\ninterfaces:\n  external: {{ devices: [external], {external} }}\n  \
         internal: {{ devices: [internal], {internal} }}\nnetworks:\n  partners: \
         [203.0.113.25, \"2001:db8:cafe::25\"]\n  edge: [192.0.2.10, 192.0.2.200, \
         \"2001:db8::10\", \"2001:db8:0:1::200\"]\ndefault_action: drop\ngroups:\n  - name: rows\n    \
         rules:\n"
    );
    // The row of some partners stands before the row of any, or it would never count.
    for number in [3, 1, 2, 4, 5, 6, 7, 8, 9, 10] {
        let row = ROWS[number - 1];
        let ports = if row.port == 50_000 {
            "\"50000-59999\"".to_owned()
        } else {
            row.port.to_string()
        };
        let (interface, direction) = match (shape, row.opener, row.is_internal) {
            (Shape::Host, _, true) | (Shape::Gateway, Opener::Protected, _) => {
                ("internal", "inbound")
            }
            (Shape::Host, Opener::Protected, _) => ("external", "outbound"),
            (_, Opener::Outsider, _) => ("external", "inbound"),
        };
        let peers = match (number, row.opener) {
            (3, _) => "from: { networks: [edge] }, to: { networks: [partners], ports: [PORTS] }",
            (2, _) => "from: { networks: [partners] }, to: { ports: [PORTS] }",
            (_, Opener::Protected) => "from: { networks: [edge] }, to: { ports: [PORTS] }",
            (_, Opener::Outsider) => "to: { ports: [PORTS] }",
        };
        let peers = peers.replace("PORTS", &ports);
        let _ = writeln!(
            text,
            "      - {{ id: {}, interface: {interface}, direction: {direction}, protocol: {}, \
             {peers}, action: allow }}",
            row.rule,
            row.transport.as_str()
        );
    }
    text
}

/// The two ends of a row's conversations, each with its address of one family.
struct Ends<'lab> {
    protected: (&'lab End, IpAddr),
    outsider: (&'lab End, IpAddr),
}

impl Ends<'_> {
    /// The conversation of `row`, from a port below the range of row S5: an answer to
    /// that range is by that row's rule whatever it answers.
    fn call(&self, row: Row, opener: Opener) -> (Call, &End, &End) {
        static PORTS: AtomicU16 = AtomicU16::new(30_000);
        let ((from_end, from), (to_end, to)) = match opener {
            Opener::Protected => (self.protected, self.outsider),
            Opener::Outsider => (self.outsider, self.protected),
        };
        let call = Call {
            transport: row.transport,
            from: SocketAddr::new(from, PORTS.fetch_add(1, Relaxed)),
            to: SocketAddr::new(to, row.port),
        };
        (call, from_end, to_end)
    }
}

/// The counters that a row's conversation moves, and nothing else.
fn counters(shape: Shape, row: Row) -> Vec<CounterName> {
    let (rule, answers) = (row.rule.to_owned(), format!("{}/reply", row.rule));
    match (shape, row.opener) {
        (Shape::Host, opener) => {
            let side = if row.is_internal {
                "internal"
            } else {
                "external"
            };
            let (inbound, outbound) = match opener {
                Opener::Protected => (answers, rule),
                Opener::Outsider => (rule, answers),
            };
            vec![
                counter(side, "inbound", &inbound),
                counter(side, "outbound", &outbound),
            ]
        }
        (Shape::Gateway, Opener::Protected) => vec![
            counter("internal", "inbound", &rule),
            counter("external", "inbound", &answers),
        ],
        (Shape::Gateway, Opener::Outsider) => vec![
            counter("external", "inbound", &rule),
            counter("internal", "inbound", &answers),
        ],
    }
}

fn rows_work(shape: Shape) -> Result<()> {
    let others = [
        IpAddr::from([198, 51, 100, 9]),
        IpAddr::from([0x2001, 0xdb8, 0xbeef, 0, 0, 0, 0, 9]),
    ];
    let mut plan = Plan {
        shape,
        ..Plan::default()
    };
    plan.outside.extend(others);
    let lab = Lab::new(&plan)?;
    let file = lab.mounts.write("rows.yaml", &policy(shape))?;
    lab.apply(&file, Mode::Native)?;
    let mut meter = Meter::new(&lab)?;
    for (family, stranger) in others.into_iter().enumerate() {
        for row in ROWS {
            // The partners of row S1 are those that no other row names.
            let outsider = if row.rule == "s1" {
                stranger
            } else {
                plan.outside[family]
            };
            let ends = match (shape, row.is_internal) {
                (Shape::Host, false) => Ends {
                    protected: (&lab.external.edge, plan.external[family]),
                    outsider: (&lab.external.world, outsider),
                },
                (Shape::Host, true) => Ends {
                    protected: (&lab.internal.edge, plan.internal[family]),
                    outsider: (&lab.internal.world, plan.inside[family]),
                },
                (Shape::Gateway, _) => Ends {
                    protected: (&lab.internal.world, plan.inside[family]),
                    outsider: (&lab.external.world, outsider),
                },
            };
            let (call, from, to) = ends.call(row, row.opener);
            call.carry(from, to, MEBIBYTE, PATIENCE)
                .with_context(|| format!("{shape:?} {row:?}"))?;
            let reading = meter.read()?;
            assert!(
                reading.is(&counters(shape, row)),
                "{shape:?} {row:?}: {reading:?}"
            );
            if row.is_mutual {
                continue;
            }
            let other = match row.opener {
                Opener::Protected => Opener::Outsider,
                Opener::Outsider => Opener::Protected,
            };
            let (call, from, to) = ends.call(row, other);
            let outcome = call.between(from, to, TOKEN, SHORT)?;
            assert_eq!(
                outcome,
                Outcome::Nothing,
                "{shape:?} {row:?}: the other way"
            );
            let reading = meter.read()?;
            let drops = reading
                .counted
                .keys()
                .all(|(_, _, id)| id == "drop:default");
            assert!(
                drops && reading.agrees() && !reading.counted.is_empty(),
                "{shape:?} {row:?}: {reading:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_row_of_a_host() -> Result<()> {
    rows_work(Shape::Host)
}

#[test]
fn every_row_of_a_gateway() -> Result<()> {
    rows_work(Shape::Gateway)
}
