//! Tables as sections of the object.
//!
//! A program reads global data at an address that stands in its instructions, and that
//! costs nothing; an array map has to be asked each time. So a table is a read-only
//! section of the object, and gets the contents of one generation before the object is
//! loaded.

use std::mem::offset_of;

use object::LittleEndian;
use object::elf::{FileHeader64, SectionHeader64};
use object::pod;
use object::read::elf::FileHeader as _;

type SectionHeader = SectionHeader64<LittleEndian>;

/// A copy of the ELF file `object` in which each section that is named holds the bytes
/// that are given with it. It consists of words because readers want it aligned.
///
/// # Errors
/// The file is no ELF file of 64 bits, or has no such section.
pub(super) fn with_contents(
    object: &[u8],
    contents: &[(&'static str, &[u8])],
) -> Result<Vec<u64>, String> {
    let elf = FileHeader64::<LittleEndian>::parse(object).map_err(|error| error.to_string())?;
    let sections = elf
        .sections(LittleEndian, object)
        .map_err(|error| error.to_string())?;
    let mut file = words(object);
    for (name, bytes) in contents {
        let (number, _) = sections
            .section_by_name(LittleEndian, name.as_bytes())
            .ok_or_else(|| format!("it has no section {name}"))?;
        let headers = usize::try_from(elf.e_shoff.get(LittleEndian))
            .map_err(|_| "its section headers lie beyond any memory".to_owned())?;
        let header = headers + number.0 * size_of::<SectionHeader>();
        let begin = size_of_val(&*file);
        file.extend(words(bytes));
        for (field, value) in [
            (offset_of!(SectionHeader, sh_offset), begin),
            (offset_of!(SectionHeader, sh_size), bytes.len()),
        ] {
            pod::bytes_of_slice_mut(&mut file)[header + field..][..8]
                .copy_from_slice(&(value as u64).to_le_bytes());
        }
    }
    Ok(file)
}

/// The words of `bytes`, the last of them filled up with zeroes.
pub(super) fn words(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0; bytes.len().div_ceil(size_of::<u64>())];
    pod::bytes_of_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::object::OBJECT;
    use object::{Object as _, ObjectSection as _};

    #[test]
    fn sections_hold_what_they_were_given_and_the_others_what_they_held() {
        let given: [(&str, &[u8]); 2] = [(".rodata.rows", &[7; 2048]), (".rodata.chunks", &[9; 3])];
        let file = with_contents(OBJECT, &given).unwrap();
        let before = object::File::parse(OBJECT).unwrap();
        let after = object::File::parse(pod::bytes_of_slice(&file)).unwrap();
        assert_eq!(before.sections().count(), after.sections().count());
        for (section, other) in before.sections().zip(after.sections()) {
            let name = section.name().unwrap();
            assert_eq!(other.name().unwrap(), name);
            let expected = given
                .iter()
                .find(|(given, _)| *given == name)
                .map_or_else(|| section.data().unwrap(), |(_, bytes)| bytes);
            assert_eq!(other.data().unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = with_contents(OBJECT, &[(".rodata.columns", &[1])]).unwrap_err();
        assert_eq!(error, "it has no section .rodata.columns");
        with_contents(b"no object", &[]).unwrap_err();
    }
}
