//! The flow table in the kernel: one for all hooks, outliving the generations.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::{Array, IterableMap, Map, MapData, MapError, MapType};
use edge_filter_ebpf::flow::Tuple;
use edge_filter_ebpf::flow::bucket::{Bucket, PLACES, TAG_WORDS};
use edge_filter_ebpf::flow::life::{Life, state};
use edge_filter_ebpf::flow::memory::shape;
use edge_filter_ebpf::packet::{Address, Family};
use nix::time::{ClockId, clock_gettime};

use super::{KernelError, syscall};

/// A pinned flow table.
pub struct FlowTable {
    buckets: Array<MapData, RawBucket>,
    path: PathBuf,
    seed: u64,
}

/// A conversation that is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFlow {
    /// The conversation, as its opener sends it.
    pub tuple: Tuple,
    /// Seconds since its entry was made.
    pub age: u32,
    /// Seconds since its opener used it, or the other side reset it.
    pub idle: u32,
    /// One of `edge_filter_ebpf::flow::life::state`.
    pub state: u8,
}

/// A conversation as its opener sends it, with the TCP flags that would say how far it
/// has come; 0 for other protocols.
pub type Opened = (Tuple, u8);

/// TCP's flags (RFC 9293, 3.1).
pub(super) const ACK: u8 = 0x10;
/// The same.
pub(super) const FIN: u8 = 0x01;

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowList {
    /// The conversations that are live, in no order.
    pub live: Vec<LiveFlow>,
    /// How many had to give way while they were live, since the table was made.
    pub evicted: u64,
}

const TCP: u8 = 6;

/// A bucket as the map holds it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct RawBucket {
    tags: [u64; TAG_WORDS],
    slots: [RawSlot; PLACES],
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct RawSlot {
    words: [u64; 5],
    made: u64,
    life: u64,
}

const _: () = assert!(size_of::<RawBucket>() == size_of::<Bucket>());

// SAFETY: it is `repr(C)`, made of integers of one size, and has no padding.
unsafe impl Pod for RawBucket {}

impl FlowTable {
    /// Makes an empty table for `entries` conversations, and pins it at `path`.
    ///
    /// # Errors
    /// The kernel refuses the memory or the pin.
    pub fn create(path: &Path, entries: u32) -> Result<Self, KernelError> {
        let making = || {
            KernelError::new(format!(
                "make a flow table of {entries} entries ('flows'), of 58 bytes each, at {}",
                path.display()
            ))
        };
        let refused = |error: MapError| making().because(error).if_forbidden();
        let (count, _) = shape(entries);
        let mut buckets = Array::create(count + 1, 0).map_err(refused)?;
        // The standard library keys its hashers from the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        let mut header = RawBucket::EMPTY;
        header.slots[0].words = [seed, 0, u64::from(entries), 0, 0];
        buckets.set(count, header, 0).map_err(refused)?;
        let table = Self {
            buckets,
            path: path.to_owned(),
            seed,
        };
        syscall::pin(table.buckets.map().fd().as_fd(), path)
            .map_err(|error| making().because(error))?;
        Ok(table)
    }

    /// The table pinned at `path`.
    ///
    /// # Errors
    /// Nothing is pinned there, or something else than a flow table.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let opening =
            || KernelError::new(format!("open the flow table pinned at {}", path.display()));
        let refused = |error: MapError| opening().because(error).if_forbidden();
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Err(opening()
                .because("somebody removed its pin, or another version made it")
                .try_this("the filter itself goes on; `edge-filter apply` makes a new table"));
        }
        let data = MapData::from_pin(path).map_err(refused)?;
        let info = data.info().map_err(refused)?;
        // aya compares none of it.
        let is_ours = matches!(info.map_type(), Ok(MapType::Array))
            && info.value_size() as usize == size_of::<RawBucket>();
        if !is_ours {
            return Err(opening()
                .because("it is another kind of map")
                .try_this(format!("remove it: `rm {}`", path.display())));
        }
        let map = Map::from_map_data(data).map_err(refused)?;
        let buckets: Array<MapData, RawBucket> = map.try_into().map_err(refused)?;
        let header = buckets.get(&(buckets.len() - 1), 0).map_err(refused)?;
        Ok(Self {
            buckets,
            path: path.to_owned(),
            seed: header.slots[0].words[0],
        })
    }

    /// Where it is pinned.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key of its hash.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of its buckets.
    #[must_use]
    pub fn buckets(&self) -> u32 {
        self.buckets.len() - 1
    }

    /// How many conversations it was made for.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn entries(&self) -> Result<u32, KernelError> {
        let header = self.get(self.buckets())?;
        Ok(u32::try_from(header.slots[0].words[2]).unwrap_or(u32::MAX))
    }

    /// How many it has places for: what it was made for, rounded up to whole buckets.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn capacity(&self) -> Result<u32, KernelError> {
        let (buckets, places) = shape(self.entries()?);
        Ok(buckets * places)
    }

    /// What it holds now.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn list(&self) -> Result<FlowList, KernelError> {
        let now = now()?;
        let mut live = Vec::new();
        for index in 0..self.buckets() {
            let bucket = self.get(index)?;
            live.extend(bucket.slots.iter().filter_map(|slot| slot.flow(now)));
        }
        let header = self.get(self.buckets())?;
        Ok(FlowList {
            live,
            evicted: header.slots[0].words[1],
        })
    }

    fn get(&self, index: u32) -> Result<RawBucket, KernelError> {
        self.buckets.get(&index, 0).map_err(|error| {
            KernelError::new("read the flow table")
                .because(error)
                .if_forbidden()
        })
    }
}

