//! Packets in the words of the command line.

use super::check::packets::{parse_socket, parse_tcp_flags};
use super::check::transports::{PROTOCOLS, Protocol, has_ports, parse_protocol};
use super::ports::decimal;
use super::{Direction, PacketSpec};

/// A packet as it is typed: `--from 192.0.2.1:443` and so on.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    /// The role.
    pub interface: &'a str,
    /// The side.
    pub direction: Direction,
    /// A protocol's name or number.
    pub protocol: &'a str,
    /// `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
    pub from: &'a str,
    /// The same.
    pub to: &'a str,
    /// `syn`, `syn,ack` and so on.
    pub tcp_flags: Option<&'a str>,
}

/// The packet that `words` describe.
///
/// # Errors
/// What is wrong with which word, in one sentence.
pub fn describe(words: Words<'_>) -> Result<PacketSpec, String> {
    let protocol = protocol(words.protocol).map_err(|why| format!("--protocol: {why}"))?;
    let socket = |option: &str, text: &str| {
        parse_socket(text).map_err(|complaint| format!("{option}: {complaint}"))
    };
    let (source, source_port) = socket("--from", words.from)?;
    let (destination, destination_port) = socket("--to", words.to)?;
    let tcp_flags = words
        .tcp_flags
        .map(|text| parse_tcp_flags(text).map_err(|complaint| format!("--tcp-flags: {complaint}")))
        .transpose()?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(format!(
            "--to: {destination} is of another IP version than {source}"
        ));
    }
    if has_ports(protocol) && destination_port.is_none() {
        return Err(
            "--to: the protocol needs a port: write ADDRESS:PORT, or [ADDRESS]:PORT \
                    for IPv6"
                .to_owned(),
        );
    }
    Ok(PacketSpec {
        interface: words.interface.to_owned(),
        direction: words.direction,
        protocol,
        source,
        source_port,
        destination,
        destination_port,
        tcp_flags,
    })
}

/// The name of a protocol in this language, or its number.
#[must_use]
pub fn protocol_name(protocol: u8) -> String {
    let name = PROTOCOLS.iter().find(|(_, number)| *number == protocol);
    name.map_or_else(|| protocol.to_string(), |(name, _)| (*name).to_owned())
}

fn protocol(text: &str) -> Result<u8, String> {
    if let Some(number) = decimal(text) {
        return u8::try_from(number)
            .map_err(|_| format!("there is no protocol {number}: they are 0 to 255"));
    }
    match parse_protocol(text) {
        Ok(Protocol::Number(protocol)) => Ok(protocol),
        Ok(Protocol::Any) => Err("a packet has one protocol, and 'any' is none".to_owned()),
        Err(complaint) => Err(complaint.to_string()),
    }
}
