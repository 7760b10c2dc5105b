//! The BPF object: one image of tables becomes one loaded program, of either
//! direction.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use aya::maps::Array;
use aya::programs::{
    Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp,
};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use edge_filter_ebpf::cache::BLOCKS;
use edge_filter_ebpf::config::{Config, Constant};
use edge_filter_ebpf::flow::hash::{KEYS, keys};
use edge_filter_ebpf::flow::memory::shape;
use edge_filter_ebpf::flow::{SEED_BATCH, Seed, Tuple};
use edge_filter_ebpf::tables::Path as TablePath;
use object::pod;

use super::KernelError;
use super::constants;
use super::context::KernelContext;
use super::counters::{self, Count, Layout};
use super::diagnostics;
use super::flow_table::FlowTable;
use super::refused::{refused, unmade};
use super::sections::{self, words};
use super::syscall;
use super::trial::SinceBoot;
use crate::compile::TableImage;
use crate::policy::Direction;

/// The compiled object (`docs/building.md`).
pub(super) static OBJECT: &[u8] =
    include_bytes_aligned!("../../../edge-filter-ebpf/prebuilt/edge-filter.bpf.o");

/// What a program is for, as its name says it.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// Judges by a policy.
    Filter,
    /// Judges by a policy, on trial.
    Trial,
    /// Lets everything pass.
    Pass,
    /// Lets everything pass, on trial.
    Open,
    /// Judges by a policy, and says how.
    Debug,
}

/// The section of the counters, and the map that it becomes.
const COUNTERS: &str = ".data.counters";

/// The program that fills the flow table.
const SEED: &str = "edge_filter_seed";

/// `XDP_PASS`, include/uapi/linux/bpf.h.
const XDP_PASS: u32 = 2;

/// What a program does beside filtering.
#[derive(Debug, Clone, Copy)]
pub enum Beside<'p> {
    /// Nothing.
    Nothing,
    /// It is on trial: from [`LoadedProgram::set_deadline`] on, and until then, it hands over
    /// to the program in the array that is pinned there.
    Trial(&'p Path),
    /// It says what becomes of frames ([`super::diagnostics`]).
    Diagnostics,
}

/// What the map of [`super::diagnostics`] takes where nobody listens, bytes: the kernel
/// rounds it up to a page.
const SILENCE: u32 = 4096;
/// And where somebody does: some hundred lines.
const SPEECH: u32 = 1 << 17;

/// A program in the kernel, over the tables of one image, attached nowhere yet.
#[derive(Debug)]
pub struct LoadedProgram {
    ebpf: Ebpf,
    direction: Direction,
    name: &'static str,
}

/// What the verifier made of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramFacts {
    /// The kernel's number of it.
    pub id: u32,
    /// How many instructions the verifier processed, of a million.
    pub verified_instructions: u32,
}

/// The section of what a program on trial knows of that, and the map that it becomes.
pub(super) const TRIAL: &str = ".data.trial";

/// Whether the kernel calls a program so that lets everything pass.
pub(super) fn is_passing(name: &str) -> bool {
    is_named_as(Entry::Pass, name)
}

/// Whether it calls one so that lets everything pass as long as a trial lasts.
pub(super) fn is_open(name: &str) -> bool {
    is_named_as(Entry::Open, name)
}

/// Of a name the kernel keeps no more than 15 bytes.
fn is_named_as(entry: Entry, name: &str) -> bool {
    const KEPT: usize = 15;
    [Direction::Inbound, Direction::Outbound]
        .iter()
        .any(|direction| entry.name(*direction).get(..KEPT) == Some(name))
}

impl Entry {
    fn name(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::Filter, Direction::Inbound) => "edge_filter_in",
            (Self::Filter, Direction::Outbound) => "edge_filter_out",
            (Self::Trial, Direction::Inbound) => "edge_filter_trial_in",
            (Self::Trial, Direction::Outbound) => "edge_filter_trial_out",
            (Self::Pass, Direction::Inbound) => "edge_filter_pass_in",
            (Self::Pass, Direction::Outbound) => "edge_filter_pass_out",
            (Self::Open, Direction::Inbound) => "edge_filter_open_in",
            (Self::Open, Direction::Outbound) => "edge_filter_open_out",
            (Self::Debug, Direction::Inbound) => "edge_filter_debug_in",
            (Self::Debug, Direction::Outbound) => "edge_filter_debug_out",
        }
    }
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
    load_for(image, direction, software_lengths, flows, Beside::Nothing)
}

