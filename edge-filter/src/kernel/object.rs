//! The BPF object: one image of tables becomes one loaded program, of either
//! direction.

use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, MapError, PerCpuArray};
use aya::programs::{
    Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp,
};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use edge_filter_ebpf::config::{Config, Constant};
use edge_filter_ebpf::flow::hash::{KEYS, keys};
use edge_filter_ebpf::flow::memory::shape;
use edge_filter_ebpf::flow::{SEED_BATCH, Seed, Tuple};
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::tables::Path as TablePath;
use object::pod;

use super::KernelError;
use super::counters::RawCount;
use super::flow_table::FlowTable;
use super::sections;
use super::syscall;
use crate::compile::TableImage;
use crate::policy::Direction;

/// The compiled object (`docs/building.md`).
pub(super) static OBJECT: &[u8] =
    include_bytes_aligned!("../../../edge-filter-ebpf/prebuilt/edge-filter.bpf.o");

/// The program of the inbound hook.
const INBOUND: &str = "edge_filter_in";
/// The program of the outbound hook.
const OUTBOUND: &str = "edge_filter_out";
/// The program that fills the flow table.
const SEED: &str = "edge_filter_seed";

/// `XDP_PASS`, include/uapi/linux/bpf.h.
const XDP_PASS: u32 = 2;

/// A program in the kernel, over the tables of one image, attached nowhere yet.
#[derive(Debug)]
pub struct LoadedProgram {
    ebpf: Ebpf,
    direction: Direction,
}

/// What the verifier made of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramFacts {
    /// The kernel's number of it.
    pub id: u32,
    /// How many instructions the verifier processed, of a million.
    pub verified_instructions: u32,
}

/// Loads the program of `direction` over `image`, which remembers conversations in
/// `flows`; without it, none. `software_lengths` is true where super-packets can
/// appear, as in generic mode; where packets leave, they always can.
///
/// # Errors
/// The kernel refuses the object, the memory, or the program.
pub fn load(
    image: &TableImage,
    direction: Direction,
    software_lengths: bool,
    flows: Option<&FlowTable>,
) -> Result<LoadedProgram, KernelError> {
    let mut config = image.config;
    let software_lengths = software_lengths || direction == Direction::Outbound;
    config.set(Constant::SoftwareLengths, software_lengths.into());
    let outcomes: Vec<u8> = image
        .outcomes
        .iter()
        .copied()
        .flat_map(outcome_bytes)
        .collect();
    let paths: Vec<u8> = image.paths.iter().flat_map(path_bytes).collect();
    // A search may look at as many words behind a vector as one aggregate word tells of.
    let mut chunks = image.chunks.clone();
    chunks.extend([[0; 8]; 8]);
    let few: Vec<u8> = image.few.iter().flat_map(path_bytes).collect();
    let tables = [
        (".rodata.few", &*few),
        (".rodata.transports", pod::bytes_of_slice(&image.transports)),
        (
            ".rodata.source_ports",
            pod::bytes_of_slice(&image.source_ports),
        ),
        (
            ".rodata.rows",
            pod::bytes_of_slice(image.rows.as_flattened()),
        ),
        (".rodata.paths", &paths),
        (".rodata.outcomes", &outcomes),
        (
            ".rodata.small",
            image.small.as_ref().map_or(&[], |small| small.bytes()),
        ),
        (".rodata.chunks", pod::bytes_of_slice(chunks.as_flattened())),
    ]
    .into_iter()
    .filter(|(_, bytes)| !bytes.is_empty())
    .collect::<Vec<_>>();
    let object = sections::with_contents(OBJECT, &tables)
        .map_err(|error| KernelError::new("read the BPF object").because(error))?;
    let mut ebpf = open(pod::bytes_of_slice(&object), config, flows, |loader| {
        loader.map_max_entries("COUNTERS", count(image.counters.len()));
    })?;
    match direction {
        Direction::Inbound => xdp(&mut ebpf, INBOUND).load(),
        Direction::Outbound => classifier(&mut ebpf).load(),
    }
    .map_err(refused)?;
    Ok(LoadedProgram { ebpf, direction })
}

/// What enters conversations into a flow table, as their openers' packets would.
#[derive(Debug)]
pub struct Seeder {
    ebpf: Ebpf,
}

