//! One hook on its way from one generation to the next.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use edge_filter_ebpf::config::{Constant, NONE};

use super::Instance;
use super::plan::HookPlan;
use super::sites::Sites;
use super::status::runs_ahead;
use super::trial;
use crate::kernel::attachment::{Attachment, Whereabouts};
use crate::kernel::device::XdpMode;
use crate::kernel::flow_table::FlowTable;
use crate::kernel::object::{self, Beside, LoadedProgram};
use crate::kernel::offload::takes_vlan_tags_off;
use crate::kernel::pins::{AttachmentPin, Kind};
use crate::kernel::site::Site;
use crate::kernel::trial::SinceBoot;
use crate::kernel::{KernelError, unpin};
use crate::policy::Direction;

/// A hook on its way: first loaded, then swapped.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) plan: HookPlan,
    pub(super) program: LoadedProgram,
    pub(super) site: Site,
    /// Another site will do if the first refuses.
    may_fall_back: bool,
    pub(super) fallback: Option<String>,
    present: Option<Present>,
    /// The attachment that was made because there was none.
    created: Option<Attachment>,
    /// Of a program on trial: where the one is pinned that decides afterwards,
    successor: Option<PathBuf>,
    /// and when that is.
    deadline: Option<SinceBoot>,
    /// Whether the program says what becomes of frames.
    diagnostics: bool,
}

/// What the programs of a generation are loaded with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loading<'a> {
    pub(super) instance: &'a Instance,
    pub(super) generation: u64,
    pub(super) sites: Sites,
    pub(super) flows: Option<&'a FlowTable>,
    pub(super) on_trial: bool,
    pub(super) diagnostics: bool,
}

/// The attachment that a hook has, and the program that it runs.
#[derive(Debug)]
struct Present {
    attachment: Attachment,
    program: OwnedFd,
    pinned_at: PathBuf,
}

/// An attachment of an earlier generation, with the device's name at the time when it
/// was pinned.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) attachment: Attachment,
    pub(super) pin: AttachmentPin,
    pub(super) whereabouts: Whereabouts,
}

impl Former {
    /// Every pinned attachment.
    pub(super) fn all(instance: &Instance) -> Result<Vec<Self>, KernelError> {
        let pins = instance.pins.attachments()?.into_iter();
        pins.map(|pin| {
            let attachment = Attachment::open(&instance.pins, &pin)?;
            Ok(Self {
                whereabouts: attachment.whereabouts()?,
                attachment,
                pin,
            })
        })
        .collect()
    }

    /// Ends it; the device that was filtered, by its name now if it can be seen.
    pub(super) fn release(mut self) -> Result<Option<String>, KernelError> {
        self.attachment.detach()?;
        Ok(self.whereabouts.device_name(self.pin.device))
    }

    fn is_of(&self, plan: &HookPlan) -> bool {
        self.pin.direction == plan.direction
            && matches!(&self.whereabouts, Whereabouts::On(device) if device.index == plan.device.index)
    }
}

impl Change {
    /// Loads the program of one hook, and claims the attachment that the hook has.
    pub(super) fn load(
        plan: HookPlan,
        loading: Loading<'_>,
        former: &mut Vec<Former>,
    ) -> Result<Self, KernelError> {
        let Loading {
            instance,
            generation,
            sites,
            flows,
            on_trial,
            diagnostics,
        } = loading;
        let own = former.iter().position(|former| former.is_of(&plan));
        let present = match own.map(|number| former.swap_remove(number)) {
            Some(Former {
                attachment, pin, ..
            }) => Some(Present {
                program: attachment.program()?,
                attachment,
                pinned_at: instance.pins.attachment(&pin),
            }),
            None => None,
        };
        let (site, may_fall_back) = match &present {
            Some(present) => (site_of(&present.attachment, &plan, sites)?, false),
            None => sites.first(plan.direction),
        };
        let (device, direction) = (&plan.device.name, plan.direction);
        let decides = present.as_ref().map(|present| present.program.as_fd());
        let successor = on_trial
            .then(|| trial::prepare(instance, generation, device, direction, decides))
            .transpose()?;
        let beside = beside(successor.as_deref(), diagnostics);
        let program = load(&plan, site, flows, beside)?;
        Ok(Self {
            plan,
            program,
            site,
            may_fall_back,
            fallback: None,
            present,
            created: None,
            successor,
            deadline: None,
            diagnostics,
        })
    }

