//! One policy after another: nothing that both allow is lost in between, and
//! nothing that both refuse slips through.

use anyhow::Result;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::stream::under_load;
use edge_filter_tests::lab::{Lab, Plan, sample};

/// How often the policy is replaced while the streams run.
const REPLACEMENTS: u32 = 20;

fn replace_under_load(mode: Mode) -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policies = [
        lab.mounts.write("short.yaml", sample::POLICY)?,
        lab.mounts.write("long.yaml", &sample::longer())?,
    ];
    lab.apply(&policies[1], mode)?;
    let first = lab.status()?;

    // The allowed port, and one that both policies refuse.
    let (streams, ()) = under_load(&lab, [3478, 3479], || {
        policies
            .iter()
            .cycle()
            .take(REPLACEMENTS as usize)
            .try_for_each(|policy| lab.apply(policy, mode).map(drop))
    })?;
    let [allowed, refused] = streams;

    assert_eq!(
        allowed.received,
        (0..allowed.sent).collect::<Vec<_>>(),
        "datagrams were lost or doubled"
    );
    assert!(
        refused.received.is_empty(),
        "refused datagrams were received: {:?}",
        refused.received
    );
    assert!(
        allowed.sent > REPLACEMENTS,
        "the stream hardly ran: {} datagrams",
        allowed.sent
    );

    let last = lab.status()?;
    assert_ne!(
        last.hooks[0].program_id, first.hooks[0].program_id,
        "nothing was replaced"
    );
    assert_eq!(
        last.policy.generation,
        first.policy.generation + u64::from(REPLACEMENTS)
    );
    // An id that stays keeps its count over all generations.
    let moved = lab.counters()?.moved();
    let packets = |id: &str| {
        moved
            .get(&counter("external", "inbound", id))
            .map(|c| c.packets)
    };
    assert_eq!(packets("stun"), Some(allowed.sent.into()));
    assert_eq!(packets("drop:default"), Some(refused.sent.into()));
    Ok(())
}

#[test]
fn a_native_policy_is_replaced_without_a_gap() -> Result<()> {
    replace_under_load(Mode::Native)
}

#[test]
fn a_generic_policy_is_replaced_without_a_gap() -> Result<()> {
    replace_under_load(Mode::Generic)
}
