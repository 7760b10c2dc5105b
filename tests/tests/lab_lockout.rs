//! What `apply` refuses because it would lock out whoever applies it: the facts are made
//! in the lab, and found by the product.

use std::fs::File;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge_filter_tests::lab::frame;
use edge_filter_tests::lab::open::Open;
use edge_filter_tests::lab::packet::Injector;
use edge_filter_tests::lab::product::{Mode, binary, expect_exit};
use edge_filter_tests::lab::{Lab, Plan, sample};
use etherparse::PacketBuilder;

const SSH: u16 = 22;
const PATIENCE: Duration = Duration::from_secs(3);

/// [`sample::POLICY`], with a rule for SSH at the external side.
fn with_ssh() -> String {
    let rule = "      - { id: ssh, interface: external, direction: inbound, to: { networks: \
                [edge], ports: [22] }, protocol: tcp, action: allow }\n";
    sample::both_ways() + rule
}

/// An open connection from the outside to the SSH port of the edge, of IPv4, though its
/// listener is of IPv6, as sshd's mostly is.
fn connection(lab: &Lab) -> Result<Open> {
    connection_to(lab, Plan::default().external[0])
}

/// The same to one of the edge's addresses.
fn connection_to(lab: &Lab, address: IpAddr) -> Result<Open> {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), SSH);
    let listener = lab.edge.enter(|| Ok(TcpListener::bind(any)?))?;
    Open::with(&lab.world, &listener, SocketAddr::new(address, SSH))
}

/// The other end's address, which the system chose.
fn peer(connection: &Open) -> Result<SocketAddr> {
    Ok(connection.opener.local_addr()?)
}

/// A command that knows of no session by its environment.
fn without_variables(command: &mut Command) -> &mut Command {
    command
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT")
}

/// `apply`, as a shell's child; the shell goes by the name `program`, and `held` is its
/// standard input.
fn applied_below(
    lab: &Lab,
    program: &Path,
    held: Stdio,
    policy: &Path,
    more: &str,
) -> Result<Command> {
    let mut command = lab.edge.command_in(program, &lab.mounts);
    let script = format!(
        "\"$0\" apply \"$1\" --interface external=external --interface internal=internal {more} \
         </dev/null; exit $?"
    );
    lab.places(&mut command)
        .args(["-c", &script])
        .args([&binary()?, policy])
        .stdin(held);
    without_variables(&mut command);
    Ok(command)
}

/// Fails unless the command is refused in these words, and nothing is attached.
fn refused(lab: &Lab, command: &mut Command, words: &[&str]) -> Result<()> {
    let output = expect_exit(command, 1)?;
    told(&output, words)?;
    told(
        &output,
        &["--allow-lockout applies the policy all the same"],
    )?;
    ensure!(
        lab.mounts.pins()?.is_empty() && lab.edge.devices()?.values().all(Option::is_none),
        "a refused policy is enforced"
    );
    Ok(())
}

fn told(output: &Output, words: &[&str]) -> Result<()> {
    let message = String::from_utf8_lossy(&output.stderr);
    for word in words {
        ensure!(
            message.contains(word),
            "no word of \"{word}\" in:\n{message}"
        );
    }
    Ok(())
}

fn is_enforced(lab: &Lab) -> Result<()> {
    let filtered = lab.edge.devices()?.into_values().flatten().count();
    ensure!(filtered == 2, "{filtered} devices are filtered, not 2");
    Ok(())
}

/// A descriptor of the edge's end.
fn held(connection: &Open) -> Result<Stdio> {
    Ok(OwnedFd::from(connection.other.try_clone()?).into())
}

/// A shell that the kernel calls `sshd`, by the last part of its path.
fn server(lab: &Lab) -> Result<PathBuf> {
    symlink("/bin/sh", lab.mounts.outside("sshd"))?;
    Ok(lab.mounts.inside("sshd"))
}

