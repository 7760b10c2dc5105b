//! An attachment: our program on one side of a device, pinned so that it stays when
//! every process has ended.
//!
//! It is a link wherever the kernel has links for that side. Else it is a filter of
//! the clsact qdisc, and the pin is that of its program.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::device::{self, Device};
use super::link::{Link, tcx_programs, unpin};
use super::pins::{AttachmentPin, Kind, PinRoot};
use super::site::{Refusal, Site};
use super::{KernelError, clsact, syscall};

/// Our program on one side of a device.
#[derive(Debug)]
pub struct Attachment(Held);

/// How the kernel holds it.
#[derive(Debug)]
enum Held {
    Link(Link),
    Filter(PinnedProgram),
}

/// The program of a clsact filter.
#[derive(Debug)]
struct PinnedProgram {
    program: OwnedFd,
    /// Where it is to be attached when it is pinned.
    device: Option<Device>,
    pinned_at: Option<PathBuf>,
}

/// Where an attachment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// On this device, as it is now.
    On(Device),
    /// On a device of another network namespace.
    Elsewhere,
    /// Nowhere: the device is gone, or somebody removed the filter.
    Nowhere,
}

impl Whereabouts {
    /// The name of the device that is filtered: the one that it has now, or, where it
    /// cannot be seen, `former`.
    #[must_use]
    pub fn device_name(self, former: String) -> Option<String> {
        match self {
            Self::On(device) => Some(device.name),
            Self::Elsewhere => Some(former),
            Self::Nowhere => None,
        }
    }
}

impl Attachment {
    /// Attaches `program` to `device`. The attachment ends with this value unless it is
    /// pinned; one by clsact only begins when it is pinned.
    ///
    /// # Errors
    /// Something foreign holds the place, or the kernel or the driver refuses.
    pub fn create(device: &Device, program: BorrowedFd<'_>, site: Site) -> Result<Self, Refusal> {
        let held = match site {
            Site::Xdp(mode) => Link::xdp(device, program, mode).map(Held::Link),
            Site::Tcx => Link::tcx(device, program).map(Held::Link),
            Site::Clsact => program.try_clone_to_owned().map(|program| {
                Held::Filter(PinnedProgram {
                    program,
                    device: Some(device.clone()),
                    pinned_at: None,
                })
            }),
        };
        held.map(Self).map_err(|error| site.refusal(device, error))
    }

    /// The attachment of `pin`.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(pins: &PinRoot, pin: &AttachmentPin) -> Result<Self, KernelError> {
        let path = pins.attachment(pin);
        Ok(Self(match pin.kind {
            Kind::Link => Held::Link(Link::from_pin(path)?),
            Kind::Filter => Held::Filter(PinnedProgram::from_pin(path)?),
        }))
    }

    /// The kind of its pin.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.0 {
            Held::Link(_) => Kind::Link,
            Held::Filter(_) => Kind::Filter,
        }
    }

    /// Pins it at `path`.
    ///
    /// # Errors
    /// The BPF file system refuses, or, for clsact, whatever stands in the way there.
    pub fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        match &mut self.0 {
            Held::Link(link) => link.pin(path),
            Held::Filter(program) => program.pin(path),
        }
    }

    /// Takes the program off the device, and removes the pin. Whoever else holds a link
    /// holds an empty one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&mut self) -> Result<(), KernelError> {
        match &mut self.0 {
            Held::Link(link) => link.detach(),
            Held::Filter(program) => program.detach(),
        }
    }

    /// Puts `program` in the place of `old`: every packet meets one or the other. A
    /// clsact filter is pinned at `pin` from then on, a link where it was.
    ///
    /// # Errors
    /// Another program than `old` is there, or the kernel refuses.
    pub fn replace(
        &mut self,
        device: &str,
        program: BorrowedFd<'_>,
        old: BorrowedFd<'_>,
        pin: &Path,
    ) -> Result<(), KernelError> {
        match &mut self.0 {
            Held::Link(link) => link.replace(device, program, old),
            Held::Filter(pinned) => pinned.replace(device, program, pin),
        }
    }

    /// Where it is pinned.
    #[must_use]
    pub fn pinned_at(&self) -> Option<&Path> {
        match &self.0 {
            Held::Link(link) => link.pinned_at(),
            Held::Filter(program) => program.pinned_at.as_deref(),
        }
    }

    /// The kernel's number of the program.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn program_id(&self) -> Result<u32, KernelError> {
        match &self.0 {
            Held::Link(link) => link.program_id(),
            Held::Filter(program) => program.id(),
        }
    }

    /// The program.
    ///
    /// # Errors
    /// The kernel refuses to hand it out.
    pub fn program(&self) -> Result<OwnedFd, KernelError> {
        match &self.0 {
            Held::Link(link) => link.program(),
            Held::Filter(program) => program
                .program
                .try_clone()
                .map_err(|error| KernelError::new("open a program").because(error)),
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn whereabouts(&self) -> Result<Whereabouts, KernelError> {
        let link = match &self.0 {
            Held::Link(link) => link,
            Held::Filter(program) => {
                let found = program.find()?;
                return Ok(
                    found.map_or(Whereabouts::Nowhere, |(device, _)| Whereabouts::On(device))
                );
            }
        };
        let Some(index) = link.device_index()? else {
            return Ok(Whereabouts::Nowhere);
        };
        match device::by_index(index) {
            Ok(device) if link.runs_on(&device)? => Ok(Whereabouts::On(device)),
            _ => Ok(Whereabouts::Elsewhere),
        }
    }

    /// How it is attached to `device`, on which it is.
    #[must_use]
    pub fn site(&self, device: &Device) -> Option<Site> {
        match &self.0 {
            Held::Link(link) if link.is_tcx() => Some(Site::Tcx),
            Held::Link(_) => device.xdp.map(|xdp| Site::Xdp(xdp.mode)),
            Held::Filter(_) => Some(Site::Clsact),
        }
    }

    /// The numbers of the programs that see what leaves `device` before this one does;
    /// 0 stands for a filter without a program.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn ahead(&self, device: &Device) -> Result<Vec<u32>, KernelError> {
        let own = self.program_id()?;
        let mut programs = match &self.0 {
            Held::Link(link) if !link.is_tcx() => return Ok(Vec::new()),
            Held::Link(_) | Held::Filter(_) => tcx_programs(device)?,
        };
        if matches!(self.0, Held::Filter(_)) {
            let filters = clsact::egress(device.index).map_err(asking)?;
            programs.extend(filters.iter().map(|filter| filter.program_id.unwrap_or(0)));
        }
        Ok(programs.into_iter().take_while(|id| *id != own).collect())
    }
}

