//! Every combination of what a policy can say about these packets, and of what a host can
//! need, against what plainly follows; and every remedy, pasted.

use super::*;

/// What a policy says.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a dimension of the matrix"
)]
struct Says {
    outbound: &'static str,
    trusted: bool,
    allows_ssh: bool,
    default_allows: bool,
    arp: bool,
    nd: bool,
    dhcp: bool,
    router: bool,
    /// The role lists the untagged alone, or nothing.
    untagged_only: bool,
}

/// What a host is.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a dimension of the matrix"
)]
struct Is {
    by_ssh: bool,
    leased: bool,
    v6: bool,
    advertised: bool,
    tagged: bool,
}

impl Says {
    fn all() -> impl Iterator<Item = Self> {
        (0..3 * 256).map(|number| {
            let bit = |place: u32| (number / 3) & (1 << place) != 0;
            Self {
                outbound: ["enforce", "track", "ignore"][number % 3],
                trusted: bit(0),
                allows_ssh: bit(1),
                default_allows: bit(2),
                arp: bit(3),
                nd: bit(4),
                dhcp: bit(5),
                router: bit(6),
                untagged_only: bit(7),
            }
        })
    }

    fn text(self) -> String {
        let word = |allows: bool| if allows { "allow" } else { "drop" };
        let trust = if self.trusted { "trusted" } else { "untrusted" };
        let vlans = if self.untagged_only {
            ", vlans: [untagged]"
        } else {
            ""
        };
        let port = if self.allows_ssh { 22 } else { 443 };
        let router = if self.router { "\"fe80::1\"" } else { "" };
        text(
            &format!("outbound: {}, trust: {trust}{vlans}", self.outbound),
            &[&format!(
                "id: one, direction: inbound, protocol: tcp, to: {{ ports: [{port}] }}, action: \
                 allow"
            )],
            &format!(
                "essentials: {{ arp: {}, nd: {}, dhcp-client: {}, router-advertisements: \
                 [{router}] }}\n",
                word(self.arp),
                word(self.nd),
                word(self.dhcp)
            ),
        )
        .replace(
            "default_action: drop",
            &format!("default_action: {}", word(self.default_allows)),
        )
    }
}

impl Is {
    fn all() -> impl Iterator<Item = Self> {
        (0..32_u32).map(|number| {
            let bit = |place: u32| number & (1 << place) != 0;
            Self {
                by_ssh: bit(0),
                leased: bit(1),
                v6: bit(2),
                advertised: bit(3),
                tagged: bit(4),
            }
        })
    }

    fn facts(self, outbound: bool) -> Facts {
        let mut facts = host(outbound);
        if self.tagged {
            facts = facts.standing_on_it("eth7.30", &[30]);
        }
        facts = facts.address("192.0.2.10", self.leased);
        if self.v6 {
            facts = facts.address("2001:db8::10", false);
        }
        if self.advertised {
            facts = facts.router("fe80::1");
        }
        if self.by_ssh {
            facts = facts.session("198.51.100.7:50122", "192.0.2.10:22");
        }
        facts
    }
}

/// What plainly follows.
fn follows(says: Says, is: Is) -> Vec<&'static str> {
    let no_frame = says.untagged_only && is.tagged;
    let dropped = |allowed: bool| no_frame || !(allowed || says.default_allows);
    let mut lost = Vec::new();
    if is.by_ssh && dropped(says.allows_ssh) {
        lost.extend(["session", "next"]);
    }
    if dropped(says.arp) {
        lost.push("arp");
    }
    if (is.v6) && dropped(says.nd) {
        lost.push("nd");
    }
    if is.leased && dropped(says.dhcp) {
        lost.push("lease");
    }
    // What routers say is never taken from one that is not listed.
    if is.advertised && (dropped(says.nd) || !says.router) {
        lost.push("ra");
    }
    lost
}

#[test]
fn what_is_lost_is_what_follows_and_comes_back() {
    let (mut locked, mut free) = (0, 0);
    for says in Says::all() {
        let text = says.text();
        for is in Is::all() {
            let facts = is.facts(says.outbound != "ignore");
            let expected = follows(says, is);
            assert_eq!(lost(&text, &facts), expected, "{says:?} {is:?}\n{text}");
            if expected.is_empty() {
                free += 1;
            } else {
                locked += 1;
                // Reading YAML twice is the slow part.
                if (locked + free) % 7 == 0 {
                    assert_remedied(&text, &facts);
                }
            }
        }
    }
    assert!(locked > 10_000 && free > 1_000, "{locked} {free}");
}
