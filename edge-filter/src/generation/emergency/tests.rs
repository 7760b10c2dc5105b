use std::sync::Arc;

use super::*;
use crate::generation::record::{PolicyRecord, Record, Tally};
use crate::generation::remains::{DAMAGED, Last};
use crate::generation::sites::Sites;
use crate::generation::state_dir::TALLY;

const POLICY: &str = "version: 1\nname: p\ninterfaces: {}\ndefault_action: drop\ngroups: []\n";

fn record(generation: u64, text: &str) -> Record {
    let policy = PolicyRecord {
        name: "p".to_owned(),
        hash: String::new(),
        text: text.to_owned(),
    };
    Record::new(generation, policy, Sites::default())
}

fn committed(generation: u64, text: &str) -> Committed {
    Committed::of(&record(generation, text), None)
}

/// A state directory with two generations, and a place in memory.
fn state(directory: &Path) -> StateDir {
    let state = StateDir::new(directory.join("state"))
        .with_run_dir(&directory.join("run"), &directory.join("pins"));
    state.keep(&committed(6, POLICY)).unwrap();
    state.keep(&committed(7, POLICY)).unwrap();
    state.write_record(&record(7, POLICY)).unwrap();
    state
}

#[test]
fn each_pin_root_has_a_place_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let pins = |name: &str| directory.path().join(name);
    let place = |name: &str| place_in(Path::new("/run/edge-filter"), &pins(name));
    let before = place("bpf/one");
    assert_ne!(before, place("bpf/two"));
    assert_eq!(before, place("bpf/./one/"));
    // It stays the same when the pin root is made, and by whatever way it is named.
    fs::create_dir_all(pins("bpf/one")).unwrap();
    std::os::unix::fs::symlink("bpf", pins("link")).unwrap();
    assert_eq!(before, place("bpf/one"));
    assert_eq!(before, place("bpf/../link/one"));
    fs::remove_dir(pins("bpf/one")).unwrap();
    assert_eq!(before, place("link/one"));
    assert_eq!(before.parent(), Some(Path::new("/run/edge-filter")));
}

#[test]
fn a_place_in_memory_that_takes_nothing_is_called_by_its_option() {
    let directory = tempfile::tempdir().unwrap();
    // So long a path that the place can be made, and nothing in it.
    let mut run = directory.path().join("run");
    let left = |run: &Path| 4064 - run.as_os_str().len();
    while left(&run) > 1 {
        run.push("r".repeat((left(&run) - 1).min(200)));
    }
    let state = StateDir::new(directory.path().join("state"));
    let state = state.with_run_dir(&run, &directory.path().join("pins"));
    let on_disk = StateDir::new(state.durable.clone());
    on_disk.keep(&committed(7, POLICY)).unwrap();
    let begun = begin(&state, &on_disk.remains(), "why", false, Purpose::Keep);
    let error = begun.unwrap_err().to_string();
    assert!(
        error.contains("too long") && error.contains("--run-dir"),
        "{error}"
    );
    assert!(!error.contains("--state-dir"), "{error}");
    assert!(state.emergency().is_none());
}

#[test]
fn nothing_is_not_the_same_as_something_lost() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("never");
    let never = StateDir::new(path.clone());
    assert!(matches!(never.remains().last, Last::Nothing));
    let state = state(directory.path());
    assert!(matches!(state.remains().last, Last::Found));
    state.clear().unwrap();
    assert!(matches!(state.remains().last, Last::Nothing));
    // What was set aside, by a process that was killed right then.
    set_aside(&path, &path.join("history")).unwrap_err();
    files::write(&path.join("history/7.json"), &"{").unwrap();
    set_aside(&path, &path.join("history/7.json")).unwrap();
    assert!(matches!(never.remains().last, Last::Lost(_)));
}

