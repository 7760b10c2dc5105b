//! `kill -9` of any process of edge-filter, half of them in the middle of an `apply`: there
//! is no outage and no gap, `status` says what is attached, and what the killed ones leave
//! neither grows nor stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::generate::seeded;
use edge_filter_tests::lab::daemon::Daemon;
use edge_filter_tests::lab::foreign::program_exists;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::standing::files;
use edge_filter_tests::lab::stream::under_load;
use edge_filter_tests::lab::{Lab, Plan, sample};
use edge_filter_tests::soak;
use nix::sys::signal::Signal;
use rand::RngExt;

/// How many processes are killed, in a soak run.
const KILLS: usize = 100;

/// How long the kernel may take to free what nobody holds any more.
const CLEARING: Duration = Duration::from_secs(20);

/// What is pinned of one generation: the root and its five directories, of each of the
/// hooks a link and counters, and a flow table.
const PINS: usize = 6 + 2 * HOOKS + 1;
/// On `external` both sides, on `internal` and `spare` one or both.
const HOOKS: usize = 5;
/// What one killed command may leave: counters and a flow table of its own.
const LEFT_BY_ONE: usize = HOOKS + 1;

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Apply,
    Rollback,
    /// The daemon, which only looks.
    Daemon,
    /// The daemon, which reads its policy anew.
    Reload,
    /// The daemon, which filters a device again.
    Repair,
    Watch,
    Status,
    Plan,
}

/// Those beside `apply`.
const OTHERS: [Victim; 7] = [
    Victim::Daemon,
    Victim::Rollback,
    Victim::Reload,
    Victim::Watch,
    Victim::Repair,
    Victim::Status,
    Victim::Plan,
];

/// Two policies of the same verdicts, whose flow tables are of different sizes, and the
/// file that the daemon follows.
struct Subject {
    lab: Lab,
    texts: [String; 2],
    policies: [PathBuf; 2],
    followed: PathBuf,
    /// How long `apply`, `status` and `plan` take.
    apply: Duration,
    status: Duration,
    plan: Duration,
}

impl Subject {
    fn new() -> Result<Self> {
        let lab = Lab::new(&Plan::default())?;
        lab.edge
            .ip("link add spare type veth peer name spare-peer\n")?;
        let text = |rules: &str, entries: u32| {
            let roles = sample::both_ways().replace("[external]", "[external, spare]");
            roles.replace("    rules:\n", &format!("    rules:\n{rules}"))
                + &format!("flows: {{ entries: {entries} }}\n")
        };
        let telnet = "      - { id: telnet, interface: external, direction: inbound, to: { \
                      networks: [edge], ports: [23] }, protocol: tcp, action: drop }\n";
        let texts = [text("", 1024), text(telnet, 2048)];
        let policies = [
            lab.mounts.write("first.yaml", &texts[0])?,
            lab.mounts.write("longer.yaml", &texts[1])?,
        ];
        let followed = lab.mounts.write("followed.yaml", &texts[0])?;
        let mut subject = Self {
            lab,
            texts,
            policies,
            followed,
            apply: Duration::ZERO,
            status: Duration::ZERO,
            plan: Duration::ZERO,
        };
        subject.run(&["apply", text_of(&subject.policies[0])])?;
        let longer = text_of(&subject.policies[1]).to_owned();
        subject.apply = subject.time(&["apply", &longer])?;
        subject.status = subject.time(&["status"])?;
        subject.plan = subject.time(&["plan", &longer])?;
        Ok(subject)
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        self.lab.run(arguments, 0).map(drop)
    }

    fn time(&self, arguments: &[&str]) -> Result<Duration> {
        let begun = Instant::now();
        self.run(arguments)?;
        Ok(begun.elapsed())
    }

    fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        let mut command: Command = self.lab.edge_filter(arguments)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// Kills one such process at `part` of its way; whether it was alive until then.
    fn kill(&self, victim: Victim, round: usize, part: f64) -> Result<bool> {
        let delay = match victim {
            Victim::Status => self.status,
            Victim::Plan => self.plan,
            _ => self.apply,
        }
        .mul_f64(part);
        let policy = text_of(&self.policies[round % 2]);
        let arguments: &[&str] = match victim {
            Victim::Apply => &["apply", policy],
            Victim::Rollback => &["rollback"],
            Victim::Watch => &["counters", "--watch"],
            Victim::Status => &["status"],
            Victim::Plan => &["plan", policy],
            Victim::Daemon | Victim::Reload | Victim::Repair => {
                return self.kill_daemon(victim, round, delay);
            }
        };
        let mut child = self.spawn(arguments)?;
        sleep(delay);
        child.kill()?;
        Ok(child.wait()?.code().is_none())
    }

    fn kill_daemon(&self, victim: Victim, round: usize, delay: Duration) -> Result<bool> {
        let mut daemon = Daemon::start(&self.lab, &[text_of(&self.followed)])?;
        match victim {
            Victim::Reload => {
                self.lab
                    .mounts
                    .write("followed.yaml", &self.texts[round / 2 % 2])?;
                daemon.signal(Signal::SIGHUP)?;
            }
            Victim::Repair => self
                .lab
                .edge
                .ip("link del spare\nlink add spare type veth peer name spare-peer\n")?,
            _ => {}
        }
        sleep(delay);
        daemon.signal(Signal::SIGKILL)?;
        Ok(daemon.end()?.code().is_none())
    }

    /// Fails unless `status` says what is attached, and what is pinned is bounded; the
    /// programs.
    fn assert_consistent(&self) -> Result<BTreeSet<u32>> {
        let status = self.lab.status()?;
        let devices = self.lab.edge.devices()?;
        for hook in &status.hooks {
            let own = devices.get(&hook.device).copied().flatten();
            let agrees = hook.filtered == (own == Some(hook.program_id));
            ensure!(
                agrees || hook.direction == "outbound",
                "{hook:?}, {devices:?}"
            );
            // Nobody touches these two.
            ensure!(hook.filtered || hook.device == "spare", "{hook:?}");
            ensure!(hook.generation <= status.policy.generation, "{status:?}");
        }
        for device in ["external", "internal"] {
            ensure!(
                status.hooks.iter().any(|hook| hook.device == device),
                "{status:?}"
            );
        }
        let pins = self.lab.mounts.pins()?;
        // Two generations may enforce, and one more was about to.
        ensure!(pins.len() <= PINS + 2 * LEFT_BY_ONE, "pins grow: {pins:?}");
        let unfinished = files(&self.lab)?
            .into_keys()
            .filter(|path| path.extension().is_some_and(|extension| extension == "new"));
        ensure!(unfinished.count() <= 3, "unfinished files grow");
        Ok(status.hooks.iter().map(|hook| hook.program_id).collect())
    }
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("the lab's names are plain")
}

