//! Reading a policy: text, then outline and document, then the resolved
//! policy, then warnings. Nothing here does I/O.

use std::fmt::Write;

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::Policy;
use super::check::{self, Resolved};
use super::diagnostic::{Diagnostic, Diagnostics, Findings, Mark, Severity};
use super::document::Document;
use super::lint;
use super::outline::{Node, outline};

/// The longest text that is read, in bytes. A policy of 50,000 rules written
/// at length is about half of it.
const MAX_TEXT: usize = 32 << 20;

/// What helps where the two parsers are of different opinions.
const QUOTES: &str = "write addresses and other text with colons in quotes, and lists in brackets";

const START: Mark = Mark { line: 1, column: 1 };

/// A policy without errors, and what is odd about it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// The warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and checks the text of a policy.
///
/// `file` is the name that messages use; `today` is the day that rules must not
/// have expired before. The machine's devices, files and clock play no part, so
/// the same arguments always give the same answer.
///
/// # Errors
/// Every mistake in the text. Mistakes in the YAML itself (syntax, repeated
/// keys, aliases) hide those in the policy that it spells.
pub fn read(file: &str, text: &str, today: Date) -> Result<Checked, Diagnostics> {
    let mut findings = Findings::new(file, Severity::Error);
    let Some((root, document)) = parse(text, &mut findings) else {
        return Err(failed(findings));
    };
    let resolved = check::resolve(&document, &root, text_hash(text), today, findings);
    let resolved = resolved.map_err(failed)?;
    let warnings = lint::warnings(file, &resolved);
    let Resolved { policy, .. } = resolved;
    Ok(Checked { policy, warnings })
}

/// The text as places and as values; `None` if `findings` says why not.
fn parse(text: &str, findings: &mut Findings<'_>) -> Option<(Node, Document)> {
    if text.len() > MAX_TEXT {
        findings.say(
            START,
            format!(
                "the file is {} bytes long; a policy is at most {MAX_TEXT}",
                text.len()
            ),
        );
        return None;
    }
    // A byte order mark is no part of the text (YAML 1.2.2 §5.2).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((mark, control)) = control_character(text) {
        findings.help(
            mark,
            format!(
                "the control character U+{:04X} stands here",
                u32::from(control)
            ),
            "remove it; a policy is text with line ends and blanks, and nothing else unseen",
        );
        return None;
    }
    let Some(root) = outline(text, findings) else {
        if findings.count() == 0 {
            findings.help(
                START,
                "the file holds no policy",
                "begin with 'version: 1', a name, interfaces, a default action and groups",
            );
        }
        return None;
    };
    if findings.count() > 0 {
        return None;
    }
    if !root.is_mapping() {
        findings.help(
            root.mark,
            "a policy is a mapping, and this file is something else",
            "begin with 'version: 1'",
        );
        return None;
    }
    let unreadable = |error: serde_yaml::Error| {
        let mark = error.location().map_or(root.mark, |location| Mark {
            line: location.line().max(1),
            column: location.column().max(1),
        });
        (mark, format!("this cannot be read: {error}"))
    };
    let value = match serde_yaml::from_str::<serde_yaml::Value>(text) {
        Ok(value) => value,
        Err(error) => {
            let (mark, message) = unreadable(error);
            findings.help(mark, message, QUOTES);
            return None;
        }
    };
    if let Some(mark) = root.differs(&value) {
        findings.help(mark, "this YAML can be read in two ways", QUOTES);
        return None;
    }
    match serde_yaml::from_value(value) {
        Ok(document) => Some((root, document)),
        Err(error) => {
            let (mark, message) = unreadable(error);
            findings.help(mark, message, QUOTES);
            None
        }
    }
}

/// The first character that YAML does not take (YAML 1.2.2 §5.1). The parser of
/// values refuses it, too, and counts in bytes from the start of the file.
fn control_character(text: &str) -> Option<(Mark, char)> {
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    text.lines().enumerate().find_map(|(line, text)| {
        let (column, found) = text.chars().enumerate().find(|(_, c)| control(*c))?;
        Some((
            Mark {
                line: line + 1,
                column: column + 1,
            },
            found,
        ))
    })
}

