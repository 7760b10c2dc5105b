//! What a program can hold at most, whatever memory there is.

use edge_filter_ebpf::replies::MAX_LISTS;
use edge_filter_ebpf::search::MAX_WORDS;
use edge_filter_ebpf::tables::{Chunk, Entry, Path, Row};

use super::CompileError;
use super::lists::Lists;
use crate::policy::{Direction, Interface, Policy, Rule};

/// The most bytes of a table: no program reads further into a value of a map
/// (`BPF_MAX_VAR_OFF` of `include/linux/bpf_verifier.h`).
pub(super) const MAX_TABLE: usize = 1 << 29;
const _: () = {
    // What fits, entries and leaves can name.
    assert!(MAX_TABLE / size_of::<Chunk>() <= Entry::INDICES as usize);
    assert!(MAX_TABLE / size_of::<Row>() <= Entry::INDICES as usize);
    assert!(MAX_TABLE / size_of::<Path>() <= Entry::INDICES as usize);
};

/// The most rules that one hook can have.
pub const MAX_RULES: usize = 65_536;

/// The most bits of a vector: a hook's rules, and those whose replies it knows.
pub(super) const MAX_BITS: usize = MAX_WORDS as usize * 64;

/// Whether a program reaches all of a table of `bytes`.
pub(super) fn check_size(
    interface: &Interface,
    direction: Direction,
    table: &'static str,
    bytes: usize,
) -> Result<(), CompileError> {
    if bytes <= MAX_TABLE {
        return Ok(());
    }
    Err(CompileError::TableTooLarge {
        interface: interface.name.clone(),
        direction,
        table,
        mebibytes: bytes.div_ceil(1 << 20),
    })
}

/// The lists of a hook, if they fit.
pub(super) fn lists_of<'p>(
    policy: &'p Policy,
    interface: &Interface,
    direction: Direction,
    rules: &[&'p Rule],
) -> Result<Lists<'p>, CompileError> {
    if rules.len() > MAX_RULES {
        return Err(CompileError::TooManyRules {
            interface: interface.name.clone(),
            direction,
            rules: rules.len(),
        });
    }
    let lists = Lists::of(policy, interface, direction, rules);
    let words = lists.patterns.words();
    if words > MAX_WORDS as usize {
        return Err(CompileError::TooManyReplies {
            interface: interface.name.clone(),
            direction,
            rules: rules.len(),
            words,
        });
    }
    if lists.longest > MAX_LISTS {
        return Err(CompileError::TooManyLists {
            lists: lists.longest,
        });
    }
    Ok(lists)
}
