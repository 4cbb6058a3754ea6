//! The header of a GGUF file.
//!
//! Counts, pairs of names and typed values, the tensors, then their data at aligned offsets. Byte
//! lengths of tensors hang on a growing list of types and are not needed: each one reaches to the
//! next.

use super::{Doubt, HEADER_LEN_MAX, TENSOR_COUNT_MAX, TensorTable};

/// What a file starts with.
pub(super) const MAGIC: &[u8] = b"GGUF";
/// Versions with 64-bit lengths; in a big-endian file none of these stands there.
const VERSIONS: [u32; 2] = [2, 3];
/// The pair that says at which multiples tensors start.
const ALIGNMENT_NAME: &[u8] = b"general.alignment";
/// What it is when no pair says so.
const ALIGNMENT_DEFAULT: u32 = 32;
/// Most dimensions of a tensor.
const RANK_MAX: u32 = 4;

/// Number of the type of the alignment.
const U32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

pub(super) fn parse(head: &[u8], size: u64) -> Result<TensorTable, Doubt> {
    let mut cursor = Cursor { head, at: 0 };
    if cursor.take(MAGIC.len() as u64)? != MAGIC || !VERSIONS.contains(&cursor.u32()?) {
        return Err(Doubt::Unknown);
    }
    let tensor_count = cursor.u64()?;
    let pair_count = cursor.u64()?;
    if tensor_count > TENSOR_COUNT_MAX as u64 {
        return Err(Doubt::Unknown);
    }
    let alignment = u64::from(cursor.pairs(pair_count)?);
    // Grows with what is really there, not with what the count says.
    let mut offsets = Vec::new();
    for _ in 0..tensor_count {
        offsets.push(cursor.tensor()?);
    }
    let is_aligned = offsets.iter().all(|offset| offset % alignment == 0);
    if offsets.first() != Some(&0) || !is_aligned {
        return Err(Doubt::Unknown);
    }
    let data = (cursor.at as u64).next_multiple_of(alignment);
    let starts: Option<_> = offsets.into_iter().map(|offset| data.checked_add(offset)).collect();
    starts.and_then(|starts| TensorTable::new(starts, size)).ok_or(Doubt::Unknown)
}

/// Reads the start of a file, however much of it there is. Every loop takes bytes, so that none
/// runs longer than the header.
struct Cursor<'h> {
    head: &'h [u8],
    at: usize,
}

impl<'h> Cursor<'h> {
    /// The next `len` bytes.
    fn take(&mut self, len: u64) -> Result<&'h [u8], Doubt> {
        let rest = HEADER_LEN_MAX - self.at;
        let len = usize::try_from(len).ok().filter(|len| *len <= rest).ok_or(Doubt::Unknown)?;
        let end = self.at + len;
        let taken = self.head.get(self.at..end).ok_or(Doubt::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, Doubt> {
        let bytes = self.take(4)?.try_into().expect("as many were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Doubt> {
        let bytes = self.take(8)?.try_into().expect("as many were taken");
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self) -> Result<&'h [u8], Doubt> {
        let len = self.u64()?;
        self.take(len)
    }

    /// Reads past all pairs and returns the alignment, a power of two.
    fn pairs(&mut self, count: u64) -> Result<u32, Doubt> {
        let mut alignment = None;
        for _ in 0..count {
            let name = self.string()?;
            let kind = self.u32()?;
            if name != ALIGNMENT_NAME {
                self.skip(kind)?;
            } else if kind != U32 || alignment.replace(self.u32()?).is_some() {
                return Err(Doubt::Unknown);
            }
        }
        let alignment = alignment.unwrap_or(ALIGNMENT_DEFAULT);
        if alignment.is_power_of_two() { Ok(alignment) } else { Err(Doubt::Unknown) }
    }

    /// Reads past a value.
    fn skip(&mut self, kind: u32) -> Result<(), Doubt> {
        if kind != ARRAY {
            return self.skip_many(kind, 1);
        }
        let kind = self.u32()?;
        let count = self.u64()?;
        // Arrays of arrays fail here: no program reads them.
        self.skip_many(kind, count)
    }

    fn skip_many(&mut self, kind: u32, count: u64) -> Result<(), Doubt> {
        if kind == STRING {
            return (0..count).try_for_each(|_| self.string().map(drop));
        }
        let len = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            _ => return Err(Doubt::Unknown),
        };
        let len = count.checked_mul(len).ok_or(Doubt::Unknown)?;
        self.take(len).map(drop)
    }

    /// Reads a tensor and returns its offset within the data.
    fn tensor(&mut self) -> Result<u64, Doubt> {
        self.string()?;
        let rank = self.u32()?;
        if rank > RANK_MAX {
            return Err(Doubt::Unknown);
        }
        self.take(u64::from(rank) * 8)?;
        let _type = self.u32()?;
        self.u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    fn pair(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&string(name)[..], &kind.to_le_bytes(), value].concat()
    }

    fn array(kind: u32, count: u64, elements: &[u8]) -> Vec<u8> {
        pair("a", ARRAY, &[&kind.to_le_bytes()[..], &count.to_le_bytes(), elements].concat())
    }

