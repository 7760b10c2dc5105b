//! Links: a program on a device, atomically replaceable, and pinned so that it
//! stays when every process has ended. Inbound they are of XDP, outbound of TCX.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::KernelError;
use super::device::{Device, XdpMode};
use super::syscall::{self, AttachType};

/// A link of XDP or TCX.
#[derive(Debug)]
pub(super) struct Link {
    descriptor: OwnedFd,
    is_tcx: bool,
    pinned_at: Option<PathBuf>,
}

// XDP_FLAGS_*, include/uapi/linux/if_link.h.
const SKB_MODE: u32 = 1 << 1;
const DRIVER_MODE: u32 = 1 << 2;
/// `BPF_F_BEFORE`, include/uapi/linux/bpf.h: with nothing named, before all others.
const BEFORE: u32 = 1 << 3;

impl Link {
    /// Attaches `program` to `device`, on what arrives. The link ends with this value
    /// unless it is pinned.
    ///
    /// # Errors
    /// A foreign program is there already, or the driver refuses.
    pub(super) fn xdp(device: &Device, program: BorrowedFd<'_>, mode: XdpMode) -> io::Result<Self> {
        let flags = match mode {
            XdpMode::Native => DRIVER_MODE,
            XdpMode::Generic => SKB_MODE,
        };
        Ok(Self {
            descriptor: syscall::link_create(program, device.index, AttachType::Xdp, flags)?,
            is_tcx: false,
            pinned_at: None,
        })
    }

    /// Attaches `program` to `device`, on what leaves, before all other programs. The
    /// link ends with this value unless it is pinned.
    ///
    /// # Errors
    /// The kernel has no TCX, or the device has too many programs.
    pub(super) fn tcx(device: &Device, program: BorrowedFd<'_>) -> io::Result<Self> {
        let kind = AttachType::TcxEgress;
        Ok(Self {
            descriptor: syscall::link_create(program, device.index, kind, BEFORE)?,
            is_tcx: true,
            pinned_at: None,
        })
    }

    /// The link pinned at `path`.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub(super) fn from_pin(path: PathBuf) -> Result<Self, KernelError> {
        let descriptor = syscall::pinned(&path).map_err(|error| {
            KernelError::new(format!("open the link pinned at {}", path.display()))
                .because(error)
                .if_forbidden()
        })?;
        let mut link = Self {
            descriptor,
            is_tcx: false,
            pinned_at: Some(path),
        };
        link.is_tcx = link.info()?.kind == syscall::LINK_TYPE_TCX;
        Ok(link)
    }

    /// Pins the link at `path`.
    ///
    /// # Errors
    /// The BPF file system refuses.
    pub(super) fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        syscall::pin(self.descriptor.as_fd(), path).map_err(|error| {
            KernelError::new(format!("pin a link at {}", path.display())).because(error)
        })?;
        self.pinned_at = Some(path.to_owned());
        Ok(())
    }

    /// Where it is pinned.
    pub(super) fn pinned_at(&self) -> Option<&Path> {
        self.pinned_at.as_deref()
    }

    /// Takes the program off the device, and removes the pin. Whoever else holds
    /// the link holds an empty one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn detach(&mut self) -> Result<(), KernelError> {
        match syscall::link_detach(self.descriptor.as_fd()) {
            // The device is gone, and took the program with it.
            Err(error) if error.raw_os_error() != Some(libc::EINVAL) => {
                return Err(KernelError::new("detach a program").because(error));
            }
            _ => {}
        }
        self.pinned_at.take().map_or(Ok(()), |path| unpin(&path))
    }

    /// Puts `program` in the place of `old`: every packet meets one or the other.
    ///
    /// # Errors
    /// The link runs another program than `old`, or the kernel refuses.
    pub(super) fn replace(
        &self,
        device: &str,
        program: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
    ) -> Result<(), KernelError> {
        syscall::link_update(self.descriptor.as_fd(), program, old).map_err(|error| {
            KernelError::new(format!("replace the program on {device}"))
                .because(error)
                .try_this("`edge-filter status` shows what is attached")
        })
    }

    /// The kernel's number of the program behind the link.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(super) fn program_id(&self) -> Result<u32, KernelError> {
        Ok(self.info()?.program_id)
    }

    /// The index of the device, `None` once it is gone.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(super) fn device_index(&self) -> Result<Option<u32>, KernelError> {
        let index = self.info()?.device_index;
        Ok((index != 0).then_some(index))
    }

    /// Whether it is TCX, or else XDP.
    pub(super) fn is_tcx(&self) -> bool {
        self.is_tcx
    }

    /// Whether `device`, which has the link's index, runs its program: the index alone
    /// may be that of a device in another network namespace.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub(super) fn runs_on(&self, device: &Device) -> Result<bool, KernelError> {
        let program_id = self.program_id()?;
        if self.is_tcx {
            Ok(tcx_programs(device)?.contains(&program_id))
        } else {
            Ok(device.xdp.is_some_and(|xdp| xdp.program_id == program_id))
        }
    }

    /// The program behind the link.
    ///
    /// # Errors
    /// The kernel refuses to hand it out.
    pub(super) fn program(&self) -> Result<OwnedFd, KernelError> {
        let id = self.program_id()?;
        syscall::program_by_id(id).map_err(|error| {
            KernelError::new(format!("open program {id}"))
                .because(error)
                .if_forbidden()
        })
    }

    fn info(&self) -> Result<syscall::LinkInfo, KernelError> {
        syscall::link_info(self.descriptor.as_fd())
            .map_err(|error| KernelError::new("ask the kernel about a link").because(error))
    }
}

/// The numbers of the TCX programs on what leaves `device`, in the order in which they
/// run; none where the kernel has no TCX.
///
/// # Errors
/// The kernel refuses to tell.
pub(super) fn tcx_programs(device: &Device) -> Result<Vec<u32>, KernelError> {
    match syscall::programs(device.index, AttachType::TcxEgress) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Vec::new()),
        programs => programs.map_err(|error| {
            KernelError::new(format!("ask which programs run on {}", device.name)).because(error)
        }),
    }
}

/// Removes what is pinned at `path`, if anything is.
///
/// # Errors
/// The BPF file system refuses.
pub fn unpin(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(KernelError::new(format!("remove the pin {}", path.display())).because(error))
        }
        _ => Ok(()),
    }
}
