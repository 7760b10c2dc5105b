//! The data path in the kernel as a judge, by `BPF_PROG_TEST_RUN`.

use aya::programs::{TestRun, TestRunOptions};
use edge_filter::compile::{CounterSlot, compile};
use edge_filter::kernel::counters::{Count, read};
use edge_filter::kernel::object::{LoadedProgram, load};
use edge_filter::policy::Action;

use super::{Hook, Judge, Verdict, hex};

/// Judges by the program in the kernel, attached nowhere.
pub struct KernelJudge {
    program: LoadedProgram,
    slots: Vec<CounterSlot>,
    counts: Vec<Count>,
}

// enum xdp_action, include/uapi/linux/bpf.h.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

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

impl KernelJudge {
    /// Compiles and loads `hook`.
    ///
    /// # Panics
    /// This is not root, the policy has no such role, or the kernel refuses.
    #[must_use]
    pub fn new(hook: Hook<'_>) -> Self {
        require_root();
        let interface = hook
            .policy
            .interface(hook.interface)
            .expect("the policy has the role");
        let image = compile(hook.policy, interface, hook.direction).expect("it compiles");
        let program = load(&image, hook.software_lengths).unwrap_or_else(|error| panic!("{error}"));
        let counts = vec![Count::default(); image.counters.len()];
        Self {
            program,
            slots: image.counters,
            counts,
        }
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
    /// The kernel refuses the run, not exactly one counter moved by one packet
    /// and the frame's bytes, or the counter contradicts the program's answer.
    pub fn judge_linear(&mut self, frame: &[u8], linear: usize) -> Verdict {
        let answer = self.run(frame, linear);
        let counts = read(&self.program.counters()).expect("the counters can be read");
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
        let mut expected = self.counts[slot];
        expected += Count {
            packets: 1,
            bytes: frame.len() as u64,
        };
        assert_eq!(
            counts[slot],
            expected,
            "{}: {}",
            self.slots[slot].id,
            hex(frame)
        );
        self.counts = counts;

        let action = match answer {
            XDP_PASS => Action::Allow,
            XDP_DROP => Action::Drop,
            other => panic!("XDP action {other}: {}", hex(frame)),
        };
        let CounterSlot { id, action: said } = &self.slots[slot];
        assert_eq!(action, *said, "what {id} says of itself: {}", hex(frame));
        Verdict {
            counter: id.to_string(),
            action,
        }
    }

    fn run(&mut self, frame: &[u8], linear: usize) -> u32 {
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex,
        // rx_queue_index, egress_ifindex.
        let mut context = [0; 24];
        let end = u32::try_from(linear).expect("a short frame");
        context[4..8].copy_from_slice(&end.to_ne_bytes());
        let mut options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        if linear < frame.len() {
            options.ctx_in = Some(&context);
        }
        let result = self.program.xdp().test_run(options);
        result
            .unwrap_or_else(|error| panic!("test run: {error}: {}", hex(frame)))
            .return_value
    }
}

impl Judge for KernelJudge {
    fn judge(&mut self, frame: &[u8]) -> Verdict {
        self.judge_linear(frame, frame.len())
    }
}
