//! The reference model as a judge.

use edge_filter::policy::model::Model;

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

impl Judge for ModelJudge<'_> {
    fn judge(&mut self, frame: &[u8]) -> Verdict {
        let verdict = self.0.judge(frame);
        Verdict {
            counter: verdict.counter.to_string(),
            action: verdict.action,
        }
    }
}