#[test]
fn the_session_is_found_by_the_server_up_the_line() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let cutting = lab.mounts.write("cutting.yaml", &sample::both_ways())?;
    let connection = connection(&lab)?;
    let server = server(&lab)?;
    let peer = peer(&connection)?;
    let packet = format!("external inbound, external: TCP ACK from {peer} to 192.0.2.10:22");
    let rule = format!("- id: ssh-from-{}\n", peer.ip());
    let words = [
        &*packet,
        "TCP SYN from 203.0.113.25:40000 to 192.0.2.10:22 is dropped by default",
        &rule,
        "error: ",
    ];
    let mut below = applied_below(&lab, &server, held(&connection)?, &cutting, "")?;
    refused(&lab, &mut below, &words)?;
    // The same server without the connection, and another program with it.
    for (program, held) in [
        (&server, File::open("/dev/null")?.into()),
        (&PathBuf::from("/bin/sh"), held(&connection)?),
    ] {
        let mut below = applied_below(&lab, program, held, &cutting, "")?;
        expect_exit(&mut below, 0)?;
        is_enforced(&lab)?;
        lab.run(&["detach"], 0)?;
    }
    Ok(())
}

#[test]
fn a_policy_with_the_rule_is_applied_and_the_session_goes_on() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("policy.yaml", &with_ssh())?;
    let mut connection = connection(&lab)?;
    let server = server(&lab)?;
    let mut below = applied_below(&lab, &server, held(&connection)?, &policy, "")?;
    expect_exit(&mut below, 0)?;
    is_enforced(&lab)?;
    connection.speak()?;
    Ok(())
}

#[test]
fn allowed_it_is_applied_and_said_all_the_same() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let cutting = lab.mounts.write("cutting.yaml", sample::POLICY)?;
    let connection = connection(&lab)?;
    let server = server(&lab)?;
    let more = "--allow-lockout";
    let mut below = applied_below(&lab, &server, held(&connection)?, &cutting, more)?;
    let output = expect_exit(&mut below, 0)?;
    let packet = format!("TCP ACK from {} to 192.0.2.10:22", peer(&connection)?);
    told(&output, &["warning: the policy cuts off", &packet])?;
    is_enforced(&lab)
}

/// `SSH_CONNECTION` of the command itself, or of a process above it when the command has
/// none, as behind sudo.
#[test]
fn the_session_is_found_by_variables() -> Result<()> {
    for local in Plan::default().external {
        found_by_variables(local)?;
    }
    Ok(())
}

fn found_by_variables(local: IpAddr) -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let cutting = lab.mounts.write("cutting.yaml", sample::POLICY)?;
    let connection = connection_to(&lab, local)?;
    let peer = peer(&connection)?;
    let variable = |port| format!("{} {port} {local} 22", peer.ip());
    let packet = format!("TCP ACK from {peer} to {}", SocketAddr::new(local, SSH));

    let mut own = lab.apply_command(&cutting, Mode::Native)?;
    without_variables(&mut own).env("SSH_CONNECTION", variable(peer.port()));
    refused(&lab, &mut own, &[&packet])?;

    let mut above = lab.edge.command_in("/bin/sh", &lab.mounts);
    lab.places(without_variables(&mut above))
        .env("SSH_CONNECTION", variable(peer.port()))
        .args(["-c", "unset SSH_CONNECTION; \"$0\" apply \"$1\"; exit $?"])
        .args([&binary()?, &cutting]);
    refused(&lab, &mut above, &[&packet])?;

    // One that has ended stands for those that are open at its port.
    let mut left = lab.apply_command(&cutting, Mode::Native)?;
    without_variables(&mut left).env("SSH_CONNECTION", variable(9));
    refused(&lab, &mut left, &[&packet])
}