    /// Sets the deadline of a program on trial.
    pub(super) fn set_deadline(&mut self, deadline: SinceBoot) -> Result<(), KernelError> {
        self.deadline = Some(deadline);
        self.program.set_deadline(deadline)
    }

    /// Whether the hook sees what the trusted side sends, and remembers it.
    pub(super) fn is_tracking(&self) -> bool {
        self.plan.image.config.get(Constant::Tracking) != 0
    }

    /// The device, and the side.
    pub(super) fn side(&self) -> (String, Direction) {
        (self.plan.device.name.clone(), self.plan.direction)
    }

    /// Whether the hook has an attachment already.
    pub(super) fn is_present(&self) -> bool {
        self.present.is_some()
    }

    pub(super) fn pin_counters(
        &self,
        instance: &Instance,
        generation: u64,
    ) -> Result<(), KernelError> {
        self.program
            .pin_counters(&self.counters(instance, generation))
    }

    fn counters(&self, instance: &Instance, generation: u64) -> PathBuf {
        let HookPlan {
            device, direction, ..
        } = &self.plan;
        instance.pins.counters(generation, &device.name, *direction)
    }

    /// Attaches the program to a hook that has no attachment of ours, at another site
    /// if the first refuses and the choice allows it.
    pub(super) fn attach(
        &mut self,
        instance: &Instance,
        generation: u64,
        flows: Option<&FlowTable>,
    ) -> Result<(), KernelError> {
        match Attachment::create(&self.plan.device, self.program.descriptor(), self.site) {
            Ok(attachment) => {
                self.created = Some(attachment);
                return Ok(());
            }
            Err(refusal) if refusal.other_site && self.may_fall_back => {
                self.fallback = Some(refusal.error.to_string());
            }
            Err(refusal) => return Err(refusal.error),
        }
        self.site = match self.site {
            Site::Xdp(_) => Site::Xdp(XdpMode::Generic),
            Site::Tcx | Site::Clsact => Site::Clsact,
        };
        let beside = beside(self.successor.as_deref(), self.diagnostics);
        self.program = load(&self.plan, self.site, flows, beside)?;
        if let Some(deadline) = self.deadline {
            self.program.set_deadline(deadline)?;
        }
        unpin(&self.counters(instance, generation))?;
        self.pin_counters(instance, generation)?;
        let created = Attachment::create(&self.plan.device, self.program.descriptor(), self.site);
        self.created = Some(created.map_err(|refusal| refusal.error)?);
        Ok(())
    }

    /// Has a new attachment outlive this process.
    pub(super) fn pin(&mut self, instance: &Instance, generation: u64) -> Result<(), KernelError> {
        let pin = |kind| AttachmentPin {
            kind,
            generation,
            device: self.plan.device.name.clone(),
            direction: self.plan.direction,
        };
        match &mut self.created {
            Some(created) => created.pin(&instance.pins.attachment(&pin(created.kind()))),
            None => Ok(()),
        }
    }

    /// Puts the program in the place of the present one, if there is one.
    pub(super) fn replace(
        &mut self,
        instance: &Instance,
        generation: u64,
    ) -> Result<(), KernelError> {
        let Some(present) = &mut self.present else {
            return Ok(());
        };
        let pin = instance.pins.attachment(&AttachmentPin {
            kind: Kind::Filter,
            generation,
            device: self.plan.device.name.clone(),
            direction: self.plan.direction,
        });
        let (new, old) = (self.program.descriptor(), present.program.as_fd());
        present
            .attachment
            .replace(&self.plan.device.name, new, old, &pin)
    }

