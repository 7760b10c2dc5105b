//! Where a program runs on a device, and what it means when the kernel refuses that.

use std::io;

use super::device::{Device, XdpMode};
use super::occupant::Occupant;
use super::{KernelError, privileges};

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// On what arrives.
    Xdp(XdpMode),
    /// On what leaves, by a link of its own (Linux 6.6).
    Tcx,
    /// On what leaves, by a filter of the clsact qdisc.
    Clsact,
}

/// Why a device took no program: the message, and whether another site may do.
#[derive(Debug)]
pub struct Refusal {
    /// What to tell the user.
    pub error: KernelError,
    /// Generic mode in the place of native, or clsact in that of TCX, may work.
    pub other_site: bool,
}

/// What the kernel's answer means: what to try, and whether that may be another site.
type Meaning = (String, bool);

impl Site {
    /// The word for it: `xdp`, `tcx` or `clsact`.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Xdp(_) => "xdp",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }

    /// The mode, of XDP.
    #[must_use]
    pub fn mode(self) -> Option<XdpMode> {
        match self {
            Self::Xdp(mode) => Some(mode),
            Self::Tcx | Self::Clsact => None,
        }
    }

    /// What the site is called in a sentence.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Xdp(XdpMode::Native) => "native mode",
            Self::Xdp(XdpMode::Generic) => "generic mode",
            Self::Tcx => "TCX",
            Self::Clsact => "clsact",
        }
    }

    /// What the kernel's `error` means.
    pub(super) fn refusal(self, device: &Device, error: io::Error) -> Refusal {
        let name = &device.name;
        let number = error.raw_os_error();
        let (remedy, other_site) = match number {
            Some(libc::EPERM | libc::EACCES) => (privileges::remedy(), false),
            Some(libc::ENODEV) => (
                format!("`ip link show {name}` tells whether it is still there"),
                false,
            ),
            _ => {
                let meaning = match self {
                    Self::Xdp(mode) => xdp(device, mode, number),
                    Self::Tcx => tcx(name, number),
                    Self::Clsact => clsact(name, number),
                };
                meaning.unwrap_or_else(|| ("`dmesg` may say why".to_owned(), false))
            }
        };
        let doing = match self {
            Self::Xdp(mode) => format!("attach to {name} in {} mode", mode.as_str()),
            Self::Tcx => format!("attach to the outbound side of {name} by TCX"),
            Self::Clsact => format!("attach to the outbound side of {name} by clsact"),
        };
        Refusal {
            error: KernelError::new(doing).because(error).try_this(remedy),
            other_site,
        }
    }
}

fn xdp(device: &Device, mode: XdpMode, number: Option<i32>) -> Option<Meaning> {
    let name = &device.name;
    let (remedy, by_driver) = match number? {
        libc::EBUSY | libc::EEXIST => {
            let remedy = Occupant::of(device).map_or_else(
                || {
                    format!(
                        "another XDP program was attached there, and is gone by now: try again; \
                         `bpftool net show dev {name}` names what is there"
                    )
                },
                |occupant| occupant.to_string(),
            );
            (remedy, false)
        }
        libc::ENOSPC => (
            "the driver lacks queues; a veth device needs as many rx queues as its peer has tx \
             queues (`ip link add … numrxqueues N`, or `ethtool -L`); `edge-filter apply POLICY \
             --mode generic` works without"
                .to_owned(),
            true,
        ),
        libc::ERANGE => (
            format!(
                "the MTU is too large for native XDP: lower it (`ip link set dev {name} mtu N`) \
                 or run `edge-filter apply POLICY --mode generic`"
            ),
            true,
        ),
        libc::EOPNOTSUPP => (
            "the driver has no native XDP: run `edge-filter apply POLICY` with --mode generic or \
             --mode auto"
                .to_owned(),
            true,
        ),
        libc::EINVAL => (
            "the driver refuses native XDP as the device is set up now; `dmesg` may say why; \
             `edge-filter apply POLICY --mode generic` works without it"
                .to_owned(),
            true,
        ),
        _ => return None,
    };
    Some((remedy, by_driver && mode == XdpMode::Native))
}

