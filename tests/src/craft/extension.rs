//! IPv6 extension headers (RFC 8200 §4, RFC 4302, RFC 6275, RFC 7401, RFC 5533).

/// An extension header. Its first byte, the next header, is filled in when the
/// packet is built.
#[derive(Debug, Clone)]
pub struct Extension {
    number: u8,
    bytes: Vec<u8>,
}

/// An extension header of eight bytes: `number`, and six bytes of padding.
#[must_use]
pub fn extension(number: u8) -> Extension {
    // A PadN option of four bytes of data; to headers that hold no options the
    // same bytes are fields of no interest to a filter.
    Extension {
        number,
        bytes: vec![0, 0, 1, 4, 0, 0, 0, 0],
    }
}

/// Hop-by-hop options (0).
#[must_use]
pub fn hop_by_hop() -> Extension {
    extension(0)
}

/// Destination options (60).
#[must_use]
pub fn destination_options() -> Extension {
    extension(60)
}

/// A routing header (43) of the given routing type, no segments left.
#[must_use]
pub fn routing(kind: u8) -> Extension {
    Extension {
        number: 43,
        bytes: vec![0, 0, kind, 0, 0, 0, 0, 0],
    }
}

/// A fragment header (44): `offset` in units of eight bytes.
#[must_use]
pub fn fragment(offset: u16, more: bool) -> Extension {
    let mut bytes = vec![0, 0, 0, 0, 0xca, 0xfe, 0xf0, 0x0d];
    bytes[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
    Extension { number: 44, bytes }
}

/// An authentication header (51) with an integrity check value of `words`
/// 32-bit words: 12 + 4 × `words` bytes.
#[must_use]
pub fn authentication(words: u8) -> Extension {
    let mut bytes = vec![0xa5; 12 + usize::from(words) * 4];
    // RFC 4302 §2.2: the length in 32-bit words, minus 2.
    bytes[..4].copy_from_slice(&[0, words + 1, 0, 0]);
    Extension { number: 51, bytes }
}

impl Extension {
    /// The number by which the header before it names it.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its bytes; the first is still to be filled in.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its length in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The length field (byte 1), whatever the header's length.
    #[must_use]
    pub fn length_field(self, units: u8) -> Self {
        self.byte(1, units)
    }

    /// The byte at `at`.
    #[must_use]
    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.bytes[at] = value;
        self
    }

    /// `units` more units of eight bytes, with the length field that they need.
    #[must_use]
    pub fn longer(mut self, units: u8) -> Self {
        self.bytes
            .extend(std::iter::repeat_n(0, usize::from(units) * 8));
        let field = self.bytes[1] + units;
        self.length_field(field)
    }
}
