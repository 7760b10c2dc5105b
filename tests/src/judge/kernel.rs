//! The data path in the kernel as a judge, by `BPF_PROG_TEST_RUN`.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use aya::programs::TestRunOptions;
use edge_filter::compile::{CounterSlot, TableImage, compile};
use edge_filter::kernel::KernelError;
use edge_filter::kernel::counters::Count;
use edge_filter::kernel::flow_table::FlowTable;
use edge_filter::kernel::object::{LoadedProgram, load, load_without_kernel_context};
use edge_filter::policy::{Action, Direction};

use super::{Hook, Judge, Verdict, hex};

/// Judges by the program in the kernel, attached nowhere.
pub struct KernelJudge {
    program: LoadedProgram,
    slots: Vec<CounterSlot>,
    /// The slots by their counters' names.
    by_name: HashMap<String, usize>,
    /// What the counters must be.
    counts: Vec<Count>,
    direction: Direction,
    /// How often each frame is judged: where it changes nothing that is remembered, twice,
    /// so that the second time it may be known.
    times: u32,
    loaded_in: Duration,
}

// enum xdp_action, include/uapi/linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
// enum tcx_action_base, as BPF_PROG_TEST_RUN hands it out.
const TCX_NEXT: u32 = u32::MAX;
const TCX_DROP: u32 = 2;

/// Fails with the command that helps unless this is root.
///
/// # Panics
/// This is not root.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test loads BPF programs and needs root: run `sudo -E env \"PATH=$PATH\" cargo xtask test`"
    );
}

/// The tables of a hook.
fn image(hook: Hook<'_>) -> TableImage {
    let interface = hook
        .policy
        .interface(hook.interface)
        .expect("the policy has the role");
    compile(hook.policy, interface, hook.direction).expect("it compiles")
}

impl KernelJudge {
    /// Compiles and loads `hook`.
    ///
    /// # Panics
    /// This is not root, the policy has no such role, or the kernel refuses.
    #[must_use]
    pub fn new(hook: Hook<'_>) -> Self {
        Self::with_flows(hook, None)
    }

