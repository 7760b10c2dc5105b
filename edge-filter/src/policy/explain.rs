//! What the policy would do to one packet, asked of the reference model, and
//! the policy's own tests.

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::model::Model;
use super::model::conversations::{Conversations, Tuple};
use super::packet::{self, PacketError};
use super::{Action, CounterId, Direction, Outbound, PacketSpec, PacketTest, Policy};

/// What becomes of one packet, and why. Serializes as `explain --json` prints
/// it: `{"action","id","line"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it passes.
    #[serde(serialize_with = "as_word")]
    pub action: Action,
    /// The id of the counter that moves, such as a rule's, or `drop:default`.
    pub id: String,
    /// The line of the policy on which the deciding rule begins, counted from
    /// 1; `None` when no rule decided.
    pub line: Option<usize>,
    /// The id of the rule that admits the packet as a reply once the trusted side
    /// has opened the conversation.
    #[serde(skip)]
    pub answers: Option<String>,
}

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExplainError {
    /// The packet cannot be built.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The packet meets no hook, and passes unseen.
    #[error(transparent)]
    NotAttached(#[from] NotAttached),
}

/// Why nothing is attached where a packet would be judged. Everything passes
/// there, and nothing is counted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAttached {
    /// The role says `outbound: ignore`.
    #[error(
        "interface `{interface}` has `outbound: ignore`: nothing is attached there, so every \
         outbound packet passes uncounted; write `outbound: enforce` to have them judged"
    )]
    Ignored {
        /// The role.
        interface: String,
    },
    /// No enabled rule asks for the hook.
    #[error(
        "interface `{interface}` has no enabled {direction} rule: nothing is attached there, so \
         every {direction} packet passes uncounted; write a rule to have them judged"
    )]
    NoRules {
        /// The role.
        interface: String,
        /// The side.
        direction: Direction,
    },
}

/// One of the policy's own tests, run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome<'p> {
    /// The test, with what it expects.
    pub test: &'p PacketTest,
    /// What came of its packet.
    pub got: Result<Explanation, ExplainError>,
}

impl TestOutcome<'_> {
    /// Whether the packet fared as the test expects. Without a verdict no test
    /// passes, whatever it expects.
    #[must_use]
    pub fn passed(&self) -> bool {
        let expect = &self.test.expect;
        self.got.as_ref().is_ok_and(|got| {
            got.action == expect.action && expect.rule.as_ref().is_none_or(|id| *id == got.id)
        })
    }
}

/// What `policy` does to the packet that `spec` describes.
pub fn explain(policy: &Policy, spec: &PacketSpec) -> Result<Explanation, ExplainError> {
    let frame = packet::frame(policy, spec)?;
    must_be_attached(policy, spec)?;
    let model = Model::new(policy, &spec.interface, spec.direction, false)
        .ok_or_else(|| PacketError::UnknownInterface(spec.interface.clone()))?;
    let verdict = model.judge(&frame);
    let line = match &verdict.counter {
        CounterId::Rule(id) | CounterId::AuditRule(id) | CounterId::Reply(id) => policy
            .rules
            .iter()
            .find(|rule| rule.id == *id)
            .map(|rule| rule.line),
        _ => None,
    };
    let mut opened = Conversations::default();
    opened.record(conversation_answered(spec), 0, 0);
    let answers = match model.judge_at(&frame, 0, &mut opened).counter {
        CounterId::Reply(id) if verdict.counter != CounterId::Reply(id.clone()) => Some(id),
        _ => None,
    };
    Ok(Explanation {
        action: verdict.action,
        id: verdict.counter.to_string(),
        line,
        answers,
    })
}

/// Every test of `policy`, in file order.
#[must_use]
pub fn run_tests(policy: &Policy) -> Vec<TestOutcome<'_>> {
    let run = |test: &'_ PacketTest| explain(policy, &test.packet);
    policy
        .tests
        .iter()
        .map(|test| TestOutcome {
            test,
            got: run(test),
        })
        .collect()
}

/// The conversation that the packet answers, if it is a reply.
fn conversation_answered(spec: &PacketSpec) -> Tuple {
    Tuple {
        source: spec.destination,
        destination: spec.source,
        protocol: spec.protocol,
        ports: (
            spec.destination_port.unwrap_or_default(),
            spec.source_port.unwrap_or(packet::DEFAULT_SOURCE_PORT),
        ),
    }
}