fn tcx(name: &str, number: Option<i32>) -> Option<Meaning> {
    Some(match number? {
        // What a kernel says that does not know the attach type, or has no TCX.
        libc::EINVAL | libc::EOPNOTSUPP => (
            "Linux 6.6 and later have TCX, if built with CONFIG_NET_XGRESS: run `edge-filter apply \
             POLICY` with --egress clsact or --egress auto"
                .to_owned(),
            true,
        ),
        libc::ERANGE => (
            format!(
                "it has as many programs as a device can have: `bpftool net show dev {name}` \
                 names them"
            ),
            false,
        ),
        _ => return None,
    })
}

fn clsact(name: &str, number: Option<i32>) -> Option<Meaning> {
    let remedy = match number? {
        libc::ENOENT | libc::EOPNOTSUPP => {
            "this kernel has no clsact qdisc, or no BPF classifier for it (CONFIG_NET_SCH_INGRESS, \
             CONFIG_NET_CLS_BPF): outbound rules need either, or TCX (Linux 6.6); `outbound: \
             ignore` does without them"
                .to_owned()
        }
        libc::EINVAL | libc::EEXIST | libc::EBUSY => format!(
            "the place is taken by a qdisc or a filter that is not ours: `tc qdisc show dev {name}` \
             must show clsact or nothing for ffff:, and `tc filter show dev {name} egress` no \
             filter of another kind than bpf at priority 1"
        ),
        _ => return None,
    };
    Some((remedy, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device {
            name: "eth7".to_owned(),
            index: 7,
            xdp: None,
        }
    }

    fn refusal(site: Site, number: i32) -> Refusal {
        site.refusal(&device(), io::Error::from_raw_os_error(number))
    }

    #[test]
    fn a_kernel_without_tcx_may_have_clsact() {
        for number in [libc::EINVAL, libc::EOPNOTSUPP] {
            let refusal = refusal(Site::Tcx, number);
            assert!(refusal.other_site);
            let words = refusal.error.to_string();
            assert!(
                words.contains("the outbound side of eth7 by TCX"),
                "{words}"
            );
            assert!(words.contains("6.6"), "{words}");
        }
    }

    #[test]
    fn a_driver_that_refuses_leaves_generic_mode() {
        for (number, words) in [
            (libc::ERANGE, "ip link set dev eth7 mtu"),
            (libc::ENOSPC, "rx queues"),
            (libc::EOPNOTSUPP, "no native XDP"),
            (libc::EINVAL, "dmesg"),
        ] {
            let refusal = refusal(Site::Xdp(XdpMode::Native), number);
            assert!(refusal.other_site, "{number}");
            let message = refusal.error.to_string();
            assert!(message.contains(words), "{message}");
            assert!(
                message.contains("attach to eth7 in native mode"),
                "{message}"
            );
            assert!(message.contains("edge-filter apply POLICY"), "{message}");
        }
    }

    #[test]
    fn nothing_else_is_tried_where_that_would_not_help() {
        for (site, number) in [
            (Site::Tcx, libc::ERANGE),
            (Site::Tcx, libc::EPERM),
            (Site::Clsact, libc::ENOENT),
            (Site::Clsact, libc::EINVAL),
            (Site::Xdp(XdpMode::Native), libc::EBUSY),
            (Site::Xdp(XdpMode::Generic), libc::EINVAL),
        ] {
            let refusal = refusal(site, number);
            assert!(!refusal.other_site, "{site:?} {number}");
            let words = refusal.error.to_string();
            assert!(
                words.contains("eth7") && words.contains("help: "),
                "{words}"
            );
        }
        let words = refusal(Site::Clsact, libc::ENOENT).error.to_string();
        assert!(words.contains("CONFIG_NET_CLS_BPF"), "{words}");
    }
}
