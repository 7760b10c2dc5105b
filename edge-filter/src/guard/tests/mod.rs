//! Policies as they are written, and hosts as they are found: what is lost, and whether
//! the remedy, pasted into the policy, gives it back.

mod matrix;
mod packets;

use std::fmt::Write;

use serde_yaml::Value;

use super::facts::{Address, Device, Facts, Layer, Session};
use super::judge::{LockOut, lock_out};
use super::needs;
use super::needs::Purpose;
use crate::policy::{self, Policy};

/// The role of every test.
const ROLE: &str = "external";
/// The device that plays it.
const DEVICE: &str = "eth7";

/// A policy of one role whose mapping is `role`, with `rules`, and `rest` at its end.
fn text(role: &str, rules: &[&str], rest: &str) -> String {
    let mut list = String::new();
    for rule in rules {
        let _ = write!(list, "\n      - {{ interface: external, {rule} }}");
    }
    if rules.is_empty() {
        list.push_str(" []");
    }
    format!(
        "version: 1\nname: t\ninterfaces:\n  external: {{ {role} }}\ndefault_action: drop\n\
         groups:\n  - name: g\n    rules:{list}\n{rest}"
    )
}

fn read(text: &str) -> Policy {
    let day = "2026-11-26".parse().unwrap();
    match policy::read("p.yaml", text, day) {
        Ok(checked) => checked.policy,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// What the policy of `text` takes from a host of these facts.
fn look(text: &str, facts: &Facts) -> Option<LockOut> {
    let policy = read(text);
    lock_out(&policy, &needs::of(facts, &policy))
}

/// One word for each thing that is lost.
fn lost(text: &str, facts: &Facts) -> Vec<&'static str> {
    let losses = look(text, facts).map(|lock_out| lock_out.losses);
    let losses = losses.into_iter().flatten();
    losses
        .map(|loss| match loss.purpose {
            Purpose::Session => "session",
            Purpose::NextSession => "next",
            Purpose::Arp(_) => "arp",
            Purpose::NeighbourDiscovery(_) => "nd",
            Purpose::Lease(..) => "lease",
            Purpose::RouterAdvertisement(..) => "ra",
        })
        .collect()
}

/// A host with one filtered device, which holds nothing yet.
fn host(outbound: bool) -> Facts {
    Facts {
        devices: vec![Device {
            interface: ROLE.to_owned(),
            name: DEVICE.to_owned(),
            inbound: true,
            outbound,
            layers: vec![Layer {
                name: DEVICE.to_owned(),
                resolves: true,
                ..Layer::default()
            }],
        }],
        sessions: Vec::new(),
    }
}

impl Facts {
    fn layer(&mut self) -> &mut Layer {
        self.devices[0].layers.last_mut().expect("a layer")
    }

    fn with(mut self, change: impl FnOnce(&mut Layer)) -> Self {
        change(self.layer());
        self
    }

    fn address(self, address: &str, leased: bool) -> Self {
        self.with(|layer| {
            layer.addresses.push(Address {
                address: address.parse().unwrap(),
                leased,
            });
        })
    }

    fn router(self, address: &str) -> Self {
        self.with(|layer| layer.routers.push(address.parse().unwrap()))
    }

    /// What stands on the device, and is reached by frames with `tags`.
    fn standing_on_it(mut self, name: &str, tags: &[u16]) -> Self {
        self.devices[0].layers.push(Layer {
            name: name.to_owned(),
            tags: tags.to_vec(),
            resolves: true,
            ..Layer::default()
        });
        self
    }

    /// A session that crosses the last layer.
    fn session(mut self, peer: &str, local: &str) -> Self {
        let device = self.layer().name.clone();
        self.sessions.push(Session {
            peer: peer.parse().unwrap(),
            local: local.parse().unwrap(),
            arrives: vec![device.clone()],
            leaves: Some(device),
        });
        self
    }
}

/// `text` with what `remedy` says put where it has these keys: mappings become one, other
/// values are replaced, and groups come first.
fn pasted(text: &str, lock_out: &LockOut) -> String {
    let remedy = lock_out.remedy.as_ref().expect("something helps");
    let told = remedy.to_string();
    let (_, yaml) = told.split_once("\n\n").expect("YAML after a blank line");
    let mut whole: Value = serde_yaml::from_str(text).expect("the policy is YAML");
    let new: Value = serde_yaml::from_str(yaml).expect("the remedy is YAML");
    merge(&mut whole, new);
    serde_yaml::to_string(&whole).expect("YAML can be written")
}

fn merge(whole: &mut Value, new: Value) {
    match (whole, new) {
        (Value::Mapping(whole), Value::Mapping(new)) => {
            for (key, value) in new {
                match whole.get_mut(&key) {
                    Some(there) => merge(there, value),
                    None => {
                        whole.insert(key, value);
                    }
                }
            }
        }
        (Value::Sequence(whole), Value::Sequence(new))
            if new.iter().any(|part| part.get("rules").is_some()) =>
        {
            whole.splice(0..0, new);
        }
        (whole, new) => *whole = new,
    }
}

/// Fails unless the remedy of what is lost gives all of it back.
fn assert_remedied(text: &str, facts: &Facts) {
    let Some(lock_out) = look(text, facts) else {
        return;
    };
    let better = pasted(text, &lock_out);
    if let Some(left) = look(&better, facts) {
        panic!("{text}\n{lock_out}\n{better}\n{left}");
    }
}
