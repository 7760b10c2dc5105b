//! IPv6 (RFC 8200).

use std::net::Ipv6Addr;

use super::{Extension, Frame, Segment};

/// An IPv6 packet.
#[derive(Debug, Clone)]
pub struct Ipv6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    version: u8,
    payload_length: Option<u16>,
    hop_limit: u8,
    extensions: Vec<Extension>,
    segment: Segment,
}

impl Ipv6 {
    /// A valid packet around `segment`: hop limit 64, no extension headers.
    #[must_use]
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, segment: Segment) -> Self {
        Self {
            source,
            destination,
            version: 6,
            payload_length: None,
            hop_limit: 64,
            extensions: Vec::new(),
            segment,
        }
    }

    /// The source address.
    #[must_use]
    pub fn source(self, source: Ipv6Addr) -> Self {
        Self { source, ..self }
    }

    /// The destination address.
    #[must_use]
    pub fn destination(self, destination: Ipv6Addr) -> Self {
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

    /// The payload length field, in bytes, whatever the payload's length.
    #[must_use]
    pub fn payload_length(self, bytes: u16) -> Self {
        Self {
            payload_length: Some(bytes),
            ..self
        }
    }

    /// The hop limit.
    #[must_use]
    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    /// The extension headers between the fixed header and the segment; each
    /// names the next.
    #[must_use]
    pub fn extensions(self, extensions: impl IntoIterator<Item = Extension>) -> Self {
        Self {
            extensions: extensions.into_iter().collect(),
            ..self
        }
    }

    /// The length of the headers before the segment, in bytes.
    #[must_use]
    pub fn header_length(&self) -> usize {
        40 + self.extensions.iter().map(Extension::size).sum::<usize>()
    }

    /// The packet, with its checksums.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (source, destination) = (self.source.octets(), self.destination.octets());
        let segment = self.segment.build(&source, &destination);
        let payload = self.header_length() - 40 + segment.len();
        // A super-packet is longer than the field can say, and says 0.
        let payload = u16::try_from(payload).unwrap_or(0);

        let mut packet = vec![0; 8];
        packet[0] = self.version << 4;
        packet[4..6].copy_from_slice(&self.payload_length.unwrap_or(payload).to_be_bytes());
        packet[7] = self.hop_limit;
        packet.extend(source);
        packet.extend(destination);

        // Where the number of the header that comes next has to be written.
        let mut next = 6;
        for extension in &self.extensions {
            packet[next] = extension.number();
            next = packet.len();
            packet.extend(extension.bytes());
        }
        packet[next] = self.segment.protocol();
        packet.extend(segment);
        packet
    }
}

impl From<Ipv6> for Frame {
    fn from(packet: Ipv6) -> Self {
        Self::new(0x86dd, packet.bytes())
    }
}
