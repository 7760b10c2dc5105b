//! The fields of a rule, in the words of the policy language.

use ipnet::IpNet;

use super::{FieldChange, Value, change};
use crate::policy::describe::protocol_name;
use crate::policy::{Action, Ports, Rule};

/// What `after` says differently. Where the whole policy goes over to the other mode, that
/// is no change of each rule.
pub(super) fn changes(before: &Rule, after: &Rule, modes_differ: bool) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut compare = |field: &str, of: &dyn Fn(&Rule) -> Option<Value>| {
        changes.extend(change(field, of(before), of(after)));
    };
    compare("group", &|rule| one(&rule.group));
    compare("interface", &|rule| one(&rule.interface));
    compare("direction", &|rule| one(&rule.direction));
    compare("from.networks", &|rule| {
        networks(rule.from.networks.as_deref())
    });
    compare("from.except", &|rule| some_networks(&rule.from.except));
    compare("from.ports", &|rule| some(ports(&rule.from.ports)));
    compare("to.networks", &|rule| networks(rule.to.networks.as_deref()));
    compare("to.except", &|rule| some_networks(&rule.to.except));
    compare("service", &|rule| some(transports(rule)));
    compare("action", &|rule| one(&rule.action));
    compare("replies", &|rule| {
        rule.drops_replies.then(|| Value::One("drop".to_owned()))
    });
    // Of an allow rule there is nothing to audit.
    let is_drop = |rule: &Rule| rule.action == Action::Drop;
    if !modes_differ && is_drop(before) && is_drop(after) {
        compare("mode", &|rule| {
            one(if rule.audit { "audit" } else { "enforce" })
        });
    }
    compare("comment", &|rule| rule.comment.clone().map(Value::One));
    compare("refs", &|rule| some(rule.refs.clone()));
    compare("expires", &|rule| rule.expires.as_ref().and_then(one));
    changes
}

/// Any word.
#[expect(clippy::unnecessary_wraps, reason = "fields may have no value")]
pub(super) fn one<T: ToString + ?Sized>(word: &T) -> Option<Value> {
    Some(Value::One(word.to_string()))
}

/// A list that stands for nothing if it is empty.
pub(super) fn some(words: Vec<String>) -> Option<Value> {
    (!words.is_empty()).then_some(Value::Many(words))
}

/// The same of networks.
pub(super) fn some_networks(networks: &[IpNet]) -> Option<Value> {
    some(networks.iter().map(ToString::to_string).collect())
}

fn networks(networks: Option<&[IpNet]>) -> Option<Value> {
    networks.and_then(some_networks)
}

fn ports(ranges: &Ports) -> Vec<String> {
    let range = |range: &std::ops::RangeInclusive<u16>| {
        let (low, high) = (range.start(), range.end());
        if low == high {
            low.to_string()
        } else {
            format!("{low}-{high}")
        }
    };
    ranges.iter().map(range).collect()
}

/// Each protocol with each of its ports, as `tcp 5061`.
fn transports(rule: &Rule) -> Vec<String> {
    let transports = rule.transports.iter();
    transports
        .flat_map(|transport| {
            let protocol = protocol_name(transport.protocol);
            if transport.ports.is_empty() {
                return vec![protocol];
            }
            let ports = ports(&transport.ports).into_iter();
            ports.map(|port| format!("{protocol} {port}")).collect()
        })
        .collect()
}
