use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, symlink};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

fn against(generation: Option<u64>, attached: &[&str]) -> Against {
    Against {
        generation,
        hash: generation.map(|number| format!("{number:064}")),
        attached: attached.iter().map(|hook| (*hook).to_owned()).collect(),
    }
}

fn hook(device: &str, index: u32, interface: &str) -> PlannedHook {
    PlannedHook {
        interface: interface.to_owned(),
        device: device.to_owned(),
        index,
        direction: "inbound".to_owned(),
    }
}

fn plan(file: &Path, text: &str) -> Planned {
    Planned {
        version: VERSION,
        made_at: Timestamp::UNIX_EPOCH,
        policy: PlannedPolicy {
            file: file.to_owned(),
            hash: text_hash(text),
            text: text.to_owned(),
        },
        interfaces: BTreeMap::new(),
        mode: "auto".to_owned(),
        egress: "auto".to_owned(),
        hooks: vec![hook("eth7", 7, "external")],
        against: against(None, &[]),
    }
}

#[test]
fn what_is_enforced_may_move() {
    let then = against(Some(3), &["eth7 inbound", "eth8 inbound"]);
    assert_eq!(then.moved(&then), [""; 0]);
    let now = against(Some(4), &["eth7 inbound", "eth9 inbound"]);
    assert_eq!(
        then.moved(&now),
        [
            "generation 4 (sha256 000000000000) is enforced, and generation 3 (sha256 \
             000000000000) was",
            "eth8 inbound was filtered, and is not any more",
            "eth9 inbound is filtered, and was not",
        ]
    );
    let nothing = against(None, &[]);
    assert_eq!(
        nothing.moved(&against(Some(1), &[])),
        ["generation 1 (sha256 000000000000) is enforced, and nothing was"]
    );
}

#[test]
fn devices_may_move() {
    let then = [hook("eth7", 7, "external"), hook("eth8", 8, "internal")];
    assert_eq!(moved_hooks(&then, &then), [""; 0]);
    let now = [
        hook("eth7", 70, "external"),
        hook("eth8", 8, "external"),
        hook("eth9", 9, "internal"),
    ];
    assert_eq!(
        moved_hooks(&then, &now),
        [
            "eth7 is another device: its index is 70 and was 7",
            "eth8 inbound would play the role 'external', not 'internal'",
            "eth9 inbound would be filtered, too",
        ]
    );
    assert_eq!(
        moved_hooks(&then, &now[..1])[1..],
        ["eth8 inbound would not be filtered any more"]
    );
}

#[test]
fn the_policys_file_may_move() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.yaml");
    fs::write(&file, "one").unwrap();
    let plan = plan(&file, "one");
    assert_eq!(plan.policy.moved(), None);
    fs::write(&file, "two").unwrap();
    let moved = plan.policy.moved().expect("it moved");
    assert!(moved.contains("p.yaml was changed"), "{moved}");
    // The plan holds the text itself.
    fs::remove_file(&file).unwrap();
    assert_eq!(plan.policy.moved(), None);
}

#[test]
fn a_file_is_read_as_it_was_written_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plan.json");
    let plan = plan(Path::new("/p.yaml"), "version: 1\n");
    plan.write(&file).unwrap();
    assert_eq!(Planned::read(&file).unwrap(), plan);
    let text = fs::read_to_string(&file).unwrap();
    for (from, to, why) in [
        ("version: 1", "version: 2", "its hash is another"),
        ("\"version\": 1", "\"version\": 2", "it is of version 2"),
        ("\"mode\"", "\"made\"", "unknown field"),
        ("}\n", "", "EOF"),
    ] {
        assert!(text.contains(from), "{from}");
        let damaged = match to {
            "" => text.trim_end().trim_end_matches('}').to_owned(),
            _ => text.replacen(from, to, 1),
        };
        fs::write(&file, damaged).unwrap();
        let error = Planned::read(&file).unwrap_err().to_string();
        assert!(
            error.contains(why) && error.contains("make it anew"),
            "{error}"
        );
    }
}

/// The mode of a file, as `chmod` takes it.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn what_is_there_keeps_its_mode_and_its_link() {
    let directory = tempfile::tempdir().unwrap();
    let name = |name: &str| directory.path().join(name);
    let plan = plan(Path::new("/p.yaml"), "version: 1\n");
    plan.write(&name("new.json")).unwrap();
    assert_eq!(mode(&name("new.json")), 0o600);
    for kept in [0o640, 0o600] {
        fs::write(name("old.json"), "old").unwrap();
        fs::set_permissions(name("old.json"), fs::Permissions::from_mode(kept)).unwrap();
        plan.write(&name("old.json")).unwrap();
        assert_eq!(mode(&name("old.json")), kept);
        assert_eq!(Planned::read(&name("old.json")).unwrap(), plan);
    }
    fs::write(name("far.json"), "old").unwrap();
    symlink("far.json", name("link.json")).unwrap();
    plan.write(&name("link.json")).unwrap();
    assert!(name("link.json").is_symlink());
    assert_eq!(Planned::read(&name("far.json")).unwrap(), plan);
    // A link of somebody else's is not followed.
    fs::write(name("precious"), "precious").unwrap();
    symlink("precious", name("x.json.new")).unwrap();
    plan.write(&name("x.json")).unwrap();
    assert_eq!(fs::read_to_string(name("precious")).unwrap(), "precious");
    symlink("nowhere.json", name("lost.json")).unwrap();
    let error = plan.write(&name("lost.json")).unwrap_err().to_string();
    assert!(error.contains("symbolic link to what is not"), "{error}");
    // Nothing but these is left.
    let mut left: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let names = [
        "far.json",
        "link.json",
        "lost.json",
        "new.json",
        "old.json",
        "precious",
        "x.json",
        "x.json.new",
    ];
    assert_eq!(left, names);
}

#[test]
fn what_is_no_file_is_written_to_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let plan = plan(Path::new("/p.yaml"), "version: 1\n");
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let mut options = fs::OpenOptions::new();
    options.read(true).custom_flags(nonblocking);
    let mut reader = options.open(&pipe).unwrap();
    plan.write(&pipe).unwrap();
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    assert_eq!(serde_json::from_slice::<Planned>(&text).unwrap(), plan);
}

#[test]
fn what_does_not_end_is_no_plan() {
    let error = Planned::read(Path::new("/dev/zero")).unwrap_err();
    assert!(error.to_string().contains("make it anew"), "{error}");
    let error = file::parse::<Planned>(io::repeat(b' '), 3 << 20).unwrap_err();
    assert_eq!(error.to_string(), "it is longer than 3 MiB");
}
