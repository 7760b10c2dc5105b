//! One need at a time.

use super::*;

const PEER: &str = "198.51.100.7:50122";
const LOCAL: &str = "192.0.2.10:22";
const SSH: &str = "id: ssh, direction: inbound, protocol: tcp, to: { ports: [22] }, action: allow";
/// A rule that has the hooks attached, and nothing to do with anything.
const WEB: &str = "id: web, direction: inbound, protocol: tcp, to: { ports: [443] }, action: allow";

fn by_ssh(outbound: bool) -> Facts {
    host(outbound).session(PEER, LOCAL)
}

#[test]
fn a_session_that_no_rule_allows() {
    let facts = by_ssh(true);
    let policy = text("outbound: enforce", &[WEB], "");
    assert_eq!(lost(&policy, &facts), ["session", "next"]);
    assert_remedied(&policy, &facts);
    let policy = text("outbound: enforce", &[WEB, SSH], "");
    assert_eq!(lost(&policy, &facts), [""; 0]);
}

#[test]
fn what_is_said_of_it() {
    let policy = text(
        "outbound: enforce",
        &[
            "id: no-telnet, direction: inbound, protocol: tcp, to: { ports: [\"1-23\"] }, action: drop",
            "id: quiet, direction: outbound, protocol: tcp, replies: drop, action: drop",
        ],
        "",
    );
    let told = look(&policy, &by_ssh(true)).expect("a loss").to_string();
    let expected = "\
the policy cuts off what this host is reached by, or lives on
  the SSH session that this command comes by:
    external inbound, eth7: TCP ACK from 198.51.100.7:50122 to 192.0.2.10:22 is dropped by the rule 'no-telnet' (line 9)
    external outbound, eth7: TCP ACK from 192.0.2.10:22 to 198.51.100.7:50122 is dropped by the rule 'quiet' (line 10)
  a new SSH connection from the same place:
    external inbound, eth7: TCP SYN from 198.51.100.7:40000 to 192.0.2.10:22 is dropped by the rule 'no-telnet' (line 9)
    external outbound, eth7: TCP SYN+ACK from 192.0.2.10:22 to 198.51.100.7:40000 is dropped by the rule 'quiet' (line 10)
  help: what follows lets it pass; put it where the policy has these keys

groups:
  - name: management # before all other groups
    rules:
      - id: ssh-to-198.51.100.7
        interface: external
        direction: outbound
        from: { networks: [192.0.2.10], ports: [22] }
        to: { networks: [198.51.100.7] }
        protocol: tcp
        action: allow
      - id: ssh-from-198.51.100.7
        interface: external
        direction: inbound
        from: { networks: [198.51.100.7] }
        to: { networks: [192.0.2.10], ports: [22] }
        protocol: tcp
        action: allow";
    assert_eq!(told, expected);
    assert_remedied(&policy, &by_ssh(true));
}

#[test]
fn a_rule_for_the_one_port_of_this_session_admits_no_other() {
    let policy = text(
        "",
        &[
            "id: ssh, direction: inbound, protocol: tcp, from: { ports: [50122] }, to: { ports: [22] }, \
           action: allow",
        ],
        "",
    );
    assert_eq!(lost(&policy, &by_ssh(false)), ["next"]);
    assert_remedied(&policy, &by_ssh(false));
    // Whichever port it has.
    let facts = host(false).session("198.51.100.7:40000", LOCAL);
    let policy = policy.replace("50122", "40000");
    assert_eq!(lost(&policy, &facts), ["next"]);
}

/// `apply` enters what is open, so that it goes on as what this host may have opened; a
/// new connection is not that.
#[test]
fn a_session_may_go_on_where_none_may_begin() {
    let all = "id: all-out, direction: outbound, action: allow";
    for outbound in ["enforce", "track"] {
        let policy = text(&format!("outbound: {outbound}"), &[all], "");
        assert_eq!(lost(&policy, &by_ssh(true)), ["next"], "{outbound}");
        assert_remedied(&policy, &by_ssh(true));
    }
}

#[test]
fn on_a_trusted_role_the_answers_are_known_by_what_came_in() {
    let role = "trust: trusted, outbound: enforce";
    let facts = by_ssh(true);
    assert_eq!(lost(&text(role, &[SSH], ""), &facts), [""; 0]);
    let policy = text(role, &[WEB], "");
    assert_eq!(lost(&policy, &facts), ["session", "next"]);
    assert_remedied(&policy, &facts);
}

