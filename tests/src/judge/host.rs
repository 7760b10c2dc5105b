//! The data path on the host as a judge.

use edge_filter::compile::{TableImage, compile};
use edge_filter::policy::Action;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::flow::memory::FlowTable;
use edge_filter_ebpf::memory::{Cache, Hook, Memory, NoFlows};
use edge_filter_ebpf::{judge, judge_any};

use super::{Judge, Verdict, hex};

/// Judges by the data path's library over the compiler's image.
pub struct HostJudge {
    image: TableImage,
    cache: Cache,
}

impl HostJudge {
    /// Compiles `hook`.
    ///
    /// # Panics
    /// The policy has no such role, or does not compile.
    #[must_use]
    pub fn new(hook: super::Hook<'_>) -> Self {
        let interface = hook
            .policy
            .interface(hook.interface)
            .expect("the policy has the role");
        let mut image = compile(hook.policy, interface, hook.direction).expect("it compiles");
        image
            .config
            .set(Constant::SoftwareLengths, hook.software_lengths.into());
        Self::over(image)
    }

    /// A judge over tables that are at hand, whoever made them.
    #[must_use]
    pub fn over(image: TableImage) -> Self {
        let cache = Cache::new();
        Self { image, cache }
    }

    /// The tables that it judges by.
    #[must_use]
    pub fn image(&self) -> &TableImage {
        &self.image
    }

    /// Judges a frame of which only `linear` bytes can be reached at once;
    /// `None` if more would have to be.
    #[must_use]
    pub fn judge_linear(&self, frame: &[u8], linear: usize) -> Option<Verdict> {
        let hook = Hook {
            tables: &self.image,
            cache: &self.cache,
            flows: &NoFlows,
        };
        let counter = judge(&mut Memory::with_linear(frame, linear), &hook);
        if linear >= frame.len() {
            // What is common is judged by itself, and as all frames are.
            let anew = Hook {
                cache: &Cache::NONE,
                ..hook
            };
            let any = judge_any(&mut Memory::new(frame), &anew).at_hook(&anew);
            assert_eq!(counter, any, "{}", hex(frame));
            // Nothing that is known by now changes what is said.
            let again = judge(&mut Memory::new(frame), &hook);
            assert_eq!(counter, again, "once more: {}", hex(frame));
        }
        (counter != Counter::NOT_LINEAR).then(|| self.verdict(counter))
    }

    /// Judges a frame in the light of `flows`, which other hooks may share.
    #[must_use]
    pub fn judge_with(&self, frame: &[u8], flows: &FlowTable) -> Verdict {
        let hook = Hook {
            tables: &self.image,
            cache: &self.cache,
            flows,
        };
        self.verdict(judge(&mut Memory::new(frame), &hook))
    }

    fn verdict(&self, counter: Counter) -> Verdict {
        let slot = &self.image.counters[counter.0 as usize];
        let action = if counter.passes(&self.image) {
            Action::Allow
        } else {
            Action::Drop
        };
        assert_eq!(action, slot.action, "what {} says of itself", slot.id);
        Verdict {
            counter: slot.id.to_string(),
            action,
        }
    }
}

impl Judge for HostJudge {
    fn judge(&mut self, frame: &[u8]) -> Verdict {
        self.judge_linear(frame, frame.len())
            .expect("the whole frame can be reached")
    }
}