    fn tensor(rank: u32, offset: u64) -> Vec<u8> {
        let dimensions = vec![1; rank as usize * 8];
        [&string("t")[..], &rank.to_le_bytes(), &dimensions, &[9; 4], &offset.to_le_bytes()]
            .concat()
    }

    fn head(version: u32, pairs: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
        let counts = [tensors.len() as u64, pairs.len() as u64].map(u64::to_le_bytes).concat();
        let start = [MAGIC, &version.to_le_bytes(), &counts].concat();
        [start, pairs.concat(), tensors.concat()].concat()
    }

    /// Every kind of value.
    fn pairs() -> Vec<Vec<u8>> {
        let mut all: Vec<_> = [(0, 1), (1, 1), (7, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4)]
            .into_iter()
            .chain([(10, 8), (11, 8), (12, 8)])
            .flat_map(|(kind, len)| {
                [pair("x", kind, &vec![1; len]), array(kind, 3, &vec![1; 3 * len])]
            })
            .collect();
        all.push(pair("y", STRING, &string("text")));
        all.push(array(STRING, 2, &[string("one"), string("")].concat()));
        all
    }

    #[test]
    fn tensors_start_at_aligned_offsets_behind_the_header() {
        for version in VERSIONS {
            let tensors = [tensor(4, 0), tensor(0, 64), tensor(1, 64), tensor(2, 96)];
            let head = head(version, &pairs(), &tensors);
            let data = (head.len() as u64).next_multiple_of(32);
            let table = parse(&head, data + 97).unwrap();
            assert_eq!(table.starts(), [data, data + 64, data + 96]);
            assert_eq!(table.size(), data + 97);
        }
        let aligned = pair(str::from_utf8(ALIGNMENT_NAME).unwrap(), U32, &4096u32.to_le_bytes());
        let bytes = head(3, &[aligned], &[tensor(1, 0), tensor(1, 8192)]);
        assert_eq!(parse(&bytes, 20_000).unwrap().starts(), [4096, 12_288]);
    }

    #[test]
    fn every_doubt_makes_it_general_data() {
        let plain = [tensor(1, 0), tensor(1, 32)];
        let good = head(3, &pairs(), &plain);
        let size = (good.len() as u64).next_multiple_of(32) + 64;
        assert!(parse(&good, size).is_ok());
        let alignment = |kind: u32, value: &[u8]| pair("general.alignment", kind, value);
        let with = |pair: Vec<u8>| head(3, &[pair], &plain);
        for (what, bytes) in [
            ("version 1", head(1, &pairs(), &plain)),
            ("version 4", head(4, &pairs(), &plain)),
            ("big-endian", head(3u32.swap_bytes(), &pairs(), &plain)),
            ("no tensor", head(3, &pairs(), &[])),
            ("rank", head(3, &[], &[tensor(5, 0), tensor(1, 32)])),
            ("first offset", head(3, &[], &[tensor(1, 32)])),
            ("offsets descend", head(3, &[], &[tensor(1, 0), tensor(1, 32), tensor(1, 0)])),
            ("offset not aligned", head(3, &[], &[tensor(1, 0), tensor(1, 33)])),
            ("offset beyond the file", head(3, &[], &[tensor(1, 0), tensor(1, 1 << 20)])),
            ("offset overflows", head(3, &[], &[tensor(1, 0), tensor(1, u64::MAX - 31)])),
            ("kind", with(pair("x", 13, &[0; 8]))),
            ("array of arrays", with(array(ARRAY, 0, &[]))),
            ("array too long", with(array(12, 1 << 61, &[]))),
            ("alignment of another kind", with(alignment(10, &[32, 0, 0, 0, 0, 0, 0, 0]))),
            ("alignment 0", with(alignment(U32, &[0; 4]))),
            ("alignment 48", with(alignment(U32, &[48, 0, 0, 0]))),
            ("alignment twice", head(3, &vec![alignment(U32, &[32, 0, 0, 0]); 2], &plain)),
        ] {
            assert_eq!(parse(&bytes, size), Err(Doubt::Unknown), "{what}");
        }
        let counted = |offset: usize, value: u64| {
            let mut bytes = good.clone();
            bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
            parse(&bytes, size)
        };
        assert_eq!(counted(8, TENSOR_COUNT_MAX as u64 + 1), Err(Doubt::Unknown));
        assert_eq!(counted(8, 3), Err(Doubt::Short(good.len() + 8)));
        // The length of the first name.
        assert_eq!(counted(24, u64::MAX), Err(Doubt::Unknown));
        assert_eq!(counted(24, HEADER_LEN_MAX as u64), Err(Doubt::Unknown));
        for count in [1 << 40, u64::MAX] {
            assert!(counted(16, count).is_err(), "{count}");
        }
    }

    #[test]
    fn a_short_head_says_how_much_is_needed() {
        let bytes = head(3, &pairs(), &[tensor(2, 0), tensor(3, 64)]);
        let size = bytes.len() as u64 + 200;
        let mut len = 0;
        while len < bytes.len() {
            let Err(Doubt::Short(needed)) = parse(&bytes[..len], size) else { panic!("{len}") };
            assert!(len < needed && needed <= bytes.len());
            len += 1;
        }
        let table = parse(&bytes, size);
        assert!(table.is_ok());
        assert_eq!(parse(&[&bytes[..], &[7; 100]].concat(), size), table);
    }
}
