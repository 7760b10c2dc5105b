//! bpf(2) by itself, for programs of a few instructions that no library would load.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Commands of bpf(2) (`enum bpf_cmd`, include/uapi/linux/bpf.h).
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramType {
    /// What leaves, or arrives, as a socket buffer.
    SchedCls,
    /// What arrives, before there is one.
    Xdp,
    /// The same in several buffers, as edge-filter's: a tail call between programs needs
    /// them to agree on that, and on being attached as XDP (`bpf_prog_map_compatible` in
    /// kernel/bpf/core.c).
    XdpFrags,
}

/// What a map is (`enum bpf_map_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MapType {
    Array = 2,
    /// Programs, for tail calls.
    ProgramArray = 3,
    LruHash = 9,
}

/// Of `enum bpf_prog_type`, of the flags of `BPF_PROG_LOAD`, and of `enum
/// bpf_attach_type`.
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
const BPF_XDP: u32 = 37;

/// The head of `union bpf_attr` for `BPF_MAP_CREATE`; the kernel takes what is not
/// given for zero.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// For `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct UpdateElem {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// For `BPF_PROG_LOAD`.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// For `BPF_PROG_TEST_RUN`.
#[repr(C)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

/// What became of the runs of a program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Runs {
    /// What the program answered at last.
    pub(crate) answer: u32,
    /// Nanoseconds of the processor that one run took on average.
    pub(crate) nanoseconds: f64,
}

/// Makes a map for `entries` entries, of the sizes of `key` and `value`, and enters those.
pub(crate) fn map_with<K: ?Sized, V: ?Sized>(
    kind: MapType,
    entries: u32,
    key: &K,
    value: &V,
) -> io::Result<OwnedFd> {
    let map = bpf_fd(
        BPF_MAP_CREATE,
        &mut MapCreate {
            map_type: kind as u32,
            key_size: u32::try_from(size_of_val(key)).map_err(io::Error::other)?,
            value_size: u32::try_from(size_of_val(value)).map_err(io::Error::other)?,
            max_entries: entries,
            map_flags: 0,
        },
    )?;
    bpf(
        BPF_MAP_UPDATE_ELEM,
        &mut UpdateElem {
            map_fd: number(map.as_fd())?,
            padding: 0,
            key: std::ptr::from_ref(key).cast::<u8>() as u64,
            value: std::ptr::from_ref(value).cast::<u8>() as u64,
            flags: 0,
        },
    )?;
    Ok(map)
}

/// Loads a program of `instructions`, in the kernel's own encoding, under `name`.
pub(crate) fn load(
    program_type: ProgramType,
    name: &str,
    instructions: &[u64],
) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    prog_name[..name.len()].copy_from_slice(name.as_bytes());
    let count = u32::try_from(instructions.len()).map_err(io::Error::other)?;
    let (prog_type, prog_flags, expected_attach_type) = match program_type {
        ProgramType::SchedCls => (BPF_PROG_TYPE_SCHED_CLS, 0, 0),
        ProgramType::Xdp => (BPF_PROG_TYPE_XDP, 0, 0),
        ProgramType::XdpFrags => (BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, BPF_XDP),
    };
    bpf_fd(
        BPF_PROG_LOAD,
        &mut ProgLoad {
            prog_type,
            insn_cnt: count,
            insns: instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log_buf: 0,
            kern_version: 0,
            prog_flags,
            prog_name,
            prog_ifindex: 0,
            expected_attach_type,
        },
    )
}

/// Runs a program `repeats` times on `frame`. The time is that of this thread, which
/// leaves out whoever else the processor works for; the kernel tells whole nanoseconds
/// alone.
pub(crate) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeats: u32) -> io::Result<Runs> {
    let mut attributes = TestRun {
        prog_fd: number(program)?,
        retval: 0,
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: repeats,
        duration: 0,
    };
    let begin = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    let end = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let taken = Duration::from(end).saturating_sub(begin.into());
    Ok(Runs {
        answer: attributes.retval,
        nanoseconds: taken.as_secs_f64() * 1e9 / f64::from(repeats),
    })
}

/// A descriptor as bpf(2) takes it.
pub(crate) fn number(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

/// A command that answers with a new descriptor.
pub(crate) fn bpf_fd<T>(command: libc::c_long, attributes: &mut T) -> io::Result<OwnedFd> {
    let fd = i32::try_from(bpf(command, attributes)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bpf(2), with the head of its attributes, in which the kernel may answer.
pub(crate) fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` is a `repr(C)` head of `union bpf_attr` without padding
    // bytes, of the size that is given; what its pointers name the callers keep alive.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