#[test]
fn an_older_policy_is_never_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let history = state.durable.join(HISTORY);
    for (name, text) in [
        ("7.json", "{ \"version\": 1, "),
        ("7.json", "{ \"version\": 2 }"),
        ("7.json", ""),
        ("8.json", "{}"),
    ] {
        let before = fs::read(history.join(name)).ok();
        fs::write(history.join(name), text).unwrap();
        let remains = state.remains();
        let Last::Lost(reason) = &remains.last else {
            panic!("{text}: {remains:?}");
        };
        assert!(
            reason.contains(name) && !reason.contains("help"),
            "{reason}"
        );
        match before {
            Some(before) => fs::write(history.join(name), before).unwrap(),
            None => fs::remove_file(history.join(name)).unwrap(),
        }
    }
    // A copy is none either.
    fs::copy(history.join("7.json"), history.join("8.json")).unwrap();
    let Last::Lost(reason) = state.remains().last else {
        panic!("a copy is the last");
    };
    assert!(reason.contains("it holds generation 7"), "{reason}");
    assert!(state.history().is_err());
    fs::remove_file(history.join("8.json")).unwrap();
    state.keep(&committed(9, "version: 7\n")).unwrap();
    assert!(matches!(state.remains().last, Last::Lost(_)));
    assert!(state.remains().damaged.is_empty());
}

#[test]
fn what_is_no_directory_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    fs::remove_dir_all(state.durable.join(HISTORY)).unwrap();
    fs::write(state.durable.join(HISTORY), "").unwrap();
    assert!(matches!(state.remains().last, Last::Lost(_)));
    state.clear().unwrap();
    assert!(matches!(state.remains().last, Last::Nothing));
    // Nor is a directory a file.
    fs::create_dir_all(state.durable.join("history/7.json")).unwrap();
    assert!(matches!(state.remains().last, Last::Lost(_)));
    state.clear().unwrap();
    assert!(matches!(state.remains().last, Last::Nothing));
}

#[test]
fn an_emergency_leaves_the_disk_alone_and_ends_with_everything_written() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let (tally, old) = (
        state.durable.join(TALLY),
        state.durable.join("history/6.json"),
    );
    fs::write(&tally, "{").unwrap();
    fs::write(&old, "{").unwrap();
    let remains = state.remains();
    assert!(matches!(remains.last, Last::Found));
    assert_eq!(remains.damaged.len(), 2);
    begin(&state, &remains, "it burns", false, Purpose::Keep).unwrap();
    assert_eq!(state.emergency().unwrap().reason, "it burns");
    assert_eq!(fs::read(&tally).unwrap(), b"{");
    let numbers = |state: &StateDir| -> Vec<u64> {
        let history = state.history().unwrap().into_iter();
        history.map(|committed| committed.generation).collect()
    };
    assert_eq!(numbers(&state), [7]);
    assert_eq!(state.records().unwrap().len(), 1);
    state.keep(&committed(8, POLICY)).unwrap();
    state.remove_record(7).unwrap();
    state.write_record(&record(8, POLICY)).unwrap();
    assert_eq!(state.highest_number(), 8);

    end(&state, &mut Vec::new()).unwrap();
    assert!(state.emergency().is_none());
    assert_eq!(numbers(&state), [8, 7]);
    assert_eq!(state.records().unwrap().len(), 1);
    assert!(state.tally().is_ok());
    let aside = files::list(&state.durable.join(DAMAGED)).unwrap();
    assert_eq!(aside.len(), 2, "{aside:?}");
    assert!(aside.iter().all(|path| fs::read(path).unwrap() == b"{"));
    assert_eq!(files::list(&directory.path().join("run")).unwrap().len(), 0);
}

#[test]
fn what_the_record_tells_takes_the_place_of_a_damaged_history() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let newest = state.durable.join("history/7.json");
    fs::write(&newest, "{").unwrap();
    let mut remains = state.remains();
    assert!(remains.recover());
    begin(&state, &remains, "why", false, Purpose::Keep).unwrap();
    assert_eq!(fs::read(&newest).unwrap(), b"{");
    let history = state.history().unwrap();
    assert_eq!((history[0].generation, history[0].before), (7, Some(6)));
    state.keep(&committed(8, POLICY)).unwrap();
    end(&state, &mut Vec::new()).unwrap();
    // What is set aside is what was damaged, and not what was put in its place.
    assert_eq!(state.history().unwrap().len(), 3);
    let aside = files::list(&state.durable.join(DAMAGED)).unwrap();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read(&aside[0]).unwrap(), b"{");
}

