//! bpf(2) by itself, for programs of a few instructions that no library would load.

pub(crate) mod assembly;

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Commands of bpf(2) (`enum bpf_cmd`, include/uapi/linux/bpf.h).
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;

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

/// That the frames of a test run go where the program sends them.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

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

/// For `BPF_MAP_LOOKUP_ELEM` and `BPF_MAP_UPDATE_ELEM`.
#[repr(C)]
struct Element {
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
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    padding: u32,
}

/// For `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct GetFdById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// What became of the runs of a program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Runs {
    /// What the program answered at last.
    pub(crate) answer: u32,
    /// Nanoseconds of this thread that one run took on average, which leaves out whoever else
    /// the processor works for. The kernel itself tells whole ones alone.
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
        &mut Element {
            map_fd: number(map.as_fd())?,
            padding: 0,
            key: std::ptr::from_ref(key).cast::<u8>() as u64,
            value: std::ptr::from_ref(value).cast::<u8>() as u64,
            flags: 0,
        },
    )?;
    Ok(map)
}

/// Reads what `map` holds under `key` into `value`, which is of the size of its values.
pub(crate) fn look_up<K, V: Copy>(map: BorrowedFd<'_>, key: &K, mut value: V) -> io::Result<V> {
    bpf(
        BPF_MAP_LOOKUP_ELEM,
        &mut Element {
            map_fd: number(map)?,
            padding: 0,
            key: std::ptr::from_ref(key).cast::<u8>() as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        },
    )?;
    Ok(value)
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

/// Runs a program `repeats` times on `frame`.
pub(crate) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeats: u32) -> io::Result<Runs> {
    run(program, frame, &mut [], (repeats, 0, 0))
}

/// Runs a program once on `frame`, and returns what it made of it.
#[cfg(test)]
pub(crate) fn changed(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<Vec<u8>> {
    let mut changed = vec![0; frame.len()];
    run(program, frame, &mut changed, (1, 0, 0))?;
    Ok(changed)
}

/// Runs a program on `frames` copies of `frame`, which go where the program sends them,
/// `batch` at a time, and are judged there before the next: what the receiving
/// device does is part of the time. The copies are used again and again, as the program left them.
pub(crate) fn run_live(
    program: BorrowedFd<'_>,
    frame: &[u8],
    frames: u32,
    batch: u32,
) -> io::Result<Runs> {
    let flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    run(program, frame, &mut [], (frames, flags, batch))
}

fn run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    changed: &mut [u8],
    (repeat, flags, batch_size): (u32, u32, u32),
) -> io::Result<Runs> {
    let mut attributes = TestRun {
        prog_fd: number(program)?,
        retval: 0,
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_size_out: u32::try_from(changed.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr() as u64,
        data_out: if changed.is_empty() {
            0
        } else {
            changed.as_mut_ptr() as u64
        },
        repeat,
        duration: 0,
        ctx_size_in: 0,
        ctx_size_out: 0,
        ctx_in: 0,
        ctx_out: 0,
        flags,
        cpu: 0,
        batch_size,
        padding: 0,
    };
    let begin = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    let end = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let taken = Duration::from(end).saturating_sub(begin.into());
    Ok(Runs {
        answer: attributes.retval,
        nanoseconds: taken.as_secs_f64() * 1e9 / f64::from(repeat),
    })
}

/// The program of this id, as long as the kernel has it.
pub(crate) fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    bpf_fd(
        BPF_PROG_GET_FD_BY_ID,
        &mut GetFdById {
            id,
            next_id: 0,
            open_flags: 0,
        },
    )
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