#[test]
fn killing_any_process_costs_no_packet_and_leaves_nothing() -> Result<()> {
    let subject = Subject::new()?;
    let mut random = seeded(soak::first_seed());
    let kills = soak::times(KILLS);
    let mut counts: BTreeMap<Victim, usize> = BTreeMap::new();
    let mut programs = BTreeSet::new();
    let (mut killed, mut rounds) = (0, 0);
    let ([allowed, refused], ()) = under_load(&subject.lab, [3478, 3479], || {
        while killed < kills {
            ensure!(
                rounds < 10 * kills,
                "{killed} of {rounds} were killed in time"
            );
            let victim = match killed % 2 {
                0 => Victim::Apply,
                _ => OTHERS[killed / 2 % OTHERS.len()],
            };
            let part = random.random_range(0.0..1.0);
            let doing = format!("round {rounds}: {victim:?} at {part:.3} of its way");
            let in_time = subject
                .kill(victim, rounds, part)
                .with_context(|| doing.clone())?;
            programs.extend(subject.assert_consistent().context(doing)?);
            if in_time {
                killed += 1;
                *counts.entry(victim).or_default() += 1;
            }
            rounds += 1;
        }
        Ok(())
    })?;
    println!(
        "{killed} of {rounds} processes were killed, `apply` taking about {:?}: {counts:?}; \
         meanwhile {} datagrams passed and {} were dropped",
        subject.apply, allowed.sent, refused.sent
    );
    ensure!(counts[&Victim::Apply] * 2 >= kills, "{counts:?}");
    ensure!(
        allowed.received == (0..allowed.sent).collect::<Vec<_>>(),
        "of {} datagrams {} passed",
        allowed.sent,
        allowed.received.len()
    );
    ensure!(
        refused.received.is_empty(),
        "some slipped through: {:?}",
        refused.received
    );

    let lab = &subject.lab;
    subject.run(&["apply", text_of(&subject.policies[0])])?;
    programs.extend(subject.assert_consistent()?);
    let moved = lab.counters()?.moved();
    for (id, sent) in [("stun", allowed.sent), ("drop:default", refused.sent)] {
        let counted = moved[&counter("external", "inbound", id)].packets;
        ensure!(
            counted == u64::from(sent),
            "{id}: {counted} of {sent} were counted"
        );
    }
    let pins = lab.mounts.pins()?;
    ensure!(pins.len() == PINS, "pins leak: {pins:?}");
    let generations = fs::read_dir(lab.mounts.outside("state/edge-filter/generations"))?;
    ensure!(generations.count() == 1, "records leak");
    subject.run(&["detach"])?;
    ensure!(lab.mounts.pins()?.is_empty() && files(lab)?.is_empty());
    let deadline = Instant::now() + CLEARING;
    for program in programs {
        while program_exists(program)? {
            ensure!(
                Instant::now() < deadline,
                "program {program} is still there"
            );
            sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

#[test]
fn what_a_killed_apply_leaves_goes_with_the_next_command_that_changes_anything() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("first.yaml", &sample::both_ways())?;
    let larger = sample::both_ways() + "flows: { entries: 1000000 }\n";
    let larger = lab.mounts.write("larger.yaml", &larger)?;
    let begun = Instant::now();
    lab.apply(&larger, Mode::Native)?;
    let whole = begun.elapsed();
    lab.apply(&first, Mode::Native)?;
    let pins = lab.mounts.pins()?.len();
    let hash = lab.status()?.policy.hash;
    let (mut seen, mut tries) = (0, 0);
    while seen < 3 {
        tries += 1;
        ensure!(
            tries < 100,
            "{seen} of {tries} killed commands left something"
        );
        let mut child = lab
            .apply_command(&larger, Mode::Native)?
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        sleep(whole.mul_f64(0.2 + 0.6 * f64::from(tries % 7) / 7.0));
        child.kill()?;
        child.wait()?;
        let status = lab.status()?;
        let decides = |hash: &str| {
            let hooks = status.hooks.iter();
            hash == status.policy.hash
                && hooks
                    .clone()
                    .all(|hook| hook.generation == status.policy.generation)
        };
        if !decides(&hash) {
            // It came so far that the new policy decides somewhere.
            lab.apply(&first, Mode::Native)?;
            let now = lab.mounts.pins()?;
            ensure!(now.len() == pins, "{now:?}");
        } else if lab.mounts.pins()?.len() > pins {
            seen += 1;
            // Nothing is on trial: it is refused, but for clearing away it needs no success.
            let refused = lab.run(&["confirm"], 1)?;
            let said = String::from_utf8(refused.stderr)?;
            ensure!(said.contains("none is running"), "{said}");
            let now = lab.mounts.pins()?;
            ensure!(now.len() == pins, "left after {tries} kills: {now:?}");
        }
    }
    println!("{seen} of {tries} killed commands left pins, which the next one removed");
    Ok(())
}
