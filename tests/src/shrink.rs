//! The smallest policy that still shows a fault: rules are taken out as long as
//! it does.

use edge_filter::policy::Policy;

/// `policy` without the rules that `shows` can do without. First many rules at
/// once are tried, at last each one alone, so none of those left is idle.
#[must_use]
pub fn smallest(policy: &Policy, shows: impl Fn(&Policy) -> bool) -> Policy {
    let mut smallest = policy.clone();
    let mut run = smallest.rules.len();
    while run > 0 {
        let mut at = 0;
        let mut shrunk = false;
        while at < smallest.rules.len() {
            let mut without = smallest.clone();
            let end = (at + run).min(without.rules.len());
            without.rules.drain(at..end);
            if shows(&without) {
                smallest = without;
                shrunk = true;
            } else {
                at = end;
            }
        }
        // What could not go alone may go once others have gone.
        if run > 1 || !shrunk {
            run /= 2;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::smallest;
    use crate::generate::{policy, seeded};

    #[test]
    fn what_it_takes_is_left_and_nothing_else() {
        let whole = policy(&mut seeded(5), 300);
        let needed = [0, 17, 64, 299].map(|at| whole.rules[at].id.clone());
        let left = smallest(&whole, |policy| {
            needed
                .iter()
                .all(|id| policy.rules.iter().any(|rule| rule.id == *id))
        });
        let ids: Vec<&String> = left.rules.iter().map(|rule| &rule.id).collect();
        assert_eq!(ids, needed.iter().collect::<Vec<_>>());
    }

    #[test]
    fn no_rule_may_be_needed() {
        let whole = policy(&mut seeded(6), 10);
        assert!(smallest(&whole, |_| true).rules.is_empty());
    }
}
