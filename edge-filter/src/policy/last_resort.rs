//! The policy of last resort: what is enforced where a policy was committed and cannot be
//! read any more.
//!
//! It drops what arrives, but for the essentials and for what the management rules allow, if
//! there are such. Those are a policy like any other; here it is closed: its default and its
//! audits drop, what has expired still holds, and the devices that it does not name are
//! closed as well, or play its one role without devices.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_yaml::{Mapping, Value};

use super::Policy;
use super::reader::read;

/// The name of the policy where there are no management rules, of the role of devices that
/// nobody names, and of the rules that close.
pub const NAME: &str = "last-resort";

/// A policy of last resort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastResort {
    /// The policy.
    pub policy: Policy,
    /// Its text, for the record.
    pub text: String,
}

/// What closes `devices`; none if there are none.
///
/// # Panics
/// A name among them is not one that a device can have.
#[must_use]
pub fn alone(devices: &BTreeSet<String>) -> Option<LastResort> {
    if devices.is_empty() {
        return None;
    }
    let text = format!(
        "version: 1\nname: {NAME}\ninterfaces: {{}}\nessentials: {{ dhcp-client: allow }}\n\
         default_action: drop\ngroups: []\n"
    );
    let document = serde_yaml::from_str(&text).expect("it is YAML");
    let closed = close(document, devices).and_then(|closed| finish(&closed));
    Some(closed.expect("it is a policy"))
}

/// The same with the management rules of `text`, which lies in `file`.
///
/// # Errors
/// They are no policy, as messages for people say it, or have several roles without devices.
pub fn with_management(
    file: &str,
    text: &str,
    devices: &BTreeSet<String>,
) -> Result<LastResort, String> {
    // Who is let in to repair the host is not let in too long.
    read(file, text, Date::MIN).map_err(|errors| errors.to_string())?;
    let document = serde_yaml::from_str(text).map_err(|error| format!("{file}: {error}"))?;
    close(document, devices)
        .and_then(|closed| finish(&closed))
        .map_err(|error| format!("{file}: {error}"))
}

fn finish(document: &Mapping) -> Result<LastResort, String> {
    let text = serde_yaml::to_string(document).map_err(|error| error.to_string())?;
    let checked = read("the policy of last resort", &text, Date::MIN);
    Ok(LastResort {
        policy: checked.map_err(|errors| errors.to_string())?.policy,
        text,
    })
}

/// Takes out of a policy what would let more pass than its rules allow, and closes every
/// role and every other device.
fn close(mut document: Mapping, devices: &BTreeSet<String>) -> Result<Mapping, String> {
    document.insert("default_action".into(), "drop".into());
    document.remove("mode");
    document.remove("tests");
    let mut ids = BTreeSet::new();
    for group in items(&mut document, "groups") {
        let Value::Mapping(group) = group else {
            continue;
        };
        group.remove("mode");
        for rule in items(group, "rules") {
            if let Value::Mapping(rule) = rule {
                rule.remove("expires");
                ids.extend(rule.get("id").and_then(Value::as_str).map(str::to_owned));
            }
        }
    }
    let roles = close_interfaces(&mut document, devices)?;
    let closing = roles.into_iter().map(|role| {
        let id = unused(&format!("{NAME}-{role}"), &ids);
        ids.insert(id.clone());
        mapping([
            ("id", id.into()),
            ("interface", role.into()),
            ("direction", "inbound".into()),
            ("action", "drop".into()),
        ])
    });
    let closing = Value::Sequence(closing.collect());
    let group = mapping([("name", NAME.into()), ("rules", closing)]);
    if let Some(Value::Sequence(groups)) = document.get_mut("groups") {
        let names = groups.iter().filter_map(|group| group.get("name"));
        let names = names.filter_map(|name| name.as_str().map(str::to_owned));
        let name = unused(NAME, &names.collect());
        let mut group = group;
        group["name"] = name.into();
        groups.push(group);
    }
    Ok(document)
}

/// Gives the devices that no role names to the one that names none, or to a role of their
/// own; the names of all roles.
fn close_interfaces(
    document: &mut Mapping,
    devices: &BTreeSet<String>,
) -> Result<Vec<String>, String> {
    if !matches!(document.get("interfaces"), Some(Value::Mapping(_))) {
        document.insert("interfaces".into(), Value::Mapping(Mapping::new()));
    }
    let Some(Value::Mapping(interfaces)) = document.get_mut("interfaces") else {
        return Ok(Vec::new());
    };
    let mut others = devices.clone();
    let mut open = Vec::new();
    for (role, interface) in &mut *interfaces {
        let named = interface.get("devices").and_then(Value::as_sequence);
        match named {
            Some(named) => {
                for device in named.iter().filter_map(Value::as_str) {
                    others.remove(device);
                }
            }
            None => open.extend(role.as_str().map(str::to_owned)),
        }
    }
    let named = others.into_iter().map(Value::from).collect::<Vec<_>>();
    match &*open {
        [] if named.is_empty() => {}
        [] => {
            let taken = interfaces.keys().filter_map(Value::as_str);
            let role = unused(NAME, &taken.map(str::to_owned).collect());
            let closed = mapping([("devices", Value::Sequence(named))]);
            interfaces.insert(role.into(), closed);
        }
        [role] if named.is_empty() => {
            return Err(format!(
                "the role '{role}' names no device, and stands for those that no other role \
                 names, but there are none"
            ));
        }
        [role] => {
            let interface = interfaces.entry(role.as_str().into());
            let interface = interface.or_insert(Value::Null);
            if interface.is_null() {
                *interface = Value::Mapping(Mapping::new());
            }
            interface["devices"] = Value::Sequence(named);
        }
        [one, other, ..] => {
            return Err(format!(
                "the roles '{one}' and '{other}' name no devices: only one role may, which then \
                 stands for all that no other role names"
            ));
        }
    }
    let roles = interfaces.keys().filter_map(Value::as_str);
    Ok(roles.map(str::to_owned).collect())
}

