//! `kill -9` in the middle of `apply`, of trials, of `confirm` and of `rollback`: what
//! decides is one policy or the other, `status` says which, every packet is counted once,
//! and nothing is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::probe::Probe;
use edge_filter_tests::lab::product::Mode;
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use rand::RngExt;

/// How often a command is killed, in a soak run.
const KILLS: usize = 100;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Apply,
    Trial,
    Confirm,
    Rollback,
}

const ACTIONS: [Action; 4] = [
    Action::Apply,
    Action::Trial,
    Action::Confirm,
    Action::Rollback,
];

impl Action {
    fn command(self, lab: &Lab, policy: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Apply | Self::Trial => lab.apply_command(policy, Mode::Native)?,
            Self::Confirm => lab.edge_filter(&["confirm"])?,
            Self::Rollback => lab.edge_filter(&["rollback"])?,
        };
        if self == Self::Trial {
            command.args(["--confirm", "1h"]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }
}

fn read(lab: &Lab, name: &str) -> Result<serde_json::Value> {
    let path = lab.mounts.outside("state/edge-filter").join(name);
    serde_json::from_slice(&fs::read(&path)?)
        .with_context(|| format!("{} is damaged", path.display()))
}

/// The generation that was committed last, whose file must be whole.
fn last_committed(lab: &Lab) -> Result<u64> {
    let history = lab.json(&["rollback", "--list"])?;
    let newest = history[0]["generation"].as_u64().context("no history")?;
    let committed = read(lab, &format!("history/{newest}.json"))?;
    let text = committed["policy"]["text"].as_str().context("no text")?;
    ensure!(
        text.ends_with("action: allow }\n"),
        "it is not whole: {text}"
    );
    Ok(newest)
}

/// Fails unless the policy that `status` names for the external side is the one that
/// decides there.
fn assert_consistent(lab: &Lab, probe: &mut Probe<'_>) -> Result<()> {
    let open = probe.open()?;
    let status = lab.json(&["status"])?;
    let hooks = status["hooks"].as_array().context("no hooks")?;
    ensure!(
        hooks.len() == 2 && hooks.iter().all(|hook| hook["filtered"] == true),
        "{status:#}"
    );
    let hook = hooks.iter().find(|hook| hook["device"] == "external");
    let generation = &hook.context("external is not there")?["generation"];
    let record = read(lab, &format!("generations/{generation}.json"))?;
    let text = record["policy"]["text"].as_str().context("no text")?;
    let said = ["[3478]", "[3479]"].map(|port| text.contains(port));
    ensure!(
        said == open,
        "{open:?} is open, and status says generation {generation}: {status:#}"
    );
    probe.settle()
}

/// Whether a trial is running, on every hook.
fn is_on_trial(lab: &Lab) -> Result<bool> {
    let status = lab.json(&["status"])?;
    let generation = &status["trial"]["generation"];
    let mut hooks = status["hooks"].as_array().into_iter().flatten();
    Ok(generation.is_u64() && hooks.all(|hook| hook["generation"] == *generation))
}

/// Runs a `confirm` once more that was killed; whether it had anything left to do.
fn finish_confirm(lab: &Lab) -> Result<bool> {
    let output = lab.edge_filter(&["confirm"])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() || said.contains("none is running"),
        "it cannot be finished: {said}"
    );
    Ok(output.status.success())
}

#[test]
fn a_kill_at_any_instant_leaves_one_policy_and_exact_counts() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policies = [
        lab.mounts.write("first.yaml", sample::POLICY)?,
        lab.mounts.write("moved.yaml", &sample::moved())?,
    ];
    lab.apply(&policies[0], Mode::Native)?;
    let begun = Instant::now();
    lab.apply(&policies[1], Mode::Native)?;
    let whole = begun.elapsed();
    let mut random = seeded(soak::first_seed());
    let mut probe = Probe::new(&lab)?;
    let kills = soak::times(KILLS);
    let (mut killed, mut rounds, mut finished) = (0, 0, 0);
    let mut committed = last_committed(&lab)?;
    while killed < kills {
        let action = ACTIONS[random.random_range(0..ACTIONS.len())];
        let policy = &policies[random.random_range(0..2)];
        let to_confirm = action == Action::Confirm && is_on_trial(&lab)?;
        let mut child = action.command(&lab, policy)?.spawn()?;
        sleep(whole.mul_f64(random.random_range(0.0..1.1)));
        child.kill()?;
        let done = child.wait()?;
        killed += usize::from(done.code().is_none());
        rounds += 1;
        let doing = || format!("round {rounds}: {action:?} ended with {done}");
        assert_consistent(&lab, &mut probe).with_context(doing)?;
        if to_confirm && !done.success() {
            finished += usize::from(finish_confirm(&lab).with_context(doing)?);
            assert_consistent(&lab, &mut probe).with_context(doing)?;
            ensure!(!is_on_trial(&lab)?, "{}", doing());
        }
        let now = last_committed(&lab).with_context(doing)?;
        // Old or new: and new for certain if there was time.
        let commits = done.success() && action != Action::Trial;
        ensure!(
            now >= committed && (!commits || now > committed),
            "{}",
            doing()
        );
        committed = now;
    }
    println!(
        "{killed} of {rounds} commands were killed, of about {whole:?} each; {finished} times \
         `confirm` was run again"
    );
    lab.apply(&policies[0], Mode::Native)?;
    assert_consistent(&lab, &mut probe)?;
    let pins = lab.mounts.pins()?;
    assert_eq!(pins.len(), 6 + 4, "pins leak: {pins:?}");
    let state = lab.mounts.outside("state/edge-filter");
    let names = |directory: &str| -> Result<Vec<String>> {
        let entries = fs::read_dir(state.join(directory))?;
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    let newest = lab.status()?.policy.generation;
    assert_eq!(names("generations")?, [format!("{newest}.json")]);
    let history = names("history")?;
    assert!((1..=22).contains(&history.len()), "{history:?}");
    let unfinished = history.iter().find(|name| !name.ends_with("json"));
    assert_eq!(unfinished, None);
    lab.run(&["detach"], 0)?;
    assert_eq!(lab.mounts.pins()?, Vec::<PathBuf>::new());
    Ok(())
}
