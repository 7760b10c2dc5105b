//! What an IP packet carries: TCP, UDP, SCTP, ICMP, or any bytes.

use super::{SOURCE_PORT, checksum};

/// TCP's flags (RFC 9293, RFC 3168, RFC 9768), as the low 12 bits of the
/// big-endian word at offset 12.
pub mod flag {
    /// No more data.
    pub const FIN: u16 = 0x001;
    /// Opens a connection.
    pub const SYN: u16 = 0x002;
    /// Resets it.
    pub const RST: u16 = 0x004;
    /// Push.
    pub const PSH: u16 = 0x008;
    /// The acknowledgement number counts.
    pub const ACK: u16 = 0x010;
    /// The urgent pointer counts.
    pub const URG: u16 = 0x020;
    /// ECN echo.
    pub const ECE: u16 = 0x040;
    /// Congestion window reduced.
    pub const CWR: u16 = 0x080;
    /// Accurate ECN, once the nonce sum.
    pub const AE: u16 = 0x100;
}

/// A header of the transport layer and what follows it. The setters that name
/// a field write it at its place and leave everything else alone.
#[derive(Debug, Clone)]
pub struct Segment {
    protocol: u8,
    bytes: Vec<u8>,
    checksum: Checksum,
}

/// Where the checksum stands, and what it covers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Checksum {
    /// There is none.
    None,
    /// RFC 1071, over the segment alone.
    Plain(usize),
    /// RFC 1071, over the pseudo-header and the segment.
    Pseudo(usize),
    /// `CRC32c` over the segment.
    Crc32c(usize),
}

/// A TCP SYN to port 5061, without options or data.
#[must_use]
pub fn tcp() -> Segment {
    let mut bytes = vec![0; 20];
    bytes[4..8].copy_from_slice(&0x1020_3040_u32.to_be_bytes());
    bytes[14..16].copy_from_slice(&64_240_u16.to_be_bytes());
    Segment::new(6, bytes, Checksum::Pseudo(16))
        .ports(SOURCE_PORT, 5061)
        .data_offset(5)
        .flags(flag::SYN)
}

/// A UDP datagram to port 3478 with eight bytes of data.
#[must_use]
pub fn udp() -> Segment {
    Segment::new(17, vec![0; 8], Checksum::Pseudo(6))
        .ports(SOURCE_PORT, 3478)
        .data(&[0x5a; 8])
}

/// An SCTP packet to port 2905 with an empty COOKIE ACK chunk.
#[must_use]
pub fn sctp() -> Segment {
    let mut bytes = vec![0; 12];
    bytes[4..8].copy_from_slice(&0x5566_7788_u32.to_be_bytes());
    Segment::new(132, bytes, Checksum::Crc32c(8))
        .ports(SOURCE_PORT, 2905)
        .data(&[11, 0, 0, 4])
}

/// Any bytes, of any protocol.
#[must_use]
pub fn raw(protocol: u8, bytes: &[u8]) -> Segment {
    Segment::new(protocol, bytes.to_vec(), Checksum::None)
}

impl Segment {
    pub(super) fn new(protocol: u8, bytes: Vec<u8>, checksum: Checksum) -> Self {
        Self {
            protocol,
            bytes,
            checksum,
        }
    }

    /// The IP protocol number.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The segment's length in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Source and destination port.
    #[must_use]
    pub fn ports(self, source: u16, destination: u16) -> Self {
        self.word(0, source).word(2, destination)
    }

    /// The destination port.
    #[must_use]
    pub fn to_port(self, port: u16) -> Self {
        self.word(2, port)
    }

    /// TCP: the flags, all others cleared (see [`flag`]).
    #[must_use]
    pub fn flags(self, flags: u16) -> Self {
        let kept = u16::from_be_bytes([self.bytes[12], self.bytes[13]]) & 0xf000;
        self.word(12, kept | flags)
    }

    /// TCP: the data offset, in 32-bit words.
    #[must_use]
    pub fn data_offset(self, words: u8) -> Self {
        let low = self.bytes[12] & 0x0f;
        self.byte(12, words << 4 | low)
    }

    /// TCP: `words` 32-bit words of no-operation options, with the data offset
    /// that they need.
    #[must_use]
    pub fn tcp_options(mut self, words: u8) -> Self {
        self.bytes
            .extend(std::iter::repeat_n(1, usize::from(words) * 4));
        self.data_offset(5 + words)
    }

    /// UDP: the length field, in bytes.
    #[must_use]
    pub fn udp_length(self, length: u16) -> Self {
        self.word(4, length)
    }

    /// Appends data; UDP's length follows.
    #[must_use]
    pub fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        if self.protocol == 17 {
            let length = u16::try_from(self.bytes.len()).expect("data fits a datagram");
            return self.udp_length(length);
        }
        self
    }

    /// ICMP: the type.
    #[must_use]
    pub fn icmp_type(self, kind: u8) -> Self {
        self.byte(0, kind)
    }

    /// ICMP: the code.
    #[must_use]
    pub fn code(self, code: u8) -> Self {
        self.byte(1, code)
    }

    /// Only the first `length` bytes. The IP header's length follows, unless it
    /// was overridden, so that the packet itself says that it is cut.
    #[must_use]
    pub fn keep(mut self, length: usize) -> Self {
        assert!(
            length <= self.bytes.len(),
            "a segment of {} bytes",
            self.bytes.len()
        );
        self.bytes.truncate(length);
        self
    }

    /// The same bytes under another protocol number.
    #[must_use]
    pub fn as_protocol(self, protocol: u8) -> Self {
        Self {
            protocol,
            checksum: Checksum::None,
            ..self
        }
    }

    /// The byte at `at`.
    #[must_use]
    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.bytes[at] = value;
        self
    }

    /// The big-endian word at `at`.
    #[must_use]
    pub fn word(mut self, at: usize, value: u16) -> Self {
        self.bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        self
    }

    /// The bytes, with the checksum that belongs between these addresses (each
    /// of 4 or of 16 bytes). A segment cut short of its checksum keeps none.
    pub(super) fn build(&self, source: &[u8], destination: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let (at, sum) = match self.checksum {
            Checksum::None => return bytes,
            Checksum::Crc32c(at) => (at, checksum::crc32c(&bytes).to_le_bytes().to_vec()),
            Checksum::Plain(at) => (at, checksum::internet(&[&bytes]).to_be_bytes().to_vec()),
            Checksum::Pseudo(at) => {
                let length = u32::try_from(bytes.len()).expect("a segment under 4 GiB");
                let sum = checksum::internet(&[
                    source,
                    destination,
                    &length.to_be_bytes(),
                    &[0, self.protocol],
                    &bytes,
                ]);
                // RFC 768: a sum of zero is sent as all ones.
                let sum = if sum == 0 && self.protocol == 17 {
                    0xffff
                } else {
                    sum
                };
                (at, sum.to_be_bytes().to_vec())
            }
        };
        if let Some(field) = bytes.get_mut(at..at + sum.len()) {
            field.copy_from_slice(&sum);
        }
        bytes
    }
}
