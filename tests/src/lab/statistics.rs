//! What a veth driver counts by itself (`ethtool -S`): the frames that XDP has dropped,
//! and those that found the ring full.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::ethtool::{exchange, word};
use super::wire::End;

// include/uapi/linux/ethtool.h.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSTATS: u32 = 0x1d;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
/// Bytes of a counter's name.
const ETH_GSTRING_LEN: usize = 32;

/// Frames, of all queues together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Taken from the ring, whatever became of them.
    pub received: u64,
    /// Of those, dropped by the XDP program.
    pub dropped: u64,
    /// Redirected to this device to be sent, and refused: the other end's ring was full.
    pub refused: u64,
}

impl End {
    /// What the driver has counted at this end.
    pub fn statistics(&self) -> Result<Statistics> {
        let counters = counters(self)
            .with_context(|| format!("read what the driver of {} counts", self.device))?;
        let sum = |side: &str, name: &str| {
            let queue = |key: &&String| key.starts_with(side) && key.ends_with(name);
            let matching = counters.iter().filter(|(key, _)| queue(key));
            matching.map(|(_, count)| count).sum()
        };
        Ok(Statistics {
            received: sum("rx_queue_", "_xdp_packets"),
            dropped: sum("rx_queue_", "_xdp_drops"),
            refused: sum("tx_queue_", "_xdp_xmit_errors"),
        })
    }
}

/// Every counter of the driver, by its name.
fn counters(end: &End) -> Result<BTreeMap<String, u64>> {
    // A command, a reserved word, a mask of sets of 64 bits, and one set's size.
    let mut sizes = structure(&[ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_STATS, 0], 4);
    exchange(end, &mut sizes)?;
    let count = word(&sizes, 16)?;
    // A command, a set, its size, and its strings; a command, the size, and numbers.
    let mut names = structure(
        &[ETHTOOL_GSTRINGS, ETH_SS_STATS, count],
        count as usize * ETH_GSTRING_LEN,
    );
    exchange(end, &mut names)?;
    let mut values = structure(&[ETHTOOL_GSTATS, count], count as usize * 8);
    exchange(end, &mut values)?;
    let names = names[12..].chunks_exact(ETH_GSTRING_LEN).map(|name| {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    });
    let (values, _) = values[8..].as_chunks();
    Ok(names
        .zip(values.iter().map(|value| u64::from_ne_bytes(*value)))
        .collect())
}

/// The head of a structure, and room for the rest of it.
fn structure(head: &[u32], room: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.resize(bytes.len() + room, 0);
    bytes
}
