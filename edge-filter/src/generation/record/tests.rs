//! Records of other boots, and of versions that did not say theirs.

use super::*;

fn record() -> Record {
    let policy = PolicyRecord {
        name: "edge".to_owned(),
        hash: String::new(),
        text: String::new(),
    };
    let mut record = Record::new(7, policy, Sites::default());
    record.hooks.push(HookRecord {
        interface: "external".to_owned(),
        device: "eth0".to_owned(),
        direction: Direction::Inbound,
        program_id: 42,
        counters: Vec::new(),
        passes: false,
    });
    record
}

#[test]
fn the_numbers_of_another_boot_name_nothing() {
    let mut record = record();
    assert!(record.boot.is_some(), "/proc does not tell the boot");
    assert!(record.hook(42).is_some());
    record.boot = Some("00000000-0000-0000-0000-000000000000".to_owned());
    assert!(!record.is_of_this_boot());
    assert!(record.hook(42).is_none());
}

#[test]
fn a_record_that_does_not_say_its_boot_is_read_as_before() {
    let mut json = serde_json::to_value(record()).unwrap();
    assert!(json.as_object_mut().unwrap().remove("boot").is_some());
    let old: Record = serde_json::from_value(json).unwrap();
    assert!(old.hook(42).is_some());
}

#[test]
fn what_is_recorded_is_not_judged_for_expiry() {
    let text = "version: 1\nname: p\ninterfaces: { external: { devices: [eth0] } }\n\
        default_action: drop\ngroups:\n  - name: g\n    rules:\n      - { id: old, interface: \
        external, direction: inbound, action: allow, expires: 2001-01-01 }\n";
    let record = PolicyRecord {
        name: "p".to_owned(),
        hash: policy::text_hash(text),
        text: text.to_owned(),
    };
    let policy = record.read(7).unwrap();
    assert_eq!(policy.rules[0].id, "old");
    assert_eq!(policy.hash, record.hash);
}