#[test]
fn a_session_by_another_device_does_not_matter() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    let inner = "version: 1\nname: inner\ninterfaces:\n  internal: { devices: [internal] }\n\
                 default_action: drop\ngroups:\n  - name: g\n    rules:\n      - { id: xmpp, \
                 interface: internal, direction: inbound, to: { ports: [23456] }, protocol: tcp, \
                 action: allow }\n";
    let policy = lab.mounts.write("inner.yaml", inner)?;
    let connection = connection(&lab)?;
    let peer = peer(&connection)?;
    let mut command = lab.edge_filter(&["apply"])?;
    let variable = format!("{} {} 192.0.2.10 22", peer.ip(), peer.port());
    command.arg(&policy).env("SSH_CONNECTION", variable);
    expect_exit(&mut command, 0)?;
    Ok(())
}

/// [`sample::POLICY`] is refused for `words` as it is, and applied with `essentials`.
fn needs(lab: &Lab, words: &[&str], essentials: &str) -> Result<()> {
    let policy = sample::POLICY;
    let starving = lab.mounts.write("starving.yaml", policy)?;
    let mut command = lab.apply_command(&starving, Mode::Native)?;
    refused(lab, &mut command, words)?;
    let better = format!("{policy}essentials: {{ {essentials} }}\n");
    let better = lab.mounts.write("better.yaml", &better)?;
    lab.apply(&better, Mode::Native)?;
    is_enforced(lab)
}

const DHCP: &str = "dhcp-client: allow";

#[test]
fn a_leased_address_needs_its_server() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge
        .ip("addr add 192.0.2.77/24 dev external valid_lft 3600 preferred_lft 1800\n")?;
    let words = [
        "the DHCP lease of 192.0.2.77 on external:",
        "UDP from 192.0.2.76:67 to 192.0.2.77:68 is dropped by default",
        "UDP from 192.0.2.76:67 to 255.255.255.255:68 is dropped by default",
        "\nessentials:\n  dhcp-client: allow",
    ];
    needs(&lab, &words, DHCP)
}

#[test]
fn a_leased_address_of_a_bridge_is_found_behind_its_port() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge.ip("link add name lan type bridge\n\
                 link set dev external master lan\n\
                 addr add 192.0.2.77/24 dev lan valid_lft 3600 preferred_lft 1800\n")?;
    let words = [
        "the DHCP lease of 192.0.2.77 on lan:",
        "external inbound, external: UDP from 192.0.2.76:67 to 192.0.2.77:68",
    ];
    needs(&lab, &words, DHCP)
}

/// As VLANs do, a macvlan stands on a device; unlike them, every kernel of the tests has it.
#[test]
fn a_leased_address_of_what_stands_on_a_device_is_found() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge
        .ip("link add link external name upper type macvlan\n\
             addr add 192.0.2.77/24 dev upper valid_lft 3600 preferred_lft 1800\n")?;
    let words = [
        "the DHCP lease of 192.0.2.77 on upper:",
        "external inbound, external: UDP from 192.0.2.76:67 to 192.0.2.77:68",
    ];
    needs(&lab, &words, DHCP)
}

#[test]
fn an_advertised_default_route_needs_its_router() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge.ip("addr add fe80::10/64 dev external nodad\n\
                 route add default via fe80::1 dev external proto ra\n")?;
    let words = [
        "the advertisements of the router fe80::1 that external lives on:",
        "ICMPv6 router advertisement from fe80::1 to ff02::1 is dropped as drop:essentials",
        "\nessentials:\n  router-advertisements: [\"fe80::1\"]",
    ];
    needs(&lab, &words, "router-advertisements: [\"fe80::1\"]")
}

/// An advertised prefix names no router; a neighbour that says it is one does.
#[test]
fn an_advertised_prefix_needs_the_routers_of_its_link() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge.ip("addr add fe80::10/64 dev external nodad\n\
                 neigh add fe80::2 lladdr 02:00:00:00:01:02 router nud permanent dev external\n\
                 route add 2001:db8:7::/64 dev external proto ra\n")?;
    let words = ["ICMPv6 router advertisement from fe80::2 to ff02::1 is dropped"];
    needs(&lab, &words, "router-advertisements: [\"fe80::2\"]")
}

