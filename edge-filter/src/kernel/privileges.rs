//! Why the kernel forbids something, and who could allow it.
//!
//! `EPERM` is its answer to a user without privileges, to root without capabilities, to the
//! root of a user namespace, under a filter of system calls, and where it is locked down.
//! What to do is another thing each time (`capabilities(7)`, `user_namespaces(7)`,
//! `seccomp(2)`, `kernel_lockdown(7)`).

use std::fs;

use caps::{CapSet, Capability, CapsHashSet};

/// What stands between this process and bpf(2).
#[derive(Debug, Default)]
struct Standing {
    user: u32,
    /// The capabilities that it needs and has not.
    lacking: Vec<Capability>,
    /// Its capabilities count in a user namespace of their own alone.
    is_confined: bool,
    /// How far the kernel is locked down: `none`, `integrity` or `confidentiality`.
    lockdown: Option<String>,
    /// A filter decides about its system calls.
    is_filtered: bool,
}

/// What the commands need that load and attach.
const NEEDED: [Capability; 4] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_SYS_ADMIN,
];

/// What to try where the kernel has answered `EPERM` or `EACCES`.
pub(super) fn remedy() -> String {
    Standing::read().remedy()
}

impl Standing {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let status = text("/proc/self/status");
        let effective = caps::read(None, CapSet::Effective).unwrap_or_default();
        Self {
            user: nix::unistd::geteuid().as_raw(),
            lacking: lacking(&effective),
            is_confined: is_confined(&text("/proc/self/uid_map")),
            lockdown: lockdown(&text("/sys/kernel/security/lockdown")),
            is_filtered: is_filtered(&status),
        }
    }

    fn remedy(&self) -> String {
        let names: Vec<String> = self.lacking.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        if !self.lacking.is_empty() && self.user != 0 {
            return format!(
                "this is user {}, without {names}: run it as root",
                self.user
            );
        }
        if !self.lacking.is_empty() {
            return format!(
                "this is root without {names}, as in a container or by CapabilityBoundingSet= of a \
                 unit: add them there"
            );
        }
        if self.is_confined {
            return "this is the root of a user namespace, as in a rootless container, and bpf(2) \
                    asks for the root of the machine: run it outside"
                .to_owned();
        }
        if let Some(mode @ ("integrity" | "confidentiality")) = self.lockdown.as_deref() {
            return format!(
                "this is root, but the kernel is locked down ({mode}, by \
                 /sys/kernel/security/lockdown), and some distributions' kernels forbid bpf(2) \
                 then: turn off Secure Boot, or take `lockdown=` off the kernel's command line"
            );
        }
        if self.is_filtered {
            return "this is root, but a seccomp filter decides about its system calls, as in a \
                    container or by SystemCallFilter= of a unit: allow bpf(2) there"
                .to_owned();
        }
        "this is root with all capabilities that it takes: a security module may forbid it; its \
         log (`ausearch -m avc`, `dmesg`) says so"
            .to_owned()
    }
}

/// `CAP_SYS_ADMIN` stands for `CAP_BPF` and `CAP_PERFMON`, too.
fn lacking(effective: &CapsHashSet) -> Vec<Capability> {
    let stands_for = |capability: &Capability| {
        matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON)
            && effective.contains(&Capability::CAP_SYS_ADMIN)
    };
    let needed = NEEDED.into_iter();
    needed
        .filter(|capability| !effective.contains(capability) && !stands_for(capability))
        .collect()
}

/// Whether a user namespace's map of users is another than that of the first one, which
/// maps all of them to themselves.
fn is_confined(uid_map: &str) -> bool {
    let fields: Vec<&str> = uid_map.split_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

/// The word in brackets: `none [integrity] confidentiality`.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

/// Whether `/proc/self/status` tells of a filter (`SECCOMP_MODE_FILTER`).
fn is_filtered(status: &str) -> bool {
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_of_a_refusal_has_a_remedy_of_its_own() {
        let user = |user| Standing {
            user,
            lacking: lacking(&CapsHashSet::new()),
            ..Standing::default()
        };
        let locked = |text: &str| Standing {
            lockdown: lockdown(text),
            ..Standing::default()
        };
        for (standing, words) in [
            (user(1000), "user 1000, without CAP_BPF, CAP_NET_ADMIN"),
            (user(0), "root without CAP_BPF"),
            (
                Standing {
                    is_confined: is_confined("         0       1000          1\n"),
                    ..Standing::default()
                },
                "user namespace",
            ),
            (
                locked("none integrity [confidentiality]\n"),
                "locked down (confidentiality,",
            ),
            (
                locked("none [integrity] confidentiality\n"),
                "locked down (integrity,",
            ),
            (
                locked("[none] integrity confidentiality\n"),
                "security module",
            ),
            (locked(""), "security module"),
            (
                Standing {
                    is_filtered: is_filtered("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"),
                    ..Standing::default()
                },
                "seccomp",
            ),
        ] {
            let remedy = standing.remedy();
            assert!(remedy.contains(words), "{standing:?}: {remedy}");
        }
    }

    #[test]
    fn what_is_there_is_not_lacking() {
        let effective = |capabilities: &[Capability]| capabilities.iter().copied().collect();
        assert_eq!(lacking(&effective(&NEEDED)), []);
        let admin = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
        assert_eq!(lacking(&effective(&admin)), []);
        let some = [Capability::CAP_BPF, Capability::CAP_SYS_ADMIN];
        assert_eq!(lacking(&effective(&some)), [Capability::CAP_NET_ADMIN]);
        assert!(!is_confined("         0          0 4294967295\n"));
        assert!(!is_filtered("Seccomp:\t0\n"));
    }
}
