//! The running kernel's own types (Documentation/bpf/btf.rst), as far as programs have to
//! know them: the number of a function, the place of a field, the value of a name.
//!
//! aya tells the number of a type, but not its members.

/// `BTF_MAGIC` and the kinds, include/uapi/linux/btf.h.
const MAGIC: u32 = 0xeb9f;
const INT: u8 = 1;
const ARRAY: u8 = 3;
const STRUCT: u8 = 4;
const UNION: u8 = 5;
const ENUM: u8 = 6;
const FUNC: u8 = 12;
const FUNC_PROTO: u8 = 13;
const VAR: u8 = 14;
const DATASEC: u8 = 15;
const DECL_TAG: u8 = 17;
const ENUM64: u8 = 19;

/// Structures without a name are looked into so deep.
const DEPTH: u32 = 4;

/// The types of a kernel, by their numbers; number 1 comes first.
#[derive(Debug)]
pub(super) struct Btf<'b> {
    types: Vec<Type<'b>>,
    strings: &'b [u8],
}

/// `struct btf_type`, and what stands behind it.
#[derive(Debug, Clone, Copy)]
struct Type<'b> {
    name: u32,
    kind: u8,
    /// Of a structure: whether its members tell how many bits they take.
    tells_bits: bool,
    behind: &'b [u8],
}

/// The number at `at`, in the byte order of this machine.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn index(number: u32) -> Option<usize> {
    number.try_into().ok()
}

impl<'b> Type<'b> {
    /// The type at the begin of `bytes`, and the bytes behind it.
    fn read(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (head, behind) = bytes.split_at_checked(12)?;
        let info = number(head, 4)?;
        let kind = u8::try_from(info >> 24 & 0x1f).ok()?;
        let each = match kind {
            STRUCT | UNION | DATASEC | ENUM64 => 12,
            ENUM | FUNC_PROTO => 8,
            _ => 0,
        };
        let alone = match kind {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            0 | ENUM64.. if kind != ENUM64 => return None,
            _ => 0,
        };
        let count = index(info & 0xffff)?;
        let (members, rest) = behind.split_at_checked(alone + each * count)?;
        let read = Self {
            name: number(head, 0)?,
            kind,
            tells_bits: info >> 31 != 0,
            behind: members,
        };
        Some((read, rest))
    }
}

