//! The policy that judges the cases, and its variants: built directly, so that
//! the table depends on no parser.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use edge_filter::policy::{
    Action, Direction, Endpoint, Essentials, Flows, Interface, Mode, Outbound, Policy, Rule, Taken,
    Transport, Trust,
};
use ipnet::IpNet;

use super::hosts::{FRIEND, GATEWAY, Host, MONITOR, STRANGER};
use crate::craft::Family;

/// The role whose hooks judge the cases.
pub const ROLE: &str = "external";

/// What of the policy is not as [`policy`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing.
    Standard,
    /// Every essential is `drop`.
    NoEssentials,
    /// Every essential is `allow`, and router advertisements are taken from
    /// `fe80::1`.
    AllEssentials,
    /// Router advertisements are taken from `fe80::1`, `nd` is `drop`.
    RoutersWithoutNd,
    /// MPLS (0x8847), `PPPoE` sessions (0x8864) and 0x0600 may pass.
    Ethertypes,
    /// The role is trusted.
    Trusted,
    /// The group of the drop rules is in audit mode.
    AuditedGroup,
    /// `vlans: [untagged]`
    Untagged,
    /// `vlans: [100]`
    Vlan100,
    /// `vlans: [untagged, 100]`
    UntaggedAnd100,
    /// `vlans: [100, 200]`
    Vlans100And200,
}

/// A variant of the policy.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four switches, each independent of the others"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyVariant {
    /// What it changes in the role and in the essentials.
    pub kind: Kind,
    /// Would-be drops pass, and are counted as `audit:ID`.
    pub audit: bool,
    /// `default_action: allow`
    pub default_allow: bool,
    /// The rules are one for each direction, which allows everything:
    /// `anything` inbound, `anything-out` outbound.
    pub permissive: bool,
    /// `outbound: track`
    pub tracked: bool,
}

/// The id of a permissive policy's only inbound rule.
pub(super) const ANYTHING: &str = "anything";
/// The id of its only outbound rule.
pub(super) const ANYTHING_OUT: &str = "anything-out";

impl PolicyVariant {
    /// The standard rules, enforced, and a default of drop.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            audit: false,
            default_allow: false,
            permissive: false,
            tracked: false,
        }
    }

    /// The policy. Two variants never share a name or a hash.
    #[must_use]
    pub fn policy(self) -> Policy {
        let mut policy = policy();
        self.kind.change(&mut policy);
        if self.permissive {
            policy.rules = numbered(vec![rule(ANYTHING, Action::Allow), outbound(ANYTHING_OUT)]);
        }
        if self.tracked {
            policy.interfaces[0].outbound = Outbound::Track;
        }
        if self.default_allow {
            policy.default_action = Action::Allow;
        }
        if self.audit {
            policy.mode = Mode::Audit;
            for rule in &mut policy.rules {
                rule.audit = true;
            }
        }
        let flags = [
            (self.audit, "-audit"),
            (self.default_allow, "-allow"),
            (self.permissive, "-permissive"),
            (self.tracked, "-tracked"),
        ];
        policy.name = format!("cases-{:?}", self.kind);
        // No digest, but as long as one, and another for every variant.
        let mut number = self.kind as u32;
        for (set, word) in flags {
            number = number << 1 | u32::from(set);
            policy.name.push_str(if set { word } else { "" });
        }
        policy.hash = format!("{number:064x}");
        policy
    }
}

impl Kind {
    fn change(self, policy: &mut Policy) {
        let gateway = || vec![IpNet::from(IpAddr::from(GATEWAY))];
        let vlans = |ids: &[u16]| Some(ids.iter().copied().collect::<BTreeSet<_>>());
        let role = &mut policy.interfaces[0];
        match self {
            Self::Standard => {}
            Self::NoEssentials => policy.essentials = every_essential(Action::Drop),
            Self::AllEssentials => {
                policy.essentials = every_essential(Action::Allow);
                policy.essentials.router_advertisements = gateway();
            }
            Self::RoutersWithoutNd => {
                policy.essentials.nd = Action::Drop;
                policy.essentials.router_advertisements = gateway();
            }
            Self::Ethertypes => policy.ethertypes = [0x8847, 0x8864, 0x0600].into(),
            Self::Trusted => role.trust = Trust::Trusted,
            Self::AuditedGroup => {
                for rule in policy
                    .rules
                    .iter_mut()
                    .filter(|rule| rule.action == Action::Drop)
                {
                    "audited".clone_into(&mut rule.group);
                    rule.audit = true;
                }
            }
            Self::Untagged => role.vlans = vlans(&[0]),
            Self::Vlan100 => role.vlans = vlans(&[100]),
            Self::UntaggedAnd100 => role.vlans = vlans(&[0, 100]),
            Self::Vlans100And200 => role.vlans = vlans(&[100, 200]),
        }
    }
}

