//! Ethernet II, 802.1Q and 802.1ad tags, 802.3 with LLC.

use super::{DESTINATION_MAC, SOURCE_MAC};

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The type that announces it: 0x8100 (802.1Q) or 0x88a8 (802.1ad), or
    /// something else that hopes to be taken for a tag.
    pub announced_by: u16,
    /// Priority (3 bits), drop eligibility (1 bit) and VLAN id (12 bits).
    pub control: u16,
}

impl Tag {
    /// An 802.1Q tag.
    #[must_use]
    pub fn dot1q(id: u16) -> Self {
        Self {
            announced_by: 0x8100,
            control: id,
        }
    }

    /// An 802.1ad tag.
    #[must_use]
    pub fn dot1ad(id: u16) -> Self {
        Self {
            announced_by: 0x88a8,
            control: id,
        }
    }
}

/// A frame: what is handed to the hook, without the frame check sequence.
#[derive(Debug, Clone)]
pub struct Frame {
    destination: Mac,
    source: Mac,
    tags: Vec<Tag>,
    ethertype: u16,
    payload: Vec<u8>,
    end: Option<usize>,
}

impl Frame {
    /// An untagged frame.
    #[must_use]
    pub fn new(ethertype: u16, payload: Vec<u8>) -> Self {
        Self {
            destination: DESTINATION_MAC,
            source: SOURCE_MAC,
            tags: Vec::new(),
            ethertype,
            payload,
            end: None,
        }
    }

    /// The destination address.
    #[must_use]
    pub fn to(self, destination: Mac) -> Self {
        Self {
            destination,
            ..self
        }
    }

    /// The source address.
    #[must_use]
    pub fn sent_by(self, source: Mac) -> Self {
        Self { source, ..self }
    }

    /// The type behind the last tag; below 0x0600 it is a length.
    #[must_use]
    pub fn ethertype(self, ethertype: u16) -> Self {
        Self { ethertype, ..self }
    }

    /// The tags, outermost first.
    #[must_use]
    pub fn tags(self, tags: impl IntoIterator<Item = Tag>) -> Self {
        Self {
            tags: tags.into_iter().collect(),
            ..self
        }
    }

    /// The same frame as 802.3 would carry it: a length, LLC and SNAP
    /// (RFC 1042), and the type behind them.
    #[must_use]
    pub fn snap(self) -> Self {
        let mut payload = vec![0xaa, 0xaa, 0x03, 0, 0, 0];
        payload.extend(self.ethertype.to_be_bytes());
        payload.extend(&self.payload);
        let ethertype = u16::try_from(payload.len()).expect("a length of 802.3");
        assert!(ethertype < 0x0600, "{ethertype} would be a type");
        Self {
            ethertype,
            payload,
            ..self
        }
    }

    /// Appends `bytes` of padding, all ones.
    #[must_use]
    pub fn pad(mut self, bytes: usize) -> Self {
        self.payload.extend(std::iter::repeat_n(0xff, bytes));
        self
    }

    /// Cuts the frame `bytes` behind the begin of its network header.
    #[must_use]
    pub fn keep(mut self, bytes: usize) -> Self {
        assert!(
            bytes < self.payload.len(),
            "a payload of {} bytes",
            self.payload.len()
        );
        self.payload.truncate(bytes);
        self
    }

    /// Cuts the frame `bytes` behind its very begin.
    #[must_use]
    pub fn cut(self, bytes: usize) -> Self {
        assert!(
            bytes < self.network_offset() + self.payload.len(),
            "cuts nothing off"
        );
        Self {
            end: Some(bytes),
            ..self
        }
    }

    /// Where the network header begins, in bytes.
    #[must_use]
    pub fn network_offset(&self) -> usize {
        14 + 4 * self.tags.len()
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.network_offset() + self.payload.len());
        bytes.extend(self.destination);
        bytes.extend(self.source);
        for tag in &self.tags {
            bytes.extend(tag.announced_by.to_be_bytes());
            bytes.extend(tag.control.to_be_bytes());
        }
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(&self.payload);
        bytes.truncate(self.end.unwrap_or(usize::MAX));
        bytes
    }
}