#[test]
fn a_record_that_was_not_committed_is_not_taken_for_what_was() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    // A copy of an older one, one that cannot be read, and none.
    fs::copy(
        state.durable.join("history/7.json"),
        state.durable.join("history/8.json"),
    )
    .unwrap();
    assert!(!state.remains().recover());
    state.write_record(&record(8, "version: 7\n")).unwrap();
    assert!(!state.remains().recover());
    fs::write(state.durable.join("generations/8.json"), "{").unwrap();
    assert!(!state.remains().recover());
}

#[test]
fn an_emergency_that_cannot_end_is_none_of_last_resort_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    begin(&state, &state.remains(), "why", true, Purpose::Keep).unwrap();
    state.keep(&committed(8, POLICY)).unwrap();
    // Nothing can be written there, by root either.
    fs::remove_dir_all(&state.durable).unwrap();
    fs::write(&state.durable, "").unwrap();
    end(&state, &mut Vec::new()).unwrap_err();
    assert!(!state.emergency().unwrap().last_resort);
    assert_eq!(state.history().unwrap().len(), 1);
}

#[test]
fn an_emergency_of_last_resort_knows_no_history() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    begin(&state, &state.remains(), "why", true, Purpose::Keep).unwrap();
    assert_eq!(state.history().unwrap().len(), 0);
    assert!(state.emergency().unwrap().last_resort);
    // Numbers of the disk are not used again, whoever cannot read them.
    assert_eq!(state.highest_number(), 7);
    state.clear().unwrap();
    assert!(state.emergency().is_none());
    assert!(matches!(state.remains().last, Last::Nothing));
}

#[test]
fn a_disk_that_takes_nothing_keeps_what_is_damaged_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let newest = state.durable.join("history/7.json");
    fs::write(&newest, "{").unwrap();
    begin(&state, &state.remains(), "why", true, Purpose::Keep).unwrap();
    state.keep(&committed(8, POLICY)).unwrap();
    // As on a disk that is full, the file beside it cannot be written.
    let unfinished = state.durable.join("history/8.new");
    fs::create_dir(&unfinished).unwrap();
    let error = end(&state, &mut Vec::new()).unwrap_err();
    assert!(error.starts_with("this is not kept"), "{error}");
    assert_eq!(fs::read(&newest).unwrap(), b"{");
    let on_disk = StateDir::new(state.durable.clone());
    assert!(matches!(on_disk.remains().last, Last::Lost(_)));
    // A kill between the two steps: what is newer counts.
    fs::remove_dir(&unfinished).unwrap();
    on_disk.keep(&committed(8, POLICY)).unwrap();
    assert!(matches!(on_disk.remains().last, Last::Found));
    end(&state, &mut Vec::new()).unwrap();
    assert!(matches!(on_disk.remains().last, Last::Found));
    assert_eq!(files::list(&state.set_aside()).unwrap().len(), 1);
}

#[test]
fn a_disk_that_takes_no_more_than_the_newest_keeps_that() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    fs::write(state.durable.join(TALLY), "{").unwrap();
    begin(&state, &state.remains(), "why", false, Purpose::Keep).unwrap();
    state.keep(&committed(8, POLICY)).unwrap();
    let unfinished = state.durable.join("history/6.new");
    fs::create_dir(&unfinished).unwrap();
    let error = end(&state, &mut Vec::new()).unwrap_err();
    assert!(
        error.starts_with("this is kept where the next boot finds it, but not all")
            && error.contains("history/6.json"),
        "{error}"
    );
    let on_disk = StateDir::new(state.durable.clone()).remains();
    assert!(matches!(on_disk.last, Last::Found));
    assert_eq!(on_disk.history[0].generation, 8);
    assert!(state.emergency().is_some());
}

#[test]
fn what_is_in_the_place_of_the_directory_for_damaged_files_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let aside = state.set_aside();
    fs::write(&aside, "").unwrap();
    let file = state.durable.join("generations/7.json");
    let error = set_aside(&state.durable, &file).unwrap_err().to_string();
    let named = format!("{} is no directory: move that away", aside.display());
    assert!(error.contains(&named), "{error}");
}