#[test]
fn a_session_by_another_device_is_nobodys_business() {
    let mut facts = by_ssh(true);
    facts.sessions[0].arrives = vec!["eth0".to_owned()];
    facts.sessions[0].leaves = None;
    assert_eq!(
        lost(&text("outbound: enforce", &[WEB], ""), &facts),
        [""; 0]
    );
    // One that only leaves here needs no more than to leave.
    facts.sessions[0].leaves = Some(DEVICE.to_owned());
    let policy = text("outbound: enforce", &[WEB], "");
    assert_eq!(lost(&policy, &facts), ["session", "next"]);
    let lock_out = look(&policy, &facts).expect("a loss");
    let directions = lock_out.losses.iter().flat_map(|loss| &loss.dropped);
    let directions: Vec<&str> = directions.map(|one| one.direction.as_str()).collect();
    assert_eq!(directions, ["outbound", "outbound"]);
    assert_remedied(&policy, &facts);
}

#[test]
fn a_side_that_nothing_judges_drops_nothing() {
    let mut facts = by_ssh(false);
    facts.devices[0].inbound = false;
    assert_eq!(lost(&text("", &[WEB], ""), &facts), [""; 0]);
}

#[test]
fn two_sessions_need_two_rules() {
    let facts = by_ssh(false).session("[2001:db8::7]:50122", "[2001:db8::10]:22");
    let facts = facts.address("2001:db8::10", false);
    let policy = text("", &[WEB], "");
    assert_eq!(
        lost(&policy, &facts),
        ["session", "next", "session", "next"]
    );
    assert_remedied(&policy, &facts);
    let remedy = look(&policy, &facts).and_then(|lock_out| lock_out.remedy);
    let remedy = remedy.expect("it helps").to_string();
    assert!(remedy.contains("id: ssh-from-2001-db8--7\n"), "{remedy}");
    assert!(remedy.contains("networks: [\"2001:db8::7\"]"), "{remedy}");
}

#[test]
fn names_that_are_taken_are_not_given_again() {
    let policy = text(
        "",
        &["id: ssh-from-198.51.100.7, direction: inbound, protocol: udp, action: allow"],
        "",
    );
    let policy = policy.replace("name: g\n", "name: management\n");
    let remedy = look(&policy, &by_ssh(false)).and_then(|lock_out| lock_out.remedy);
    let remedy = remedy.expect("it helps").to_string();
    assert!(remedy.contains("name: management-2 "), "{remedy}");
    assert!(remedy.contains("id: ssh-from-198.51.100.7-2\n"), "{remedy}");
    assert_remedied(&policy, &by_ssh(false));
}

#[test]
fn names_of_disabled_groups_are_not_given_again_either() {
    let disabled = "  - name: management\n    enabled: false\n    rules:\n      - { id: \
                    ssh-from-198.51.100.7, interface: external, direction: inbound, protocol: tcp, \
                    action: allow }\n  - { name: management-2, rules: [] }\n";
    let policy = text("", &[WEB], disabled);
    let remedy = look(&policy, &by_ssh(false)).and_then(|lock_out| lock_out.remedy);
    let remedy = remedy.expect("it helps").to_string();
    assert!(remedy.contains("name: management-3 "), "{remedy}");
    assert!(remedy.contains("id: ssh-from-198.51.100.7-2\n"), "{remedy}");
    assert_remedied(&policy, &by_ssh(false));
}

#[test]
fn a_vlan_that_may_not_appear() {
    let facts = host(false)
        .standing_on_it("eth7.30", &[30])
        .session(PEER, LOCAL);
    let allowed = text("vlans: [untagged, 30]", &[SSH], "");
    assert_eq!(lost(&allowed, &facts), [""; 0]);
    let policy = text("vlans: [untagged]", &[WEB], "");
    assert_eq!(lost(&policy, &facts), ["session", "next"]);
    let told = look(&policy, &facts).expect("a loss").to_string();
    assert!(
        told.contains("192.0.2.10:22 in VLAN 30 is dropped as drop:vlan"),
        "{told}"
    );
    assert!(
        told.contains("  external:\n    vlans: [untagged, 30]\n"),
        "{told}"
    );
    assert_remedied(&policy, &facts);
    let untagged = text("vlans: [30]", &[SSH], "");
    assert_remedied(&untagged, &by_ssh(false));
    // Two tags are read, a third is none that anybody lets pass.
    let facts = host(false)
        .standing_on_it("deep", &[1, 2, 3])
        .session(PEER, LOCAL);
    let told = look(&policy, &facts).expect("a loss");
    assert_eq!(told.remedy, None);
    assert!(told.to_string().contains("no rule or setting"), "{told}");
}

