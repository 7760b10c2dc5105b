//! The binary under test, run at the edge of a lab, and what its `--json`
//! answers hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::Lab;
use super::wire::Traffic;

/// How the filter is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By the driver.
    Native,
    /// By the stack, behind the driver.
    Generic,
    /// By the driver if it can, by the stack otherwise.
    Auto,
}

/// `counters --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Counters {
    /// What is enforced.
    pub policy: PolicyInfo,
    /// One for each device and direction.
    pub hooks: Vec<HookCounters>,
}

/// The policy in force.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its name.
    pub name: String,
    /// The hash of its text.
    pub hash: String,
    /// Counts the applied policies.
    pub generation: u64,
}

/// One hook of `counters --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct HookCounters {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The sum over the hook.
    #[serde(flatten)]
    pub total: Count,
    /// Each counter.
    pub counters: Vec<Counter>,
}

/// One counter of `counters --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Counter {
    /// `ID`, `arp`, `drop:default`, …
    pub id: String,
    /// `rule`, `reply`, `essential`, `default`, `audit` or `drop`.
    pub kind: String,
    /// `allow` or `drop`.
    pub action: String,
    /// What it counted.
    #[serde(flatten)]
    pub count: Count,
}

/// Packets and bytes, as the answers spell them.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Count {
    packets: u64,
    bytes: u64,
}

/// `status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// What is enforced.
    pub policy: PolicyInfo,
    /// One for each device and direction.
    pub hooks: Vec<HookStatus>,
    /// The flow table.
    pub flows: Fill,
}

/// `apply --json`, and that of `confirm` and `rollback`.
#[derive(Debug, Clone, Deserialize)]
pub struct Applied {
    /// The generation.
    pub generation: u64,
    /// The generation whose policy it took up again.
    pub restores: Option<u64>,
    /// The end of a trial.
    pub confirm_deadline: Option<String>,
    /// What became of the rules.
    pub rules: Rules,
}

/// `rules` of `apply --json`.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Rules {
    /// Enforced before and now.
    pub carried: Vec<String>,
    /// Enforced from now on.
    pub new: Vec<String>,
    /// Enforced no more.
    pub gone: Vec<String>,
}

/// `flows` of `status --json`.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
pub struct Fill {
    /// What it can hold.
    pub entries_max: u32,
    /// What it holds.
    pub entries_used: u32,
}

/// `flows --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Flows {
    /// What the table can hold.
    pub entries_max: u32,
    /// What it holds.
    pub entries_used: u32,
    /// What had to give way.
    pub evicted: u64,
    /// The conversations.
    pub flows: Vec<Flow>,
}

/// A conversation of `flows --json`.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Flow {
    /// The rule that lets its replies pass.
    pub rule: Option<String>,
    /// `tcp`, `udp` or a number.
    pub protocol: String,
    /// The opener.
    pub from: String,
    /// The other side.
    pub to: String,
    /// Seconds since it was opened.
    pub age_seconds: u32,
    /// Seconds since its opener used it.
    pub idle_seconds: u32,
    /// `open`, `closing` or `reset`.
    pub state: String,
}

/// One hook of `status --json`.
#[derive(Debug, Clone, Deserialize)]
pub struct HookStatus {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// `xdp`, `tcx` or `clsact`.
    pub hook: String,
    /// `native` or `generic`; `None` where the hook knows no modes.
    pub mode: Option<String>,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// The kernel's id of the program.
    pub program_id: u32,
    /// Whether the link outlives its maker.
    pub link_pinned: bool,
    /// The generation that it enforces.
    pub generation: u64,
    /// Whether the device is filtered on this side.
    pub filtered: bool,
    /// Why it is not.
    pub trouble: Option<String>,
}

/// A counter's role, direction and id.
pub type CounterName = (String, String, String);

/// Counters that are not zero.
pub type Moved = BTreeMap<CounterName, Traffic>;

/// What passed the hooks, by role and direction.
pub type Passed = BTreeMap<(String, String), Traffic>;

/// The name of the counter `id` of a hook.
#[must_use]
pub fn counter(role: &str, direction: &str, id: &str) -> CounterName {
    (role.to_owned(), direction.to_owned(), id.to_owned())
}

impl Mode {
    /// The word on the command line, and in `status --json`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Auto => "auto",
        }
    }
}

impl From<Count> for Traffic {
    fn from(count: Count) -> Self {
        Self {
            packets: count.packets,
            bytes: count.bytes,
        }
    }
}

impl Counters {
    /// The counters that have counted something.
    #[must_use]
    pub fn moved(&self) -> Moved {
        let mut moved = Moved::new();
        for hook in &self.hooks {
            for part in hook.counters.iter().filter(|part| part.count.packets > 0) {
                let sum = moved
                    .entry(counter(&hook.interface, &hook.direction, &part.id))
                    .or_default();
                *sum = *sum + part.count.into();
            }
        }
        moved
    }

