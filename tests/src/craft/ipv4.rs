//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::{Frame, Segment, checksum};

/// An IPv4 packet.
#[derive(Debug, Clone)]
pub struct Ipv4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    version: u8,
    ihl: Option<u8>,
    total_length: Option<u16>,
    fragment: u16,
    ttl: u8,
    options: Vec<u8>,
    segment: Segment,
}

impl Ipv4 {
    /// A valid packet around `segment`: TTL 64, "don't fragment" set, no options.
    #[must_use]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, segment: Segment) -> Self {
        Self {
            source,
            destination,
            version: 4,
            ihl: None,
            total_length: None,
            fragment: 0x4000,
            ttl: 64,
            options: Vec::new(),
            segment,
        }
    }

    /// The source address.
    #[must_use]
    pub fn source(self, source: Ipv4Addr) -> Self {
        Self { source, ..self }
    }

    /// The destination address.
    #[must_use]
    pub fn destination(self, destination: Ipv4Addr) -> Self {
        Self {
            destination,
            ..self
        }
    }

    /// What the packet carries.
    #[must_use]
    pub fn segment(self, segment: Segment) -> Self {
        Self { segment, ..self }
    }

    /// The version field.
    #[must_use]
    pub fn version(self, version: u8) -> Self {
        Self { version, ..self }
    }

    /// The header length field, in 32-bit words, whatever the header's length.
    #[must_use]
    pub fn ihl(self, words: u8) -> Self {
        Self {
            ihl: Some(words),
            ..self
        }
    }

    /// The total length field, in bytes, whatever the packet's length.
    #[must_use]
    pub fn total_length(self, bytes: u16) -> Self {
        Self {
            total_length: Some(bytes),
            ..self
        }
    }

    /// The 16 bits of flags (0x8000 reserved, 0x4000 don't fragment, 0x2000
    /// more fragments) and of offset, in units of eight bytes.
    #[must_use]
    pub fn fragment(self, field: u16) -> Self {
        Self {
            fragment: field,
            ..self
        }
    }

    /// The time to live.
    #[must_use]
    pub fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// The options, filled up with zeros (End of List) to whole words.
    #[must_use]
    pub fn options(self, options: &[u8]) -> Self {
        let mut options = options.to_vec();
        options.resize(options.len().next_multiple_of(4), 0);
        assert!(options.len() <= 40, "IPv4 has room for 40 bytes of options");
        Self { options, ..self }
    }

    /// The length of the header that was built, in bytes.
    #[must_use]
    pub fn header_length(&self) -> usize {
        20 + self.options.len()
    }

    /// The packet, with its checksums.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (source, destination) = (self.source.octets(), self.destination.octets());
        let segment = self.segment.build(&source, &destination);
        let header_length = self.header_length();
        let words = u8::try_from(header_length / 4).expect("at most 15 words");
        // A super-packet is longer than the field can say, and says 0.
        let whole = u16::try_from(header_length + segment.len()).unwrap_or(0);

        let mut packet = vec![0; 12];
        packet[0] = self.version << 4 | self.ihl.unwrap_or(words);
        packet[2..4].copy_from_slice(&self.total_length.unwrap_or(whole).to_be_bytes());
        packet[4..6].copy_from_slice(&0xbeef_u16.to_be_bytes());
        packet[6..8].copy_from_slice(&self.fragment.to_be_bytes());
        packet[8] = self.ttl;
        packet[9] = self.segment.protocol();
        packet.extend(source);
        packet.extend(destination);
        packet.extend(&self.options);
        let sum = checksum::internet(&[&packet]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(segment);
        packet
    }
}

impl From<Ipv4> for Frame {
    fn from(packet: Ipv4) -> Self {
        Self::new(0x0800, packet.bytes())
    }
}