/// Whether the hook that `spec` names exists at all (`outbound: ignore`; hooks
/// without enabled rules are not attached either).
fn must_be_attached(policy: &Policy, spec: &PacketSpec) -> Result<(), NotAttached> {
    let (interface, direction) = (spec.interface.clone(), spec.direction);
    if policy.is_attached(&interface, direction) {
        return Ok(());
    }
    let ignored = policy
        .interface(&interface)
        .is_some_and(|role| role.outbound == Outbound::Ignore);
    Err(if direction == Direction::Outbound && ignored {
        NotAttached::Ignored { interface }
    } else {
        NotAttached::NoRules {
            interface,
            direction,
        }
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn as_word<S: Serializer>(action: &Action, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(action.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::model::tests::{EXTERNAL, Hook};
    use crate::policy::{Expectation, Mode};

    fn https(direction: Direction) -> PacketSpec {
        PacketSpec {
            interface: EXTERNAL.to_owned(),
            direction,
            protocol: 6,
            source: "198.51.100.7".parse().unwrap(),
            source_port: None,
            destination: "192.0.2.10".parse().unwrap(),
            destination_port: Some(443),
            tcp_flags: None,
        }
    }

    fn json(policy: &Policy, spec: &PacketSpec) -> String {
        serde_json::to_string(&explain(policy, spec).unwrap()).unwrap()
    }

    #[test]
    fn the_deciding_rule_is_named_with_its_line() {
        let policy =
            Hook::inbound(&["sip: allow tcp port 5061", "https: allow tcp port 443"]).policy;
        let spec = https(Direction::Inbound);
        assert_eq!(
            json(&policy, &spec),
            r#"{"action":"allow","id":"https","line":2}"#
        );
    }

    #[test]
    fn without_a_rule_there_is_no_line() {
        let policy = Hook::inbound(&["sip: allow tcp port 5061"]).policy;
        let spec = https(Direction::Inbound);
        assert_eq!(
            json(&policy, &spec),
            r#"{"action":"drop","id":"drop:default","line":null}"#
        );
    }

    #[test]
    fn an_audited_rule_has_a_line_too() {
        let hook = Hook::inbound(&["not: drop tcp"]).with(|policy| policy.mode = Mode::Audit);
        let spec = https(Direction::Inbound);
        assert_eq!(
            json(&hook.policy, &spec),
            r#"{"action":"allow","id":"audit:not","line":1}"#
        );
    }

    #[test]
    fn a_packet_that_nothing_judges_has_no_explanation() {
        let ignored = Hook::outbound(&["out: allow"])
            .with(|policy| policy.interfaces[0].outbound = Outbound::Ignore);
        let interface = EXTERNAL.to_owned();
        assert_eq!(
            explain(&ignored.policy, &https(Direction::Outbound)),
            Err(NotAttached::Ignored {
                interface: interface.clone()
            }
            .into())
        );
        let direction = Direction::Inbound;
        assert_eq!(
            explain(&ignored.policy, &https(direction)),
            Err(NotAttached::NoRules {
                interface,
                direction
            }
            .into())
        );
    }

    #[test]
    fn a_packet_that_cannot_be_built_has_no_explanation() {
        let policy = Hook::inbound(&["all: allow"]).policy;
        let portless = PacketSpec {
            destination_port: None,
            ..https(Direction::Inbound)
        };
        assert_eq!(
            explain(&policy, &portless),
            Err(PacketError::NoDestinationPort(6).into())
        );
        let elsewhere = PacketSpec {
            interface: "dmz".to_owned(),
            ..https(Direction::Inbound)
        };
        assert_eq!(
            explain(&policy, &elsewhere),
            Err(PacketError::UnknownInterface("dmz".to_owned()).into())
        );
    }

    #[test]
    fn a_test_passes_when_action_and_named_counter_agree() {
        let expectations = [
            (Action::Allow, None, true),
            (Action::Allow, Some("https"), true),
            (Action::Allow, Some("sip"), false),
            (Action::Drop, None, false),
            (Action::Drop, Some("https"), false),
        ];
        let hook = Hook::inbound(&["https: allow tcp port 443"]).with(|policy| {
            policy.tests = expectations
                .iter()
                .map(|(action, rule, _)| PacketTest {
                    name: "https".to_owned(),
                    packet: https(Direction::Inbound),
                    expect: Expectation {
                        action: *action,
                        rule: rule.map(str::to_owned),
                    },
                    line: 9,
                })
                .collect();
        });
        let passed: Vec<bool> = run_tests(&hook.policy)
            .iter()
            .map(TestOutcome::passed)
            .collect();
        assert_eq!(passed, expectations.map(|(_, _, passes)| passes));
    }

    #[test]
    fn a_test_without_a_verdict_fails() {
        let hook = Hook::inbound(&["https: allow"]).with(|policy| {
            policy.interfaces[0].outbound = Outbound::Ignore;
            policy.tests = vec![PacketTest {
                name: "nothing is attached".to_owned(),
                packet: https(Direction::Outbound),
                expect: Expectation {
                    action: Action::Allow,
                    rule: None,
                },
                line: 9,
            }];
        });
        let outcomes = run_tests(&hook.policy);
        assert!(matches!(outcomes[0].got, Err(ExplainError::NotAttached(_))));
        assert!(!outcomes[0].passed());
    }
}