/// The same, with something `beside`.
///
/// # Errors
/// As above.
pub fn load_for(
    image: &TableImage,
    direction: Direction,
    software_lengths: bool,
    flows: Option<&FlowTable>,
    beside: Beside<'_>,
) -> Result<LoadedProgram, KernelError> {
    let context = KernelContext::of_this_kernel();
    load_by(context, image, direction, software_lengths, flows, beside)
}

/// As [`load`], and as kernels before Linux 6.2 do, which do not let programs have their own
/// context ([`context`](super::context)): what decides there can be tried on any.
///
/// # Errors
/// As above.
pub fn load_without_kernel_context(
    image: &TableImage,
    direction: Direction,
    software_lengths: bool,
    flows: Option<&FlowTable>,
) -> Result<LoadedProgram, KernelError> {
    let beside = Beside::Nothing;
    load_by(None, image, direction, software_lengths, flows, beside)
}

fn load_by(
    context: Option<KernelContext>,
    image: &TableImage,
    direction: Direction,
    software_lengths: bool,
    flows: Option<&FlowTable>,
    beside: Beside<'_>,
) -> Result<LoadedProgram, KernelError> {
    let mut config = image.config;
    let software_lengths = software_lengths || direction == Direction::Outbound;
    config.set(Constant::SoftwareLengths, software_lengths.into());
    let outcomes: Vec<u8> = image
        .outcomes
        .iter()
        .copied()
        .flat_map(|outcome| outcome.word().to_le_bytes())
        .collect();
    let paths: Vec<u8> = image.paths.iter().flat_map(path_bytes).collect();
    // A search may look at as many words behind a vector as one aggregate word tells of.
    let mut chunks = image.chunks.clone();
    chunks.extend([[0; 8]; 8]);
    let few: Vec<u8> = image.few.iter().flat_map(path_bytes).collect();
    let layout = Layout::of(image.counters.len())?;
    config.set(Constant::CpuMask, layout.cpu_mask);
    config.set(Constant::CounterBlocks, count(layout.all_blocks()));
    let zeroes = vec![0; layout.bytes()];
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
        (".rodata.small", image.small_bytes()),
        (".rodata.chunks", pod::bytes_of_slice(chunks.as_flattened())),
        (COUNTERS, &zeroes),
    ]
    .into_iter()
    .filter(|(_, bytes)| !bytes.is_empty())
    .collect::<Vec<_>>();
    let object = sections::with_contents(OBJECT, &tables)
        .map_err(|error| KernelError::new("read the BPF object").because(error))?;
    let (entry, successor, speech) = match beside {
        Beside::Nothing => (Entry::Filter, None, SILENCE),
        Beside::Trial(successor) => (Entry::Trial, Some(successor), SILENCE),
        Beside::Diagnostics => (Entry::Debug, None, SPEECH),
    };
    config.set(
        Constant::HasFragments,
        context.map_or(0, |context| context.has_fragments),
    );
    let ebpf = open(object, config, context, flows, successor, |loader| {
        loader.map_max_entries("COUNTERS", count(image.counters.len()));
        if image.config.get(Constant::Cached) != 0 {
            loader.map_max_entries("CACHE", BLOCKS);
        }
        loader.map_max_entries(diagnostics::MAP, speech);
    })?;
    LoadedProgram::load(ebpf, direction, entry)
}

