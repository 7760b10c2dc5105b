//! The machine that everything was measured on, as it names itself.

use std::fmt;
use std::fs;

use nix::sys::utsname::uname;
use serde::Serialize;

use super::runner::cores;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// The kernel's release.
    pub kernel: String,
    /// How many cores the benchmark may run on.
    pub cores: usize,
    /// How many others wanted a core in the minute before, on average (proc(5)): figures
    /// of a machine that has something else to do are worth little.
    pub load: Option<f64>,
}

/// The load from which on it is worth a note. Building the benchmark makes one, too.
const BUSY: f64 = 2.0;

impl Machine {
    pub(super) fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").ok();
        let release = uname().map(|name| name.release().to_string_lossy().into_owned());
        Self {
            processor: model.map_or_else(unknown, |(_, model)| model.to_owned()),
            kernel: release.unwrap_or_else(|_| unknown()),
            cores: cores().map_or(0, |cores| cores.len()),
            load: load.and_then(|load| load.split(' ').next()?.parse().ok()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor,
            kernel,
            cores,
            load,
        } = self;
        write!(f, "{processor}, Linux {kernel}, {cores} cores")?;
        match load {
            Some(load) if *load >= BUSY => write!(
                f,
                "\nNOTE: a load of {load} before anything was measured: others use the cores, and \
                 the figures are worth little"
            ),
            _ => Ok(()),
        }
    }
}