#[test]
fn a_peer_among_the_protected() {
    let role = "protects: [198.51.100.0/24, 192.0.2.10]";
    let policy = text(role, &[SSH], "");
    assert_eq!(lost(&policy, &by_ssh(false)), ["session", "next"]);
    let told = look(&policy, &by_ssh(false)).expect("a loss").to_string();
    assert!(told.contains("is dropped as drop:martian"), "{told}");
    assert!(
        told.contains("  external:\n    protects: [192.0.2.10]"),
        "{told}"
    );
    assert_remedied(&policy, &by_ssh(false));
    let policy = text("protects: [198.51.100.7]", &[SSH], "");
    let told = look(&policy, &by_ssh(false)).expect("a loss").to_string();
    assert!(
        told.ends_with("  external:\n    # without `protects`"),
        "{told}"
    );
}

const NO_ARP: &str = "essentials: { arp: drop }\n";
const NO_ND: &str = "essentials: { nd: drop }\n";

#[test]
fn arp_is_needed_where_an_ipv4_address_is() {
    let policy = text("outbound: enforce", &[WEB], NO_ARP);
    let bare = host(true);
    assert_eq!(lost(&policy, &bare), [""; 0]);
    assert_eq!(
        lost(&policy, &bare.clone().address("2001:db8::10", false)),
        [""; 0]
    );
    let facts = bare.address("192.0.2.10", false);
    assert_eq!(lost(&policy, &facts), ["arp"]);
    assert_remedied(&policy, &facts);
    let quiet = facts.clone().with(|layer| layer.resolves = false);
    assert_eq!(lost(&policy, &quiet), [""; 0]);
    let told = look(&policy, &facts).expect("a loss").to_string();
    for words in [
        "external outbound, eth7: ARP request for 192.0.2.11 is dropped by default",
        "external inbound, eth7: ARP reply of 192.0.2.11 is dropped",
        "external inbound, eth7: ARP request for 192.0.2.10 is dropped",
        "external outbound, eth7: ARP reply of 192.0.2.10 is dropped",
        "\nessentials:\n  arp: allow",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

#[test]
fn neighbour_discovery_is_needed_where_ipv6_is_used() {
    let policy = text("outbound: enforce", &[WEB], NO_ND);
    let facts = host(true).address("fe80::10", false);
    assert_eq!(lost(&policy, &facts), [""; 0]);
    assert_eq!(
        lost(&policy, &host(true).address("192.0.2.10", false)),
        [""; 0]
    );
    let used = facts.clone().address("2001:db8::10", false);
    assert_eq!(lost(&policy, &used), ["nd"]);
    assert_remedied(&policy, &used);
    let by_session = facts.session("[fe80::7]:50122", "[fe80::10]:22");
    assert_eq!(lost(&policy, &by_session), ["session", "next", "nd"]);
    assert_remedied(&policy, &by_session);
    // A rule does as well as the essential.
    let rules = [
        "id: nd-in, direction: inbound, protocol: icmpv6, action: allow",
        "id: nd-out, direction: outbound, protocol: icmpv6, action: allow",
    ];
    assert_eq!(
        lost(&text("outbound: enforce", &rules, NO_ND), &used),
        [""; 0]
    );
}

#[test]
fn advertisements_of_the_routers_that_are_lived_on() {
    let facts = host(false).address("2001:db8::10", false).router("fe80::1");
    let policy = |essentials: &str| text("", &[WEB], essentials);
    assert_eq!(lost(&policy(""), &facts), ["ra"]);
    let told = look(&policy(""), &facts).expect("a loss").to_string();
    assert!(
        told.contains(
            "ICMPv6 router advertisement from fe80::1 to ff02::1 is dropped as drop:essentials"
        ),
        "{told}"
    );
    for listed in ["\"fe80::1\"", "\"fe80::/10\""] {
        let essentials = format!("essentials: {{ router-advertisements: [{listed}] }}\n");
        assert_eq!(lost(&policy(&essentials), &facts), [""; 0], "{listed}");
    }
    // The list is given whole, with what it had.
    let other = policy("essentials: { router-advertisements: [\"fe80::2\"], nd: drop }\n");
    assert_eq!(lost(&other, &facts), ["nd", "ra"]);
    let told = look(&other, &facts).expect("a loss").to_string();
    let list = "  nd: allow\n  router-advertisements: [\"fe80::2\", \"fe80::1\"]";
    assert!(told.contains(list), "{told}");
    assert_remedied(&other, &facts);
    let two = facts.router("fe80::3");
    assert_eq!(lost(&policy(""), &two), ["ra", "ra"]);
    assert_remedied(&policy(""), &two);
}

const LEASED: &str = "192.0.2.10";

/// The rules by which a client may be let renew, and what is lost by them.
#[test]
fn a_lease_needs_its_server_and_the_broadcast() {
    let to_own = "id: own, direction: inbound, protocol: udp, from: { SERVER ports: [67] }, to: { \
                  networks: [192.0.2.10], ports: [68] }, action: allow";
    let to_any = "id: any, direction: inbound, protocol: udp, from: { SERVER ports: [67] }, to: { \
                  ports: [68] }, action: allow";
    let facts = host(false).address(LEASED, true);
    for (rule, server, losses) in [
        (WEB, "", &["lease"][..]),
        (to_own, "", &["lease"]),
        (to_any, "", &[]),
        (to_any, "networks: [203.0.113.9],", &[]),
        (to_own, "networks: [203.0.113.9],", &["lease"]),
    ] {
        let rule = rule.replace("SERVER", server);
        let policy = text("", &[&rule], "");
        assert_eq!(lost(&policy, &facts), losses, "{rule}");
        assert_remedied(&policy, &facts);
    }
    let essential = "essentials: { dhcp-client: allow }\n";
    assert_eq!(lost(&text("", &[WEB], essential), &facts), [""; 0]);
    // An address that stays needs no server.
    let permanent = host(false).address(LEASED, false);
    assert_eq!(lost(&text("", &[WEB], ""), &permanent), [""; 0]);
}

/// Thousands of hosts that may send anything do not hide the one that is named for DHCP.
#[test]
fn the_server_is_found_among_many_rules() {
    let any: Vec<String> = (0..3000)
        .map(|number| {
            let (high, low) = (number / 250, number % 250 + 1);
            format!(
                "id: a{number}, direction: inbound, from: {{ networks: [10.0.{high}.{low}] }}, to: \
                 {{ networks: [192.0.2.10] }}, action: allow"
            )
        })
        .collect();
    let mut rules: Vec<&str> = any.iter().map(|rule| &**rule).collect();
    let facts = host(false).address(LEASED, true);
    assert_eq!(lost(&text("", &rules, ""), &facts), ["lease"]);
    rules.push(
        "id: dhcp, direction: inbound, protocol: udp, from: { networks: [203.0.113.9], ports: \
         [67] }, to: { ports: [68] }, action: allow",
    );
    assert_eq!(lost(&text("", &rules, ""), &facts), [""; 0]);
}

#[test]
fn a_lease_is_asked_for_where_what_leaves_is_judged() {
    let facts = host(true).address(LEASED, true);
    let inbound = "id: in, direction: inbound, protocol: udp, from: { ports: [67] }, to: { ports: \
                   [68] }, action: allow";
    let outbound = "id: out, direction: outbound, protocol: udp, from: { ports: [68] }, to: { \
                    ports: [67] }, action: allow";
    let enforced = |rules: &[&str]| text("outbound: enforce", rules, "");
    // Its first words are an answer to nobody.
    assert_eq!(lost(&enforced(&[inbound, outbound]), &facts), [""; 0]);
    let policy = enforced(&[outbound]);
    assert_eq!(lost(&policy, &facts), ["lease"]);
    // The server's answer is the reply to what was asked; the one to all is not.
    let lock_out = look(&policy, &facts).expect("a loss");
    let dropped: Vec<String> = lock_out.losses[0]
        .dropped
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        dropped,
        [
            "external inbound, eth7: UDP from 192.0.2.11:67 to 255.255.255.255:68 is dropped by \
          default (drop:default): no rule allows it"
        ]
    );
    assert_remedied(&policy, &facts);
}

#[test]
fn a_lease_of_ipv6() {
    let facts = host(true)
        .address("fe80::10", false)
        .address("2001:db8::10", true);
    let policy = text("outbound: enforce", &[WEB], "");
    assert_eq!(lost(&policy, &facts), ["lease"]);
    let told = look(&policy, &facts).expect("a loss").to_string();
    for words in [
        "the DHCP lease of 2001:db8::10 on eth7",
        "UDP from [fe80::10]:546 to [ff02::1:2]:547",
        "UDP from [fe80::1]:547 to [fe80::10]:546",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert_remedied(&policy, &facts);
}

#[test]
fn a_policy_that_drops_nothing_takes_nothing() {
    let facts = by_ssh(true)
        .address("192.0.2.10", true)
        .address("2001:db8::10", true)
        .router("fe80::1");
    let essentials = "essentials: { arp: drop, nd: drop }\n";
    let audited = text("outbound: enforce", &[WEB], essentials) + "mode: audit\n";
    assert_eq!(lost(&audited, &facts), [""; 0]);
    let enforced = text("outbound: enforce", &[WEB], essentials);
    // Without a link-local address DHCPv6 has nothing to say.
    let all = ["session", "next", "arp", "nd", "lease", "ra"];
    assert_eq!(lost(&enforced, &facts), all);
    assert_remedied(&enforced, &facts);
}
