//! Networks as people write them: a CIDR (RFC 4632, RFC 4291 §2.3) or a single
//! address. What is nearly one is refused with the reading that was likely
//! meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::diagnostic::Complaint;

/// The most CIDRs that a refused address range is spelled out in.
const SPELLED_OUT: usize = 6;

/// Reads a network. `Ok(None)` means that the text does not look like one at
/// all, and so can be a name.
///
/// # Errors
/// The text is nearly an address, or an address that is not a network.
pub(super) fn parse(text: &str) -> Result<Option<IpNet>, Complaint> {
    let net = match text.split_once('/') {
        // No name holds a '/', so nothing else can be meant than a network.
        Some((address, length)) => match address.parse() {
            Ok(address) => with_length(text, address, length)?,
            Err(_) => return Err(no_address(text, address)),
        },
        None => match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => return nearly_an_address(text).map_or(Ok(None), Err),
        },
    };
    check(text, net).map(Some)
}

fn with_length(text: &str, address: IpAddr, length: &str) -> Result<IpNet, Complaint> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    if let Ok(mask) = length.parse::<Ipv4Addr>() {
        let meant = ipnet::ipv4_mask_to_prefix(mask);
        return Err(Complaint {
            message: format!("'{text}' has a netmask where a prefix length is expected"),
            help: meant.ok().map(|length| format!("write {address}/{length}")),
        });
    }
    let decimal = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    match length.parse::<u8>() {
        Ok(parsed) if decimal && parsed <= most => {
            IpNet::new(address, parsed).map_err(|_| no_length(text, length, most))
        }
        _ => Err(no_length(text, length, most)),
    }
}

fn no_length(text: &str, length: &str, most: u8) -> Complaint {
    Complaint::new(
        format!("'{length}' in '{text}' is not a prefix length"),
        format!("it is a number from 0 to {most}"),
    )
}

fn check(text: &str, net: IpNet) -> Result<IpNet, Complaint> {
    if let IpNet::V6(v6) = net
        && let Some(mapped) = v6.addr().to_ipv4_mapped()
        && v6.prefix_len() >= 96
    {
        let meant = match v6.prefix_len() - 96 {
            32 => mapped.to_string(),
            length => format!("{mapped}/{length}"),
        };
        return Err(Complaint::new(
            format!("'{text}' is an IPv4-mapped address, which no packet on a wire carries"),
            format!("write the IPv4 network: {meant}"),
        ));
    }
    let network = net.trunc();
    if network != net {
        return Err(Complaint::new(
            format!("'{text}' has bits set behind its prefix"),
            format!(
                "write {network} for the network, or {} for the one address",
                net.addr()
            ),
        ));
    }
    Ok(net)
}

/// What was likely meant by a text without `/` that is no address.
fn nearly_an_address(text: &str) -> Option<Complaint> {
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse())
    {
        return Some(range(text, first, last));
    }
    if let Some((address, zone)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Some(Complaint::new(
            format!("'{text}' names a zone ('%{zone}'), and packets carry none"),
            format!("write {address}; the rule's interface says which link is meant"),
        ));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Complaint::new(
            format!("'{text}' is an address with a port, where an address is expected"),
            format!(
                "write {} here, and {} under 'ports'",
                socket.ip(),
                socket.port()
            ),
        ));
    }
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        && inner.parse::<Ipv6Addr>().is_ok()
    {
        return Some(Complaint::new(
            format!("'{text}' has brackets, which only belong to an address with a port"),
            format!("write {inner}, in quotes"),
        ));
    }
    looks_like_an_address(text).then(|| no_address(text, text))
}

fn range(text: &str, first: IpAddr, last: IpAddr) -> Complaint {
    let nets: Vec<String> = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Ipv4Subnets::new(first, last, 0)
            .take(SPELLED_OUT + 1)
            .map(|net| net.to_string())
            .collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Ipv6Subnets::new(first, last, 0)
            .take(SPELLED_OUT + 1)
            .map(|net| net.to_string())
            .collect(),
        _ => Vec::new(),
    };
    let help = match nets.len() {
        1..=SPELLED_OUT => format!("this range is {}", nets.join(", ")),
        _ => "write it as one or more networks, such as 192.0.2.0/24".to_owned(),
    };
    Complaint::new(
        format!("'{text}' is a range of addresses, where networks are expected"),
        help,
    )
}