/// Loads a program of `direction` that lets everything pass; with `successor`, on trial.
///
/// # Errors
/// The kernel refuses the object or the program.
pub fn load_passing(
    direction: Direction,
    successor: Option<&Path>,
) -> Result<LoadedProgram, KernelError> {
    let entry = successor.map_or(Entry::Pass, |_| Entry::Open);
    let ebpf = open(words(OBJECT), Config::EMPTY, None, None, successor, |_| {})?;
    LoadedProgram::load(ebpf, direction, entry)
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
        let mut ebpf = open(
            words(OBJECT),
            Config::EMPTY,
            None,
            Some(flows),
            None,
            |_| {},
        )?;
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
    mut object: Vec<u64>,
    mut config: Config,
    context: Option<KernelContext>,
    flows: Option<&FlowTable>,
    successor: Option<&Path>,
    sizes: impl FnOnce(&mut EbpfLoader<'_>),
) -> Result<Ebpf, KernelError> {
    if let Some(flows) = flows {
        let (_, places) = shape(flows.entries()?);
        config.set(Constant::FlowBuckets, flows.buckets());
        config.set(Constant::FlowPlaces, places);
    }
    constants::complete(&mut object, &config, context)
        .map_err(|error| KernelError::new("read the BPF object").because(error))?;
    let keys = flows.map_or([0; KEYS], |flows| keys(flows.seed()));
    let mut loader = EbpfLoader::new();
    loader.override_global("FLOW_KEYS", &keys, true);
    loader.map_max_entries(diagnostics::MAP, SILENCE);
    sizes(&mut loader);
    if let Some(successor) = successor {
        loader.map_pin_path("PREVIOUS", successor);
    }
    if let Some(flows) = flows {
        loader.map_pin_path("FLOWS", flows.path());
    }
    loader.load(pod::bytes_of_slice(&object)).map_err(unmade)
}

impl LoadedProgram {
    fn load(mut ebpf: Ebpf, direction: Direction, entry: Entry) -> Result<Self, KernelError> {
        let name = entry.name(direction);
        match direction {
            Direction::Inbound => xdp(&mut ebpf, name).load(),
            Direction::Outbound => classifier(&mut ebpf, name).load(),
        }
        .map_err(refused)?;
        Ok(Self {
            ebpf,
            direction,
            name,
        })
    }

    /// Runs the program on a frame, as `BPF_PROG_TEST_RUN` does.
    ///
    /// # Errors
    /// The kernel refuses the run.
    pub fn test_run(&mut self, options: TestRunOptions<'_>) -> Result<TestRunResult, ProgramError> {
        match self.direction {
            Direction::Inbound => xdp(&mut self.ebpf, self.name).test_run(options),
            Direction::Outbound => classifier(&mut self.ebpf, self.name).test_run(options),
        }
    }

    /// The program's descriptor.
    ///
    /// # Panics
    /// Never: the program is loaded.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        let name = self.name;
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
            Direction::Inbound => xdp(&mut self.ebpf, self.name).info(),
            Direction::Outbound => classifier(&mut self.ebpf, self.name).info(),
        }
        .map_err(|error| KernelError::new("ask the kernel about a program").because(error))?;
        Ok(ProgramFacts {
            id: info.id(),
            verified_instructions: info.verified_instruction_count().unwrap_or(0),
        })
    }

    /// Has a program on trial judge until `deadline`.
    ///
    /// # Errors
    /// The kernel refuses.
    ///
    /// # Panics
    /// Never: the object holds the section.
    pub fn set_deadline(&mut self, deadline: SinceBoot) -> Result<(), KernelError> {
        let map = self.ebpf.map_mut(TRIAL);
        let mut trial: Array<_, [u64; 3]> = map
            .expect("the object holds the state of a trial")
            .try_into()
            .expect("it is three numbers: the deadline, the tick of the last look, and whether it is over");
        trial
            .set(0, [deadline.nanoseconds(), 0, 0], 0)
            .map_err(|error| KernelError::new("set the deadline of a trial").because(error))
    }

    /// The program's counters, in the order of their indices. Behind the last there may be
    /// some that never count.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn counts(&self) -> Result<Vec<Count>, KernelError> {
        counters::read(self.counters())
    }

    /// Pins the counters at `path`.
    ///
    /// # Errors
    /// The BPF file system refuses.
    pub fn pin_counters(&self, path: &Path) -> Result<(), KernelError> {
        syscall::pin(self.counters(), path).map_err(|error| {
            KernelError::new(format!("pin counters at {}", path.display())).because(error)
        })
    }

    fn counters(&self) -> BorrowedFd<'_> {
        match self.ebpf.map(COUNTERS) {
            Some(aya::maps::Map::Array(counters)) => counters.fd().as_fd(),
            _ => unreachable!("the object holds a section of counters"),
        }
    }
}

fn xdp<'e>(ebpf: &'e mut Ebpf, name: &str) -> &'e mut Xdp {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect("the object holds an XDP program of that name")
}

fn classifier<'e>(ebpf: &'e mut Ebpf, name: &str) -> &'e mut SchedClassifier {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .expect("the object holds a classifier of that name")
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("tables have fewer than 2^32 rows")
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
