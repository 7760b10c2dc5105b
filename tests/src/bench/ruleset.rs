//! Policies of any number of rules, for what depends on that: each lets another network
//! reach a range of ports at one address, and no two of them overlap.

use std::fmt::Write as _;

/// The role that the rules belong to.
pub(super) const ROLE: &str = "external";

/// The text of a policy of `rules` rules for what arrives.
pub(super) fn policy(rules: usize) -> String {
    let mut text = "version: 1\n\
         name: many\n\
         interfaces:\n  \
           external: { devices: [eth0], vlans: [untagged] }\n  \
           internal: { devices: [eth1], vlans: [untagged] }\n\
         default_action: drop\n\
         groups:\n  \
           - name: many\n    \
             rules:\n"
        .to_owned();
    for rule in 0..rules {
        // Sources of the traffic among them; ports above those of the traffic.
        let (high, low) = (rule / 256, rule % 256);
        let first = 20_000 + rule % 400 * 100;
        let last = first + rule % 7;
        let _ = writeln!(
            text,
            "      - {{ id: r{rule}, interface: {ROLE}, direction: inbound, from: {{ networks: \
             [11.{high}.{low}.0/24] }}, to: {{ networks: [192.0.2.10], ports: [\"{first}-{last}\"] \
             }}, protocol: tcp, action: allow }}"
        );
    }
    text
}

/// The text of a policy of `rules` rules, the last of which lets everybody reach `port`.
pub(super) fn opening(rules: usize, port: u16) -> String {
    let mut text = policy(rules - 1);
    let _ = writeln!(
        text,
        "      - {{ id: opened, interface: {ROLE}, direction: inbound, to: {{ networks: \
         [192.0.2.10], ports: [{port}] }}, protocol: tcp, action: allow }}"
    );
    text
}
