//! Warnings: what a policy may say, and hardly means. Each lint is a question
//! about the resolved policy; none of them changes it.

mod edge;
mod reach;
mod region;
mod shadow;

use ipnet::{IpNet, Ipv6Net};

use super::check::Resolved;
use super::diagnostic::{Diagnostic, Findings, Mark, Severity};
use super::{Action, Direction, Interface, Policy, Rule, Trust};
use region::Region;

/// The rules with their places and with the packets that they are about.
struct Rules<'a> {
    policy: &'a Policy,
    rules: Vec<Seen<'a>>,
}

/// A rule as the lints see it.
struct Seen<'a> {
    rule: &'a Rule,
    mark: Mark,
    region: Region,
}

/// Everything odd about a policy, in the order of the file.
pub(super) fn warnings(file: &str, resolved: &Resolved) -> Vec<Diagnostic> {
    let mut findings = Findings::new(file, Severity::Warning);
    let policy = &resolved.policy;
    roles(resolved, &mut findings);
    translation(resolved, &mut findings);
    router_advertisements(resolved, &mut findings);
    unused(resolved, &mut findings);
    let rules = policy.rules.iter().zip(&resolved.rule_marks);
    let rules = rules.map(|(rule, mark)| Seen {
        rule,
        mark: *mark,
        region: Region::of(rule),
    });
    let rules = Rules {
        policy,
        rules: rules.collect(),
    };
    let alive = reach::dead_rules(&rules, &mut findings);
    shadow::shadowed_rules(&rules, &alive, &mut findings);
    reach::private_destinations(&rules, &mut findings);
    edge::shared_port(&rules, &mut findings);
    edge::incomplete(&rules, &mut findings);
    findings.into_sorted()
}

fn roles(resolved: &Resolved, findings: &mut Findings<'_>) {
    for (role, mark) in resolved
        .policy
        .interfaces
        .iter()
        .zip(&resolved.interface_marks)
    {
        let name = &role.name;
        if role.vlans.is_none() {
            findings.help(
                *mark,
                format!("the role '{name}' has no 'vlans', so its rules judge every VLAN alike"),
                "write 'vlans: [untagged]', or the ids that may appear",
            );
        }
        if role.trust == Trust::Trusted && !role.protects.is_empty() {
            findings.help(
                *mark,
                format!("'protects' has no effect on the role '{name}', which is trusted"),
                "remove it, or 'trust: trusted'",
            );
        }
    }
}

/// What a trusted role's rules track keeps its addresses only where nothing translates
/// them on the way.
fn translation(resolved: &Resolved, findings: &mut Findings<'_>) {
    let policy = &resolved.policy;
    let opens = |role: &Interface| {
        let mut rules = policy.rules_of(&role.name, Direction::Inbound);
        role.trust == Trust::Trusted && rules.any(|rule| rule.action == Action::Allow)
    };
    let untrusted = |role: &&Interface| role.trust == Trust::Untrusted;
    let mut outside = policy.interfaces.iter().filter(untrusted);
    let marks = policy.interfaces.iter().zip(&resolved.interface_marks);
    let Some((inside, mark)) = marks.into_iter().find(|(role, _)| opens(role)) else {
        return;
    };
    let is_tracked = outside.clone().any(|role| {
        policy
            .rules_of(&role.name, Direction::Outbound)
            .next()
            .is_some()
    });
    let Some(outside) = outside.next().filter(|_| !is_tracked) else {
        return;
    };
    let (inside, outside) = (&inside.name, &outside.name);
    findings.help(
        *mark,
        format!(
            "what '{inside}' opens is tracked as it arrives there; where this host translates \
             addresses (NAT), the replies at '{outside}' bear others and are dropped"
        ),
        format!(
            "with NAT, track what leaves: 'outbound: track' and outbound rules on '{outside}'; \
             without NAT ignore this"
        ),
    );
}

/// A router's advertisements come from its link-local address (RFC 4861 §4.2).
fn router_advertisements(resolved: &Resolved, findings: &mut Findings<'_>) {
    let link_local = IpNet::V6(Ipv6Net::new_assert(
        [0xfe80, 0, 0, 0, 0, 0, 0, 0].into(),
        10,
    ));
    for source in &resolved.policy.essentials.router_advertisements {
        if !source.contains(&link_local) && !link_local.contains(source) {
            findings.help(
                resolved.advertisements_mark,
                format!("no router advertises itself from {source}"),
                "router advertisements come from link-local addresses, such as \"fe80::1\"",
            );
        }
    }
}

fn unused(resolved: &Resolved, findings: &mut Findings<'_>) {
    for (kind, name, mark) in &resolved.unused {
        findings.help(
            *mark,
            format!("the {kind} '{name}' is defined and not used"),
            "use it in a rule, or remove it",
        );
    }
}

impl Seen<'_> {
    /// Adds a warning about this rule.
    fn warn(&self, findings: &mut Findings<'_>, message: impl AsRef<str>, help: &str) {
        findings.about(Some(&self.rule.id));
        findings.help(self.mark, message, help);
        findings.about(None);
    }
}
