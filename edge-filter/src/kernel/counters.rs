//! Counters, summed over the CPUs.

use std::ops::AddAssign;
use std::path::Path;

use aya::Pod;
use aya::maps::{Map, MapData, MapError, PerCpuArray};
use edge_filter_ebpf::counter::Count as CountValue;
use serde::{Deserialize, Serialize};

use super::KernelError;

/// Packets and bytes, of all CPUs together. Both wrap at 2⁶⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Packets as they were on the wire.
    pub packets: u64,
    /// Their bytes, from the destination MAC to the end, without FCS.
    pub bytes: u64,
}

/// A slot of one CPU, as the map holds it.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct RawCount(pub CountValue);

// SAFETY: it is `repr(C)`, made of two integers, and has no padding.
unsafe impl Pod for RawCount {}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// Reads the counters pinned at `path`, in the order of their indices.
///
/// # Errors
/// Nothing is pinned there, it is no map of counters, or the kernel refuses.
pub fn read_pinned(path: &Path) -> Result<Vec<Count>, KernelError> {
    let reading = |error: MapError| {
        KernelError::new(format!("read the counters pinned at {}", path.display()))
            .because(error)
            .if_forbidden()
    };
    let data = MapData::from_pin(path).map_err(reading)?;
    let map = Map::from_map_data(data).map_err(reading)?;
    let counters = PerCpuArray::<MapData, RawCount>::try_from(map).map_err(reading)?;
    read(&counters).map_err(reading)
}

/// Reads `counters`, in the order of their indices.
///
/// # Errors
/// The kernel refuses.
pub fn read<T: std::borrow::Borrow<MapData>>(
    counters: &PerCpuArray<T, RawCount>,
) -> Result<Vec<Count>, MapError> {
    (0..counters.len())
        .map(|index| {
            let mut sum = Count::default();
            for RawCount(count) in counters.get(&index, 0)?.iter() {
                sum += Count {
                    packets: count.packets,
                    bytes: count.bytes,
                };
            }
            Ok(sum)
        })
        .collect()
}