    /// Gives the hook its former program back.
    pub(super) fn put_back(&mut self) -> Result<(), KernelError> {
        let Some(present) = &mut self.present else {
            return Ok(());
        };
        let (new, old) = (self.program.descriptor(), present.program.as_fd());
        present
            .attachment
            .replace(&self.plan.device.name, old, new, &present.pinned_at)
    }

    /// Detaches and removes what this change made.
    pub(super) fn take_back(&mut self, instance: &Instance, generation: u64) {
        if let Some(attachment) = &mut self.created {
            let _ = attachment.detach();
        }
        let _ = unpin(&self.counters(instance, generation));
    }

    /// What keeps the hook from seeing packets as they are on the wire, or at all.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.hidden_tags().into_iter().collect();
        let present = self.present.as_ref().map(|present| &present.attachment);
        let Some(attachment) = self.created.as_ref().or(present) else {
            return warnings;
        };
        // What cannot be asked is no reason to take everything back.
        let ahead = attachment.ahead(&self.plan.device).unwrap_or_default();
        let device = &self.plan.device.name;
        warnings.extend(ahead.into_iter().map(|id| runs_ahead(device, id)));
        warnings
    }

    /// A warning, if the role lists VLANs and the device hides them.
    fn hidden_tags(&self) -> Option<String> {
        let HookPlan {
            interface,
            device,
            image,
            direction,
        } = &self.plan;
        let judged = *direction == Direction::Inbound && image.config.get(Constant::Vlans) != NONE;
        let hidden = judged && takes_vlan_tags_off(device).unwrap_or(false);
        let name = &device.name;
        hidden.then(|| {
            format!(
                "{interface}: {name} takes VLAN tags off before the filter sees them, so that \
                 tagged frames look untagged\n  help: `ethtool -K {name} rxvlan off` leaves them on"
            )
        })
    }
}

/// Fails, as [`Change::load`] would, where a hook of `plans` has an attachment that `sites` do
/// not allow.
///
/// # Errors
/// There is such a hook, or the kernel refuses to tell.
pub(super) fn check_sites(
    instance: &Instance,
    plans: &[HookPlan],
    sites: Sites,
) -> Result<(), KernelError> {
    for former in Former::all(instance)? {
        if let Some(plan) = plans.iter().find(|plan| former.is_of(plan)) {
            site_of(&former.attachment, plan, sites)?;
        }
    }
    Ok(())
}

/// The site of an attachment stays for as long as it lasts.
fn site_of(attachment: &Attachment, plan: &HookPlan, sites: Sites) -> Result<Site, KernelError> {
    let present = attachment.site(&plan.device);
    let (first, _) = sites.first(plan.direction);
    let present = present.unwrap_or(first);
    if sites.allow(present) {
        return Ok(present);
    }
    let (name, is, wanted) = (&plan.device.name, present.in_words(), first.in_words());
    Err(KernelError::new(format!(
        "filter what {} {name} by {wanted}",
        moves(plan.direction)
    ))
    .because(format!(
        "it is filtered by {is}, and that stays for as long as it is filtered"
    ))
    .try_this(format!(
        "`edge-filter apply POLICY {}` keeps it there; after `edge-filter detach` it can be \
         anywhere",
        match present {
            Site::Xdp(_) => "--mode auto",
            Site::Tcx | Site::Clsact => "--egress auto",
        }
    )))
}

fn moves(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "arrives at",
        Direction::Outbound => "leaves",
    }
}

/// What a program does beside filtering. One on trial says nothing.
fn beside(successor: Option<&Path>, diagnostics: bool) -> Beside<'_> {
    match successor {
        Some(successor) => Beside::Trial(successor),
        None if diagnostics => Beside::Diagnostics,
        None => Beside::Nothing,
    }
}

/// Loads the program of `plan` for `site`.
fn load(
    plan: &HookPlan,
    site: Site,
    flows: Option<&FlowTable>,
    beside: Beside<'_>,
) -> Result<LoadedProgram, KernelError> {
    let software_lengths = site == Site::Xdp(XdpMode::Generic);
    let direction = plan.direction;
    object::load_for(&plan.image, direction, software_lengths, flows, beside)
}