/// Whatever was damaged, and set aside or not.
#[test]
fn a_detach_that_is_ended_leaves_what_was_committed_or_nothing() {
    let (newest, older) = ("history/7.json", "history/6.json");
    for (aside, damaged) in [
        (None, None),
        (Some(TALLY), None),
        (Some(older), None),
        (Some(newest), None),
        (Some(HISTORY), None),
        (None, Some(newest)),
        (Some(TALLY), Some(newest)),
        (Some(older), Some(newest)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let state = state(directory.path());
        state.write_tally(&Tally::default()).unwrap();
        if let Some(file) = aside {
            set_aside(&state.durable, &state.durable.join(file)).unwrap();
        }
        if let Some(file) = damaged {
            fs::write(state.durable.join(file), "{").unwrap();
        }
        let last = || {
            let remains = state.remains();
            let newest = remains.history.first().map(|last| last.generation);
            let is_found = matches!(remains.last, Last::Found);
            let is_lost = matches!(remains.last, Last::Lost(_));
            (is_lost, newest.filter(|_| is_found))
        };
        let before = last();
        let [first, second] = state.committed_places();
        files::discard(&first).unwrap();
        assert_eq!(last(), before, "{aside:?} set aside, {damaged:?} damaged");
        files::discard(&second).unwrap();
        assert_eq!(last(), (false, None));
    }
}

#[test]
fn an_older_policy_is_not_the_last_where_a_newer_one_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let file = state.durable.join("history/7.json");
    fs::write(&file, "{").unwrap();
    set_aside(&state.durable, &file).unwrap();
    state.remove_record(7).unwrap();
    let remains = state.remains();
    assert!(matches!(remains.last, Last::Lost(_)), "{remains:?}");
    // Its number is not given to another one, which would not be newer.
    assert_eq!(state.highest_number(), 7);
    state.keep(&committed(8, POLICY)).unwrap();
    assert!(matches!(state.remains().last, Last::Found));
}

#[test]
fn an_apply_that_was_ended_leaves_no_emergency_to_others() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let newest = state.durable.join("history/7.json");
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, "{").unwrap();
    let others = || StateDir {
        begun: Arc::default(),
        ..state.clone()
    };
    begin(&state, &state.remains(), "why", true, Purpose::Apply).unwrap();
    assert!(state.emergency().unwrap().last_resort);
    // While it loads.
    assert!(others().emergency().is_none());
    assert_eq!(others().place(), state.durable);
    // While it attaches, and after it was killed then.
    state.write_record(&record(8, POLICY)).unwrap();
    assert_eq!(others().records().unwrap().len(), 2);
    let mut other = others();
    settle(&other).unwrap();
    assert!(other.emergency().is_some());
    // When the file is there again, the emergency is over, and what is attached is known.
    fs::write(&newest, whole).unwrap();
    settle(&state).unwrap();
    assert!(state.emergency().is_some(), "it is at work");
    settle(&other).unwrap();
    assert!(other.emergency().is_none());
    assert_eq!(other.records().unwrap().len(), 2);
    assert_eq!(other.history().unwrap().len(), 2);
    // What was ended while it loaded is removed.
    begin(&state, &state.remains(), "why", true, Purpose::Apply).unwrap();
    other = others();
    settle(&other).unwrap();
    assert_eq!(files::list(&directory.path().join("run")).unwrap().len(), 0);
    // What was committed stays.
    begin(&state, &state.remains(), "why", true, Purpose::Apply).unwrap();
    state.keep(&committed(9, POLICY)).unwrap();
    settle(&others()).unwrap();
    assert_eq!(others().history().unwrap()[0].generation, 9);
    end(&others(), &mut Vec::new()).unwrap();
    assert!(others().emergency().is_none());
}

#[test]
fn an_emergency_that_does_not_say_why_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let state = state(directory.path());
    let place = state.emergency.clone().unwrap();
    let why = place.join(WHY);
    for last_resort in [false, true] {
        begin(&state, &state.remains(), "why", last_resort, Purpose::Keep).unwrap();
        fs::write(&why, "{").unwrap();
        let found = state.emergency().unwrap();
        assert!(found.reason.contains(WHY), "{}", found.reason);
        assert_eq!(found.last_resort, last_resort);
        fs::remove_file(&why).unwrap();
        assert_eq!(state.emergency().unwrap().last_resort, last_resort);
        state.keep(&committed(8, POLICY)).unwrap();
        end(&state, &mut Vec::new()).unwrap();
        assert!(state.emergency().is_none() && !place.exists());
    }
}
