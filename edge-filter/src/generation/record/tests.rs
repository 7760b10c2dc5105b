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
