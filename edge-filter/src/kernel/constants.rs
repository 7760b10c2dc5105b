//! The constants of one generation as operands of the program's instructions, and the
//! instructions that reach for the kernel's own context.

use std::ops::Range;

use edge_filter_ebpf::config::Config;
use object::LittleEndian;
use object::elf::{FileHeader64, SHF_EXECINSTR};
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::context::KernelContext;

/// `BPF_ALU | BPF_MOV | BPF_K` and `BPF_ALU | BPF_AND | BPF_K`, include/uapi/linux/bpf.h: what
/// sets a register to a number of 32 bits, and what masks it with one.
const WITH_CONSTANTS: [u8; 2] = [0xb4, 0x54];

/// Puts the constants of `config` in the places that the ELF file `object` has for them, and
/// what leads to the kernel's `context`, if there is one.
///
/// # Errors
/// The file is no ELF file of 64 bits.
pub(super) fn complete(
    object: &mut [u64],
    config: &Config,
    context: Option<KernelContext>,
) -> Result<(), String> {
    for code in executable(pod::bytes_of_slice(object))? {
        let (instructions, _) = pod::bytes_of_slice_mut(object)[code].as_chunks_mut::<8>();
        if let Some(context) = context {
            context.complete(instructions);
        }
        for instruction in instructions {
            let [operation, _, _, _, operand @ ..] = instruction;
            if WITH_CONSTANTS.contains(operation)
                && let Some(value) = value(config, u32::from_le_bytes(*operand))
            {
                *operand = value.to_le_bytes();
            }
        }
    }
    Ok(())
}

/// The constant whose place `operand` holds.
fn value(config: &Config, operand: u32) -> Option<u32> {
    let number = operand.checked_sub(Config::PLACEHOLDER)?;
    config.0.get(usize::try_from(number).ok()?).copied()
}

/// Where in the file the instructions are.
fn executable(object: &[u8]) -> Result<Vec<Range<usize>>, String> {
    let read = |error: object::Error| error.to_string();
    let elf = FileHeader64::<LittleEndian>::parse(object).map_err(read)?;
    let sections = elf.sections(LittleEndian, object).map_err(read)?;
    sections
        .iter()
        .filter(|section| section.sh_flags(LittleEndian) & u64::from(SHF_EXECINSTR) != 0)
        .filter_map(|section| section.file_range(LittleEndian))
        .map(|(begin, length)| {
            let begin = usize::try_from(begin).ok()?;
            let end = begin.checked_add(usize::try_from(length).ok()?)?;
            (end <= object.len()).then_some(begin..end)
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "a section lies beyond its end".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::object::OBJECT;
    use crate::kernel::sections::words;

    fn instructions(object: &[u64]) -> Vec<[u8; 8]> {
        let code = executable(pod::bytes_of_slice(object)).unwrap();
        code.into_iter()
            .flat_map(|code| {
                let (instructions, rest) = pod::bytes_of_slice(object)[code].as_chunks::<8>();
                assert!(rest.is_empty());
                instructions.to_vec()
            })
            .collect()
    }

    /// Which constant an instruction waits for.
    fn awaited(instruction: [u8; 8]) -> Option<u32> {
        let [.., a, b, c, d] = instruction;
        let number = u32::from_le_bytes([a, b, c, d]).checked_sub(Config::PLACEHOLDER)?;
        (number < 0x1000).then_some(number)
    }

    #[test]
    fn each_place_gets_its_constant_and_nothing_else_changes() {
        let mut config = Config::EMPTY;
        for (number, value) in (0..).zip(&mut config.0) {
            *value = 0x0bad_0000 + number;
        }
        let before = words(OBJECT);
        let mut after = before.clone();
        complete(&mut after, &config, None).unwrap();
        assert_eq!(before.len(), after.len());
        let mut seen = BTreeSet::new();
        for (from, to) in instructions(&before).into_iter().zip(instructions(&after)) {
            let Some(number) = awaited(from) else {
                assert_eq!(from, to);
                continue;
            };
            // Nothing else holds such a number.
            assert!(WITH_CONSTANTS.contains(&from[0]), "{from:x?}");
            assert_eq!(from[..4], to[..4]);
            assert_eq!(to[4..], (0x0bad_0000 + number).to_le_bytes());
            seen.insert(number);
        }
        // All that the data path asks for: where nothing asks, there is nothing to say.
        assert_eq!(seen.len(), Config::LENGTH, "{seen:?}");
    }

    #[test]
    fn the_kernels_context_stands_where_the_object_waits_for_it() {
        let context = KernelContext {
            function: 0x0bad_0001,
            flags: 0x34,
            has_fragments: 1,
        };
        let before = words(OBJECT);
        let [mut without, mut with] = [before.clone(), before];
        complete(&mut without, &Config::EMPTY, None).unwrap();
        complete(&mut with, &Config::EMPTY, Some(context)).unwrap();
        let pairs: Vec<_> = instructions(&without)
            .into_iter()
            .zip(instructions(&with))
            .filter(|(from, to)| from != to)
            .collect();
        // An entry point for each way in which a frame that arrives is judged at once.
        assert_eq!(pairs.len(), 4, "{pairs:x?}");
        for pair in pairs.chunks(2) {
            // A call of the kernel function of that number, and a load from where it leads.
            assert_eq!(pair[0].1, [0x85, 0x20, 0, 0, 1, 0, 0xad, 0x0b]);
            assert_eq!(pair[1].1, [0x61, 0, 0x34, 0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        complete(&mut [1, 2, 3], &Config::EMPTY, None).unwrap_err();
        let mut cut = words(OBJECT);
        cut.truncate(cut.len() / 2);
        complete(&mut cut, &Config::EMPTY, None).unwrap_err();
    }
}
