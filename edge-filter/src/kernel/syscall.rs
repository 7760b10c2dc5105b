//! The few calls of bpf(2) that aya 0.14 does not offer as they are needed.
//!
//! aya's `Xdp::attach` may fall back to a netlink attachment, which cannot be
//! pinned and outlives a crash; its replacement of a program names no expected
//! old one; and its link information lacks the device.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

// enum bpf_cmd and friends, include/uapi/linux/bpf.h.
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_XDP: u32 = 37;
const BPF_F_REPLACE: u32 = 1 << 2;

/// `struct bpf_link_info`, as far as an XDP link fills it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct LinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program_id: u32,
    reserved: u32,
    /// 0 once the device is gone.
    pub(super) device_index: u32,
    tail: [u32; 11],
}

#[derive(Default)]
#[repr(C)]
struct LinkCreate {
    program: u32,
    device_index: u32,
    attach_type: u32,
    flags: u32,
}

#[derive(Default)]
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

#[derive(Default)]
#[repr(C)]
struct LinkDetach {
    link: u32,
}

#[derive(Default)]
#[repr(C)]
struct ObjectPath {
    path: u64,
    object: u32,
    flags: u32,
}

#[derive(Default)]
#[repr(C)]
struct ObjectInfo {
    object: u32,
    length: u32,
    info: u64,
}

#[derive(Default)]
#[repr(C)]
struct ObjectId {
    id: u32,
    next: u32,
    flags: u32,
}

/// Attaches an XDP program; `flags` are `XDP_FLAGS_*`.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    device_index: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: number(program),
        device_index,
        attach_type: BPF_XDP,
        flags,
    };
    owned(bpf(BPF_LINK_CREATE, &attributes)?)
}

/// Replaces the program behind a link, if it is still `old`.
pub(super) fn link_update(
    link: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = LinkUpdate {
        link: number(link),
        program: number(program),
        flags: BPF_F_REPLACE,
        old_program: number(old),
    };
    bpf(BPF_LINK_UPDATE, &attributes).map(drop)
}

/// Takes the link's program off its device.
pub(super) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    bpf(BPF_LINK_DETACH, &LinkDetach { link: number(link) }).map(drop)
}

pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let attributes = ObjectInfo {
        object: number(link),
        length: u32::try_from(size_of::<LinkInfo>()).expect("a small structure"),
        info: (&raw mut info).addr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes)?;
    Ok(info)
}

/// The program with the kernel's number `id`.
pub(super) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    owned(bpf(
        BPF_PROG_GET_FD_BY_ID,
        &ObjectId {
            id,
            ..Default::default()
        },
    )?)
}

/// Pins an object at `path`, which must not exist.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let attributes = ObjectPath {
        path: path.as_ptr().addr() as u64,
        object: number(object),
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &attributes).map(drop)
}

/// The object pinned at `path`.
pub(super) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let attributes = ObjectPath {
        path: path.as_ptr().addr() as u64,
        object: 0,
        flags: 0,
    };
    owned(bpf(BPF_OBJ_GET, &attributes)?)
}

/// Waits until no program that was replaced before this call runs any more.
///
/// `MEMBARRIER_CMD_GLOBAL` is an RCU grace period (kernel/sched/membarrier.c),
/// and programs run within RCU read-side sections.
///
/// # Errors
/// The kernel refuses, as it does with `nohz_full`: then nothing is known.
pub fn wait_for_programs() -> io::Result<()> {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier(2) touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads as many bytes as it is told, takes those behind
    // them as zero, and writes only where `ObjectInfo::info` points to.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw const *attributes,
            size_of::<T>(),
        )
    };
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

fn owned(descriptor: libc::c_long) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