impl PinnedProgram {
    fn from_pin(path: PathBuf) -> Result<Self, KernelError> {
        let program = syscall::pinned(&path).map_err(|error| {
            KernelError::new(format!("open the program pinned at {}", path.display()))
                .because(error)
                .if_forbidden()
        })?;
        Ok(Self {
            program,
            device: None,
            pinned_at: Some(path),
        })
    }

    fn id(&self) -> Result<u32, KernelError> {
        syscall::program_id(self.program.as_fd()).map_err(asking)
    }

    /// The pin comes first: a filter whose program is not pinned is nobody's.
    fn pin(&mut self, path: &Path) -> Result<(), KernelError> {
        pin(self.program.as_fd(), path)?;
        self.pinned_at = Some(path.to_owned());
        let Some(device) = self.device.take() else {
            return Ok(());
        };
        clsact::attach(device.index, self.program.as_fd())
            .map_err(|error| Site::Clsact.refusal(&device, error).error)
    }

    fn replace(
        &mut self,
        device: &str,
        program: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<(), KernelError> {
        let replacing = || KernelError::new(format!("replace the program on {device}"));
        let (_, filter) = self.find()?.ok_or_else(|| {
            replacing()
                .because("its filter is gone")
                .try_this("`edge-filter status` shows what is attached")
        })?;
        let program = program
            .try_clone_to_owned()
            .map_err(|error| replacing().because(error))?;
        pin(program.as_fd(), path)?;
        if let Err(error) = clsact::replace(&filter, program.as_fd()) {
            let _ = unpin(path);
            return Err(replacing().because(error));
        }
        self.program = program;
        if let Some(former) = self.pinned_at.replace(path.to_owned()) {
            unpin(&former)?;
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<(), KernelError> {
        if let Some((_, filter)) = self.find()? {
            clsact::detach(&filter)
                .map_err(|error| KernelError::new("detach a program").because(error))?;
        }
        self.pinned_at.take().map_or(Ok(()), |path| unpin(&path))
    }

    /// The filter that runs it, and the device. A filter does not go with a device into
    /// another network namespace.
    fn find(&self) -> Result<Option<(Device, clsact::Filter)>, KernelError> {
        let id = Some(self.id()?);
        for device in device::all().map_err(asking)? {
            let filters = clsact::egress(device.index).map_err(asking)?;
            let own = filters.into_iter().find(|filter| filter.program_id == id);
            if let Some(filter) = own {
                return Ok(Some((device, filter)));
            }
        }
        Ok(None)
    }
}

fn pin(program: BorrowedFd<'_>, path: &Path) -> Result<(), KernelError> {
    syscall::pin(program, path).map_err(|error| {
        KernelError::new(format!("pin a program at {}", path.display())).because(error)
    })
}

fn asking(error: io::Error) -> KernelError {
    KernelError::new("ask the kernel which programs filter what leaves").because(error)
}
