//! Ports as people write them: a number, or `"LO-HI"` with both ends included.
//! The other spellings in use are refused with the range that was meant.

use std::ops::RangeInclusive;

use super::diagnostic::Complaint;

/// Reads one entry of a list of ports.
pub(super) fn parse(text: &str) -> Result<RangeInclusive<u16>, Complaint> {
    if let Some((first, last)) = text.split_once('-')
        && let (Some(first), Some(last)) = (decimal(first), decimal(last))
    {
        return range(text, first, last);
    }
    if let Some(port) = decimal(text) {
        let port = single(text, port)?;
        return Ok(port..=port);
    }
    Err(nearly_a_port(text))
}

/// A single port, as a packet in a test has it.
pub(super) fn parse_one(text: &str) -> Result<u16, Complaint> {
    match decimal(text) {
        Some(port) => single(text, port),
        None => Err(nearly_a_port(text)),
    }
}

/// Digits alone, and no leading zero: other notations read differently in
/// different programs.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero {
        text.parse().ok()
    } else {
        None
    }
}

fn single(text: &str, port: u64) -> Result<u16, Complaint> {
    match u16::try_from(port) {
        Ok(0) => Err(Complaint::new(
            format!("port 0 in '{text}' is reserved, and no packet may use it (RFC 6335)"),
            "ports are 1 to 65535; leave 'ports' out for any port",
        )),
        Ok(port) => Ok(port),
        Err(_) => Err(Complaint::new(
            format!("port {port} in '{text}' is beyond the last port"),
            "ports are 1 to 65535",
        )),
    }
}

fn range(text: &str, first: u64, last: u64) -> Result<RangeInclusive<u16>, Complaint> {
    let (first, last) = (single(text, first)?, single(text, last)?);
    if first > last {
        return Err(Complaint::new(
            format!("the range '{text}' runs backwards"),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(first..=last)
}

fn nearly_a_port(text: &str) -> Complaint {
    if let Some(meant) = radix(text) {
        return Complaint::new(
            format!("port '{text}' is not written in plain decimal digits"),
            format!("write {meant}, if that is what is meant"),
        );
    }
    if text.contains(',') || text.contains(' ') && spaced_range(text).is_none() {
        return Complaint::new(
            format!("'{text}' is not one port or one range"),
            "write each port as an item of its own: [80, 443]",
        );
    }
    if let Some((first, last)) = spaced_range(text) {
        return Complaint::new(
            format!("'{text}' is not how a range of ports is written"),
            format!("write \"{first}-{last}\""),
        );
    }
    if text.contains('-') && text.contains(|c: char| c.is_ascii_digit()) {
        return Complaint::new(
            format!("'{text}' is a range with an end that cannot be read"),
            "write \"LO-HI\" with both ends, such as \"50000-59999\"",
        );
    }
    let known = WELL_KNOWN
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    Complaint::new(
        format!("'{text}' is not a port number"),
        match known {
            Some((_, port)) => format!("ports have no names here; write {port}"),
            None => "ports are numbers from 1 to 65535, or \"LO-HI\"".to_owned(),
        },
    )
}

/// The services that people write by name most often (IANA).
const WELL_KNOWN: [(&str, u16); 13] = [
    ("ssh", 22),
    ("smtp", 25),
    ("domain", 53),
    ("dns", 53),
    ("http", 80),
    ("ntp", 123),
    ("https", 443),
    ("stun", 3478),
    ("sip", 5060),
    ("sips", 5061),
    ("xmpp-client", 5222),
    ("xmpp-server", 5269),
    ("turn", 3478),
];

/// What a number in another notation stands for.
fn radix(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = lower.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok();
    }
    let plain = lower.trim_start_matches('+').replace('_', "");
    let plain = plain.strip_suffix(".0").unwrap_or(&plain);
    if let Some((mantissa, exponent)) = plain.split_once('e')
        && let (Ok(mantissa), Ok(exponent)) = (mantissa.parse::<u64>(), exponent.parse::<u32>())
    {
        return 10_u64
            .checked_pow(exponent)
            .and_then(|power| power.checked_mul(mantissa));
    }
    let digits = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        plain.parse().ok()
    } else {
        grouped(plain)
    }
}

/// `50.000`, as some languages group thousands.
fn grouped(text: &str) -> Option<u64> {
    let (thousands, ones) = text.split_once(['.', '\'', '\u{a0}', '\u{202f}'])?;
    let well_formed = matches!(thousands.len(), 1..=3)
        && ones.len() == 3
        && thousands
            .bytes()
            .chain(ones.bytes())
            .all(|byte| byte.is_ascii_digit());
    if well_formed {
        format!("{thousands}{ones}").parse().ok()
    } else {
        None
    }
}

/// Two ports with one of the many things between them that people write.
fn spaced_range(text: &str) -> Option<(u64, u64)> {
    const BETWEEN: [&str; 12] = [
        "..=", "...", "..", " to ", " bis ", " until ", "–", "—", "−", "‐", ":", "-",
    ];
    BETWEEN.iter().find_map(|between| {
        let (first, last) = text.split_once(between)?;
        let end = |text: &str| {
            let text = text.trim();
            decimal(text).or_else(|| radix(text))
        };
        Some((end(first)?, end(last)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_and_a_range() {
        assert_eq!(parse("443"), Ok(443..=443));
        assert_eq!(parse("50000-59999"), Ok(50_000..=59_999));
        assert_eq!(parse("1-65535"), Ok(1..=65_535));
    }

    #[test]
    fn other_spellings_of_a_range_are_refused_with_the_one_that_was_meant() {
        for text in [
            "50000 to 59999",
            "50000 - 59999",
            "50.000-59.999",
            "50000–59999",
            "50000—59999",
            "50000:59999",
            "50000..59999",
            "50.000 to 59.999",
            "50_000-59_999",
            "050000-59999",
        ] {
            let complaint = parse(text).unwrap_err();
            assert_eq!(
                complaint.help.as_deref(),
                Some("write \"50000-59999\""),
                "{text}"
            );
        }
        assert_eq!(
            parse("9-5").unwrap_err().help.as_deref(),
            Some("write \"5-9\"")
        );
    }

    #[test]
    fn other_notations_of_a_number_are_refused_with_the_number() {
        for (text, meant) in [
            ("0x1bb", 443),
            ("050", 50),
            ("1e3", 1000),
            ("1_000", 1000),
            ("+443", 443),
        ] {
            let help = parse(text).unwrap_err().help.unwrap();
            assert_eq!(
                help,
                format!("write {meant}, if that is what is meant"),
                "{text}"
            );
        }
    }

    #[test]
    fn no_text_panics_and_none_of_these_is_a_port() {
        for text in [
            "", "-", "0", "65536", "-1", "5-", "-5", "0-5", "1-2-3", "80,443", "https",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
