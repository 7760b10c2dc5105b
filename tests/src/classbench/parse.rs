//! The usual format of filter files, one filter a line:
//!
//! ```text
//! @SOURCE/BITS  DESTINATION/BITS  LOW : HIGH  LOW : HIGH  PROTOCOL/MASK  [FLAGS/MASK …]
//! ```
//!
//! with source ports before destination ports, and protocol and flags in hexadecimal. What
//! a policy could not say exactly is an error, never taken for something near it. The
//! column of flags is read and not used.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;

use super::Filter;
use crate::generate::flow::has_ports;

/// Which protocols have ports.
const WITH_PORTS: &str = "TCP (0x06), UDP (0x11) and SCTP (0x84)";

/// The filters of `text`; `file` is the name that messages use. Empty lines are passed
/// over.
///
/// # Errors
/// The first line that cannot be read, or whose meaning a policy cannot express.
pub fn parse(file: &str, text: &str) -> Result<Vec<Filter>> {
    let lines = text.lines().zip(1..);
    let lines = lines.filter(|(line, _)| !line.trim().is_empty());
    let filters = lines
        .map(|(line, number)| filter(line).with_context(|| format!("{file}:{number}")))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        !filters.is_empty(),
        "{file}: it holds no filter; write one a line, beginning with '@'"
    );
    Ok(filters)
}

/// The filter of one line.
fn filter(line: &str) -> Result<Filter> {
    let Some(rest) = line.trim().strip_prefix('@') else {
        bail!("the line does not begin with '@'; write '@SOURCE/BITS' first");
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [
        source,
        destination,
        first_from,
        colon_from,
        last_from,
        first_to,
        colon_to,
        last_to,
        protocol,
        flags @ ..,
    ] = &words[..]
    else {
        bail!(
            "the line has {} words, and a filter at least 9; write two networks, two ranges of \
             ports as 'LOW : HIGH' with blanks around the colon, and protocol/mask",
            words.len()
        );
    };
    for flags in flags {
        let pair = masked(flags, u32::from(u16::MAX)).with_context(|| format!("flags '{flags}'"));
        pair.context("write them as 0x0000/0x0200, or leave the column out")?;
    }
    let filter = Filter {
        source: network(source)?,
        destination: network(destination)?,
        protocol: self::protocol(protocol)?,
        source_ports: ports([first_from, colon_from, last_from])?,
        destination_ports: ports([first_to, colon_to, last_to])?,
    };
    check(&filter)?;
    Ok(filter)
}

/// What only the whole line can show to be wrong.
fn check(filter: &Filter) -> Result<()> {
    let Filter {
        source,
        destination,
        protocol,
        source_ports,
        destination_ports,
    } = filter;
    ensure!(
        source.addr().is_ipv4() == destination.addr().is_ipv4(),
        "{source} and {destination} are of different IP versions, and no packet is; write both \
         in one"
    );
    let asks_for_ports = source_ports.is_some() || destination_ports.is_some();
    if let Some(protocol) = protocol.filter(|protocol| asks_for_ports && !has_ports(*protocol)) {
        bail!(
            "protocol 0x{protocol:02x} has no ports, and the filter asks for some; write \
             '0 : 65535' twice, or one of {WITH_PORTS}"
        );
    }
    Ok(())
}

fn network(text: &str) -> Result<IpNet> {
    let network: IpNet = text.parse().with_context(|| {
        format!("'{text}' is no network; write ADDRESS/BITS, such as 192.0.2.0/24")
    })?;
    let whole = network.trunc();
    ensure!(
        network == whole,
        "'{text}' has bits behind the prefix; write {whole} if that is what is meant"
    );
    Ok(network)
}

/// A range of ports; `None` if it is all of them, which asks for none.
fn ports([first, colon, last]: [&str; 3]) -> Result<Option<RangeInclusive<u16>>> {
    let text = format!("{first} {colon} {last}");
    ensure!(
        colon == ":",
        "'{text}' is no range of ports; write LOW : HIGH, with blanks around the colon"
    );
    let port = |word: &str| -> Result<u16> {
        word.parse()
            .with_context(|| format!("'{word}' in '{text}' is no port; write 0 to 65535"))
    };
    let (first, last) = (port(first)?, port(last)?);
    ensure!(
        first <= last,
        "the range '{text}' runs backwards; write {last} : {first}"
    );
    match (first, last) {
        (0, u16::MAX) => Ok(None),
        (0, _) => bail!(
            "the range '{text}' holds port 0, which no policy can name; begin with 1, or write \
             '0 : 65535' for any port and none"
        ),
        _ => Ok(Some(first..=last)),
    }
}

/// A protocol; `None` for any.
fn protocol(text: &str) -> Result<Option<u8>> {
    let (protocol, mask) = masked(text, u32::from(u8::MAX)).with_context(|| {
        format!("'{text}' is no protocol; write 0x06/0xFF for one, 0x00/0x00 for any")
    })?;
    match (u8::try_from(protocol)?, mask) {
        (0, 0) => Ok(None),
        (protocol, 0xff) => Ok(Some(protocol)),
        (protocol, mask) => bail!(
            "'{text}' asks for some bits of the protocol, which no policy can; write a filter \
             for each protocol, such as 0x{protocol:02x}/0xFF, and for any of them 0x00/0x00, \
             not mask 0x{mask:02x}"
        ),
    }
}

/// Two hexadecimal numbers up to `most`, with a stroke between.
fn masked(text: &str, most: u32) -> Result<(u32, u32)> {
    let (value, mask) = text.split_once('/').context("there is no '/' in it")?;
    let number = |text: &str| {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let number = number.filter(|number| *number <= most);
        number.with_context(|| format!("'{text}' is no hexadecimal number from 0x0 to {most:#x}"))
    };
    Ok((number(value)?, number(mask)?))
}
