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

mod array;
mod value;

pub(super) use array::{map_named, program_array, program_in_array_of};
pub(super) use value::only_value;

// enum bpf_cmd and friends, include/uapi/linux/bpf.h.
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_F_REPLACE: u32 = 1 << 2;

/// `BPF_LINK_TYPE_XDP` of `enum bpf_link_type`.
pub(super) const LINK_TYPE_XDP: u32 = 6;
/// `BPF_LINK_TYPE_TCX` of `enum bpf_link_type`.
pub(super) const LINK_TYPE_TCX: u32 = 11;

/// Where a link puts its program, `enum bpf_attach_type`.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(super) enum AttachType {
    Xdp = 37,
    TcxEgress = 47,
}

/// What a program is for, `enum bpf_prog_type`.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(super) enum ProgramKind {
    Classifier = 3,
    Xdp = 6,
}

/// `struct bpf_link_info`, as far as links on a device fill it.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct LinkInfo {
    /// `enum bpf_link_type`.
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program_id: u32,
    reserved: u32,
    /// 0 once the device is gone.
    pub(super) device_index: u32,
    tail: [u32; 11],
}

/// The head of `union bpf_attr` for `BPF_PROG_LOAD`.
#[derive(Default)]
#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// The head of `test` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct TestRun {
    program: u32,
    answer: u32,
    length: u32,
    length_out: u32,
    frame: u64,
    frame_out: u64,
    repeat: u32,
    nanoseconds: u32,
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

/// The head of `query` in `union bpf_attr`.
#[derive(Default)]
#[repr(C)]
struct ProgramQuery {
    device_index: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    /// The kernel's field has 32 bits, and 32 unused ones behind.
    count: u64,
    attach_flags_of_programs: u64,
    link_ids: u64,
    attach_flags_of_links: u64,
    revision: u64,
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

/// The head of `struct bpf_map_info`.
#[derive(Default)]
#[repr(C)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    name: [u8; 16],
}

/// The head of `union bpf_attr` for `BPF_MAP_*_ELEM`.
#[derive(Default)]
#[repr(C)]
struct MapElement {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
#[repr(C)]
struct ObjectId {
    id: u32,
    next: u32,
    flags: u32,
}

/// Loads a program of `instructions`, in the kernel's own encoding, that calls nothing.
pub(super) fn program_load(kind: ProgramKind, instructions: &[u64]) -> io::Result<OwnedFd> {
    let attributes = ProgramLoad {
        kind: kind as u32,
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr().addr() as u64,
        license: c"Dual MIT/GPL".as_ptr().addr() as u64,
    };
    owned(bpf(BPF_PROG_LOAD, &attributes)?)
}

/// Runs a program `repeat` times on a copy of `frame`.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<()> {
    let mut attributes = TestRun {
        program: number(program),
        length: u32::try_from(frame.len()).map_err(io::Error::other)?,
        frame: frame.as_ptr().addr() as u64,
        repeat,
        ..Default::default()
    };
    bpf_answering(BPF_PROG_TEST_RUN, &mut attributes).map(drop)
}

/// Attaches a program; `flags` are `XDP_FLAGS_*` or `BPF_F_BEFORE` and the like.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    device_index: u32,
    attach_type: AttachType,
    flags: u32,
) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: number(program),
        device_index,
        attach_type: attach_type as u32,
        flags,
    };
    owned(bpf(BPF_LINK_CREATE, &attributes)?)
}

/// The numbers of the programs on a device, in the order in which they run.
pub(super) fn programs(device_index: u32, attach_type: AttachType) -> io::Result<Vec<u32>> {
    // More than one device can have (`BPF_MPROG_MAX`).
    let mut ids = [0_u32; 64];
    let mut query = ProgramQuery {
        device_index,
        attach_type: attach_type as u32,
        ids: (&raw mut ids).addr() as u64,
        count: ids.len() as u64,
        ..Default::default()
    };
    bpf_answering(BPF_PROG_QUERY, &mut query)?;
    let count = usize::try_from(query.count).unwrap_or(usize::MAX);
    Ok(ids.into_iter().take(count).collect())
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
    object_info(link, &mut info)?;
    Ok(info)
}

/// The kernel's number of a program.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // The head of `struct bpf_prog_info`: type and id.
    let mut head = [0_u32; 2];
    object_info(program, &mut head)?;
    Ok(head[1])
}

/// The first bytes of what the kernel tells of an object. What `info` holds before may
/// say where there is room for lists.
fn object_info<T>(object: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    let attributes = ObjectInfo {
        object: number(object),
        length: u32::try_from(size_of::<T>()).expect("a small structure"),
        info: (&raw mut *info).addr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes).map(drop)
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

/// A program's name, of at most 15 bytes.
pub(super) fn program_name(program: BorrowedFd<'_>) -> io::Result<String> {
    /// Where `name` stands in `struct bpf_prog_info`.
    const NAME: usize = 64;
    // In words, so that it is aligned: 64 bytes of other things, and 16 of the name.
    let mut head = [0_u64; 10];
    object_info(program, &mut head)?;
    let bytes: Vec<u8> = head.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let name = bytes[NAME..].split(|byte| *byte == 0).next();
    Ok(String::from_utf8_lossy(name.unwrap_or_default()).into_owned())
}

/// The number of the first link behind the number `before`.
pub(super) fn next_link(before: u32) -> io::Result<u32> {
    let mut attributes = ObjectId {
        id: before,
        ..Default::default()
    };
    bpf_answering(BPF_LINK_GET_NEXT_ID, &mut attributes)?;
    Ok(attributes.next)
}

/// The link with the kernel's number `id`.
pub(super) fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    let attributes = ObjectId {
        id,
        ..Default::default()
    };
    owned(bpf(BPF_LINK_GET_FD_BY_ID, &attributes)?)
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
    // them as zero, and writes only where `ObjectInfo::info` points to, and its lists, and to
    // the value that was asked for.
    unsafe { call(command, (&raw const *attributes).cast_mut()) }
}

/// As [`bpf`], of a command that writes into its attributes.
fn bpf_answering<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: as above; what it writes stays within the structure, and within the
    // arrays that the structure points to.
    unsafe { call(command, &raw mut *attributes) }
}

/// # Safety
/// `attributes` are those of the command, and may be written to if it does that.
unsafe fn call<T>(command: libc::c_long, attributes: *mut T) -> io::Result<libc::c_long> {
    // SAFETY: by the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
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
