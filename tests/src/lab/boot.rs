//! Reboots, and what is enforced after them.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::product::{Mode, expect_exit};
use super::{Lab, Plan};

/// Which of the probe's ports are open where nothing is.
pub const CLOSED: [bool; 2] = [false, false];

/// What `apply --last-good` exits with where it closes the host.
pub const LAST_RESORT: i32 = 3;

/// Opens UDP 3479, which [`sample::POLICY`] does not, to anybody, on every device; and
/// nothing but for expiry, audit and default.
pub const MANAGEMENT: &str = r"version: 1
name: management
mode: audit
interfaces:
  any: {}
essentials: { dhcp-client: allow }
default_action: allow
groups:
  - name: management
    rules:
      - { id: repair, interface: any, direction: inbound, to: { ports: [3479] }, protocol: udp, action: allow, expires: 2020-01-01 }
";

/// How long the kernel may take to end what nobody holds any more.
const ENDING: Duration = Duration::from_secs(5);

/// A lab that enforces `policy`.
pub fn enforcing(policy: &str) -> Result<Lab> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", policy)?;
    lab.apply(&policy, Mode::Native)?;
    Ok(lab)
}

/// What `apply --last-good` says, which must exit with `code`.
pub fn last_good(lab: &Lab, code: i32) -> Result<(String, String)> {
    said(&lab.run(&["apply", "--last-good"], code)?)
}

/// What a command has said, on either output.
pub fn said(output: &Output) -> Result<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned());
    let (told, complained) = (text(&output.stdout)?, text(&output.stderr)?);
    ensure!(!complained.contains("panicked"), "{complained}");
    Ok((told, complained))
}

/// Takes `internal` away and makes it anew, without a filter; nobody sends anything to it.
pub fn renew_internal(lab: &Lab) -> Result<()> {
    lab.edge.ip("link del internal\n")?;
    lab.edge.ip(&format!(
        "link add internal type veth peer name internal-peer\n\
         link set internal-peer netns {}\n",
        lab.world.path()
    ))
}

/// Mounts a tmpfs of `size`, as mount(8) has it, on the state directory.
pub fn small_disk(lab: &Lab, size: &str) -> Result<()> {
    fs::create_dir_all(state(lab, ""))?;
    let mut mount = lab.edge.command_in("mount", &lab.mounts);
    mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"]);
    expect_exit(mount.arg(lab.mounts.state_dir()), 0)?;
    Ok(())
}

/// A file of the state directory.
#[must_use]
pub fn state(lab: &Lab, name: &str) -> PathBuf {
    lab.mounts.outside("state/edge-filter").join(name)
}

/// The devices that have a program of XDP.
pub fn filtered(lab: &Lab) -> Result<Vec<String>> {
    let devices = lab.edge.devices()?.into_iter();
    Ok(devices
        .filter_map(|(name, program)| program.map(|_| name))
        .collect())
}

/// Whether what a DHCP server sends arrives: an essential of the policy of last resort.
pub fn dhcp_arrives(lab: &Lab) -> Result<bool> {
    let plan = Plan::default();
    let client = lab
        .edge
        .enter(|| Ok(UdpSocket::bind((plan.external[0], 68))?))?;
    client.set_read_timeout(Some(Duration::from_millis(30)))?;
    let server = lab
        .world
        .enter(|| Ok(UdpSocket::bind((plan.outside[0], 67))?))?;
    server.send_to(b"offer", (plan.external[0], 68))?;
    Ok(client.recv(&mut [0; 8]).is_ok())
}

impl Lab {
    /// What a reboot does: nothing is pinned, nothing attached, and what lay in memory is
    /// gone.
    pub fn reboot(&self) -> Result<()> {
        for gone in ["bpffs/edge-filter", "run"] {
            match fs::remove_dir_all(self.mounts.outside(gone)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        // A link ends some time after its last pin is gone.
        let begun = Instant::now();
        loop {
            let devices = self.edge.devices()?;
            if devices.values().all(Option::is_none) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < ENDING,
                "still filtered: {devices:?}; does another process hold the links?"
            );
            sleep(Duration::from_millis(5));
        }
    }
}