    /// What every hook let pass.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let mut passed = Passed::new();
        for hook in &self.hooks {
            let parts = hook.counters.iter().filter(|part| part.action == "allow");
            let sum = passed
                .entry((hook.interface.clone(), hook.direction.clone()))
                .or_default();
            *sum = *sum + parts.map(|part| Traffic::from(part.count)).sum();
        }
        passed
    }

    /// The inbound total of a role, as the answer itself sums it up.
    pub fn total(&self, role: &str) -> Result<Traffic> {
        let mut hooks = self
            .hooks
            .iter()
            .filter(|hook| hook.interface == role && hook.direction == "inbound")
            .peekable();
        ensure!(
            hooks.peek().is_some(),
            "`counters --json` knows no inbound hook of {role}"
        );
        Ok(hooks.map(|hook| Traffic::from(hook.total)).sum())
    }
}

/// What moved between two readings.
#[must_use]
pub fn difference<K: Clone + Ord>(
    before: &BTreeMap<K, Traffic>,
    after: &BTreeMap<K, Traffic>,
) -> BTreeMap<K, Traffic> {
    after
        .iter()
        .map(|(key, count)| {
            (
                key.clone(),
                *count - before.get(key).copied().unwrap_or_default(),
            )
        })
        .filter(|(_, count)| *count != Traffic::default())
        .collect()
}

/// The binary under test: `EDGE_FILTER_BIN`, or the one that cargo built beside
/// this program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("EDGE_FILTER_BIN") {
        return Path::new(&path).canonicalize().with_context(|| {
            format!(
                "EDGE_FILTER_BIN names {}, which is not there",
                path.display()
            )
        });
    }
    let program = std::env::current_exe().context("find this program")?;
    // Tests stand in `deps`, one directory below the binaries.
    let places = program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|place| place.join("edge-filter"));
    let Some(binary) = places.into_iter().find(|path| path.is_file()) else {
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        bail!(
            "there is no edge-filter beside {}: build it with `cargo build -p edge-filter{release}`",
            program.display()
        );
    };
    Ok(binary)
}

impl Lab {
    /// The product's command, at the edge, with the lab's own pin root and state.
    pub fn edge_filter(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.edge.command_in(binary()?, &self.mounts);
        self.places(&mut command).args(arguments);
        Ok(command)
    }

    /// Tells a command, or what it starts, the lab's own places.
    pub fn places<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("EDGE_FILTER_PIN_ROOT", self.mounts.pin_root())
            .env("EDGE_FILTER_STATE_DIR", self.mounts.state_dir())
            .env("EDGE_FILTER_RUN_DIR", self.mounts.run_dir())
            .env(
                "EDGE_FILTER_MANAGEMENT",
                self.mounts.inside("management.yaml"),
            )
    }

    /// Runs the product, and fails unless it exits with `code`.
    pub fn run(&self, arguments: &[&str], code: i32) -> Result<Output> {
        expect_exit(&mut self.edge_filter(arguments)?, code)
    }

    /// `apply`, whatever becomes of it; roles are played by the devices named
    /// after them. The policy's path is as seen from within the lab.
    pub fn apply_command(&self, policy: &Path, mode: Mode) -> Result<Command> {
        let mut command = self.edge_filter(&["apply"])?;
        command.arg(policy).args(["--mode", mode.as_str()]);
        for wire in [&self.external, &self.internal] {
            let device = wire.edge.device;
            command.arg("--interface").arg(format!("{device}={device}"));
        }
        Ok(command)
    }

    /// `apply --confirm`, which must succeed.
    pub fn try_out(&self, policy: &Path, mode: Mode, duration: &str) -> Result<Applied> {
        let mut command = self.apply_command(policy, mode)?;
        let output = expect_exit(command.args(["--json", "--confirm", duration]), 0)?;
        serde_json::from_slice(&output.stdout).context("read `apply --json`")
    }

    /// A command with `--json`, which must succeed.
    pub fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = self.run(&[arguments, &["--json"]].concat(), 0)?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("read `{} --json`", arguments.join(" ")))
    }

    /// `apply`, which must succeed.
    pub fn apply(&self, policy: &Path, mode: Mode) -> Result<Output> {
        expect_exit(&mut self.apply_command(policy, mode)?, 0)
    }

    /// `counters --json`.
    pub fn counters(&self) -> Result<Counters> {
        let output = self.run(&["counters", "--json"], 0)?;
        serde_json::from_slice(&output.stdout).context("read `counters --json`")
    }

    /// `flows --json`.
    pub fn flows(&self) -> Result<Flows> {
        let output = self.run(&["flows", "--json"], 0)?;
        serde_json::from_slice(&output.stdout).context("read `flows --json`")
    }

    /// `status --json`.
    pub fn status(&self) -> Result<Status> {
        let output = self.run(&["status", "--json"], 0)?;
        serde_json::from_slice(&output.stdout).context("read `status --json`")
    }
}

/// Runs `command`, and fails, with all that it said, unless it exits with `code`.
pub fn expect_exit(command: &mut Command, code: i32) -> Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if output.status.code() != Some(code) {
        bail!(
            "{command:?} ended with {}, not with exit code {code}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
    Ok(output)
}
