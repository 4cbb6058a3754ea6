//! Chooses the way to split a file by what it starts with.

use std::borrow::Cow;

use super::budget::Budget;
use super::content::fill;
use crate::chunk::{Chunker, Doubt, HEADER_LEN_MAX, Pages, Splitter, Tensors, recognize};
use crate::source::{Layout, OpenFile};

/// What an SQLite 3 database starts with; its pages are rewritten in place.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes that tell most files apart.
const SNIFF_LEN: usize = 64;
/// Where the length of a header shows only while it is parsed, the next read is so many times as
/// long as the last one.
const GROWTH: usize = 4;

/// The way to split a file of `size` bytes whose first run of data is `front`.
pub(super) fn whole(chunker: &Chunker, front: &[u8], size: u64) -> Splitter {
    choose(chunker, front.len() as u64, size, |len| front.get(..len).map(Cow::Borrowed))
}

/// The way to split a stream that starts with `head`. Whether tensors end with it is not known
/// before its end.
pub(super) fn stream(chunker: &Chunker, head: &[u8]) -> Splitter {
    if head.starts_with(SQLITE_MAGIC) {
        return Splitter::Pages(Pages::DATABASE);
    }
    Splitter::General(chunker.clone())
}

/// The way to split an open file. Its header is read here and once more with the rest: the table
/// made of it holds for the whole run, whatever becomes of the file.
pub(super) fn open(
    chunker: &Chunker,
    budget: &Budget,
    file: &OpenFile,
    layout: &Layout,
) -> Splitter {
    let front = layout.data_ranges().next().filter(|run| run.offset == 0).map_or(0, |run| run.len);
    // Dropped before the next one is taken, or it would wait for itself.
    let mut grant = None;
    choose(chunker, front, file.child().signature.size, |len| {
        drop(grant.take());
        grant = Some(budget.take(len));
        let mut head = vec![0; len];
        // What cannot be read is reported when it is read again.
        let (read, _) = fill(file, &mut head, 0);
        (read == len).then_some(Cow::Owned(head))
    })
}

/// `read` gives the first bytes of the file, at most `front`; there is no hole among them.
fn choose<'h>(
    chunker: &Chunker,
    front: u64,
    size: u64,
    mut read: impl FnMut(usize) -> Option<Cow<'h, [u8]>>,
) -> Splitter {
    let most = front.min(HEADER_LEN_MAX as u64) as usize;
    let mut len = most.min(SNIFF_LEN);
    while let Some(head) = read(len) {
        if head.starts_with(SQLITE_MAGIC) {
            return Splitter::Pages(Pages::DATABASE);
        }
        match recognize(&head, size) {
            Ok(table) => return Splitter::Tensors(Tensors::new(chunker.clone(), table)),
            Err(Doubt::Short(needed)) if len < needed && needed <= most => {
                len = needed.max(GROWTH * len).min(most);
            }
            Err(_) => break,
        }
    }
    Splitter::General(chunker.clone())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;

    use super::*;
    use crate::chunk::{GearTable, Params, Profile};
    use crate::source::Directory;

    const TENSOR_LEN: u64 = 5 << 20;

    fn chunker() -> Chunker {
        Chunker::new(Params::GENERAL, Arc::new(GearTable::new(&[7; 32])))
    }

    /// The header of a safetensors file with one tensor, and that of a GGUF file; each with so many
    /// bytes of metadata.
    fn heads(metadata_len: usize) -> [Vec<u8>; 2] {
        let metadata = "m".repeat(metadata_len);
        let tensor = format!(r#"{{"dtype":"U8","shape":[1],"data_offsets":[0,{TENSOR_LEN}]}}"#);
        let json = format!(r#"{{"__metadata__":{{"m":"{metadata}"}},"t":{tensor}}}"#);
        let number = |n: u64| n.to_le_bytes();
        let safetensors = [&number(json.len() as u64)[..], json.as_bytes()].concat();
        let gguf = [
            &b"GGUF\x03\0\0\0"[..],
            &[number(1), number(1), number(1)].concat(),
            b"m\x08\0\0\0",
            &number(metadata_len as u64),
            metadata.as_bytes(),
            &number(1),
            b"t\x01\0\0\0",
            &number(TENSOR_LEN),
            &[0; 4],
            &number(0),
        ]
        .concat();
        [safetensors, gguf]
    }

    /// The profile of a file that starts with `head`; both ways of reading must agree.
    #[track_caller]
    fn profile(head: &[u8], holes_from: Option<u64>) -> Profile {
        let scratch = tempfile::tempdir().unwrap();
        let file = File::create(scratch.path().join("f")).unwrap();
        file.write_all_at(head, 0).unwrap();
        // What follows a header that is cut short is none of it.
        file.write_all_at(&[0xff; 8192], head.len() as u64).unwrap();
        let size = head.len() as u64 + TENSOR_LEN;
        file.set_len(size).unwrap();
        let mut layout = Layout::dense(size);
        if let Some(offset) = holes_from {
            layout.holes.push(crate::format::entry::Range { offset, len: 1 << 20 });
        }
        let directory = Directory::open_root(scratch.path()).unwrap();
        let child = directory.stat_child(b"f").unwrap().unwrap();
        let open_file = OpenFile::open(&directory, &child).unwrap();
        let budget = Budget::new(1000);
        let found = open(&chunker(), &budget, &open_file, &layout).profile();
        let front = &head[..holes_from.map_or(head.len(), |at| head.len().min(at as usize))];
        assert_eq!(whole(&chunker(), front, size).profile(), found);
        // All of the budget is back.
        drop(budget.take(1000));
        found
    }

    #[test]
    fn headers_of_any_length_are_read_up_to_the_limit() {
        for metadata_len in [0, 1, 40, 100, 5000, 3 << 20, HEADER_LEN_MAX - 1000] {
            for head in heads(metadata_len) {
                assert_eq!(profile(&head, None), Profile::Tensors, "{metadata_len}");
            }
        }
        for head in heads(HEADER_LEN_MAX) {
            assert_eq!(profile(&head, None), Profile::General);
        }
    }

    #[test]
    fn a_header_that_is_cut_or_lies_is_general_data() {
        for head in heads(5000) {
            for len in [0, 8, 60, head.len() - 1] {
                assert_eq!(profile(&head[..len], None), Profile::General, "{len}");
            }
        }
        let [mut safetensors, mut gguf] = heads(100);
        safetensors[0] += 1;
        gguf[8] += 1;
        assert_eq!(profile(&safetensors, None), Profile::General);
        assert_eq!(profile(&gguf, None), Profile::General);
    }

    #[test]
    fn a_header_with_a_hole_in_it_is_general_data() {
        for head in heads(200_000) {
            let len = head.len() as u64;
            assert_eq!(profile(&head, Some(len)), Profile::Tensors);
            assert_eq!(profile(&head, Some(len - 1)), Profile::General);
            assert_eq!(profile(&head, Some(0)), Profile::General);
        }
    }

    #[test]
    fn databases_and_everything_else_are_told_apart() {
        assert_eq!(profile(b"SQLite format 3\0 and pages", None), Profile::Pages);
        assert_eq!(profile(b"SQLite format 2\0 and pages", None), Profile::General);
        assert_eq!(profile(b"", None), Profile::General);
        assert_eq!(profile(&[b'{'; 100], None), Profile::General);
    }
}
