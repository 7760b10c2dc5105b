//! Counters, summed over the CPUs.

use std::io;
use std::ops::AddAssign;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::OnceLock;

use edge_filter_ebpf::counter::{BLOCK, Block, Count as CountValue};
use serde::{Deserialize, Serialize};

use super::KernelError;
use super::syscall;

/// Packets and bytes, of all CPUs together. Both wrap at 2⁶⁴.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Packets as they were on the wire.
    pub packets: u64,
    /// Their bytes, from the destination MAC to the end, without FCS.
    pub bytes: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

/// How the counters of one hook lie in memory: in blocks, of each of which every CPU has one
/// of its own, next to those of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// How many blocks there are of each CPU.
    blocks: usize,
    /// What the number of a CPU is masked with: one less than a power of two.
    pub(super) cpu_mask: u32,
}

impl Layout {
    /// That of `counters` counters on this machine.
    ///
    /// # Errors
    /// It does not tell how many CPUs it has.
    pub(super) fn of(counters: usize) -> Result<Self, KernelError> {
        Ok(Self {
            blocks: counters.div_ceil(BLOCK),
            cpu_mask: cpu_mask()?,
        })
    }

    /// How many blocks there are, of all CPUs.
    pub(super) fn all_blocks(self) -> usize {
        self.blocks * self.cpus()
    }

    /// How many bytes they take.
    pub(super) fn bytes(self) -> usize {
        self.all_blocks() * size_of::<Block>()
    }

    fn cpus(self) -> usize {
        self.cpu_mask as usize + 1
    }

    /// The counters in `words`, each summed.
    fn sums(self, words: &[u64]) -> Vec<Count> {
        const WORDS: usize = size_of::<CountValue>() / size_of::<u64>();
        let (counts, _) = words.as_chunks::<WORDS>();
        let mut sums = vec![Count::default(); self.blocks * BLOCK];
        for (sums, cpus) in sums
            .chunks_exact_mut(BLOCK)
            .zip(counts.chunks_exact(BLOCK * self.cpus()))
        {
            for block in cpus.chunks_exact(BLOCK) {
                for (sum, &[packets, bytes]) in sums.iter_mut().zip(block) {
                    *sum += Count { packets, bytes };
                }
            }
        }
        sums
    }
}

/// Reads the counters pinned at `path`, in the order of their indices. Behind the last there
/// may be some that never count.
///
/// # Errors
/// Nothing is pinned there, it holds no counters, or the kernel refuses.
pub fn read_pinned(path: &Path) -> Result<Vec<Count>, KernelError> {
    let reading = |error: io::Error| {
        KernelError::new(format!("read the counters pinned at {}", path.display()))
            .because(error)
            .try_this("run it as root")
    };
    let pinned = syscall::pinned(path).map_err(reading)?;
    read(pinned.as_fd())
}

/// Reads the counters in `map`, in the same way.
///
/// # Errors
/// It holds none, or the kernel refuses.
pub(super) fn read(map: BorrowedFd<'_>) -> Result<Vec<Count>, KernelError> {
    let reading = || KernelError::new("read counters");
    let words = syscall::only_value(map).map_err(|error| reading().because(error))?;
    let cpu_mask = cpu_mask()?;
    let of_cpus = size_of::<Block>() * (cpu_mask as usize + 1);
    let bytes = size_of_val(&*words);
    if bytes == 0 || !bytes.is_multiple_of(of_cpus) {
        return Err(reading().because(format!("{bytes} bytes are not those of whole blocks")));
    }
    let blocks = bytes / of_cpus;
    Ok(Layout { blocks, cpu_mask }.sums(&words))
}

/// One less than the least power of two that is above the number of every CPU that this
/// machine can have. It does not change before the next boot, as do the maps that depend on it.
fn cpu_mask() -> Result<u32, KernelError> {
    static MASK: OnceLock<u32> = OnceLock::new();
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    if let Some(mask) = MASK.get() {
        return Ok(*mask);
    }
    let reading = || KernelError::new(format!("read the numbers of the CPUs from {POSSIBLE}"));
    let text = std::fs::read_to_string(POSSIBLE).map_err(|error| reading().because(error))?;
    let last = last_of_list(&text).ok_or_else(|| reading().because(format!("it says {text:?}")))?;
    Ok(*MASK.get_or_init(|| mask_for(last)))
}

/// The highest number in a list such as `0-3,8-11`.
fn last_of_list(list: &str) -> Option<u16> {
    list.trim()
        .split(',')
        .map(|range| range.rsplit('-').next()?.parse().ok())
        .try_fold(0, |highest, number: Option<u16>| Some(highest.max(number?)))
}

/// The least number of the form 2ⁿ - 1 that is not below `number`.
fn mask_for(number: u16) -> u32 {
    (u32::from(number) + 1).next_power_of_two() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for (list, last) in [("0\n", 0), ("0-1\n", 1), ("0-3,8-11", 11), ("0,2", 2)] {
            assert_eq!(last_of_list(list), Some(last), "{list:?}");
        }
        for wrong in ["", "\n", "0-", "all"] {
            assert_eq!(last_of_list(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_mask_leaves_every_number_as_it_is() {
        for (number, mask) in [
            (0, 0),
            (1, 1),
            (2, 3),
            (3, 3),
            (4, 7),
            (95, 127),
            (4095, 4095),
        ] {
            assert_eq!(mask_for(number), mask);
        }
    }

    #[test]
    fn each_counter_is_the_sum_of_its_cpus() {
        let layout = Layout {
            blocks: 2,
            cpu_mask: 3,
        };
        let mut words = vec![0; layout.bytes() / 8];
        for block in 0..2 {
            for cpu in 0..4 {
                for number in [0, 1, 255] {
                    let at = ((block * 4 + cpu) * BLOCK + number) * 2;
                    words[at] = (1 << (8 * cpu)) * (number as u64 + 1);
                    words[at + 1] = block as u64;
                }
            }
        }
        let sums = layout.sums(&words);
        assert_eq!(sums.len(), 512);
        for (number, sum) in sums.iter().enumerate() {
            let expected = match number % BLOCK {
                within @ (0 | 1 | 255) => Count {
                    packets: 0x0101_0101 * (within as u64 + 1),
                    bytes: 4 * (number / BLOCK) as u64,
                },
                _ => Count::default(),
            };
            assert_eq!(*sum, expected, "{number}");
        }
    }
}
