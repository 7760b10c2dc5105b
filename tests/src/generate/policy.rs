//! Random policies, resolved as the compiler takes them.

use std::collections::BTreeSet;

use edge_filter::policy::{
    Action, Direction, Endpoint, Essentials, Flows, Interface, Mode, Outbound, Policy, Ports, Rule,
    Taken, Transport, Trust,
};
use ipnet::IpNet;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::pool::{Family, Pool, Width, network, port_range};
use super::{Dice, any, chance};

/// The role whose inbound hook has as many rules as were asked for.
pub const MAIN_ROLE: &str = "external";

const OTHER_ROLES: [&str; 2] = ["internal", "dmz"];
/// MPLS, `PPPoE`, PTP, and a tag, which as a third one is a type like others.
const ETHERTYPES: [u16; 4] = [0x8847, 0x8864, 0x88f7, 0x8100];
pub(super) const VLANS: [u16; 5] = [0, 1, 5, 100, 4094];
const GROUPS: [&str; 3] = ["federation", "clients", "trial"];
/// With ports, then without, then those that IPv6 takes for extension headers.
const WITH_PORTS: [u8; 3] = [6, 17, 132];
const PORTLESS: [u8; 9] = [1, 58, 47, 50, 2, 255, 0, 44, 51];

/// So many of so many late rules may be wide.
const WIDE: u32 = 84;
const WIDE_OF: usize = 700;

/// A hook by name.
type Hook = (String, Direction);

/// A policy with `rules` rules, at least one, on the inbound hook of
/// [`MAIN_ROLE`], and up to a dozen on each other hook.
#[must_use]
pub fn policy(dice: &mut Dice, rules: usize) -> Policy {
    let mut pool = Pool::new(dice, rules);
    let others = dice.random_range(0..=OTHER_ROLES.len());
    let interfaces: Vec<Interface> = std::iter::once(MAIN_ROLE)
        .chain(OTHER_ROLES[..others].iter().copied())
        .map(|name| interface(dice, &mut pool, name))
        .collect();
    let mode = if chance(dice, 10) {
        Mode::Audit
    } else {
        Mode::Enforce
    };
    let mut policy = Policy {
        name: "generated".to_owned(),
        hash: "0".repeat(64),
        mode,
        essentials: essentials(dice, &mut pool),
        ethertypes: subset(dice, &ETHERTYPES),
        flows: Flows::default(),
        default_action: action(dice, 20),
        rules: Vec::new(),
        tests: Vec::new(),
        taken: Taken::default(),
        interfaces,
    };
    let hooks = hooks(dice, &policy.interfaces, rules);
    let audited: Vec<bool> = GROUPS
        .iter()
        .map(|_| policy.mode == Mode::Audit || chance(dice, 20))
        .collect();
    for (index, hook) in hooks.iter().enumerate() {
        let previous = policy.rules_of(&hook.0, hook.1).last().cloned();
        let mut rule = match previous {
            Some(previous) if chance(dice, 25) => varied(dice, &mut pool, previous),
            _ => {
                let width = width_at(dice, index, hooks.len());
                fresh_rule(dice, &mut pool, width)
            }
        };
        let group = dice.random_range(0..GROUPS.len());
        rule.id = format!("{}-{}-{index}", hook.0, hook.1);
        GROUPS[group].clone_into(&mut rule.group);
        rule.interface.clone_from(&hook.0);
        rule.direction = hook.1;
        rule.audit = audited[group];
        rule.drops_replies = rule.action == Action::Drop && chance(dice, 10);
        rule.line = index + 1;
        policy.rules.push(rule);
    }
    policy
}

/// Exchanges the two sides of [`MAIN_ROLE`], so that its outbound hook has the
/// many rules, and is attached.
pub fn turn(policy: &mut Policy) {
    for rule in &mut policy.rules {
        if rule.interface == MAIN_ROLE {
            rule.direction = match rule.direction {
                Direction::Inbound => Direction::Outbound,
                Direction::Outbound => Direction::Inbound,
            };
        }
    }
    for interface in &mut policy.interfaces {
        if interface.outbound == Outbound::Ignore {
            interface.outbound = Outbound::Enforce;
        }
    }
}

