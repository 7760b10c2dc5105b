//! Rules as nftables reads them.

use std::fmt::Write as _;

use super::rules::{Flat, Rules};

/// How rules are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each as a rule, one after the other.
    Rules,
    /// As the elements of a set for each family: sources, destinations, protocols and ports
    /// concatenated, with intervals.
    Sets,
}

/// What counts the dropped.
pub(super) const COUNTER: &str = "dropped";

/// The sets: whether IPv4's, name, and type of address.
const SETS: [(bool, &str, &str); 2] = [(true, "v4", "ipv4_addr"), (false, "v6", "ipv6_addr")];

impl Form {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Sets => "sets",
        }
    }
}

/// What sets `rules` up at the lab's outer device in one transaction, in place of what is
/// there.
pub(crate) fn script(rules: &Rules, form: Form) -> String {
    let mut script = String::from("table netdev bench\ndelete table netdev bench\n");
    let _ = writeln!(script, "table netdev bench {{\n  counter {COUNTER} {{}}");
    if form == Form::Sets {
        sets(&mut script, rules);
    }
    script.push_str(
        "  chain ingress {\n    \
         type filter hook ingress device \"external\" priority 0; policy accept\n",
    );
    for network in &rules.protected {
        let family = family(network.addr().is_ipv4());
        let _ = writeln!(script, "    {family} saddr {network} counter drop");
    }
    script.push_str(
        "    ether type arp counter accept\n    \
         icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } \
         counter accept\n",
    );
    match form {
        Form::Rules => {
            for rule in &rules.rules {
                let _ = writeln!(script, "    {} counter accept", matches(rule));
            }
        }
        Form::Sets => script.push_str(
            "    ip saddr . ip daddr . ip protocol . th dport @v4 accept\n    \
             ip6 saddr . ip6 daddr . ip6 nexthdr . th dport @v6 accept\n",
        ),
    }
    let _ = writeln!(script, "    counter name {COUNTER} drop\n  }}\n}}");
    script
}

/// The sets, of which each element counts.
fn sets(script: &mut String, rules: &Rules) {
    for (is_ipv4, name, address) in SETS {
        let _ = writeln!(
            script,
            "  set {name} {{\n    type {address} . {address} . inet_proto . inet_service\n    \
             flags interval\n    counter"
        );
        let of_family = |rule: &&Flat| rule.is_ipv4() == is_ipv4;
        let rules = rules.rules.iter().filter(of_family);
        let elements: Vec<String> = rules.map(element).collect();
        if !elements.is_empty() {
            let elements = elements.join(",\n      ");
            let _ = writeln!(script, "    elements = {{ {elements} }}");
        }
        script.push_str("  }\n");
    }
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "ip" } else { "ip6" }
}

/// `198.51.100.0/25 . 192.0.2.10/32 . tcp . 5061`
fn element(rule: &Flat) -> String {
    let (from, to) = (rule.from, rule.to);
    let (protocol, ports) = (rule.protocol.as_str(), rule.ports('-'));
    format!("{from} . {to} . {protocol} . {ports}")
}

/// `ip saddr 198.51.100.0/25 ip daddr 192.0.2.10/32 tcp dport 5061`
fn matches(rule: &Flat) -> String {
    let family = family(rule.is_ipv4());
    let mut text = String::new();
    for (word, network) in [("saddr", rule.from), ("daddr", rule.to)] {
        if network.prefix_len() > 0 {
            let _ = write!(text, "{family} {word} {network} ");
        }
    }
    let _ = write!(text, "{} dport {}", rule.protocol.as_str(), rule.ports('-'));
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::documented::{POLICY, ROLE};
    use super::*;

    #[test]
    fn a_rule_is_a_line_or_an_element() {
        let rules = Rules::read(POLICY, ROLE).expect("it can be said");
        let (as_rules, as_sets) = (script(&rules, Form::Rules), script(&rules, Form::Sets));
        for line in [
            "ip saddr 198.51.100.0/25 ip daddr 192.0.2.10/32 tcp dport 5061 counter accept",
            "ip daddr 192.0.2.10/32 tcp dport 443 counter accept",
            "ip6 daddr 2001:db8:1::10/128 tcp dport 443 counter accept",
        ] {
            assert!(as_rules.contains(line), "{line}: {as_rules}");
        }
        for element in [
            "198.51.100.0/25 . 192.0.2.10/32 . tcp . 5061",
            "::/0 . 2001:db8:1::10/128 . tcp . 5269",
        ] {
            assert!(as_sets.contains(element), "{element}: {as_sets}");
        }
        for script in [as_rules, as_sets] {
            assert!(script.contains("counter name dropped drop"), "{script}");
        }
    }
}
