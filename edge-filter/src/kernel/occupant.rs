//! A program on a device that is not ours: what it is, and who can take it off.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use super::device::{self, AttachedXdp, Device, XdpMode};
use super::syscall;

/// A foreign XDP program on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occupant {
    device: String,
    xdp: AttachedXdp,
    /// Its name, of at most 15 bytes; empty where the kernel does not tell.
    name: String,
    /// The kernel's number of the link that holds it; none where netlink attached it.
    link: Option<u32>,
}

/// How the names of this program's own begin.
const OWN: &str = "edge_filter_";

/// More links than are looked at: whoever has as many sees the program's number.
const LINKS: usize = 1 << 16;

impl Occupant {
    /// The one on `device` as it is now.
    pub(super) fn of(device: &Device) -> Option<Self> {
        let xdp = device::by_index(device.index).ok()?.xdp?;
        let name = syscall::program_by_id(xdp.program_id)
            .and_then(|program| syscall::program_name(program.as_fd()));
        Some(Self {
            device: device.name.clone(),
            xdp,
            name: name.unwrap_or_default(),
            link: link_of(xdp.program_id, device.index),
        })
    }
}

/// The number of the link that holds an XDP program on a device.
fn link_of(program_id: u32, device_index: u32) -> Option<u32> {
    let mut number = 0;
    for _ in 0..LINKS {
        number = syscall::next_link(number).ok()?;
        // It may have ended meanwhile.
        let info =
            syscall::link_by_id(number).and_then(|link: OwnedFd| syscall::link_info(link.as_fd()));
        let holds = info.is_ok_and(|info| {
            (info.kind, info.program_id, info.device_index)
                == (syscall::LINK_TYPE_XDP, program_id, device_index)
        });
        if holds {
            return Some(number);
        }
    }
    None
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            xdp: AttachedXdp { program_id, mode },
            name,
            link,
        } = self;
        write!(f, "program {program_id}")?;
        if !name.is_empty() {
            write!(f, " ('{name}')")?;
        }
        write!(
            f,
            " is attached there in {} mode, and is not ours: ",
            mode.as_str()
        )?;
        let key = match mode {
            XdpMode::Native => "xdpdrv",
            XdpMode::Generic => "xdpgeneric",
        };
        match link {
            _ if name.starts_with(OWN) => write!(
                f,
                "another instance of edge-filter has it; `edge-filter detach` with the --pin-root \
                 and --state-dir of that one takes it off all its devices"
            ),
            Some(link) => write!(
                f,
                "link {link} holds it; `bpftool link show id {link}` names the process or the pin \
                 behind it, and `bpftool link detach id {link}` takes it off"
            ),
            None => write!(f, "`ip link set dev {device} {key} off` takes it off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_is_that_of_who_has_attached_it() {
        let occupant = |name: &str, link, mode| {
            Occupant {
                device: "eth7".to_owned(),
                xdp: AttachedXdp {
                    program_id: 12,
                    mode,
                },
                name: name.to_owned(),
                link,
            }
            .to_string()
        };
        let own = occupant("edge_filter_in", Some(5), XdpMode::Native);
        assert!(own.contains("--pin-root"), "{own}");
        let linked = occupant("xdp_dispatcher", Some(5), XdpMode::Native);
        assert!(linked.contains("bpftool link detach id 5"), "{linked}");
        assert!(linked.contains("program 12 ('xdp_dispatcher')"), "{linked}");
        let generic = occupant("", None, XdpMode::Generic);
        assert!(generic.contains("program 12 is attached"), "{generic}");
        assert!(
            generic.contains("`ip link set dev eth7 xdpgeneric off`"),
            "{generic}"
        );
    }
}
