//! What the daemon says of how things stand.

use crate::generation::keep::Standing;
use crate::generation::last_good::Ground;
use crate::kernel::KernelError;

/// What went wrong, in one line.
pub(super) fn first_line(error: &KernelError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// How things stand, for systemd and the log.
pub(super) fn in_words(standing: &Standing, ground: Option<&Ground>) -> String {
    let Standing {
        policy, generation, ..
    } = standing;
    let on_trial = match standing.trial_ends_in {
        Some(_) => ", on trial",
        None => "",
    };
    let filtered = match &*standing.filtered {
        [] => "no device is filtered".to_owned(),
        devices => format!("filtered: {}", devices.join(", ")),
    };
    let missing = |is_open: bool, words: &str| {
        let missing = standing.missing.iter();
        let missing = missing.filter(|missing| missing.instead.is_none() == is_open);
        let names: Vec<&str> = missing.map(|missing| &*missing.device).collect();
        match &*names {
            [] => String::new(),
            devices => format!("; {words}: {}", devices.join(", ")),
        }
    };
    let missing = missing(true, "NOT FILTERED") + &missing(false, "by another generation");
    let absent = match &*standing.absent {
        [] => String::new(),
        devices => format!("; not there: {}", devices.join(", ")),
    };
    let last_resort = match ground {
        Some(Ground::LastResort(_)) => "LAST RESORT: ",
        _ => "",
    };
    format!(
        "{last_resort}policy '{policy}', generation {generation}{on_trial}: \
         {filtered}{missing}{absent}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::keep::Missing;

    #[test]
    fn every_device_of_the_policy_is_named() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut standing = Standing {
            generation: 3,
            policy: "edge".to_owned(),
            filtered: names(&["eth0", "eth1"]),
            missing: vec![
                Missing {
                    device: "eth2".to_owned(),
                    index: 7,
                    instead: None,
                },
                Missing {
                    device: "eth5".to_owned(),
                    index: 8,
                    instead: Some(4),
                },
            ],
            absent: names(&["eth3", "eth4"]),
            trial_ends_in: None,
            confirm_deadline: None,
            diagnostics: false,
        };
        assert_eq!(
            in_words(&standing, None),
            "policy 'edge', generation 3: filtered: eth0, eth1; NOT FILTERED: eth2; by \
             another generation: eth5; not there: eth3, eth4"
        );
        standing.filtered.clear();
        standing.missing.clear();
        assert_eq!(
            in_words(&standing, None),
            "policy 'edge', generation 3: no device is filtered; not there: eth3, eth4"
        );
    }
}
