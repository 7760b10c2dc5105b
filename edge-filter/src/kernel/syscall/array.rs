//! Arrays of programs, which aya 0.14 fills only with programs that it has loaded itself, and
//! maps that are found by the program that uses them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{
    BPF_MAP_LOOKUP_ELEM, MapElement, MapInfo, ObjectId, bpf, bpf_answering, number, object_info,
    owned,
};

// enum bpf_cmd and enum bpf_map_type, include/uapi/linux/bpf.h.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;
const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;

/// More maps than a program of ours uses.
const MAPS: u32 = 32;

#[derive(Default)]
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

/// The head of `struct bpf_prog_info`.
#[derive(Default)]
#[repr(C)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_length: u32,
    translated_length: u32,
    jited: u64,
    translated: u64,
    load_time: u64,
    created_by: u32,
    map_count: u32,
    map_ids: u64,
}

/// An array of one program.
pub(in crate::kernel) fn program_array(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let attributes = MapCreate {
        kind: BPF_MAP_TYPE_PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
    };
    let array = owned(bpf(BPF_MAP_CREATE, &attributes)?)?;
    let (key, value) = (0_u32, number(program));
    let element = MapElement {
        map: number(array.as_fd()),
        key: (&raw const key).addr() as u64,
        value: (&raw const value).addr() as u64,
        ..Default::default()
    };
    bpf(BPF_MAP_UPDATE_ELEM, &element)?;
    Ok(array)
}

/// The kernel's number of the first program in the array that `program` uses; none if it
/// uses no array of programs, or an empty one.
pub(in crate::kernel) fn program_in_array_of(program: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let array = map_of(program, |map| map.kind == BPF_MAP_TYPE_PROG_ARRAY)?;
    array.map_or(Ok(None), |array| first(array.as_fd()))
}

/// The map of that `name` that `program` uses; none if it uses no such map.
pub(in crate::kernel) fn map_named(
    program: BorrowedFd<'_>,
    name: &str,
) -> io::Result<Option<OwnedFd>> {
    map_of(program, |map| {
        map.name.split(|byte| *byte == 0).next() == Some(name.as_bytes())
    })
}

/// The first map that `program` uses and that is `wanted`.
fn map_of(
    program: BorrowedFd<'_>,
    wanted: impl Fn(&MapInfo) -> bool,
) -> io::Result<Option<OwnedFd>> {
    let mut ids = [0_u32; MAPS as usize];
    let mut info = ProgramInfo {
        map_count: MAPS,
        map_ids: (&raw mut ids).addr() as u64,
        ..Default::default()
    };
    object_info(program, &mut info)?;
    for &id in &ids[..info.map_count.min(MAPS) as usize] {
        let request = ObjectId {
            id,
            ..Default::default()
        };
        let map = owned(bpf(BPF_MAP_GET_FD_BY_ID, &request)?)?;
        let mut info = MapInfo::default();
        object_info(map.as_fd(), &mut info)?;
        if wanted(&info) {
            return Ok(Some(map));
        }
    }
    Ok(None)
}

fn first(array: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let (key, mut program_id) = (0_u32, 0_u32);
    let mut element = MapElement {
        map: number(array),
        key: (&raw const key).addr() as u64,
        value: (&raw mut program_id).addr() as u64,
        ..Default::default()
    };
    match bpf_answering(BPF_MAP_LOOKUP_ELEM, &mut element) {
        Ok(_) => Ok(Some(program_id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}
