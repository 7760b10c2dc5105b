//! ethtool's commands, by the ioctl that every kernel has.

use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::wire::End;

/// include/uapi/linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;

/// One command: its structure, as include/uapi/linux/ethtool.h has it, which begins with
/// the command's number, and in which the kernel answers. It must have room for the answer.
pub(super) fn exchange(end: &End, structure: &mut [u8]) -> Result<()> {
    end.namespace.enter(|| {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        // SAFETY: an all-zero ifreq is a valid one.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (place, byte) in request.ifr_name.iter_mut().zip(end.device.bytes()) {
            *place = libc::c_char::from_ne_bytes([byte]);
        }
        request.ifr_ifru.ifru_data = structure.as_mut_ptr().cast();
        // SAFETY: the kernel reads the name, and reads and writes the structure, which
        // the callers make as long as the command's answer.
        let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if answer < 0 {
            return Err(io::Error::last_os_error()).context(format!("ethtool on {}", end.device));
        }
        Ok(())
    })
}

/// One command that takes and gives a number.
pub(super) fn number(end: &End, command: u32, value: u32) -> Result<u32> {
    let mut structure = [command.to_ne_bytes(), value.to_ne_bytes()].concat();
    exchange(end, &mut structure)?;
    word(&structure, 4)
}

/// The 32 bits at `at`.
pub(super) fn word(structure: &[u8], at: usize) -> Result<u32> {
    let bytes = structure.get(at..).and_then(<[u8]>::first_chunk);
    Ok(u32::from_ne_bytes(
        *bytes.context("a short answer of ethtool")?,
    ))
}