fn failed(findings: Findings<'_>) -> Diagnostics {
    Diagnostics::of(findings.into_sorted())
}

/// SHA-256 of a policy's text, in lower-case hexadecimal.
#[must_use]
pub fn text_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, CounterId, Direction, Mode, Outbound, Transport, Trust};

    const EXAMPLE: &str = r#"
version: 1
name: example
interfaces:
  external:
    devices: [eth0]
    outbound: enforce
    vlans: [untagged, 7]
    protects: [access-edge]
  internal: { devices: [eth1], trust: trusted, vlans: [untagged] }
networks:
  access-edge: [192.0.2.10, "2001:db8::10"]
services:
  sip-mtls: [{ protocol: tcp, ports: [5061] }]
  media: [{ protocol: udp, ports: [3478] }, { protocol: tcp, ports: ["50000-59999", 443] }]
essentials: { ping: allow, router-advertisements: ["fe80::1"] }
ethertypes: [0x88f7]
flows: { entries: 1024 }
default_action: drop
groups:
  - name: sip-federation
    enabled: true
    rules:
      - id: sip-federation-out
        interface: external
        direction: outbound
        from: { networks: [access-edge] }
        to: { networks: [any], except: [198.51.100.0/24] }
        service: sip-mtls
        action: allow
        comment: Federated and public IM connectivity using SIP
        refs: ["table 1, row 1"]
        expires: 2027-06-30
      - id: media-in
        interface: external
        direction: inbound
        from: { ports: ["1024-65535"] }
        to: { networks: [access-edge] }
        service: [media, sip-mtls]
        action: drop
        replies: drop
  - name: trial
    mode: audit
    rules:
      - { id: quiet, interface: internal, direction: inbound, protocol: 47, action: drop }
  - name: later
    enabled: false
    rules:
      - { id: unused, interface: internal, direction: inbound, action: allow }
tests:
  - name: federation may call out
    packet: { interface: external, direction: outbound, protocol: tcp, from: "192.0.2.10", to: "203.0.113.7:5061" }
    expect: { action: allow, rule: sip-federation-out }
  - name: a lone acknowledgement in
    packet: { interface: external, direction: inbound, protocol: tcp, from: "[2001:db8::7]:5", to: "[2001:db8::10]:5061", tcp-flags: "syn,ack" }
    expect: { action: drop }
