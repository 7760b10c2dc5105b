//! A small policy for the lab's own addresses, and the means to vary it.

/// Opens TCP 443 and UDP 3478 at the external side to anybody, TCP 23456 at the
/// internal side. The addresses are those of [`Plan::default`](super::Plan).
pub const POLICY: &str = r#"version: 1
name: lab
interfaces:
  external: { devices: [external], vlans: [untagged], protects: [edge] }
  internal: { devices: [internal], vlans: [untagged] }
networks:
  edge: [192.0.2.10, "2001:db8::10"]
  inner: [192.0.2.130, "2001:db8:0:1::10"]
default_action: drop
groups:
  - name: edge
    rules:
      - { id: web, interface: external, direction: inbound, to: { networks: [edge], ports: [443] }, protocol: tcp, action: allow }
      - { id: stun, interface: external, direction: inbound, to: { networks: [edge], ports: [3478] }, protocol: udp, action: allow }
      - { id: xmpp, interface: internal, direction: inbound, to: { networks: [inner], ports: [23456] }, protocol: tcp, action: allow }
"#;

/// The same with one more rule, before the others, that no test's packet meets:
/// another policy, another table, the same verdicts.
#[must_use]
pub fn longer() -> String {
    let rule = "      - { id: telnet, interface: external, direction: inbound, to: { networks: \
                [edge], ports: [23] }, protocol: tcp, action: drop }\n";
    POLICY.replacen("    rules:\n", &format!("    rules:\n{rule}"), 1)
}

/// The same rules, and one for what the edge opens: TCP 5061 and UDP 3478 to anybody.
#[must_use]
pub fn both_ways() -> String {
    let rules = "      - { id: sip-out, interface: external, direction: outbound, from: { networks: \
                 [edge] }, to: { ports: [5061] }, protocol: tcp, action: allow }\n      \
                 - { id: stun-out, interface: external, direction: outbound, from: { networks: \
                 [edge] }, to: { ports: [3478] }, protocol: udp, action: allow }\n";
    POLICY.replace(
        "devices: [external],",
        "devices: [external], outbound: enforce,",
    ) + rules
}

/// The same rules, but that `stun` opens UDP 3479 in the place of 3478: which of the two
/// passes says which policy decides, and both count under the same ids.
#[must_use]
pub fn moved() -> String {
    POLICY.replace("ports: [3478]", "ports: [3479]")
}