/// Wide rules stand last, as people write them; else nothing behind them would
/// ever be met. For the same reason a hook has a few dozen of them, however
/// many rules it has.
fn width_at(dice: &mut Dice, index: usize, rules: usize) -> Width {
    let late = dice.random_range(0..rules) + rules / 4 < index;
    let of = u32::try_from(rules.max(WIDE_OF)).expect("far fewer than 2^32 rules");
    if late && dice.random_ratio(WIDE, of) {
        Width::Any
    } else {
        Width::Narrow
    }
}

/// The hook of every rule, in file order.
fn hooks(dice: &mut Dice, interfaces: &[Interface], main: usize) -> Vec<Hook> {
    let mut hooks = vec![(MAIN_ROLE.to_owned(), Direction::Inbound); main.max(1)];
    for interface in interfaces {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let is_main = interface.name == MAIN_ROLE && direction == Direction::Inbound;
            let ignored =
                direction == Direction::Outbound && interface.outbound == Outbound::Ignore;
            if !is_main && !ignored {
                let hook = (interface.name.clone(), direction);
                hooks.extend(vec![hook; dice.random_range(0..12)]);
            }
        }
    }
    hooks.shuffle(dice);
    hooks
}

fn interface(dice: &mut Dice, pool: &mut Pool, name: &str) -> Interface {
    let family = Family::either(dice);
    let protects = if chance(dice, 30) {
        vec![pool.network(dice, family, Width::Narrow)]
    } else {
        Vec::new()
    };
    Interface {
        name: name.to_owned(),
        devices: vec![format!("{name}0")],
        outbound: any(
            dice,
            &[Outbound::Enforce, Outbound::Track, Outbound::Ignore],
        ),
        trust: any(dice, &[Trust::Untrusted, Trust::Untrusted, Trust::Trusted]),
        vlans: chance(dice, 30).then(|| {
            let mut vlans = subset(dice, &VLANS);
            vlans.insert(any(dice, &VLANS));
            vlans
        }),
        protects,
    }
}

fn essentials(dice: &mut Dice, pool: &mut Pool) -> Essentials {
    let routers = dice.random_range(0..3);
    Essentials {
        arp: action(dice, 70),
        nd: action(dice, 70),
        mld: action(dice, 70),
        icmp_errors: action(dice, 70),
        link_control: action(dice, 70),
        ping: action(dice, 40),
        dhcp_client: action(dice, 40),
        router_advertisements: (0..routers)
            .map(|_| pool.network(dice, Family::V6, Width::Any))
            .collect(),
    }
}

fn action(dice: &mut Dice, allowed_percent: u32) -> Action {
    if chance(dice, allowed_percent) {
        Action::Allow
    } else {
        Action::Drop
    }
}

fn subset(dice: &mut Dice, of: &[u16]) -> BTreeSet<u16> {
    of.iter().copied().filter(|_| chance(dice, 40)).collect()
}

/// A rule that still belongs to no hook.
fn fresh_rule(dice: &mut Dice, pool: &mut Pool, width: Width) -> Rule {
    let families: &[Family] = match dice.random_range(0..10) {
        0..5 => &[Family::V4],
        5..8 => &[Family::V6],
        _ => &[Family::V4, Family::V6],
    };
    let (transports, source_ports) = transports(dice, width);
    let narrow = width == Width::Narrow;
    let mut from = endpoint(dice, pool, families, width, if narrow { 50 } else { 40 });
    from.ports = source_ports;
    Rule {
        id: String::new(),
        group: String::new(),
        interface: String::new(),
        direction: Direction::Inbound,
        from,
        to: endpoint(dice, pool, families, width, if narrow { 0 } else { 40 }),
        transports,
        action: action(dice, 60),
        drops_replies: false,
        audit: false,
        comment: None,
        refs: Vec::new(),
        expires: None,
        line: 0,
    }
}

