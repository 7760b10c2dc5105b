//! Frames that a policy has an opinion on.

use edge_filter::policy::model::Model;
use edge_filter::policy::{CounterId, Direction, Interface, Policy, Rule};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::draft::{DESTINATION_MAC, Draft, ethernet};
use super::flow::{EXTENSION_HEADERS, Flow};
use super::{Dice, any, bytes, chance, essentials, faults};

/// A word of the compiled rules: rules from this one on stand in a later word.
const WORD: usize = 64;
/// How often a frame is drawn anew because no wanted rule matched it.
const TRIES: usize = 12;

/// Where the frames of one hook come from.
#[derive(Debug)]
pub struct Frames<'p> {
    policy: &'p Policy,
    role: &'p Interface,
    rules: Vec<&'p Rule>,
    /// Steers draws towards rules that are still met, and decides nothing else.
    model: Model<'p>,
}

/// One frame for the hook of `interface` and `direction`, which must be a role
/// of `policy`. For many frames of one hook, [`Frames`] is quicker.
#[must_use]
pub fn frame(dice: &mut Dice, policy: &Policy, interface: &str, direction: Direction) -> Vec<u8> {
    Frames::new(policy, interface, direction).draw(dice)
}

impl<'p> Frames<'p> {
    /// The frames of one hook.
    ///
    /// # Panics
    /// When `policy` has no role `interface`.
    #[must_use]
    pub fn new(policy: &'p Policy, interface: &'p str, direction: Direction) -> Self {
        let role = policy
            .interface(interface)
            .expect("the policy has the role");
        let model = Model::new(policy, interface, direction, false).expect("as above");
        let rules = policy.rules_of(interface, direction).collect();
        Self {
            policy,
            role,
            rules,
            model,
        }
    }

    /// One frame, of at least 14 and at most about 500 bytes. Three in five
    /// are met by a rule, most of the rest only just not.
    #[must_use]
    pub fn draw(&self, dice: &mut Dice) -> Vec<u8> {
        match dice.random_range(0..100) {
            0..30 => self.hit(dice, WORD),
            30..64 => self.hit(dice, 0),
            64..76 => self.near_miss(dice),
            76..82 => self.error(dice),
            82..89 => self.essential(dice),
            89..92 => self.other_ethertype(dice),
            92..97 => self.spoiled(dice),
            _ => {
                let mut frame = self.hit(dice, 0);
                faults::spoil_bytes(dice, &mut frame);
                frame
            }
        }
    }

    /// A frame at the edges of `rule`, on either side of them; `None` where
    /// IPv6 has no such protocol, or its exceptions leave nothing of the rule.
    pub(super) fn around(&self, dice: &mut Dice, rule: &Rule) -> Option<Vec<u8>> {
        let flow = if chance(dice, 60) {
            Flow::inside(dice, rule, &self.rules)
        } else {
            Flow::beside(dice, rule, &self.rules)
        };
        self.dressed(dice, &flow?).map(|draft| draft.frame())
    }

    /// A frame that a rule decides, the one numbered `from` (counted from 0) or
    /// a later one if there are any; after some tries, whatever came last.
    fn hit(&self, dice: &mut Dice, from: usize) -> Vec<u8> {
        let wanted = self.rules.get(from..).filter(|rules| !rules.is_empty());
        let wanted = wanted.unwrap_or(&self.rules);
        let mut frame = self.near_miss(dice);
        for _ in 0..TRIES {
            let Some(rule) = wanted.choose(dice) else {
                break;
            };
            let Some(flow) = Flow::inside(dice, rule, &self.rules) else {
                continue;
            };
            let Some(draft) = self.dressed(dice, &flow) else {
                continue;
            };
            frame = draft.frame();
            if let CounterId::Rule(id) | CounterId::AuditRule(id) = self.model.judge(&frame).counter
                && wanted.iter().any(|rule| rule.id == id)
            {
                break;
            }
        }
        frame
    }

    /// A frame one step from a rule's edge, which another rule may well match.
    fn near_miss(&self, dice: &mut Dice) -> Vec<u8> {
        let flow = (0..TRIES).find_map(|_| {
            let rule = self.rules.choose(dice)?;
            let flow = Flow::beside(dice, rule, &self.rules)?;
            self.dressed(dice, &flow)
        });
        flow.map_or_else(|| essentials::arp(dice), |draft| draft.frame())
    }

    /// A well-formed packet of `flow`, tagged as the role allows, with now and
    /// then what changes nothing. `None` if IPv6 has no such protocol.
    fn dressed(&self, dice: &mut Dice, flow: &Flow) -> Option<Draft> {
        let no_protocol = flow.protocol == 59 || EXTENSION_HEADERS.contains(&flow.protocol);
        if flow.source.is_ipv6() && no_protocol {
            return None;
        }
        let mut draft = Draft::of(dice, flow);
        draft.tags = faults::tags(dice, self.role);
        if chance(dice, 15) {
            faults::extend(dice, &mut draft);
        }
        Some(draft)
    }

    /// An ICMP error about what the hook may have let through.
    fn error(&self, dice: &mut Dice) -> Vec<u8> {
        let rule = self.rules.choose(dice);
        match rule.and_then(|rule| essentials::icmp_error(dice, rule, &self.rules)) {
            Some(mut draft) => {
                draft.tags = faults::tags(dice, self.role);
                draft.frame()
            }
            None => essentials::ping(dice).frame(),
        }
    }

    fn essential(&self, dice: &mut Dice) -> Vec<u8> {
        let mut draft = match dice.random_range(0..6) {
            0 => return essentials::arp(dice),
            1 => return essentials::link_control(dice),
            2 => essentials::ping(dice),
            3 => essentials::dhcp(dice),
            _ => essentials::discovery(dice, self.policy),
        };
        draft.tags = faults::tags(dice, self.role);
        draft.frame()
    }

    /// Something that is neither IP nor ARP, listed or not.
    fn other_ethertype(&self, dice: &mut Dice) -> Vec<u8> {
        let listed: Vec<u16> = self.policy.ethertypes.iter().copied().collect();
        let ethertype = match listed.choose(dice) {
            Some(ethertype) if chance(dice, 60) => *ethertype,
            _ => any(
                dice,
                &[0x8847, 0x8848, 0x88f7, 0x9000, 0x05dc, 0x0600, 0x0805],
            ),
        };
        let payload = bytes(dice, 30);
        ethernet(
            DESTINATION_MAC,
            &faults::tags(dice, self.role),
            ethertype,
            &payload,
        )
    }

    /// A packet that a rule would match but for one fault.
    fn spoiled(&self, dice: &mut Dice) -> Vec<u8> {
        let draft = (0..TRIES).find_map(|_| {
            let rule = self.rules.choose(dice)?;
            let flow = Flow::inside(dice, rule, &self.rules)?;
            self.dressed(dice, &flow)
        });
        let Some(mut draft) = draft else {
            return self.essential(dice);
        };
        match &self.role.vlans {
            Some(vlans) if chance(dice, 20) => {
                draft.tags = faults::stray_tag(dice, vlans).into_iter().collect();
            }
            _ => faults::spoil(dice, &mut draft),
        }
        draft.frame()
    }
}
