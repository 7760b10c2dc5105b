//! Captured frames, many of them malformed on purpose: the model, the data path
//! on the host and the program in the kernel judge them alike.

use std::collections::BTreeMap;
use std::env;
use std::io::Write;
use std::path::Path;

use edge_filter::policy::{Policy, read};
use edge_filter_tests::captures::Captures;
use edge_filter_tests::judge::{Hook, HostJudge, Judge, KernelJudge, ModelJudge, hex};
use jiff::civil::date;

/// Committed frames (`tests/data/captures/README.md`).
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/captures");
/// All of the captures, where they are at hand; `EDGE_FILTER_CORPUS` may name
/// another folder.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus");
/// What the kernel's test runs take at least: an Ethernet header.
const SHORTEST: usize = 14;
/// And at most: what is left of a first page of 4,096 bytes, and 17 pages behind
/// it (`MAX_SKB_FRAGS`).
const LONGEST: usize = 3_072 + 17 * 4_096;

const ROLE: &str = "external";

/// Lets in what no fault keeps out, and watches a few protocols.
const PERMISSIVE: &str = r#"
version: 1
name: permissive
interfaces:
  external: { devices: [eth0], trust: trusted, outbound: ignore }
networks:
  private: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "fe80::/10"]
  routers: ["::/0"]
services:
  web: [{ protocol: tcp, ports: [80, 443] }]
  dns: [{ protocol: udp, ports: [53] }]
essentials: { ping: allow, dhcp-client: allow, router-advertisements: [routers] }
ethertypes: [0x8847, 0x8864, 0x88f7]
default_action: allow
groups:
  - name: watched
    rules:
      - { id: web, interface: external, direction: inbound, service: web, action: allow }
      - { id: private-dns, interface: external, direction: inbound, from: { networks: [private] }, service: dns, action: allow }
"#;

/// Keeps out everything that it is not asked to let in.
const STRICT: &str = r#"
version: 1
name: strict
interfaces:
  external: { devices: [eth0], outbound: ignore, vlans: [untagged], protects: [inside] }
networks:
  inside: [192.168.0.0/16]
  documentation: [192.0.2.0/24, "2001:db8::/32"]
services:
  telnet: [{ protocol: tcp, ports: [23] }]
  low: [{ protocol: tcp, ports: ["1-1023"] }, { protocol: udp, ports: ["1-511"] }]
essentials: { arp: drop, nd: drop, mld: drop, icmp-errors: drop, link-control: drop }
default_action: drop
groups:
  - name: few
    rules:
      - { id: no-telnet, interface: external, direction: inbound, service: telnet, action: drop }
      - { id: low-ports, interface: external, direction: inbound, from: { networks: [any], except: [documentation] }, service: low, action: allow }
"#;

#[test]
fn committed_frames() {
    let captures = Captures::of(Path::new(COMMITTED));
    assert_eq!(
        (captures.read, captures.foreign, captures.broken),
        (1, 0, 0)
    );
    assert!(captures.frames.len() >= 30, "{}", captures.frames.len());
    judge(&captures);
}

/// The whole corpus is no part of this repository: without it, the committed
/// frames alone are judged.
#[test]
fn the_whole_corpus() {
    let folder = env::var_os("EDGE_FILTER_CORPUS").unwrap_or_else(|| CORPUS.into());
    let folder = Path::new(&folder);
    if !folder.is_dir() {
        // Past the test runner, which shows what is printed only of failures.
        let warned = writeln!(
            std::io::stderr(),
            "WARNING: {} is not there: only the frames in {COMMITTED} are judged",
            folder.display()
        );
        warned.expect("standard error takes a line");
        return judge(&Captures::of(Path::new(COMMITTED)));
    }
    let captures = Captures::of(folder);
    println!(
        "{} captures read, {} of another link type, {} broken",
        captures.read, captures.foreign, captures.broken
    );
    assert!(captures.read >= 100, "{}", captures.read);
    judge(&captures);
}

/// Judges all frames under both policies.
fn judge(captures: &Captures) {
    for text in [PERMISSIVE, STRICT] {
        let checked = read("corpus.yaml", text, date(2026, 1, 1));
        let policy = checked.unwrap_or_else(|found| panic!("{found:#?}")).policy;
        agree(&policy, captures);
    }
}

fn agree(policy: &Policy, captures: &Captures) {
    let hook = Hook::inbound(policy, ROLE);
    let mut model = ModelJudge::new(hook);
    let mut host = HostJudge::new(hook);
    let mut kernel = KernelJudge::new(hook);
    let mut counters: BTreeMap<String, usize> = BTreeMap::new();
    let (mut short, mut long) = (0, 0);
    for (place, frame) in &captures.frames {
        let expected = model.judge(frame);
        assert_eq!(host.judge(frame), expected, "{place}: {}", hex(frame));
        if frame.len() < SHORTEST {
            short += 1;
        } else if frame.len() > LONGEST {
            long += 1;
        } else {
            let verdict = kernel.judge_expecting(frame, frame.len(), &expected.counter);
            assert_eq!(verdict, expected, "{place}: {}", hex(frame));
        }
        *counters.entry(expected.counter).or_default() += 1;
    }
    kernel.settle();
    println!(
        "{}: {} frames, of them {short} too short and {long} too long for the kernel's test \
         runs: {counters:#?}",
        policy.name,
        captures.frames.len(),
    );
    assert!(counters.len() >= 5, "{counters:?}");
}