impl fmt::Debug for FlowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the seed: whoever knows it can fill one bucket.
        f.debug_struct("FlowTable")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl RawBucket {
    const EMPTY: Self = Self {
        tags: [0; TAG_WORDS],
        slots: [RawSlot {
            words: [0; 5],
            made: 0,
            life: 0,
        }; PLACES],
    };
}

impl RawSlot {
    /// The conversation, if it is live.
    fn flow(&self, now: u32) -> Option<LiveFlow> {
        let (tuple, life) = (Tuple::from_words(self.words), Life(self.life));
        let is_live = !life.is_moving() && life.is_live(now);
        is_live.then(|| LiveFlow {
            tuple,
            age: now.saturating_sub(u32::try_from(self.made).unwrap_or(u32::MAX)),
            idle: now.saturating_sub(life.used(tuple.protocol)),
            state: life.state(),
        })
    }
}

impl LiveFlow {
    /// The conversation, to be entered into another table.
    #[must_use]
    pub fn opened(&self) -> Opened {
        let flags = match (self.tuple.protocol, self.state) {
            (TCP, state::OPEN) => ACK,
            (TCP, _) => ACK | FIN,
            _ => 0,
        };
        (self.tuple, flags)
    }

    /// The word for its state.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match self.state {
            state::OPEN => "open",
            state::CLOSING => "closing",
            _ => "reset",
        }
    }
}

/// The addresses of the opener and of the other side.
#[must_use]
pub fn addresses(tuple: &Tuple) -> (IpAddr, IpAddr) {
    let address = |address| ip_address(tuple.family, address);
    (address(tuple.source), address(tuple.destination))
}

/// The conversation between two addresses with their ports; none if they are of two
/// families. IPv6 addresses that stand for IPv4 ones (RFC 4291, 2.5.5.2) are IPv4 on the
/// wire.
pub(super) fn tuple(
    (source, source_port): (IpAddr, u16),
    (destination, destination_port): (IpAddr, u16),
    protocol: u8,
) -> Option<Tuple> {
    let (source, destination) = (source.to_canonical(), destination.to_canonical());
    let family = match (source, destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) => Family::V4,
        (IpAddr::V6(_), IpAddr::V6(_)) => Family::V6,
        _ => return None,
    };
    Some(Tuple {
        family,
        source: address(source),
        destination: address(destination),
        protocol,
        source_port,
        destination_port,
    })
}

fn address(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(ip) => Address {
            high: u64::from(ip.to_bits()) << 32,
            low: 0,
        },
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let half = |at: usize| {
                let bytes = octets[at..at + 8].try_into().expect("eight bytes");
                u64::from_be_bytes(bytes)
            };
            Address {
                high: half(0),
                low: half(8),
            }
        }
    }
}

fn ip_address(family: Family, Address { high, low }: Address) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits((high >> 32) as u32).into(),
        Family::V6 => Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into(),
    }
}

/// The second of the clock that the programs read (`bpf_ktime_get_coarse_ns`).
fn now() -> Result<u32, KernelError> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_err(|error| KernelError::new("read the clock").because(std::io::Error::from(error)))?;
    u32::try_from(now.tv_sec()).map_err(|error| KernelError::new("read the clock").because(error))
}
