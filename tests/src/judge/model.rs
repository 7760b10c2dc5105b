//! The reference model as a judge.

use edge_filter::policy::model::Model;
use edge_filter::policy::model::conversations::Conversations;

use super::{Hook, Judge, Verdict};

/// Judges by the reference model.
pub struct ModelJudge<'p>(Model<'p>);

impl<'p> ModelJudge<'p> {
    /// The model of `hook`.
    ///
    /// # Panics
    /// The policy has no such role.
    #[must_use]
    pub fn new(hook: Hook<'p>) -> Self {
        let Hook {
            policy,
            interface,
            direction,
            software_lengths,
        } = hook;
        let model = Model::new(policy, interface, direction, software_lengths);
        Self(model.expect("the policy has the role"))
    }
}

impl ModelJudge<'_> {
    /// Judges a frame in the second `now`, in the light of `conversations`, which other
    /// hooks may share.
    #[must_use]
    pub fn judge_at(&self, frame: &[u8], now: u64, conversations: &mut Conversations) -> Verdict {
        let verdict = self.0.judge_at(frame, now, conversations);
        Verdict {
            counter: verdict.counter.to_string(),
            action: verdict.action,
        }
    }
}

impl Judge for ModelJudge<'_> {
    fn judge(&mut self, frame: &[u8]) -> Verdict {
        self.judge_at(frame, 0, &mut Conversations::default())
    }
}
