//! The order of rules, which matters among the rules of one hook.

use std::collections::HashMap;

use super::MovedRule;
use crate::policy::{Direction, Rule};

/// The rules of one hook, in order.
type Hooks<'p> = HashMap<(&'p str, Direction), Vec<&'p Rule>>;

/// The rules of `next` that must be moved to get their order from that of `former`, in the
/// order of `next`. What stays is a longest increasing subsequence of the former places, so
/// that no fewer would do.
pub(super) fn moves(former: &[Rule], next: &[Rule]) -> Vec<MovedRule> {
    let (before, after) = (by_hook(former), by_hook(next));
    let mut moved: Vec<(usize, MovedRule)> = Vec::new();
    for (hook, after) in &after {
        let before = before.get(hook).map_or(&[][..], |rules| rules);
        let places: HashMap<&str, usize> = before
            .iter()
            .enumerate()
            .map(|(place, rule)| (&*rule.id, place))
            .collect();
        // Those that both have, by their places in either.
        let kept: Vec<(usize, usize)> = after
            .iter()
            .enumerate()
            .filter_map(|(place, rule)| Some((place, *places.get(&*rule.id)?)))
            .collect();
        let former_places: Vec<usize> = kept.iter().map(|(_, place)| *place).collect();
        let stays = longest_increasing(&former_places);
        for (number, (now, then)) in kept.into_iter().enumerate() {
            if !stays[number] {
                let rule = after[now];
                let moved_rule = MovedRule {
                    rule: rule.into(),
                    was_behind: predecessor(before, then),
                    behind: predecessor(after, now),
                };
                moved.push((rule.line, moved_rule));
            }
        }
    }
    moved.sort_by_key(|(line, _)| *line);
    moved.into_iter().map(|(_, moved)| moved).collect()
}

fn by_hook(rules: &[Rule]) -> Hooks<'_> {
    let mut hooks = Hooks::new();
    for rule in rules {
        let hook = (&*rule.interface, rule.direction);
        hooks.entry(hook).or_default().push(rule);
    }
    hooks
}

fn predecessor(rules: &[&Rule], place: usize) -> Option<String> {
    Some(rules[place.checked_sub(1)?].id.clone())
}

/// Which of `numbers`, all different, belong to one of the longest subsequences that
/// increase; in time n log n (M. L. Fredman, "On computing the length of longest increasing
/// subsequences", Discrete Mathematics 11, 1975).
pub(super) fn longest_increasing(numbers: &[usize]) -> Vec<bool> {
    // The place of the least number with which a subsequence of each length ends.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (place, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(place);
        } else {
            ends[length] = place;
        }
    }
    let mut belongs = vec![false; numbers.len()];
    let mut next = ends.last().copied();
    while let Some(place) = next {
        belongs[place] = true;
        next = before[place];
    }
    belongs
}
