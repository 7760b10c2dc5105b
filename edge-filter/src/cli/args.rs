//! What can be typed. Help, usage errors and the meaning of the environment all
//! come from here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::policy_file;
use crate::compile::budget::Budget;
use crate::generation::Instance;
use crate::generation::history::STEPS;
use crate::generation::last_good::Management;
use crate::generation::sites::{EgressChoice, ModeChoice};
use crate::policy::Direction;

/// A packet filter for Linux edge hosts: a YAML policy, enforced by XDP, every
/// packet counted once.
#[derive(Debug, Parser)]
#[command(
    name = "edge-filter",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub(super) struct Cli {
    /// Where this instance is pinned: a directory on a BPF file system
    #[arg(
        long,
        global = true,
        env = "EDGE_FILTER_PIN_ROOT",
        hide_env_values = true,
        help_heading = "Where things are kept",
        default_value = "/sys/fs/bpf/edge-filter",
        value_name = "DIR"
    )]
    pin_root: PathBuf,
    /// Where this instance keeps its state
    #[arg(
        long,
        global = true,
        env = "EDGE_FILTER_STATE_DIR",
        hide_env_values = true,
        help_heading = "Where things are kept",
        default_value = "/var/lib/edge-filter",
        value_name = "DIR"
    )]
    state_dir: PathBuf,
    /// Where state lies, in memory, while the state directory cannot be used
    #[arg(
        long,
        global = true,
        env = "EDGE_FILTER_RUN_DIR",
        hide_env_values = true,
        help_heading = "Where things are kept",
        default_value = "/run/edge-filter",
        value_name = "DIR"
    )]
    run_dir: PathBuf,
    /// The policy whose rules let in whoever repairs the host, where what was committed last
    /// cannot be read
    #[arg(
        long,
        global = true,
        env = "EDGE_FILTER_MANAGEMENT",
        hide_env_values = true,
        help_heading = "Where things are kept",
        default_value = "/etc/edge-filter/management.yaml",
        value_name = "FILE"
    )]
    management: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    pub(super) fn instance(&self) -> Instance {
        Instance::new(self.pin_root.clone(), self.state_dir.clone(), &self.run_dir)
    }

    pub(super) fn management(&self) -> Management {
        let file = self.management.clone();
        Management {
            read: Arc::new({
                let file = file.clone();
                move || policy_file::text_if_there(&file).map_err(|error| error.to_string())
            }),
            file,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Find every mistake in a policy
    Check(CheckArgs),
    /// Say what a policy does to one packet, and which rule or reason decides
    Explain(ExplainArgs),
    /// Run the tests that a policy carries
    Test(TestArgs),
    /// Show what a policy would change about what is enforced; exits with 2 if anything
    Plan(PlanArgs),
    /// Enforce a policy
    Apply(ApplyArgs),
    /// Keep the policy that is on trial
    Confirm(JsonArgs),
    /// Enforce again what was enforced before
    Rollback(RollbackArgs),
    /// Show what is attached where
    Status(JsonArgs),
    /// Show what was counted
    Counters(CountersArgs),
    /// Show the conversations that the trusted side has opened
    Flows(JsonArgs),
    /// Take the filter off every device, and forget what was counted
    Detach,
    /// Watch the devices, and filter those again that lose the filter (the daemon)
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The policy's file
    pub(super) policy: PathBuf,
    /// Show what it comes to: classes and memory of each hook, and what packets cost
    #[arg(long)]
    pub(super) stats: bool,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(super) struct MemoryArgs {
    /// The most MiB of kernel memory that the tables of all its hooks may take
    #[arg(
        long,
        env = "EDGE_FILTER_MAX_MEMORY",
        hide_env_values = true,
        default_value_t = Budget::DEFAULT_MEBIBYTES,
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    max_memory: u32,
}

impl MemoryArgs {
    pub(super) fn budget(&self) -> Budget {
        Budget::of_mebibytes(self.max_memory)
    }
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The policy's file
    pub(super) policy: PathBuf,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The policy's file
    pub(super) policy: PathBuf,
    /// The role whose hook the packet meets
    #[arg(long, value_name = "ROLE")]
    pub(super) interface: String,
    /// The side of the hook, as seen from the protected host
    #[arg(long, value_enum)]
    pub(super) direction: DirectionArg,
    /// tcp, udp, sctp, icmp, icmpv6 or a number
    #[arg(long, value_name = "P")]
    pub(super) protocol: String,
    /// Where it comes from; IPv6 with a port as [ADDRESS]:PORT
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub(super) from: String,
    /// Where it goes
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    pub(super) to: String,
    /// The TCP flags, such as syn or syn,ack [default: syn]
    #[arg(long, value_name = "FLAGS")]
    pub(super) tcp_flags: Option<String>,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The policy's file
    #[arg(required_unless_present_any = ["plan", "last_good"])]
    pub(super) policy: Option<PathBuf>,
    /// Enforce again what was committed last, on those of its devices that are there: for the
    /// boot, before the network comes up. Exits with 3 if that cannot be read, and nothing is
    /// let in but the essentials and what the management rules allow
    #[arg(
        long,
        conflicts_with_all = [
            "policy", "plan", "interface", "mode", "egress", "allow_lockout", "confirm"
        ]
    )]
    pub(super) last_good: bool,
    /// Apply what `plan --out FILE` planned, if nothing has moved since
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["policy", "interface", "mode", "egress"]
    )]
    pub(super) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Apply it even if it cuts off the SSH session that it is applied from, or what the host
    /// lives on
    #[arg(long)]
    pub(super) allow_lockout: bool,
    /// Go back to what is enforced now after so long (60s, 5m, 1h30m, 2d), unless
    /// `edge-filter confirm` is run before
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) confirm: Option<Duration>,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