impl Seeder {
    /// Loads it for `flows`.
    ///
    /// # Errors
    /// The kernel refuses the program.
    pub fn load(flows: &FlowTable) -> Result<Self, KernelError> {
        let mut ebpf = open(OBJECT, Config::EMPTY, Some(flows), |_| {})?;
        xdp(&mut ebpf, SEED).load().map_err(refused)?;
        Ok(Self { ebpf })
    }

    /// Enters conversations, each with the TCP flags that say how far it has come. Those
    /// that are known already only become younger.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub fn enter(&mut self, conversations: &[(Tuple, u8)]) -> Result<(), KernelError> {
        let program = xdp(&mut self.ebpf, SEED);
        for batch in conversations.chunks(SEED_BATCH as usize) {
            let seeds: Vec<u8> = batch.iter().flat_map(seed_bytes).collect();
            let options = TestRunOptions {
                data_in: Some(&seeds),
                ..TestRunOptions::new()
            };
            let entering = || KernelError::new("enter conversations into the flow table");
            let result = program
                .test_run(options)
                .map_err(|error| entering().because(error))?;
            if result.return_value != XDP_PASS {
                return Err(entering().because("the program read none of them"));
            }
        }
        Ok(())
    }
}

fn seed_bytes((tuple, tcp_flags): &(Tuple, u8)) -> [u8; size_of::<Seed>()] {
    let mut seed: Seed = [u64::from(*tcp_flags); 6];
    seed[..5].copy_from_slice(&tuple.words());
    let mut bytes = [0; size_of::<Seed>()];
    for (to, word) in bytes.chunks_exact_mut(8).zip(seed) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The object with its constants and with maps of the right sizes.
fn open(
    object: &[u8],
    mut config: Config,
    flows: Option<&FlowTable>,
    sizes: impl FnOnce(&mut EbpfLoader<'_>),
) -> Result<Ebpf, KernelError> {
    if let Some(flows) = flows {
        let (_, places) = shape(flows.entries()?);
        config.set(Constant::FlowBuckets, flows.buckets());
        config.set(Constant::FlowPlaces, places);
    }
    let keys = flows.map_or([0; KEYS], |flows| keys(flows.seed()));
    let mut loader = EbpfLoader::new();
    loader.override_global("CONFIG", &config.0, true);
    loader.override_global("FLOW_KEYS", &keys, true);
    sizes(&mut loader);
    if let Some(flows) = flows {
        loader.map_pin_path("FLOWS", flows.path());
    }
    loader.load(object).map_err(unmade)
}

/// Why the kernel did not make the maps of the program.
fn unmade(error: EbpfError) -> KernelError {
    let errno = match &error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => io_error.raw_os_error(),
        _ => None,
    };
    let remedy = match errno {
        Some(libc::E2BIG) => LARGE_TABLES,
        Some(libc::ENOMEM) => MEMORY,
        Some(libc::EMFILE | libc::ENFILE) => LIMITS,
        _ => PRIVILEGES,
    };
    KernelError::new("load the BPF program")
        .because(error)
        .try_this(remedy)
}

const LARGE_TABLES: &str = "Linux before 6.0 takes no table of more than 4 MiB: use a later \
                            kernel, or merge networks and port ranges";

const MEMORY: &str = "the tables need more memory than there is: free some";

const PRIVILEGES: &str = "run it as root, or with CAP_BPF and CAP_NET_ADMIN, on Linux 5.18 or later with CONFIG_BPF_SYSCALL";

const LIMITS: &str = "each device takes some ten open files: raise the limit with `ulimit -n 1024`";

/// How much of the verifier's log is shown: its end tells what it refused.
const LOG_LINES: usize = 8;

/// Why the kernel did not load the program. Thousands of lines of the verifier's
/// log would say less.
fn refused(error: ProgramError) -> KernelError {
    let loading = KernelError::new("load the BPF program");
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return loading.because(error).try_this(PRIVILEGES);
    };
    let log = verifier_log.to_string();
    let remedy = match io_error.raw_os_error() {
        // The verifier's words say nothing about a limit of this process.
        Some(libc::EMFILE | libc::ENFILE) => LIMITS.to_owned(),
        Some(libc::E2BIG) => "the verifier gave up after a million instructions: split the \
                              rules of this hook over several roles, or merge some"
            .to_owned(),
        Some(libc::ENOMEM) => MEMORY.to_owned(),
        Some(libc::EPERM) if log.is_empty() => PRIVILEGES.to_owned(),
        _ => {
            let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n    ");
            format!(
                "this kernel's verifier refuses it, which is a fault of edge-filter: report it \
                 with the policy, `uname -r` and these lines\n    {end}"
            )
        }
    };
    loading.because(io_error).try_this(remedy)
}