fn every_essential(action: Action) -> Essentials {
    Essentials {
        arp: action,
        nd: action,
        mld: action,
        icmp_errors: action,
        link_control: action,
        ping: action,
        dhcp_client: action,
        router_advertisements: Vec::new(),
    }
}

/// The policy that judges most cases: one untrusted role, essentials as they
/// are by default, a default of drop. No rule names a destination, so that land
/// and other strange destinations are not left to the rules.
#[must_use]
pub fn policy() -> Policy {
    Policy {
        name: "cases".to_owned(),
        hash: "0".repeat(64),
        mode: Mode::Enforce,
        interfaces: vec![Interface {
            name: ROLE.to_owned(),
            devices: Vec::new(),
            outbound: Outbound::Enforce,
            trust: Trust::Untrusted,
            vlans: None,
            protects: nets(&["192.0.2.8/29", "2001:db8::10/124"]),
        }],
        essentials: Essentials::default(),
        ethertypes: BTreeSet::new(),
        flows: Flows::default(),
        default_action: Action::Drop,
        rules: numbered(vec![
            ports("tcp-5062-no", Action::Drop, 6, 5062..=5062),
            ports("tcp-5061", Action::Allow, 6, 5061..=5062),
            ports("tcp-range", Action::Allow, 6, 50_000..=59_999),
            ports("udp-3478", Action::Allow, 17, 3478..=3478),
            ports("udp-67", Action::Allow, 17, 67..=67),
            ports("sctp-2905", Action::Allow, 132, 2905..=2905),
            transport(rule("esp", Action::Allow), 50, Vec::new()),
            from_host(
                transport(rule("icmp", Action::Allow), 1, Vec::new()),
                MONITOR,
            ),
            from_host(
                transport(rule("icmpv6", Action::Allow), 58, Vec::new()),
                MONITOR,
            ),
            friend(),
            out_tcp("out-tcp-8443-no", Action::Drop, 8443..=8443),
            out_tcp("out-tcp-443", Action::Allow, 443..=443),
            out_tcp("out-tcp-8443", Action::Allow, 8443..=8443),
        ]),
        tests: Vec::new(),
        taken: Taken::default(),
    }
}

/// A rule for everything, inbound.
fn rule(id: &str, action: Action) -> Rule {
    Rule {
        id: id.to_owned(),
        group: "cases".to_owned(),
        interface: ROLE.to_owned(),
        direction: Direction::Inbound,
        from: Endpoint::default(),
        to: Endpoint::default(),
        transports: Vec::new(),
        action,
        drops_replies: false,
        audit: false,
        comment: None,
        refs: Vec::new(),
        expires: None,
        line: 1,
    }
}

fn transport(rule: Rule, protocol: u8, ports: Vec<RangeInclusive<u16>>) -> Rule {
    Rule {
        transports: vec![Transport { protocol, ports }],
        ..rule
    }
}

fn ports(id: &str, action: Action, protocol: u8, ports: RangeInclusive<u16>) -> Rule {
    transport(rule(id, action), protocol, vec![ports])
}

/// A rule that allows everything, outbound.
fn outbound(id: &str) -> Rule {
    Rule {
        direction: Direction::Outbound,
        ..rule(id, Action::Allow)
    }
}

fn out_tcp(id: &str, action: Action, range: RangeInclusive<u16>) -> Rule {
    Rule {
        action,
        ..transport(outbound(id), 6, vec![range])
    }
}

fn from_host(rule: Rule, host: Host) -> Rule {
    let networks = Family::BOTH.map(|family| host.address(family).into());
    Rule {
        from: Endpoint {
            networks: Some(networks.into()),
            ..Endpoint::default()
        },
        ..rule
    }
}

/// Any protocol from the friend's networks, the stranger in them excepted.
fn friend() -> Rule {
    debug_assert!(nets(&["203.0.113.0/28"])[0].contains(&IpAddr::from(FRIEND.v4)));
    Rule {
        from: Endpoint {
            networks: Some(nets(&["203.0.113.0/28", "2001:db8:200::/48"])),
            except: Family::BOTH
                .map(|family| STRANGER.address(family).into())
                .into(),
            ports: Vec::new(),
        },
        ..rule("friend", Action::Allow)
    }
}

fn numbered(mut rules: Vec<Rule>) -> Vec<Rule> {
    for (line, rule) in (1..).zip(&mut rules) {
        rule.line = line;
    }
    rules
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| text.parse().expect("a network"))
        .collect()
}