"#;

    fn today() -> Date {
        jiff::civil::date(2027, 6, 30)
    }

    fn example() -> Policy {
        read("example.yaml", EXAMPLE, today())
            .unwrap_or_else(|found| panic!("{found}"))
            .policy
    }

    fn errors(text: &str) -> String {
        read("p.yaml", text, today()).unwrap_err().to_string()
    }

    #[test]
    fn the_example_means_what_it_says() {
        let policy = example();
        assert_eq!(policy.hash.len(), 64);
        assert_eq!(policy.mode, Mode::Enforce);
        let external = policy.interface("external").unwrap();
        assert_eq!(external.outbound, Outbound::Enforce);
        assert_eq!(external.trust, Trust::Untrusted);
        assert_eq!(external.vlans, Some([0, 7].into()));
        assert_eq!(external.protects.len(), 2);
        assert_eq!(policy.essentials.ping, Action::Allow);
        assert_eq!(policy.essentials.arp, Action::Allow);
        assert_eq!(policy.essentials.router_advertisements.len(), 1);
        assert_eq!(policy.ethertypes, [0x88f7].into());
        assert_eq!(policy.flows.entries, 1024);
        let ids: Vec<_> = policy.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids, ["sip-federation-out", "media-in", "quiet"]);
    }

    #[test]
    fn a_rule_is_resolved() {
        let policy = example();
        let out = &policy.rules[0];
        assert_eq!((out.line, out.direction), (24, Direction::Outbound));
        assert_eq!(out.from.networks.as_ref().unwrap().len(), 2);
        assert_eq!(out.to.networks, None);
        assert_eq!(out.to.except.len(), 1);
        assert_eq!(
            out.transports,
            [Transport {
                protocol: 6,
                ports: vec![5061..=5061]
            }]
        );
        assert_eq!(out.expires, Some(today()));
        let media = &policy.rules[1];
        assert_eq!(media.from.ports, [1024..=65_535]);
        assert_eq!(media.transports.len(), 3);
        assert_eq!(media.transports[1].ports, [50_000..=59_999, 443..=443]);
        assert!(media.drops_replies && !media.audit);
        let quiet = &policy.rules[2];
        assert!(quiet.audit);
        assert_eq!(
            quiet.transports,
            [Transport {
                protocol: 47,
                ports: vec![]
            }]
        );
        assert_eq!(
            CounterId::AuditRule(quiet.id.clone()).to_string(),
            "audit:quiet"
        );
    }

    #[test]
    fn a_test_gets_a_source_port_and_flags() {
        let tests = example().tests;
        assert_eq!(tests[0].packet.source_port, Some(40_000));
        assert_eq!(tests[0].packet.tcp_flags, Some(0x02));
        assert_eq!(tests[1].packet.source_port, Some(5));
        assert_eq!(tests[1].packet.tcp_flags, Some(0x12));
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_change_nothing_but_the_hash() {
        let crlf = format!("\u{feff}{}", EXAMPLE.replace('\n', "\r\n"));
        let mut policy = read("p.yaml", &crlf, today()).unwrap().policy;
        let plain = example();
        assert_ne!(policy.hash, plain.hash);
        policy.hash.clone_from(&plain.hash);
        assert_eq!(policy, plain);
    }

    #[test]
    fn sections_may_be_empty() {
        let text = "version: 1\nname: bare\ninterfaces:\nnetworks:\nservices: {}\nessentials:\n\
                    ethertypes:\nflows:\ndefault_action: allow\ngroups:\ntests: []\n";
        let policy = read("p.yaml", text, today())
            .unwrap_or_else(|e| panic!("{e}"))
            .policy;
        assert_eq!(policy.default_action, Action::Allow);
        assert_eq!(policy.flows.entries, 65_536);
    }

    #[test]
    fn every_error_is_reported_in_the_order_of_the_file() {
        let found = errors(
            "version: 2\nnmae: x\ninterfaces: { a: { trust: yes } }\ndefault_action: reject\n",
        );
        let lines: Vec<_> = found
            .lines()
            .filter(|line| line.starts_with("p.yaml"))
            .collect();
        assert_eq!(lines.len(), 6, "{found}");
        assert!(
            lines[0].starts_with("p.yaml:1:1: error: a policy has no 'name'"),
            "{found}"
        );
        assert!(found.contains("help: did you mean 'name'?"), "{found}");
    }

    #[test]
    fn nesting_and_aliases_cannot_exhaust_the_reader() {
        // The parser of places has a limit of its own, which an unclosed
        // bracket meets before it says anything else.
        let deep = format!("version: {}", "[".repeat(100_000));
        assert!(
            errors(&deep).contains("this is not YAML"),
            "{}",
            errors(&deep)
        );
        let closed = format!("version: {}{}", "[".repeat(30), "]".repeat(30));
        assert!(errors(&closed).contains("inside each other"));
        let indented: String = (0..2_000).fold(String::new(), |text, depth| {
            text + &" ".repeat(depth) + "a:\n"
        });
        assert!(errors(&indented).contains("inside each other"));
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for level in 1..40 {
            let before = level - 1;
            writeln!(
                bomb,
                "a{level}: &a{level} [*a{before}, *a{before}, *a{before}]"
            )
            .unwrap();
        }
        assert!(errors(&bomb).contains("an alias ('*') is not taken"));
    }

    #[test]
    fn a_list_is_not_taken_for_a_mapping() {
        let found = errors(
            "version: 1\nname: x\ninterfaces: {}\nflows: [9]\ndefault_action: drop\ngroups: []\n",
        );
        assert_eq!(
            found,
            "p.yaml:4:8: error: 'flows' is a list, where a mapping is expected"
        );
    }
}
