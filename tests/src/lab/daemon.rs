//! `edge-filter run` at the edge of a lab: what it logs, and what it tells systemd, which
//! the test plays.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Lab;

/// How long anything may take that the daemon is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often the watchdog would bark: the daemon speaks twice as often.
pub const WATCHDOG: Duration = Duration::from_millis(400);

/// A running daemon. It is killed when it is dropped.
#[derive(Debug)]
pub struct Daemon<'lab> {
    lab: &'lab Lab,
    child: Child,
    socket: UnixDatagram,
}

/// A message of `sd_notify`, and when it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its lines.
    pub lines: Vec<String>,
    /// When it was read.
    pub at: Instant,
}

impl Message {
    /// The value of `NAME=value`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

impl<'lab> Daemon<'lab> {
    /// Starts it, and waits until it says that it is ready.
    pub fn start(lab: &'lab Lab, arguments: &[&str]) -> Result<Self> {
        let daemon = Self::begin(lab, arguments)?;
        daemon.await_message(|message| message.value("READY") == Some("1"))?;
        Ok(daemon)
    }

    /// Starts it.
    pub fn begin(lab: &'lab Lab, arguments: &[&str]) -> Result<Self> {
        let mut command = lab.edge_filter(&["run"])?;
        command.args(arguments);
        Self::begin_by(lab, command)
    }

    /// Starts it by a command that becomes it.
    pub fn begin_by(lab: &'lab Lab, mut command: Command) -> Result<Self> {
        for name in ["notify", "log"] {
            let _ = fs::remove_file(lab.mounts.outside(name));
        }
        let socket = UnixDatagram::bind(lab.mounts.outside("notify"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let log = File::create(lab.mounts.outside("log"))?;
        let stream = log.metadata()?;
        command
            .env("NOTIFY_SOCKET", lab.mounts.inside("notify"))
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
            .env_remove("WATCHDOG_PID")
            .env(
                "JOURNAL_STREAM",
                format!("{}:{}", stream.dev(), stream.ino()),
            )
            .stderr(log);
        Ok(Self {
            lab,
            child: command.spawn().context("start the daemon")?,
            socket,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        kill(pid, signal).with_context(|| format!("send {signal} to the daemon"))
    }

    /// Waits for its end.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(Duration::from_millis(5));
        }
        bail!("it does not end; it logged:\n{}", self.log()?)
    }

    /// What it has logged until now.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.lab.mounts.outside("log"))?)
    }

    /// Waits until its log holds `text`.
    pub fn await_log(&self, text: &str) -> Result<()> {
        self.wait(&format!("log {text:?}"), || Ok(self.log()?.contains(text)))
    }

    /// Waits until `done` says so.
    pub fn wait(&self, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !done()? {
            ensure!(
                begun.elapsed() < PATIENCE,
                "it does not {what}; it logged:\n{}",
                self.log()?
            );
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until all sides of exactly these devices are filtered.
    pub fn await_filtered(&self, devices: &[&str]) -> Result<()> {
        self.wait(&format!("filter {devices:?}"), || {
            let hooks = self.lab.status()?.hooks;
            let mut filtered: Vec<&str> = hooks
                .iter()
                .filter(|hook| hook.filtered)
                .map(|hook| &*hook.device)
                .collect();
            filtered.sort_unstable();
            filtered.dedup();
            Ok(filtered == devices && hooks.iter().all(|hook| hook.filtered))
        })
    }

    /// The next message that it sends to systemd, if one comes soon.
    pub fn message(&self) -> Result<Option<Message>> {
        let mut bytes = [0; 4096];
        match self.socket.recv(&mut bytes) {
            Ok(length) => Ok(Some(Message {
                lines: std::str::from_utf8(&bytes[..length])?
                    .lines()
                    .map(str::to_owned)
                    .collect(),
                at: Instant::now(),
            })),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads messages until one is as `expected`, which it returns.
    pub fn await_message(&self, expected: impl Fn(&Message) -> bool) -> Result<Message> {
        let begun = Instant::now();
        let mut seen = Vec::new();
        while begun.elapsed() < PATIENCE {
            if let Some(message) = self.message()? {
                if expected(&message) {
                    return Ok(message);
                }
                seen.push(message);
            }
        }
        bail!(
            "the message does not come: {seen:?}; it logged:\n{}",
            self.log()?
        )
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
