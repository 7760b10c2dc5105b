//! One filter.

use std::fmt;
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// What a packet must be to match. Both networks are of one family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    /// What holds its source.
    pub source: IpNet,
    /// What holds its destination.
    pub destination: IpNet,
    /// Its IP protocol; `None` for any.
    pub protocol: Option<u8>,
    /// What holds its source port, not from 0 on; `None` asks for no port at all. Only
    /// where the protocol is any or has ports.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// The same of its destination port.
    pub destination_ports: Option<RangeInclusive<u16>>,
}

/// As a line of the format, without the column of flags.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            destination,
            protocol,
            source_ports,
            destination_ports,
        } = self;
        write!(f, "@{source}\t{destination}\t")?;
        for ports in [source_ports, destination_ports] {
            let (first, last) = ports
                .as_ref()
                .map_or((0, u16::MAX), |ports| (*ports.start(), *ports.end()));
            write!(f, "{first} : {last}\t")?;
        }
        match protocol {
            Some(protocol) => write!(f, "0x{protocol:02x}/0xFF"),
            None => f.write_str("0x00/0x00"),
        }
    }
}