impl<'b> Btf<'b> {
    /// Reads a blob such as `/sys/kernel/btf/vmlinux`; `None` if it is none of this machine's.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        if number(bytes, 0)? & 0xffff != MAGIC {
            return None;
        }
        // `struct btf_header`: how long it is, and where behind it which part lies.
        let part = |at| {
            let begin = index(number(bytes, 4)?)?.checked_add(index(number(bytes, at)?)?)?;
            let length = index(number(bytes, at + 4)?)?;
            bytes.get(begin..begin.checked_add(length)?)
        };
        let (mut rest, strings) = (part(8)?, part(16)?);
        let mut types = Vec::new();
        while !rest.is_empty() {
            let (read, behind) = Type::read(rest)?;
            types.push(read);
            rest = behind;
        }
        Some(Self { types, strings })
    }

    /// The number of the function `name`.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        let (at, _) = self.find(FUNC, name)?;
        u32::try_from(at + 1).ok()
    }

    /// Where the field `field` lies in the structure `name`, in bytes.
    pub(super) fn offset(&self, name: &str, field: &str) -> Option<u32> {
        let (_, structure) = self.find(STRUCT, name)?;
        self.offset_within(structure, field, DEPTH)
    }

    /// The value that the enumeration `name` has for `enumerator`.
    pub(super) fn value(&self, name: &str, enumerator: &str) -> Option<u32> {
        let (_, enumeration) = self.find(ENUM, name)?;
        let (values, _) = enumeration.behind.as_chunks::<8>();
        let value = values
            .iter()
            .find(|value| self.is_named(number(*value, 0), enumerator))?;
        number(value, 4)
    }

    fn find(&self, kind: u8, name: &str) -> Option<(usize, Type<'b>)> {
        let mut types = self.types.iter().copied().enumerate();
        types.find(|(_, of)| of.kind == kind && self.is_named(Some(of.name), name))
    }

    fn is_named(&self, at: Option<u32>, name: &str) -> bool {
        let string = at.and_then(index).and_then(|at| self.strings.get(at..));
        let behind = string.and_then(|string| string.strip_prefix(name.as_bytes()));
        behind.is_some_and(|behind| behind.first() == Some(&0))
    }

    /// The same in `structure` and in what it holds without a name.
    fn offset_within(&self, structure: Type<'b>, field: &str, depth: u32) -> Option<u32> {
        let (members, _) = structure.behind.as_chunks::<12>();
        members.iter().find_map(|member| {
            let bits = number(member, 8)?;
            let bits = if structure.tells_bits {
                // A field that takes bits is none that a load of bytes reads.
                (bits >> 24 == 0).then_some(bits & 0x00ff_ffff)?
            } else {
                bits
            };
            let offset = (bits % 8 == 0).then_some(bits / 8)?;
            if self.is_named(number(member, 0), field) {
                return Some(offset);
            }
            let held = self.types.get(index(number(member, 4)?)?.checked_sub(1)?)?;
            if !self.is_named(number(member, 0), "")
                || !matches!(held.kind, STRUCT | UNION)
                || depth == 0
            {
                return None;
            }
            Some(offset + self.offset_within(*held, field, depth - 1)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of a made-up kernel.
    struct Maker {
        types: Vec<u8>,
        strings: Vec<u8>,
    }

    impl Maker {
        fn new() -> Self {
            Self {
                types: Vec::new(),
                strings: vec![0],
            }
        }

        fn string(&mut self, text: &str) -> u32 {
            if text.is_empty() {
                return 0;
            }
            let at = self.strings.len();
            self.strings.extend(text.bytes());
            self.strings.push(0);
            at.try_into().unwrap()
        }

        fn put(&mut self, kind: u8, flag: u32, name: &str, count: u32, behind: &[u32]) {
            let name = self.string(name);
            let head = [name, flag << 31 | u32::from(kind) << 24 | count, 0];
            for number in head.iter().chain(behind) {
                self.types.extend(number.to_ne_bytes());
            }
        }

        fn blob(&self) -> Vec<u8> {
            let [types, strings] =
                [&self.types, &self.strings].map(|part| u32::try_from(part.len()).unwrap());
            let head = [0x0001_eb9f, 24, 0, types, types, strings];
            let head = head.into_iter().flat_map(u32::to_ne_bytes);
            head.chain(self.types.iter().copied())
                .chain(self.strings.iter().copied())
                .collect()
        }
    }

    /// An integer, a structure with a field by itself, one of bits and some in a union
    /// without a name, an enumeration, and a function.
    fn kernel() -> Vec<u8> {
        let mut maker = Maker::new();
        maker.put(INT, 0, "u32", 0, &[32]);
        let size = maker.string("frame_sz");
        let flags = maker.string("flags");
        maker.put(STRUCT, 0, "", 2, &[size, 1, 0, flags, 1, 32]);
        let whole = maker.string("whole");
        maker.put(UNION, 0, "", 2, &[0, 2, 0, whole, 1, 0]);
        let data = maker.string("data");
        let bits = maker.string("bits");
        let context = [data, 1, 0, bits, 1, 3 << 24 | 32, 0, 3, 64];
        maker.put(STRUCT, 1, "context", 3, &context);
        let none = maker.string("NONE");
        let some = maker.string("SOME");
        maker.put(ENUM, 0, "flags_of", 2, &[none, 0, some, 4]);
        maker.put(ARRAY, 0, "", 0, &[1, 1, 2]);
        maker.put(FUNC, 0, "cast", 0, &[]);
        maker.blob()
    }

    #[test]
    fn what_is_there_is_found() {
        let blob = kernel();
        let btf = Btf::read(&blob).unwrap();
        assert_eq!(btf.function("cast"), Some(7));
        assert_eq!(btf.function("cas"), None);
        assert_eq!(btf.function("context"), None);
        assert_eq!(btf.offset("context", "data"), Some(0));
        assert_eq!(btf.offset("context", "whole"), Some(8));
        assert_eq!(btf.offset("context", "flags"), Some(12));
        // It begins at a byte, but takes three bits.
        assert_eq!(btf.offset("context", "bits"), None);
        assert_eq!(btf.offset("context", "flag"), None);
        assert_eq!(btf.offset("cast", "data"), None);
        assert_eq!(btf.value("flags_of", "SOME"), Some(4));
        assert_eq!(btf.value("flags_of", "OTHER"), None);
    }

    #[test]
    fn a_blob_that_was_cut_or_changed_is_refused_or_says_less() {
        let blob = kernel();
        for length in 0..blob.len() {
            assert!(Btf::read(&blob[..length]).is_none(), "{length}");
        }
        // Whatever a word becomes, it is read without going astray.
        for at in (0..blob.len() - 4).step_by(4) {
            for value in [0_u32, 1, 0xffff, 0x1f00_0001, u32::MAX] {
                let mut changed = blob.clone();
                changed[at..at + 4].copy_from_slice(&value.to_ne_bytes());
                if let Some(btf) = Btf::read(&changed) {
                    let _ = btf.function("cast");
                    let _ = btf.offset("context", "flags");
                    let _ = btf.value("flags_of", "SOME");
                }
            }
        }
    }
}