/// RFC 4861 §4.2, §4.6.2: a router offers itself for half an hour, and a prefix
/// to make addresses of.
fn router_advertisement() -> Result<Vec<u8>> {
    const TYPE: u8 = 134;
    /// On-link, and for autonomous configuration.
    const FLAGS: u8 = 0xc0;
    let router: Ipv6Addr = "fe80::1".parse()?;
    let everybody: Ipv6Addr = "ff02::1".parse()?;
    let prefix: Ipv6Addr = "2001:db8:9::".parse()?;
    let lifetime = 1800_u16.to_be_bytes();
    let mut rest = vec![0; 8];
    rest.extend([3, 4, 64, FLAGS]);
    // Valid and preferred for as long, and reserved.
    rest.extend([0, 0, lifetime[0], lifetime[1]].repeat(2));
    rest.extend([0; 4]);
    rest.extend(prefix.octets());
    let mut packet = Vec::new();
    PacketBuilder::ipv6(router.octets(), everybody.octets(), 255)
        .icmpv6_raw(TYPE, 0, [64, 0, lifetime[0], lifetime[1]])
        .write(&mut packet, &rest)?;
    Ok(packet)
}

/// What the kernel itself makes of an advertisement: a route, and an address that is not
/// taken for a lease.
#[test]
fn an_advertisement_that_the_kernel_has_taken() -> Result<()> {
    let lab = Lab::new(&Plan::default())?;
    lab.edge.ip("addr add fe80::10/64 dev external nodad\n")?;
    for (key, value) in [("accept_ra", "2"), ("accept_dad", "0")] {
        lab.edge
            .sysctl(&format!("ipv6/conf/external/{key}"), value)?;
    }
    let frame = frame::to_edge(&lab.external, &[], &router_advertisement()?);
    Injector::new(&lab.external.world)?.send(&frame)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let mut ip = lab.edge.command("ip");
        let output = ip
            .args(["-6", "address", "show", "dev", "external"])
            .output()?;
        let shown = String::from_utf8(output.stdout)?;
        if shown.contains("inet6 2001:db8:9:") {
            ensure!(shown.contains("dynamic"), "{shown}");
            break;
        }
        ensure!(
            Instant::now() < end,
            "the kernel makes no address:\n{shown}"
        );
        sleep(Duration::from_millis(20));
    }
    let policy = lab.mounts.write("starving.yaml", sample::POLICY)?;
    let output = expect_exit(&mut lab.apply_command(&policy, Mode::Native)?, 1)?;
    told(
        &output,
        &["the advertisements of the router fe80::1 that external lives on:"],
    )?;
    let message = String::from_utf8(output.stderr)?;
    ensure!(!message.contains("lease"), "{message}");
    Ok(())
}

/// The lab's devices know their neighbours by heart; one that asks needs ARP, and
/// neighbour discovery.
#[test]
fn a_device_that_asks_for_its_neighbours_needs_them() -> Result<()> {
    let silent = format!("{}essentials: {{ arp: drop, nd: drop }}\n", sample::POLICY);
    let lab = Lab::new(&Plan::default())?;
    let policy = lab.mounts.write("silent.yaml", &silent)?;
    lab.apply(&policy, Mode::Native)?;
    lab.run(&["detach"], 0)?;
    lab.edge.ip("link set dev external arp on\n")?;
    let words = [
        "the IPv4 neighbours of external:",
        "external inbound, external: ARP request for 192.0.2.10 is dropped by default",
        "the IPv6 neighbours of external:",
        "ICMPv6 neighbour solicitation from fe80::1 to ff02::1:ff00:10 is dropped by default",
        "\nessentials:\n  arp: allow\n  nd: allow",
    ];
    refused(&lab, &mut lab.apply_command(&policy, Mode::Native)?, &words)
        .context("essentials are off")
}
