//! Drops the DWARF of a BPF object and keeps its BTF. Done here and not by
//! `llvm-strip`, so that the bytes do not depend on one more tool's version.

use anyhow::{Context as _, Result, ensure};
use object::build::elf::Builder;

/// The object without its DWARF sections, their relocations and their symbols.
pub(crate) fn strip_dwarf(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("reading the linked BPF object")?;
    for section in &mut builder.sections {
        section.delete = is_dwarf(section.name.as_slice());
    }
    builder.delete_orphans();
    let has = |name: &[u8]| {
        builder
            .sections
            .iter()
            .any(|section| !section.delete && section.name.as_slice() == name)
    };
    ensure!(
        has(b".BTF") && has(b".BTF.ext"),
        "the linked BPF object has no BTF; bpf-linker was to write it (--btf)"
    );
    let mut stripped = Vec::new();
    builder
        .write(&mut stripped)
        .context("writing the BPF object without its DWARF")?;
    Ok(stripped)
}

fn is_dwarf(section: &[u8]) -> bool {
    section.starts_with(b".debug_") || section.starts_with(b".rel.debug_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dwarf_is_told_from_btf() {
        assert!(is_dwarf(b".debug_info"));
        assert!(is_dwarf(b".rel.debug_line"));
        for kept in [".BTF", ".rel.BTF.ext", ".maps", ".rodata", "xdp.frags"] {
            assert!(!is_dwarf(kept.as_bytes()), "{kept} must stay");
        }
    }

    #[test]
    fn an_object_without_btf_is_refused() {
        let mut empty = Vec::new();
        Builder::new(object::Endianness::Little, true)
            .write(&mut empty)
            .expect("writing an empty ELF file");
        let error = strip_dwarf(&empty).expect_err("no BTF in it");
        assert!(error.to_string().contains("no BTF"), "{error}");
    }
}
