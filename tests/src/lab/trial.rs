//! Policies on trial in a lab: which of two decides, and until when.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::time::{ClockId, clock_gettime};

use super::probe::Probe;
use super::{Lab, Plan, sample};

/// Which ports each policy opens.
pub const FIRST: [bool; 2] = [true, false];
/// The same of [`sample::moved`].
pub const MOVED: [bool; 2] = [false, true];
/// The same of none.
pub const OPEN: [bool; 2] = [true, true];

/// What is late.
pub const LATE: Duration = Duration::from_secs(1);

/// A lab, and the two policies.
pub fn lab() -> Result<(Lab, PathBuf, PathBuf)> {
    let lab = Lab::new(&Plan::default())?;
    let first = lab.mounts.write("first.yaml", sample::POLICY)?;
    let moved = lab.mounts.write("moved.yaml", &sample::moved())?;
    Ok((lab, first, moved))
}

/// How far away the deadline of a generation's trial is, by the clock that decides;
/// negative once it has passed.
pub fn until_deadline(lab: &Lab, generation: u64) -> Result<f64> {
    let name = format!("state/edge-filter/generations/{generation}.json");
    let record = std::fs::read(lab.mounts.outside(&name))?;
    let record: serde_json::Value = serde_json::from_slice(&record)?;
    let deadline = &record["trial"]["since_boot"];
    let part = |name: &str| {
        deadline[name]
            .as_f64()
            .context("the record has no deadline")
    };
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    Ok(part("secs")? + part("nanos")? / 1e9 - now.as_secs_f64())
}

/// Waits until the ports are open as `expected` says, from `before` on; how many seconds
/// after the deadline that was.
pub fn await_reversal(
    probe: &mut Probe<'_>,
    lab: &Lab,
    generation: u64,
    [before, expected]: [[bool; 2]; 2],
) -> Result<f64> {
    loop {
        let begun = -until_deadline(lab, generation)?;
        let open = probe.open()?;
        if open == expected {
            ensure!(
                -until_deadline(lab, generation)? >= 0.0,
                "it went back before its time"
            );
            return Ok(begun);
        }
        // One datagram may have come before the deadline, and one after.
        ensure!(open == before || begun > -0.2, "{open:?}");
        ensure!(
            begun < LATE.as_secs_f64(),
            "{begun:.3} s after the deadline {open:?} is open"
        );
    }
}

/// What a command says that must be refused.
pub fn refusal(lab: &Lab, arguments: &[&str]) -> Result<String> {
    Ok(String::from_utf8(lab.run(arguments, 1)?.stderr)?)
}

/// Fails unless nothing is pinned but what one generation needs at two hooks.
pub fn assert_tidy(lab: &Lab) -> Result<()> {
    let pins = lab.mounts.pins()?;
    ensure!(pins.len() == 6 + 4, "pins leak: {pins:?}");
    Ok(())
}

/// The generations of `rollback --list --json`, the newest first.
#[must_use]
pub fn generations(history: &serde_json::Value) -> Vec<u64> {
    let entries = history.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| entry["generation"].as_u64())
        .collect()
}
