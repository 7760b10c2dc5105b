//! Links: a program on a device, atomically replaceable, and pinned so that it
//! stays when every process has ended.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::KernelError;
use super::device::{self, Device, XdpMode};
use super::syscall;

/// An XDP link.
#[derive(Debug)]
pub struct Link {
    descriptor: OwnedFd,
    pinned_at: Option<PathBuf>,
}

/// Why a device took no program: the message, and whether the driver alone
/// stands in the way.
#[derive(Debug)]
pub struct Refusal {
    /// What to tell the user.
    pub error: KernelError,
    /// Generic mode may work.
    pub by_driver: bool,
}

// XDP_FLAGS_*, include/uapi/linux/if_link.h.
const SKB_MODE: u32 = 1 << 1;
const DRIVER_MODE: u32 = 1 << 2;

impl Link {
    /// Attaches `program` to `device`. The link ends with this value unless it
    /// is pinned.
    ///
    /// # Errors
    /// A foreign program is there already, or the driver refuses.
    pub fn create(
        device: &Device,
        program: BorrowedFd<'_>,
        mode: XdpMode,
    ) -> Result<Self, Refusal> {
        let flags = match mode {
            XdpMode::Native => DRIVER_MODE,
            XdpMode::Generic => SKB_MODE,
        };
        match syscall::link_create(program, device.index, flags) {
            Ok(descriptor) => Ok(Self {
                descriptor,
                pinned_at: None,
            }),
            Err(error) => Err(refusal(device, mode, error)),
        }
    }

    /// The link pinned at `path`.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    pub fn from_pin(path: PathBuf) -> Result<Self, KernelError> {
        let descriptor = syscall::pinned(&path).map_err(|error| {
            KernelError::new(format!("open the link pinned at {}", path.display()))
                .because(error)
                .try_this("run it as root")
        })?;
        Ok(Self {
            descriptor,
            pinned_at: Some(path),
        })
    }

    /// Pins the link at `path`.
    ///
    /// # Errors
    /// The BPF file system refuses.
    pub fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        syscall::pin(self.descriptor.as_fd(), path).map_err(|error| {
            KernelError::new(format!("pin a link at {}", path.display())).because(error)
        })?;
        self.pinned_at = Some(path.to_owned());
        Ok(())
    }

    /// Takes the program off the device, and removes the pin. Whoever else holds
    /// the link holds an empty one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&mut self) -> Result<(), KernelError> {
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
    pub fn replace(
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
    pub fn program_id(&self) -> Result<u32, KernelError> {
        Ok(self.info()?.program_id)
    }

    /// The index of the device, `None` once it is gone.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn device_index(&self) -> Result<Option<u32>, KernelError> {
        let index = self.info()?.device_index;
        Ok((index != 0).then_some(index))
    }

    /// The device that it filters: by its name now if it is in this network
    /// namespace, else by `former_name`. `None` once the device is gone.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn filtered_device(&self, former_name: String) -> Result<Option<String>, KernelError> {
        let Some(index) = self.device_index()? else {
            return Ok(None);
        };
        let here = device::running(index, self.program_id()?);
        Ok(Some(here.map_or(former_name, |device| device.name)))
    }

    /// The program behind the link.
    ///
    /// # Errors
    /// The kernel refuses to hand it out.
    pub fn program(&self) -> Result<OwnedFd, KernelError> {
        let id = self.program_id()?;
        syscall::program_by_id(id).map_err(|error| {
            KernelError::new(format!("open program {id}"))
                .because(error)
                .try_this("run it as root")
        })
    }

    fn info(&self) -> Result<syscall::LinkInfo, KernelError> {
        syscall::link_info(self.descriptor.as_fd())
            .map_err(|error| KernelError::new("ask the kernel about a link").because(error))
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

fn refusal(device: &Device, mode: XdpMode, error: io::Error) -> Refusal {
    let name = &device.name;
    let foreign = device.xdp.map(|xdp| {
        format!(
            "program {} is attached there in {} mode",
            xdp.program_id,
            xdp.mode.as_str()
        )
    });
    let (remedy, by_driver) = match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => {
            let remedy = format!(
                "{}, and it is not ours: `bpftool net` names it; detach it with the tool that \
                 attached it (`ip link set dev {name} xdp off` for iproute2)",
                foreign.unwrap_or_else(|| "another XDP program is attached there".to_owned())
            );
            (remedy, false)
        }
        Some(libc::ENOSPC) => (
            "the driver lacks queues; a veth device needs as many rx queues as its peer has tx \
             queues (`ip link add … numrxqueues N`); --mode generic works without"
                .to_owned(),
            true,
        ),
        Some(libc::ERANGE) => (
            format!(
                "the MTU is too large for native XDP: lower it (`ip link set dev {name} mtu N`) or use --mode generic"
            ),
            true,
        ),
        Some(libc::EOPNOTSUPP) => (
            "the driver has no native XDP: use --mode generic, or --mode auto".to_owned(),
            true,
        ),
        Some(libc::EINVAL) => (
            "the driver refuses native XDP as the device is set up now; `dmesg` may say why; \
             --mode generic works without the driver"
                .to_owned(),
            true,
        ),
        Some(libc::EPERM | libc::EACCES) => (
            "run it as root, or with CAP_BPF and CAP_NET_ADMIN".to_owned(),
            false,
        ),
        Some(libc::ENODEV) => (
            format!("`ip link show {name}` tells whether it is still there"),
            false,
        ),
        _ => ("`dmesg` may say why".to_owned(), false),
    };
    Refusal {
        error: KernelError::new(format!("attach to {name} in {} mode", mode.as_str()))
            .because(error)
            .try_this(remedy),
        by_driver: by_driver && mode == XdpMode::Native,
    }
}
