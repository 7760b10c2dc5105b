//! What the daemon may do, once it has given up the rest.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;

use crate::kernel::KernelError;

/// The capabilities that it keeps, and what each is for. For bpf(2), the kernel takes
/// `CAP_SYS_ADMIN` for `CAP_BPF` and `CAP_PERFMON`, too; they are kept by their own names, so
/// that it alone goes when it is not needed any more.
pub const KEPT: [(Capability, &str); 4] = [
    (Capability::CAP_BPF, "making tables and loading programs"),
    (
        Capability::CAP_NET_ADMIN,
        "loading programs for packets, attaching them, and asking for open connections",
    ),
    (
        Capability::CAP_PERFMON,
        "loading the programs as they are, not rewritten by the verifier against speculation",
    ),
    (
        Capability::CAP_SYS_ADMIN,
        "opening the program of an attachment by its number, which replacing it needs",
    ),
];

/// Gives up all capabilities but those of [`KEPT`], for good: neither a program that it
/// were to run nor root's files get them back. To be called while there is one thread.
///
/// # Errors
/// The kernel refuses, or one that is needed is not there.
pub fn give_up() -> Result<(), KernelError> {
    let kept: CapsHashSet = KEPT.iter().map(|(capability, _)| *capability).collect();
    let permitted = caps::read(None, CapSet::Permitted).map_err(giving_up)?;
    for (capability, purpose) in KEPT {
        if !permitted.contains(&capability) {
            return Err(KernelError::new("run as a daemon")
                .because(format!("{capability} is needed for {purpose}"))
                .try_this("run it as root"));
        }
    }
    // The bounding set first: what changes it is itself given up afterwards.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        let bounding = caps::read(None, CapSet::Bounding).map_err(giving_up)?;
        for capability in bounding.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(giving_up)?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(giving_up)?;
    caps::clear(None, CapSet::Inheritable).map_err(giving_up)?;
    caps::set(None, CapSet::Effective, &kept).map_err(giving_up)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(giving_up)?;
    prctl::set_no_new_privs().map_err(giving_up)
}

fn giving_up(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> KernelError {
    KernelError::new("give up privileges").because(error)
}