    /// The same with a flow table, which other judges may share.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn with_flows(hook: Hook<'_>, flows: Option<&FlowTable>) -> Self {
        Self::over(&image(hook), hook.direction, hook.software_lengths, flows)
    }

    /// The same by a program such as older kernels are given
    /// ([`load_without_kernel_context`]).
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn without_kernel_context(hook: Hook<'_>) -> Self {
        Self::by(&image(hook), hook.direction, None, |image| {
            load_without_kernel_context(image, hook.direction, hook.software_lengths, None)
        })
    }

    /// A judge over tables that are at hand, of a hook of `direction`
    /// ([`Hook::software_lengths`]).
    ///
    /// # Panics
    /// This is not root, or the kernel refuses.
    #[must_use]
    pub fn over(
        image: &TableImage,
        direction: Direction,
        software_lengths: bool,
        flows: Option<&FlowTable>,
    ) -> Self {
        Self::by(image, direction, flows, |image| {
            load(image, direction, software_lengths, flows)
        })
    }

    /// A judge by the program that `load` makes of `image`.
    fn by(
        image: &TableImage,
        direction: Direction,
        flows: Option<&FlowTable>,
        load: impl FnOnce(&TableImage) -> Result<LoadedProgram, KernelError>,
    ) -> Self {
        require_root();
        let begin = Instant::now();
        let program = load(image).unwrap_or_else(|error| panic!("{error}"));
        let loaded_in = begin.elapsed();
        let counts = vec![Count::default(); image.counters.len()];
        let names = image.counters.iter().map(|slot| slot.id.to_string());
        let by_name: HashMap<String, usize> = names.zip(0..).collect();
        assert_eq!(by_name.len(), counts.len(), "no two counters share a name");
        Self {
            program,
            slots: image.counters.clone(),
            by_name,
            counts,
            direction,
            times: if flows.is_none() { 2 } else { 1 },
            loaded_in,
        }
    }

    /// Whether the kernel runs the program on `frame` at all: as a socket buffer, none
    /// without anything behind the Ethernet header, and no IP packet shorter than
    /// its header (`net/bpf/test_run.c`). None such leaves a host.
    #[must_use]
    pub fn takes(&self, frame: &[u8]) -> bool {
        let least = match (self.direction, frame.get(12..14)) {
            (Direction::Inbound, _) => 14,
            (_, Some([0x08, 0x00])) => 14 + 20,
            (_, Some([0x86, 0xdd])) => 14 + 40,
            _ => 15,
        };
        frame.len() >= least
    }

    /// What a program of `direction` answers for `action`.
    #[must_use]
    pub fn answer(direction: Direction, action: Action) -> u32 {
        match (direction, action) {
            (Direction::Inbound, Action::Allow) => XDP_PASS,
            (Direction::Inbound, Action::Drop) => XDP_DROP,
            (Direction::Outbound, Action::Allow) => TCX_NEXT,
            (Direction::Outbound, Action::Drop) => TCX_DROP,
        }
    }

    /// How long the kernel took to make the maps, to fill them, and to verify
    /// and translate the program.
    #[must_use]
    pub fn loaded_in(&self) -> Duration {
        self.loaded_in
    }

    /// The program.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.program.descriptor()
    }

    /// How many instructions the verifier processed.
    ///
    /// # Panics
    /// The kernel refuses to tell.
    pub fn verified_instructions(&mut self) -> u32 {
        self.program.facts().expect("facts").verified_instructions
    }

    /// Judges a frame of which only `linear` bytes lie in the first buffer.
    ///
    /// # Panics
    /// The kernel refuses the run, not exactly one counter moved by the frame,
    /// as often as it was judged, or the counter contradicts the program's answer.
    pub fn judge_linear(&mut self, frame: &[u8], linear: usize) -> Verdict {
        let action = self.run(frame, linear);
        self.moved(frame, action)
    }

    /// As [`Self::judge_linear`], but where the counter that `expected` names
    /// moved as it must, no other is read: [`Self::settle`] does that, once for
    /// many frames. Hooks with thousands of rules are judged quickly by this.
    ///
    /// # Panics
    /// As [`Self::judge_linear`].
    pub fn judge_expecting(&mut self, frame: &[u8], linear: usize, expected: &str) -> Verdict {
        let action = self.run(frame, linear);
        let slot = self.by_name.get(expected).copied();
        let Some(slot) = slot.filter(|&slot| {
            let mut due = self.counts[slot];
            due += counted(frame, self.times);
            self.read()[slot] == due
        }) else {
            return self.moved(frame, action);
        };
        self.counts[slot] += counted(frame, self.times);
        self.verdict(frame, slot, action)
    }

    /// Takes note that somebody else runs the program on `frame`, and that this counts in
    /// the counter that `expected` names.
    ///
    /// # Panics
    /// There is no such counter.
    pub fn expect(&mut self, frame: &[u8], expected: &str) {
        let slot = self.by_name.get(expected).copied();
        let slot = slot.unwrap_or_else(|| panic!("there is no counter {expected}"));
        self.counts[slot] += counted(frame, 1);
    }

    /// Reads every counter.
    ///
    /// # Panics
    /// One of them is not what the verdicts since the program was loaded made
    /// it, in packets or in bytes.
    pub fn settle(&self) {
        let counts = self.read();
        for ((slot, found), due) in self.slots.iter().zip(counts).zip(&self.counts) {
            assert_eq!(found, *due, "{}", slot.id);
        }
    }

    /// Every counter. What lies behind the last of them must never count.
    fn read(&self) -> Vec<Count> {
        let mut counts = self.program.counts().expect("the counters can be read");
        let behind = counts.split_off(self.slots.len());
        assert!(behind.iter().all(|count| *count == Count::default()));
        counts
    }

    /// The verdict, from what moved since the last one.
    fn moved(&mut self, frame: &[u8], action: Action) -> Verdict {
        let counts = self.read();
        let moved: Vec<usize> = (0..counts.len())
            .filter(|&slot| counts[slot] != self.counts[slot])
            .collect();
        let [slot] = moved[..] else {
            let names: Vec<String> = moved
                .iter()
                .map(|&slot| self.slots[slot].id.to_string())
                .collect();
            panic!(
                "one counter should have moved, not {names:?}: {}",
                hex(frame)
            );
        };
        self.counts[slot] += counted(frame, self.times);
        let id = &self.slots[slot].id;
        assert_eq!(counts[slot], self.counts[slot], "{id}: {}", hex(frame));
        self.verdict(frame, slot, action)
    }

    /// The verdict of a frame that counted in `slot`.
    fn verdict(&self, frame: &[u8], slot: usize, action: Action) -> Verdict {
        let CounterSlot { id, action: said } = &self.slots[slot];
        assert_eq!(action, *said, "what {id} says of itself: {}", hex(frame));
        Verdict {
            counter: id.to_string(),
            action,
        }
    }

    /// What becomes of `frame`, each time that it is judged.
    fn run(&mut self, frame: &[u8], linear: usize) -> Action {
        let action = self.run_once(frame, linear);
        for _ in 1..self.times {
            let again = self.run_once(frame, linear);
            assert_eq!(action, again, "once more: {}", hex(frame));
        }
        action
    }

    fn run_once(&mut self, frame: &[u8], linear: usize) -> Action {
        let context = match self.direction {
            Direction::Inbound => (linear < frame.len()).then(|| xdp_context(linear)),
            Direction::Outbound => {
                assert_eq!(linear, frame.len(), "a socket buffer of one piece");
                None
            }
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: context.as_ref().map(<[u8; 24]>::as_slice),
            ..TestRunOptions::default()
        };
        let result = self.program.test_run(options);
        let result = result.unwrap_or_else(|error| panic!("test run: {error}: {}", hex(frame)));
        match (self.direction, result.return_value) {
            (Direction::Inbound, XDP_PASS) | (Direction::Outbound, TCX_NEXT) => Action::Allow,
            (Direction::Inbound, XDP_DROP) | (Direction::Outbound, TCX_DROP) => Action::Drop,
            (_, other) => panic!("the program returned {other}: {}", hex(frame)),
        }
    }
}

/// `struct xdp_md` of a frame of which so many bytes lie in the first buffer: data,
/// `data_end`, `data_meta`, `ingress_ifindex`, `rx_queue_index`, `egress_ifindex`.
fn xdp_context(linear: usize) -> [u8; 24] {
    let mut context = [0; 24];
    let end = u32::try_from(linear).expect("a short frame");
    context[4..8].copy_from_slice(&end.to_ne_bytes());
    context
}

/// What a frame adds to its counter by being judged so many times.
fn counted(frame: &[u8], times: u32) -> Count {
    let times = u64::from(times);
    Count {
        packets: times,
        bytes: times * frame.len() as u64,
    }
}

impl Judge for KernelJudge {
    fn judge(&mut self, frame: &[u8]) -> Verdict {
        self.judge_linear(frame, frame.len())
    }
}
