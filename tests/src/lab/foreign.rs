//! Programs that are not edge-filter's, attached as others would attach theirs. They
//! pass everything, or drop everything.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::libc;
use nix::net::if_::if_nametoindex;

use super::wire::End;
use crate::bpf::assembly::answering;
use crate::bpf::{ProgramType, bpf, bpf_fd, load, number, program_by_id};

/// The commands and constants of bpf(2) that are needed here (linux/bpf.h).
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_DETACH: libc::c_long = 34;
const BPF_XDP: u32 = 37;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_BEFORE: u32 = 1 << 3;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// What the programs answer: they drop, pass, or leave it to others.
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TCX_NEXT: i32 = -1;

/// A loaded program. It lives as long as this, or what is attached or pinned.
#[derive(Debug)]
pub struct Foreign {
    program: OwnedFd,
}

/// An attachment that ends when this is dropped.
#[derive(Debug)]
pub struct ForeignLink {
    link: OwnedFd,
}

/// The head of `union bpf_attr` for `BPF_OBJ_PIN`; the kernel takes what is not given
/// for zero.
#[repr(C)]
struct ObjPin {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// For `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// For `BPF_LINK_DETACH`.
#[repr(C)]
struct LinkDetach {
    link_fd: u32,
}

impl Foreign {
    /// Loads one for what arrives.
    pub fn load() -> Result<Self> {
        Self::load_kind(ProgramType::Xdp, XDP_PASS)
    }

    /// Loads one for what arrives that drops everything.
    pub fn load_dropping() -> Result<Self> {
        Self::load_kind(ProgramType::Xdp, XDP_DROP)
    }

    /// Loads one for what leaves.
    pub fn load_egress() -> Result<Self> {
        Self::load_kind(ProgramType::SchedCls, TCX_NEXT)
    }

    fn load_kind(program_type: ProgramType, answer: i32) -> Result<Self> {
        let program = load(program_type, "foreign", &answering(answer));
        let program = program.context("load the foreign program")?;
        Ok(Self { program })
    }

    /// Attaches it by a link, natively or not.
    pub fn attach(&self, end: &End, native: bool) -> Result<ForeignLink> {
        let flags = if native {
            XDP_FLAGS_DRV_MODE
        } else {
            XDP_FLAGS_SKB_MODE
        };
        self.link(end, BPF_XDP, flags)
    }

    /// One that was loaded elsewhere.
    pub(super) fn of(program: OwnedFd) -> Self {
        Self { program }
    }

    /// Attaches it by TCX to what arrives, behind XDP.
    pub(super) fn attach_ingress(&self, end: &End) -> Result<ForeignLink> {
        self.link(end, BPF_TCX_INGRESS, 0)
    }

    /// Attaches it by TCX to what leaves, before all others or behind them.
    pub fn attach_egress(&self, end: &End, before: bool) -> Result<ForeignLink> {
        let flags = if before { BPF_F_BEFORE } else { 0 };
        self.link(end, BPF_TCX_EGRESS, flags)
    }

    fn link(&self, end: &End, attach_type: u32, flags: u32) -> Result<ForeignLink> {
        let link = end.namespace.enter(|| {
            let target_ifindex = if_nametoindex(end.device)?;
            let prog_fd = number(self.program.as_fd())?;
            let mut attributes = LinkCreate {
                prog_fd,
                target_ifindex,
                attach_type,
                flags,
            };
            Ok(bpf_fd(BPF_LINK_CREATE, &mut attributes)?)
        });
        let link = link.with_context(|| format!("attach the foreign program to {}", end.device))?;
        Ok(ForeignLink { link })
    }

    /// Pins it at a path of a bpffs.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let pathname = CString::new(path.as_os_str().as_bytes())?;
        let bpf_fd = number(self.program.as_fd())?;
        let mut attributes = ObjPin {
            pathname: pathname.as_ptr() as u64,
            bpf_fd,
            file_flags: 0,
        };
        bpf(BPF_OBJ_PIN, &mut attributes).context("pin the foreign program")?;
        Ok(())
    }

    /// The kernel's id of it.
    pub fn id(&self) -> Result<u32> {
        let info =
            std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.program.as_raw_fd()))?;
        let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
        id.context("a program without an id")?
            .trim()
            .parse()
            .context("read the program's id")
    }
}

impl Drop for ForeignLink {
    /// Closing the descriptor is not enough: a child that another thread is just
    /// starting may hold a copy of it until it executes its program.
    fn drop(&mut self) {
        if let Ok(link_fd) = number(self.link.as_fd()) {
            // It fails only if the device is gone, and the attachment with it.
            let _ = bpf(BPF_LINK_DETACH, &mut LinkDetach { link_fd });
        }
    }
}

/// Whether the kernel still has the program of this id.
pub fn program_exists(id: u32) -> Result<bool> {
    match program_by_id(id) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("ask for program {id}")),
    }
}
