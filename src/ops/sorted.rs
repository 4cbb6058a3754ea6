//! Ids by the million, sorted and each once, in bounded memory: what has no room is kept in a file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use crate::base::error::kind_of_io;
use crate::base::id::ID_LEN;
use crate::base::{ChunkId, Error, Result};

/// Ids that are handed over at a time.
const BATCH_COUNT: usize = 4096;
/// Runs that are merged at a time; more are merged into one first, so that not every id of a huge
/// repository costs an open file.
const RUN_COUNT_MAX: usize = 64;
/// Bytes that are read of a run at a time.
const READ_LEN: usize = 64 << 10;

type Bytes = [u8; ID_LEN];

/// A set of chunk ids.
pub(super) struct SortedIds {
    buffer: Vec<Bytes>,
    count_max: usize,
    /// Sorted runs, in files that have no name any more.
    runs: Vec<File>,
    /// Where these are made.
    dir: PathBuf,
}

impl SortedIds {
    /// A set that takes at most `max_bytes` of memory, and files in `dir`.
    pub(super) fn new(max_bytes: u64, dir: PathBuf) -> Self {
        let count_max = (max_bytes as usize / ID_LEN).max(BATCH_COUNT);
        Self { buffer: Vec::new(), count_max, runs: Vec::new(), dir }
    }

    /// Adds an id, which may be there already.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn push(&mut self, id: &ChunkId) -> Result<()> {
        if self.buffer.len() >= self.count_max {
            self.tidy();
            // Mostly the same ids again: there is room.
            if self.buffer.len() > self.count_max / 2 {
                self.spill()?;
            }
        }
        self.buffer.push(*id.as_bytes());
        Ok(())
    }

    /// Hands every id over once, sorted, in batches. May be called again.
    ///
    /// # Errors
    /// Those of `each`, and when a file cannot be read.
    pub(super) fn batches(&mut self, each: &mut dyn FnMut(&[ChunkId]) -> Result<()>) -> Result<()> {
        self.tidy();
        let mut batch = Vec::with_capacity(BATCH_COUNT);
        let mut hand_over = |id: Bytes| {
            batch.push(ChunkId::new(id));
            if batch.len() < BATCH_COUNT {
                return Ok(());
            }
            each(&batch)?;
            batch.clear();
            Ok(())
        };
        merge(&mut self.runs, &self.buffer, &mut hand_over)?;
        if batch.is_empty() { Ok(()) } else { each(&batch) }
    }

    fn tidy(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup();
    }

    fn spill(&mut self) -> Result<()> {
        let mut file = BufWriter::new(self.new_file()?);
        for id in self.buffer.drain(..) {
            file.write_all(&id).map_err(|error| self_error(&self.dir, error))?;
        }
        let file = file.into_inner().map_err(|error| self_error(&self.dir, error.into_error()))?;
        self.runs.push(file);
        if self.runs.len() < RUN_COUNT_MAX {
            return Ok(());
        }
        let mut merged = BufWriter::new(self.new_file()?);
        let dir = &self.dir;
        merge(&mut self.runs, &[], &mut |id| {
            merged.write_all(&id).map_err(|error| self_error(dir, error))
        })?;
        let file = merged.into_inner().map_err(|error| self_error(dir, error.into_error()))?;
        self.runs = vec![file];
        Ok(())
    }

    fn new_file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.dir).map_err(|error| self_error(&self.dir, error))
    }
}

/// Why ids could not be sorted: nothing else is to blame.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct SortError(#[from] std::io::Error);

impl SortError {
    /// Whether an error says so.
    pub(super) fn is_cause_of(error: &Error) -> bool {
        error.source.as_ref().is_some_and(|source| source.is::<Self>())
    }
}

fn unsorted(message: String, error: std::io::Error) -> Error {
    let told = Error::new(kind_of_io(&error), message);
    told.because(SortError(error))
        .hint("Prune with more room for temporary files, or `--max-memory`.")
}

fn self_error(dir: &std::path::Path, error: std::io::Error) -> Error {
    let shown = crate::base::text::escape(dir.as_os_str().as_encoded_bytes());
    unsorted(format!("could not sort ids in {shown}"), error)
}

/// Hands over the ids of sorted runs in order, each once.
fn merge(
    files: &mut [File],
    buffer: &[Bytes],
    hand_over: &mut dyn FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    let failed = |error| unsorted("could not read sorted ids".to_owned(), error);
    let mut readers = Vec::with_capacity(files.len());
    for file in files {
        file.rewind().map_err(failed)?;
        readers.push(BufReader::with_capacity(READ_LEN, &*file));
    }
    let mut rest = buffer.iter();
    let buffer_no = readers.len();
    let mut next = |no: usize| -> Result<Option<Bytes>> {
        let Some(reader) = readers.get_mut(no) else { return Ok(rest.next().copied()) };
        let mut id = [0; ID_LEN];
        match reader.read_exact(&mut id) {
            Ok(()) => Ok(Some(id)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(failed(error)),
        }
    };
    let mut heap = BinaryHeap::new();
    for no in 0..=buffer_no {
        heap.extend(next(no)?.map(|id| Reverse((id, no))));
    }
    let mut last = None;
    while let Some(Reverse((id, no))) = heap.pop() {
        heap.extend(next(no)?.map(|id| Reverse((id, no))));
        if last != Some(id) {
            hand_over(id)?;
            last = Some(id);
        }
    }
    Ok(())
}

#[cfg(test)]
impl SortedIds {
    /// Ids that cannot be read again: what they were written to is not open for reading.
    pub(super) fn unreadable(dir: PathBuf) -> Self {
        let run = File::create(dir.join("run")).unwrap();
        Self { runs: vec![run], ..Self::new(0, dir) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_come_sorted_and_once_however_little_memory_there_is() {
        let dir = tempfile::tempdir().unwrap();
        // Far less than there are ids, so that runs are merged as well.
        let mut sorted = SortedIds::new(1, dir.path().to_path_buf());
        let mut expect = BTreeSet::new();
        for n in 0u64..700_000 {
            let id = ChunkId::new(*blake3::hash(&(n % 600_000).to_le_bytes()).as_bytes());
            sorted.push(&id).unwrap();
            expect.insert(id);
        }
        for _ in 0..2 {
            let mut found = Vec::new();
            sorted
                .batches(&mut |batch| {
                    assert!(batch.len() <= BATCH_COUNT);
                    found.extend_from_slice(batch);
                    Ok(())
                })
                .unwrap();
            assert!(found.iter().eq(expect.iter()));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
