//! The stack that the compiled programs need: 512 bytes hold a whole chain of calls
//! (`MAX_BPF_STACK`). The verifier counts what a policy's constants leave of the
//! programs, and every kernel rounds in its own way; here it is all of them, and the
//! coarsest way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind,
};

/// The most that a chain may need, bytes.
const MOST: u32 = 512;
/// What a verifier rounds each function's part up to; some are content with 16.
const ROUNDED_TO: u32 = 32;

/// The codes of instructions (include/uapi/linux/bpf.h).
const LOAD_IMMEDIATE: u8 = 0x18;
const MOVE: u8 = 0xbf;
const ADD_IMMEDIATE: u8 = 0x07;
const CALL: u8 = 0x85;
/// A call of another function of the object, as the register field says it.
const PSEUDO_CALL: u8 = 1;
/// The frame pointer.
const R10: u8 = 10;

/// A function: what it needs of the stack, and whom it calls.
#[derive(Debug, Default)]
struct Function {
    stack: u32,
    calls: BTreeSet<String>,
}

/// An instruction, taken apart.
struct Instruction {
    code: u8,
    to: u8,
    from: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    fn read(bytes: [u8; 8]) -> Self {
        let [code, registers, low, high, immediate @ ..] = bytes;
        Self {
            code,
            to: registers & 0xf,
            from: registers >> 4,
            offset: i16::from_le_bytes([low, high]),
            immediate: i32::from_le_bytes(immediate),
        }
    }

    /// How far below the frame pointer it reads or writes: a load has it on the right,
    /// a store on the left.
    fn depth(&self) -> u32 {
        let base = match self.code & 7 {
            1 => self.from,
            2 | 3 => self.to,
            _ => return 0,
        };
        if base == R10 {
            u32::from(self.offset.unsigned_abs()) * u32::from(self.offset < 0)
        } else {
            0
        }
    }
}

fn functions(file: &[u8]) -> Result<BTreeMap<String, Function>> {
    let object = object::File::parse(file)?;
    let symbols: Vec<_> = object
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        .collect();
    let name_at = |section, address| {
        let found = symbols
            .iter()
            .find(|symbol| symbol.section_index() == Some(section) && symbol.address() == address);
        let name = found.and_then(|symbol| symbol.name().ok());
        name.map(str::to_owned)
            .with_context(|| format!("no function at {address:#x}"))
    };
    let mut functions = BTreeMap::new();
    for section in object.sections() {
        if section.kind() != SectionKind::Text {
            continue;
        }
        let code = section.data()?;
        let relocations: BTreeMap<u64, RelocationTarget> = section
            .relocations()
            .map(|(at, relocation)| (at, relocation.target()))
            .collect();
        for symbol in &symbols {
            if symbol.section_index() != Some(section.index()) {
                continue;
            }
            let mut function = Function::default();
            // The registers that hold the frame pointer, on their way below it.
            let mut pointers = BTreeSet::new();
            let mut at = symbol.address();
            while at < symbol.address() + symbol.size() {
                let bytes = &code[usize::try_from(at)?..][..8];
                let next = Instruction::read(bytes.try_into()?);
                function.stack = function.stack.max(next.depth());
                if next.code == ADD_IMMEDIATE && pointers.contains(&next.to) {
                    function.stack = function.stack.max(next.immediate.unsigned_abs());
                }
                if next.code == MOVE && next.from == R10 {
                    pointers.insert(next.to);
                } else if matches!(next.code & 7, 0 | 1 | 4 | 7) {
                    pointers.remove(&next.to);
                }
                if next.code == CALL && next.from == PSEUDO_CALL {
                    let relative = i64::from(next.immediate) + 1;
                    let callee = match relocations.get(&at) {
                        Some(RelocationTarget::Symbol(index)) => {
                            let callee = object.symbol_by_index(*index)?;
                            let section = callee.section_index().context("a call into nowhere")?;
                            let beyond = if callee.kind() == SymbolKind::Section {
                                u64::try_from(relative * 8)?
                            } else {
                                0
                            };
                            name_at(section, callee.address() + beyond)?
                        }
                        _ => name_at(section.index(), at.wrapping_add_signed(relative * 8))?,
                    };
                    function.calls.insert(callee);
                }
                at += if next.code == LOAD_IMMEDIATE { 16 } else { 8 };
            }
            functions.insert(symbol.name()?.to_owned(), function);
        }
    }
    Ok(functions)
}

/// The chain from `name` on that needs most, and how much.
fn deepest(functions: &BTreeMap<String, Function>, name: &str) -> Result<(u32, Vec<String>)> {
    let function = functions.get(name).with_context(|| format!("no {name}"))?;
    let mut below = (0, Vec::new());
    for callee in &function.calls {
        let chain = deepest(functions, callee)?;
        if chain.0 > below.0 {
            below = chain;
        }
    }
    let (bytes, mut chain) = below;
    chain.insert(0, format!("{name} ({} bytes)", function.stack));
    Ok((
        function.stack.max(1).next_multiple_of(ROUNDED_TO) + bytes,
        chain,
    ))
}

#[test]
fn every_chain_of_calls_has_room_on_the_stack() -> Result<()> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../edge-filter-ebpf/prebuilt/edge-filter.bpf.o"
    );
    let functions = functions(&fs::read(path)?)?;
    for program in [
        "edge_filter_in",
        "edge_filter_out",
        "edge_filter_trial_in",
        "edge_filter_trial_out",
        "edge_filter_debug_in",
        "edge_filter_debug_out",
        "edge_filter_seed",
    ] {
        let (bytes, chain) = deepest(&functions, program)?;
        println!("{program}: {bytes} bytes: {}", chain.join(", "));
        assert!(chain.len() > 1, "{program} calls nobody");
        assert!(bytes <= MOST, "{bytes} bytes: {}", chain.join(", "));
    }
    let last = &functions["edge_filter_candidates"];
    assert!(last.stack > 0 && last.calls.is_empty(), "{last:?}");
    Ok(())
}