/// One side of a rule, which is any address in `any_percent` of all cases.
fn endpoint(
    dice: &mut Dice,
    pool: &mut Pool,
    families: &[Family],
    width: Width,
    any_percent: u32,
) -> Endpoint {
    let networks: Option<Vec<IpNet>> = (!chance(dice, any_percent)).then(|| {
        let more = any(dice, &[0, 0, 0, 1, 2]);
        let mut networks: Vec<IpNet> = families
            .iter()
            .map(|family| pool.network(dice, *family, width))
            .collect();
        networks.extend((0..more).map(|_| {
            let family = any(dice, families);
            pool.network(dice, family, width)
        }));
        networks
    });
    let mut except = Vec::new();
    if chance(dice, 20) {
        for _ in 0..dice.random_range(1..3) {
            except.push(exception(dice, pool, networks.as_deref(), families));
        }
    }
    Endpoint {
        networks,
        except,
        ports: Ports::new(),
    }
}

/// Mostly a part of one of `networks`; else anything.
fn exception(
    dice: &mut Dice,
    pool: &mut Pool,
    networks: Option<&[IpNet]>,
    families: &[Family],
) -> IpNet {
    if let Some(networks) = networks
        && chance(dice, 80)
    {
        let whole = any(dice, networks);
        let length = whole.prefix_len().saturating_add(dice.random_range(1..8));
        let edge = any(dice, &[whole.network(), whole.broadcast()]);
        return network(edge, length.min(whole.max_prefix_len()));
    }
    let family = any(dice, families);
    pool.network(dice, family, Width::Narrow)
}

/// Protocols with their destination ports, and the rule's source ports, which
/// only a rule of protocols with ports can have.
fn transports(dice: &mut Dice, width: Width) -> (Vec<Transport>, Ports) {
    let bare = |protocol| Transport {
        protocol,
        ports: Ports::new(),
    };
    match dice.random_range(0..20) {
        0 => (Vec::new(), Ports::new()),
        1..4 => (vec![bare(any(dice, &PORTLESS))], Ports::new()),
        4 => {
            let mixed = vec![bare(any(dice, &PORTLESS)), with_ports(dice, width)];
            (mixed, Ports::new())
        }
        roll => {
            let count = any(dice, &[1, 1, 1, 2, 3]);
            let transports = (0..count).map(|_| with_ports(dice, width)).collect();
            let source_ports = if roll < 8 {
                ports(dice, width)
            } else {
                Ports::new()
            };
            (transports, source_ports)
        }
    }
}

fn with_ports(dice: &mut Dice, width: Width) -> Transport {
    let protocol = any(
        dice,
        &[WITH_PORTS[0], WITH_PORTS[0], WITH_PORTS[1], WITH_PORTS[2]],
    );
    let ports = if chance(dice, 85) {
        ports(dice, width)
    } else {
        Ports::new()
    };
    Transport { protocol, ports }
}

fn ports(dice: &mut Dice, width: Width) -> Ports {
    let count = any(dice, &[1, 1, 1, 2, 4]);
    (0..count).map(|_| port_range(dice, width)).collect()
}

/// A rule much like the one before it on its hook, and mostly of the other
/// verdict, so that their order matters.
fn varied(dice: &mut Dice, pool: &mut Pool, mut rule: Rule) -> Rule {
    if chance(dice, 80) {
        rule.action = match rule.action {
            Action::Allow => Action::Drop,
            Action::Drop => Action::Allow,
        };
    }
    match dice.random_range(0..5) {
        0 => {
            let families = [Family::V4, Family::V6];
            rule.from = Endpoint {
                ports: std::mem::take(&mut rule.from.ports),
                ..endpoint(dice, pool, &families, Width::Any, 60)
            };
        }
        1 => rule.to.except.clear(),
        2 => rule.from.ports.clear(),
        3 => {
            for range in rule
                .transports
                .iter_mut()
                .flat_map(|transport| &mut transport.ports)
            {
                *range = *range.start()..=range.end().saturating_add(1);
            }
        }
        _ => {
            for network in rule.to.networks.iter_mut().flatten() {
                *network = network.supernet().unwrap_or(*network);
            }
        }
    }
    rule
}