impl LoadedProgram {
    /// Runs the program on a frame, as `BPF_PROG_TEST_RUN` does.
    ///
    /// # Errors
    /// The kernel refuses the run.
    pub fn test_run(&mut self, options: TestRunOptions<'_>) -> Result<TestRunResult, ProgramError> {
        match self.direction {
            Direction::Inbound => xdp(&mut self.ebpf, INBOUND).test_run(options),
            Direction::Outbound => classifier(&mut self.ebpf).test_run(options),
        }
    }

    /// The program's descriptor.
    ///
    /// # Panics
    /// Never: the program is loaded.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        let name = match self.direction {
            Direction::Inbound => INBOUND,
            Direction::Outbound => OUTBOUND,
        };
        let fd = match self.ebpf.program(name) {
            Some(Program::Xdp(program)) => program.fd(),
            Some(Program::SchedClassifier(program)) => program.fd(),
            _ => unreachable!("the object holds {name}"),
        };
        fd.expect("it was loaded").as_fd()
    }

    /// What the verifier made of it.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn facts(&mut self) -> Result<ProgramFacts, KernelError> {
        let info = match self.direction {
            Direction::Inbound => xdp(&mut self.ebpf, INBOUND).info(),
            Direction::Outbound => classifier(&mut self.ebpf).info(),
        }
        .map_err(|error| KernelError::new("ask the kernel about a program").because(error))?;
        Ok(ProgramFacts {
            id: info.id(),
            verified_instructions: info.verified_instruction_count().unwrap_or(0),
        })
    }

    /// The program's counters.
    ///
    /// # Panics
    /// Never: the object holds them.
    #[must_use]
    pub fn counters(&self) -> PerCpuArray<&MapData, RawCount> {
        let map = self
            .ebpf
            .map("COUNTERS")
            .expect("the object holds COUNTERS");
        PerCpuArray::try_from(map).expect("they are a per-CPU array of packets and bytes")
    }

    /// Pins the counters at `path`.
    ///
    /// # Errors
    /// The BPF file system refuses.
    pub fn pin_counters(&self, path: &std::path::Path) -> Result<(), KernelError> {
        let counters = self
            .ebpf
            .map("COUNTERS")
            .expect("the object holds COUNTERS");
        let aya::maps::Map::PerCpuArray(counters) = counters else {
            unreachable!("they are a per-CPU array");
        };
        syscall::pin(counters.fd().as_fd(), path).map_err(|error| {
            KernelError::new(format!("pin counters at {}", path.display())).because(error)
        })
    }
}

fn xdp<'e>(ebpf: &'e mut Ebpf, name: &str) -> &'e mut Xdp {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect("the object holds an XDP program of that name")
}

fn classifier(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    ebpf.program_mut(OUTBOUND)
        .and_then(|program| program.try_into().ok())
        .expect("the object holds a classifier of that name")
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("tables have fewer than 2^32 rows")
}

/// An outcome as it lies in memory.
fn outcome_bytes(outcome: Outcome) -> Vec<u8> {
    let words = outcome.words();
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A path as it lies in memory.
fn path_bytes(path: &TablePath) -> Vec<u8> {
    let bits = [path.high, path.low, path.high_mask, path.low_mask];
    let ways = [path.then, path.otherwise];
    let mut bytes: Vec<u8> = bits.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.extend(ways.iter().flat_map(|way| way.to_ne_bytes()));
    bytes.resize(size_of::<TablePath>(), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_to_do_depends_on_what_the_kernel_answered() {
        for (errno, remedy) in [
            (libc::E2BIG, LARGE_TABLES),
            (libc::ENOMEM, MEMORY),
            (libc::EMFILE, LIMITS),
            (libc::EPERM, PRIVILEGES),
        ] {
            let error = EbpfError::MapError(MapError::CreateError {
                name: ".rodata.rows".to_owned(),
                io_error: io::Error::from_raw_os_error(errno),
            });
            let message = unmade(error).to_string();
            assert!(message.contains(remedy), "{message}");
            assert!(message.contains(".rodata.rows"), "{message}");
        }
    }
}