/// Where a policy is enforced, and how.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The devices that play a role, in the place of those that the policy names
    #[arg(long, value_name = "ROLE=DEVICE[,DEVICE]", value_parser = parse_interface)]
    pub(super) interface: Vec<(String, Vec<String>)>,
    /// Where the programs run on what arrives
    #[arg(long, value_enum, default_value_t = ModeArg::Auto)]
    pub(super) mode: ModeArg,
    /// What runs them on what leaves
    #[arg(long, value_enum, default_value_t = EgressArg::Auto)]
    pub(super) egress: EgressArg,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The policy's file
    pub(super) policy: PathBuf,
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Write the plan to a file, for `apply --plan`
    #[arg(long, short, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Watch for so many seconds what the rules that go or change are hit by
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(super) sample: Option<u32>,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// How many committed generations to go back, at most 10; a trial counts as one
    #[arg(
        default_value_t = 1,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..=i64::try_from(STEPS).expect("a few"))
    )]
    pub(super) steps: u8,
    /// Go to the generation of this number instead
    #[arg(long, value_name = "NUMBER", conflicts_with = "steps")]
    pub(super) generation: Option<u64>,
    /// Change nothing: show what one can go back to
    #[arg(long, conflicts_with_all = ["steps", "generation"])]
    pub(super) list: bool,
    /// Change nothing: print the policy of the generation of this number, as it was applied
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["steps", "generation", "list"])]
    pub(super) show: Option<u64>,
    #[command(flatten)]
    pub(super) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(super) struct CountersArgs {
    #[command(flatten)]
    pub(super) json: JsonArgs,
    /// Show every counter, also those that counted nothing
    #[arg(long)]
    pub(super) all: bool,
    /// Show them again every so many seconds, until interrupted
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "1",
        require_equals = true,
        value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    pub(super) watch: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The policy's file, applied at the start and on SIGHUP; without it, what was
    /// committed last is kept
    pub(super) policy: Option<PathBuf>,
    /// The devices that play a role, in the place of those that the policy names
    #[arg(long, requires = "policy", value_name = "ROLE=DEVICE[,DEVICE]", value_parser = parse_interface)]
    pub(super) interface: Vec<(String, Vec<String>)>,
    /// Where the programs run on what arrives
    #[arg(long, requires = "policy", value_enum, default_value_t = ModeArg::Auto)]
    pub(super) mode: ModeArg,
    /// What runs them on what leaves
    #[arg(long, requires = "policy", value_enum, default_value_t = EgressArg::Auto)]
    pub(super) egress: EgressArg,
    /// How often to look at the counters, so that it is known when each moved last
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(super) watch: u32,
    /// Have the programs say what becomes of frames, of a few in each second, and log it
    #[arg(long)]
    pub(super) debug_bpf: bool,
    #[command(flatten)]
    pub(super) memory: MemoryArgs,
}

