//! A gateway: what its inner side opens is tracked at XDP alone, and what was forwarded
//! before the first `apply` goes on, as far as the kernel knows it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::open::Open;
use edge_filter_tests::lab::product::{Mode, counter};
use edge_filter_tests::lab::{Lab, Plan, Shape};

const PATIENCE: Duration = Duration::from_secs(3);
const SHORT: Duration = Duration::from_millis(300);

/// The inner side is trusted, and may open TCP 5061.
const POLICY: &str = r"version: 1
name: gateway
interfaces:
  external: { devices: [external] }
  internal: { devices: [internal], trust: trusted }
default_action: drop
groups:
  - name: gateway
    rules:
      - { id: out, interface: internal, direction: inbound, protocol: tcp, to: { ports: [5061] }, action: allow }
";

/// The same behind a translation of addresses: tracked where it leaves.
const TRANSLATED: &str = r"version: 1
name: translated
interfaces:
  external: { devices: [external], outbound: track }
  internal: { devices: [internal] }
default_action: drop
groups:
  - name: gateway
    rules:
      - { id: out, interface: external, direction: outbound, protocol: tcp, from: { networks: [192.0.2.10] }, to: { ports: [5061] }, action: allow }
";

/// Has the gateway track connections.
const TRACKED: &str = "table inet lab {\n  chain forward {\n    type filter hook forward priority \
                       0;\n    ct state new accept\n  }\n}\n";
/// Has it put its own address in the place of the inner one, too.
const MASQUERADED: &str = "table ip lab {\n  chain out {\n    type nat hook postrouting priority \
                           100;\n    oifname \"external\" snat to 192.0.2.10\n  }\n}\n";

/// A conversation through the gateway that the inner side opens.
fn through(lab: &Lab, plan: &Plan, family: usize) -> Result<Open> {
    let to = SocketAddr::new(plan.outside[family], 5061);
    Open::new(&lab.internal.world.namespace, &lab.world, to)
}

fn gateway(policy: &str, rules: &str) -> Result<(Lab, Plan, PathBuf)> {
    let plan = Plan {
        shape: Shape::Gateway,
        ..Plan::default()
    };
    let lab = Lab::new(&plan)?;
    if !rules.is_empty() {
        nft(&lab, rules)?;
    }
    let policy = lab.mounts.write("policy.yaml", policy)?;
    Ok((lab, plan, policy))
}

/// Loads rules of nftables at the gateway.
fn nft(lab: &Lab, rules: &str) -> Result<()> {
    let mut child = lab
        .edge
        .command("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run `nft`; install it with `apt-get install nftables`")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(rules.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn what_was_forwarded_before_goes_on_whoever_speaks_next() -> Result<()> {
    let (lab, plan, policy) = gateway(POLICY, TRACKED)?;
    let mut open = Vec::new();
    for family in 0..2 {
        open.push(through(&lab, &plan, family)?);
    }
    lab.apply(&policy, Mode::Native)?;
    for (family, conversation) in open.iter_mut().enumerate() {
        assert!(conversation.hears(PATIENCE)?, "family {family}");
        conversation.speak()?;
    }
    assert_eq!(lab.flows()?.flows.len(), 2);
    let moved = lab.counters()?.moved();
    assert!(
        moved.contains_key(&counter("external", "inbound", "out/reply")),
        "{moved:?}"
    );
    assert!(
        moved.contains_key(&counter("internal", "inbound", "out")),
        "{moved:?}"
    );
    assert_eq!(lab.status()?.hooks.len(), 2, "nothing outbound is attached");
    Ok(())
}

#[test]
fn translated_addresses_are_tracked_where_they_leave() -> Result<()> {
    let (lab, plan, policy) = gateway(TRANSLATED, MASQUERADED)?;
    let mut before = through(&lab, &plan, 0)?;
    assert_eq!(
        before.other.peer_addr()?.ip(),
        plan.external[0],
        "it is not translated"
    );
    lab.apply(&policy, Mode::Native)?;
    assert!(before.hears(PATIENCE)?, "what was open before has ended");
    before.speak()?;
    drop(before);
    let mut after = through(&lab, &plan, 0)?;
    assert!(after.hears(PATIENCE)?);
    Ok(())
}

/// Without connection tracking nobody knows what was forwarded, until it is.
#[test]
fn what_nobody_knew_goes_on_when_the_inner_side_speaks() -> Result<()> {
    let (lab, plan, policy) = gateway(POLICY, "")?;
    let mut open = through(&lab, &plan, 0)?;
    lab.apply(&policy, Mode::Native)?;
    assert!(!open.hears(SHORT)?, "it came in by its source port");
    open.speak()?;
    assert!(open.hears(PATIENCE)?);
    Ok(())
}
