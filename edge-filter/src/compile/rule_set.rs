//! Sets of rules, one bit a rule: bit 0 is the lowest of the first word.

/// A set of the rules of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct RuleSet(Vec<u64>);

impl RuleSet {
    /// The empty set, for a hook of `bits` bits.
    pub(super) fn empty(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    pub(super) fn insert(&mut self, rule: usize) {
        self.0[rule / 64] |= 1 << (rule % 64);
    }

    pub(super) fn remove(&mut self, rule: usize) {
        self.0[rule / 64] &= !(1 << (rule % 64));
    }

    /// The rules of this set that are not in `other`.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(own, others)| own & !others)
                .collect(),
        )
    }

    /// The words, 64 rules each.
    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_one_bit() {
        for rules in [1, 63, 64, 65, 129] {
            let mut full = RuleSet::empty(rules);
            (0..rules).for_each(|rule| full.insert(rule));
            let bits: u32 = full.words().iter().map(|word| word.count_ones()).sum();
            assert_eq!(bits as usize, rules, "no bit without a rule");
            for rule in 0..rules {
                let mut set = RuleSet::empty(rules);
                set.insert(rule);
                assert_eq!(set.words()[rule / 64], 1 << (rule % 64));
                let mut rest = full.clone();
                rest.remove(rule);
                assert_eq!(full.without(&set), rest);
                assert_eq!(set.without(&full), RuleSet::empty(rules));
            }
        }
    }
}