#[derive(Debug, Args)]
pub(super) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum DirectionArg {
    /// Arriving
    Inbound,
    /// Leaving
    Outbound,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ModeArg {
    /// In the driver; in the network stack where the driver cannot
    Auto,
    /// In the driver, or not at all
    Native,
    /// In the network stack
    Generic,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum EgressArg {
    /// TCX; the clsact qdisc where the kernel has no TCX
    Auto,
    /// TCX (Linux 6.6), or not at all
    Tcx,
    /// The clsact qdisc
    Clsact,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::Inbound => Self::Inbound,
            DirectionArg::Outbound => Self::Outbound,
        }
    }
}

impl From<ModeArg> for ModeChoice {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Auto => Self::Auto,
            ModeArg::Native => Self::Native,
            ModeArg::Generic => Self::Generic,
        }
    }
}

impl From<EgressArg> for EgressChoice {
    fn from(egress: EgressArg) -> Self {
        match egress {
            EgressArg::Auto => Self::Auto,
            EgressArg::Tcx => Self::Tcx,
            EgressArg::Clsact => Self::Clsact,
        }
    }
}

/// The longest trial.
const LONGEST: Duration = Duration::from_hours(7 * 24);

fn parse_duration(text: &str) -> Result<Duration, String> {
    // Days of 24 hours, whatever clocks are set meanwhile.
    let days = SpanRelativeTo::days_are_24_hours();
    let parsed: SignedDuration = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(days))
        .map_err(|_| {
            "write a number and a unit: s, m, h, d or w, such as 60s, 5m, 1h30m or 2d".to_owned()
        })?;
    let duration = Duration::try_from(parsed).map_err(|_| "it must not be negative")?;
    if (Duration::from_secs(1)..=LONGEST).contains(&duration) {
        Ok(duration)
    } else {
        Err("it must be at least one second and at most seven days".to_owned())
    }
}

fn parse_interface(text: &str) -> Result<(String, Vec<String>), String> {
    let (role, devices) = text
        .split_once('=')
        .ok_or("write ROLE=DEVICE, such as external=eth0")?;
    let devices: Vec<String> = devices.split(',').map(str::to_owned).collect();
    if role.is_empty() || devices.iter().any(String::is_empty) {
        return Err("write ROLE=DEVICE[,DEVICE], with no part left empty".to_owned());
    }
    Ok((role.to_owned(), devices))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit_and_bounds() {
        for (text, seconds) in [
            ("60s", 60),
            ("5m", 300),
            ("1h30m", 5_400),
            ("2 min", 120),
            ("1d12h", 129_600),
            ("7d", 604_800),
            ("1w", 604_800),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for (wrong, why) in [
            ("", "s, m, h, d or w"),
            ("60", "s, m, h, d or w"),
            ("soon", "s, m, h, d or w"),
            ("1mo", "s, m, h, d or w"),
            ("-5m", "negative"),
            ("0s", "at most seven days"),
            ("900ms", "at most seven days"),
            ("200h", "at most seven days"),
            ("8d", "at most seven days"),
            ("10000d", "at most seven days"),
        ] {
            let refused = parse_duration(wrong).unwrap_err();
            assert!(refused.contains(why), "{wrong}: {refused}");
        }
    }

    #[test]
    fn roles_and_devices() {
        let parsed = parse_interface("external=eth0,eth1").expect("valid");
        assert_eq!(
            parsed,
            ("external".into(), vec!["eth0".into(), "eth1".into()])
        );
        for wrong in ["external", "=eth0", "external=", "external=eth0,"] {
            assert!(parse_interface(wrong).is_err(), "{wrong}");
        }
    }
}
