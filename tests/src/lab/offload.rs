//! What a device does to frames by itself, and how to stop it.

use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::wire::End;

// include/uapi/linux/sockios.h and ethtool.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;

/// Leaves VLAN tags in arriving frames: `ethtool -K DEVICE rxvlan off`.
pub fn keep_vlan_tags(end: &End) -> Result<()> {
    let device = end.device.to_owned();
    end.namespace.enter(move || {
        let flags = ethtool(&device, ETHTOOL_GFLAGS, 0)?;
        ethtool(&device, ETHTOOL_SFLAGS, flags & !ETH_FLAG_RXVLAN)?;
        Ok(())
    })
}

/// One ethtool command that takes and gives a number.
fn ethtool(device: &str, command: u32, value: u32) -> Result<u32> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut exchanged = [command, value];
    // SAFETY: an all-zero ifreq is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_data = exchanged.as_mut_ptr().cast();
    // SAFETY: the kernel reads the name, and reads or writes the two numbers.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if answer < 0 {
        return Err(io::Error::last_os_error()).context(format!("ethtool on {device}"));
    }
    Ok(exchanged[1])
}