fn items<'d>(mapping: &'d mut Mapping, key: &str) -> impl Iterator<Item = &'d mut Value> {
    let list = mapping.get_mut(key).and_then(Value::as_sequence_mut);
    list.into_iter().flatten()
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
    Value::Mapping(entries.collect())
}

/// `name`, or the first of `name-2`, `name-3`, … that is not taken.
fn unused(name: &str, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .expect("there are more numbers than names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Action, Direction, Mode};

    const MANAGEMENT: &str = r#"version: 1
name: management
mode: audit
interfaces:
  office: { devices: [eth0] }
default_action: allow
groups:
  - name: ssh
    rules:
      - { id: ssh, interface: office, direction: inbound, from: { networks: ["2001:db8::/32"] }, to: { ports: [22] }, protocol: tcp, action: allow, expires: 2001-01-01 }
"#;

    fn devices(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn devices_of<'p>(policy: &'p Policy, role: &str) -> Vec<&'p str> {
        let interface = policy.interface(role).expect("there is such a role");
        interface.devices.iter().map(|name| &**name).collect()
    }

    #[test]
    fn alone_it_closes_every_device() {
        assert_eq!(alone(&devices(&[])), None);
        // A name that YAML would take for something else.
        let LastResort { policy, .. } = alone(&devices(&["eth0", "null", "0x1"])).unwrap();
        assert_eq!(devices_of(&policy, NAME), ["0x1", "eth0", "null"]);
        assert_eq!(policy.default_action, Action::Drop);
        assert_eq!(policy.essentials.dhcp_client, Action::Allow);
        assert!(policy.is_attached(NAME, Direction::Inbound));
        assert!(!policy.is_attached(NAME, Direction::Outbound));
        assert!(policy.rules.iter().all(|rule| rule.action == Action::Drop));
    }

    #[test]
    fn with_management_rules_nothing_else_is_open() {
        let all = devices(&["eth0", "eth1"]);
        let LastResort { policy, text } =
            with_management("management.yaml", MANAGEMENT, &all).unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.default_action, Action::Drop);
        assert_eq!(devices_of(&policy, "office"), ["eth0"]);
        assert_eq!(devices_of(&policy, NAME), ["eth1"]);
        let ids: Vec<&str> = policy.rules.iter().map(|rule| &*rule.id).collect();
        assert_eq!(
            ids,
            ["ssh", "last-resort-office", "last-resort-last-resort"]
        );
        // What the record holds is read again later, on whichever day.
        let again = read("again", &text, Date::MAX).unwrap();
        assert_eq!(again.policy, policy);
    }

    #[test]
    fn a_role_without_devices_stands_for_all_others() {
        let all = devices(&["eth0", "eth1"]);
        let text = MANAGEMENT.replace("{ devices: [eth0] }", "{}");
        let LastResort { policy, .. } = with_management("management.yaml", &text, &all).unwrap();
        assert_eq!(devices_of(&policy, "office"), ["eth0", "eth1"]);
        assert_eq!(policy.interfaces.len(), 1);
        let two = text.replace("  office: {}", "  office: {}\n  lab: {}");
        let error = with_management("management.yaml", &two, &all).unwrap_err();
        assert!(error.contains("'office' and 'lab'"), "{error}");
        assert!(with_management("management.yaml", &text, &devices(&[])).is_err());
    }

    #[test]
    fn the_documented_rules_can_be_used() {
        let documentation = include_str!("../../../docs/boot.md");
        let (_, rules) = documentation.split_once("```yaml\n").unwrap();
        let (rules, _) = rules.split_once("```").unwrap();
        let all = devices(&["eth0", "eth1"]);
        let LastResort { policy, .. } = with_management("management.yaml", rules, &all).unwrap();
        assert_eq!(devices_of(&policy, "any"), ["eth0", "eth1"]);
        assert_eq!(policy.rules[0].id, "ssh");
    }

    #[test]
    fn names_of_its_own_give_way() {
        let text = MANAGEMENT
            .replace("office", NAME)
            .replace("name: ssh", "name: last-resort")
            .replace("id: ssh", "id: last-resort-last-resort");
        let all = devices(&["eth0", "eth1"]);
        let LastResort { policy, .. } = with_management("management.yaml", &text, &all).unwrap();
        assert_eq!(devices_of(&policy, NAME), ["eth0"]);
        assert_eq!(devices_of(&policy, "last-resort-2"), ["eth1"]);
        let ids: Vec<&str> = policy.rules.iter().map(|rule| &*rule.id).collect();
        assert_eq!(
            ids,
            [
                "last-resort-last-resort",
                "last-resort-last-resort-2",
                "last-resort-last-resort-2-2"
            ]
        );
    }

    #[test]
    fn what_is_no_policy_is_named_with_file_and_line() {
        let text = MANAGEMENT.replace("[22]", "[22022022]");
        let error = with_management("management.yaml", &text, &devices(&["eth0"])).unwrap_err();
        assert!(error.contains("management.yaml:10:"), "{error}");
    }
}