fn no_address(text: &str, address: &str) -> Complaint {
    let octets: Vec<&str> = address.split('.').collect();
    let help = if address.contains(':') {
        "an IPv6 address has eight groups of hexadecimal digits, '::' at most once".to_owned()
    } else if octets
        .last()
        .is_some_and(|octet| matches!(*octet, "*" | "x" | ""))
    {
        "write the network with its prefix length, such as 192.0.2.0/24".to_owned()
    } else if octets.len() < 4 {
        format!(
            "it has {} of the four numbers of an IPv4 address",
            octets.len()
        )
    } else {
        "an IPv4 address is four numbers from 0 to 255, without leading zeros".to_owned()
    };
    Complaint::new(format!("'{text}' is not an address"), help)
}

/// Digits and dots with at least one dot, or hexadecimal digits and colons with
/// at least one colon: no name of the language looks like that by accident.
fn looks_like_an_address(text: &str) -> bool {
    let only = |allowed: fn(char) -> bool| text.chars().all(allowed);
    let digits = text.contains(|c: char| c.is_ascii_digit());
    (digits && text.contains('.') && only(|c| c.is_ascii_digit() || matches!(c, '.' | '*' | 'x')))
        || (text.contains(':') && only(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(text: &str) -> String {
        parse(text).unwrap_err().help.unwrap()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_a_network_of_one() {
        assert_eq!(parse("192.0.2.1").unwrap().unwrap(), net("192.0.2.1/32"));
        assert_eq!(
            parse("2001:db8::1").unwrap().unwrap(),
            net("2001:db8::1/128")
        );
        assert_eq!(parse("0.0.0.0/0").unwrap().unwrap(), net("0.0.0.0/0"));
    }

    #[test]
    fn a_name_is_not_an_address() {
        for name in ["access-edge", "front.end", "10", "x", "edge-1", "cafe"] {
            assert_eq!(parse(name), Ok(None), "{name}");
        }
    }

    #[test]
    fn what_is_nearly_a_network_is_refused_with_what_was_meant() {
        assert_eq!(
            help("192.0.2.1/24"),
            "write 192.0.2.0/24 for the network, or 192.0.2.1 for the one address"
        );
        assert_eq!(help("192.0.2.0/255.255.255.0"), "write 192.0.2.0/24");
        assert_eq!(help("192.0.2.0/33"), "it is a number from 0 to 32");
        assert_eq!(help("2001:db8::/+32"), "it is a number from 0 to 128");
        assert_eq!(
            help("192.0.2.4-192.0.2.10"),
            "this range is 192.0.2.4/30, 192.0.2.8/31, 192.0.2.10/32"
        );
        assert_eq!(
            help("::ffff:192.0.2.1"),
            "write the IPv4 network: 192.0.2.1"
        );
        assert_eq!(
            help("::ffff:192.0.2.0/120"),
            "write the IPv4 network: 192.0.2.0/24"
        );
        assert_eq!(
            help("192.0.2.1:443"),
            "write 192.0.2.1 here, and 443 under 'ports'"
        );
        assert_eq!(help("[2001:db8::1]"), "write 2001:db8::1, in quotes");
        assert_eq!(
            help("fe80::1%eth0"),
            "write fe80::1; the rule's interface says which link is meant"
        );
        assert_eq!(
            help("192.0.2"),
            "it has 3 of the four numbers of an IPv4 address"
        );
        assert_eq!(
            help("10/8"),
            "it has 1 of the four numbers of an IPv4 address"
        );
        assert!(help("192.0.2.*").contains("192.0.2.0/24"));
        assert!(help("192.0.2.010").contains("leading zeros"));
        assert!(help("2001:db8::1::2").contains("at most once"));
    }
}
