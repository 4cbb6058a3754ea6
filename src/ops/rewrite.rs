//! Rewrites trees without what is lost of them: each entry says then which of its ranges were.
//!
//! Lost chunks of files become zeros, so that what is left stays where it was. What is whole comes out
//! as it went in, with the same ids.

use std::collections::HashSet;

use super::Run;
use super::pieces::{Found, Offsets, Pieces};
use super::remembered::Remembered;
use super::repack::Repacking;
use crate::base::text::escape;
use crate::base::{ChunkId, Error, ErrorKind, Result, SegmentId};
use crate::format::FrameKind;
use crate::format::entry::{Entry, EntryKind, HOLE_COUNT_MAX, Range, TreeRef, flags};
use crate::format::list::{ChunkList, Piece};
use crate::repo::list::{ListBuilder, Ranged, for_each_range};
use crate::repo::reader::Reader;
use crate::repo::session::Stored;
use crate::repo::tree::{DEPTH_MAX, EncodedEntry, TreeBuilder, Walk};

/// Parts of `--max-memory` for directories that were rewritten, and for packs that were asked about.
const REWRITTEN_SHARE: u64 = 8;
const SOUND_SHARE: u64 = 32;
/// Chunks that are looked up at a time.
const LOOKUP_COUNT: usize = 4096;
/// Longest chunk of zeros in the place of what is lost.
const ZEROS_LEN_MAX: u64 = 1 << 20;
/// Digits of an id that name a directory.
const NAME_LEN: usize = 16;
/// Longest part of a file for which nothing but its length is known; a page of a list that somebody made
/// up may stand for any number of bytes.
const LOST_LEN_MAX: u64 = 1 << 40;
/// Most paths that are named.
const NAMED_COUNT_MAX: usize = 20;

/// What a tree holds, and what of it was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) file_count: u64,
    pub(super) directory_count: u64,
    pub(super) other_count: u64,
    /// Files of which ranges are lost.
    pub(super) lost_file_count: u64,
    /// Bytes of these ranges.
    pub(super) lost_bytes: u64,
    /// Directories of which names are lost.
    pub(super) lost_directory_count: u64,
    /// Entries in these and below, of which nothing is known any more.
    pub(super) lost_entry_count: u64,
}

impl Sums {
    /// Adds those of another tree.
    pub(super) fn add(&mut self, other: &Self) {
        self.file_count += other.file_count;
        self.directory_count += other.directory_count;
        self.other_count += other.other_count;
        self.lost_file_count += other.lost_file_count;
        self.lost_bytes += other.lost_bytes;
        self.lost_directory_count += other.lost_directory_count;
        self.lost_entry_count += other.lost_entry_count;
    }

    /// Whether nothing was lost.
    pub(super) fn is_whole(&self) -> bool {
        self.lost_file_count == 0 && self.lost_directory_count == 0
    }
}

/// What became of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewritten {
    /// Absent when nothing is left.
    pub(super) tree: Option<TreeRef>,
    pub(super) sums: Sums,
    /// Whether names of its top directory are lost.
    is_torn: bool,
}

/// A directory on the way down.
struct Level<'a> {
    /// Its own entry; the top has none.
    entry: Option<Entry>,
    tree: TreeRef,
    walk: Walk<'a>,
    builder: TreeBuilder<'a>,
    sums: Sums,
    /// Entries that were met, and bytes of files, in it and below, as they were promised.
    met: (u64, u64),
    is_torn: bool,
    /// Length of the path up to here.
    path_len: usize,
}

impl Level<'_> {
    fn meet(&mut self, entry: &Entry) {
        let (below, bytes) = match &entry.tree {
            Some(tree) => (tree.entry_count, tree.content_bytes),
            None => (0, entry.size.unwrap_or(0)),
        };
        self.met.0 = self.met.0.saturating_add(1 + below);
        self.met.1 = self.met.1.saturating_add(bytes);
    }
}

/// Where new chunks go, with those that went there and that the index does not know yet.
pub(super) struct Store<'a>(Option<(Repacking<'a>, HashSet<ChunkId>)>);

impl<'a> Store<'a> {
    /// Nowhere: it is only asked what would be stored.
    pub(super) fn nowhere() -> Self {
        Self(None)
    }

    /// Packs of a session.
    pub(super) fn of(repacking: Repacking<'a>) -> Self {
        Self(Some((repacking, HashSet::new())))
    }

    /// Whether a chunk went there, or nothing goes anywhere.
    fn has(&self, id: &ChunkId) -> bool {
        self.0.as_ref().is_none_or(|(_, stored)| stored.contains(id))
    }

    /// Stores what is still open; the receipts of all segments.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub(super) fn finish(self) -> Result<Vec<Stored<SegmentId>>> {
        self.0.map_or_else(|| Ok(Vec::new()), |(repacking, _)| repacking.finish())
    }
}

/// Rewrites any number of trees, each directory once as long as it is remembered.
pub(super) struct Rewriter<'a> {
    reader: &'a Reader<'a>,
    pieces: Pieces<'a>,
    rewritten: Remembered<TreeRef, Rewritten>,
    /// The last chunk of zeros: of many one is like the other.
    zeros: Option<Piece>,
    /// The first paths of which something is lost.
    named: Vec<String>,
}

impl<'a> Rewriter<'a> {
    /// Packs must have been listed. Takes a part of `max_memory`, in bytes.
    pub(super) fn new(reader: &'a Reader<'a>, max_memory: u64) -> Self {
        Self {
            reader,
            pieces: Pieces::new(reader, HashSet::new(), max_memory / SOUND_SHARE),
            rewritten: Remembered::new(max_memory / REWRITTEN_SHARE),
            zeros: None,
            named: Vec::new(),
        }
    }

    /// The first paths of which something was found lost since the last call. Those in directories that
    /// were met before are not named again.
    pub(super) fn take_named(&mut self) -> Vec<String> {
        std::mem::take(&mut self.named)
    }

    /// Rewrites a tree; what is new of it goes to `store`, if that is wanted. A stack of its own: a tree
    /// may be deeper than a thread's stack allows.
    ///
    /// # Errors
    /// When the backend cannot be reached, the index fails, or nothing can be stored.
    pub(super) fn rewrite(
        &mut self,
        tree: TreeRef,
        store: &mut Store<'_>,
        run: &Run<'_>,
    ) -> Result<Rewritten> {
        if let Some(known) = self.rewritten.get(&tree) {
            return Ok(known);
        }
        let mut path: Vec<u8> = Vec::new();
        let mut levels = vec![self.level(None, tree, 0)];
        loop {
            run.cancel.check()?;
            let depth = levels.len();
            let level = levels.last_mut().expect("the top ends the loop");
            path.truncate(level.path_len);
            match level.walk.next() {
                Some(Ok(mut entry)) => {
                    path.push(b'/');
                    path.extend_from_slice(&entry.name);
                    level.meet(&entry);
                    match entry.tree {
                        Some(tree) if depth <= DEPTH_MAX => match self.rewritten.get(&tree) {
                            Some(known) => self.take_in(level, entry, &known, store)?,
                            None => levels.push(self.level(Some(entry), tree, path.len())),
                        },
                        _ => {
                            let lost = self.file(&mut entry, store, run)?;
                            level.sums.add(&sums_of(&entry, lost));
                            if lost > 0 {
                                self.name(format!("{}: {lost} bytes of it", escape(&path)));
                            }
                            self.push(level, &entry, store)?;
                        }
                    }
                }
                Some(Err(error)) => {
                    unless_lost(error)?;
                    if !std::mem::replace(&mut level.is_torn, true) {
                        level.sums.lost_directory_count += 1;
                        self.name(format!("{}/: names in it", escape(&path)));
                    }
                }
                None => {
                    let level = levels.pop().expect("there is a last one");
                    let Level { entry, tree, builder, mut sums, met, is_torn, .. } = level;
                    if is_torn {
                        sums.lost_entry_count += tree.entry_count.saturating_sub(met.0);
                        sums.lost_bytes += tree.content_bytes.saturating_sub(met.1);
                    }
                    let rebuilt = builder.finish(&mut |raw| self.metadata(raw, store))?;
                    let rewritten = Rewritten { tree: rebuilt, sums, is_torn };
                    self.rewritten.insert(tree, rewritten);
                    match (levels.last_mut(), entry) {
                        (Some(parent), Some(entry)) => {
                            self.take_in(parent, entry, &rewritten, store)?;
                        }
                        _ => return Ok(rewritten),
                    }
                }
            }
        }
    }

    /// A directory of trees, each under the first digits of its id; absent when nothing of them is left.
    ///
    /// # Errors
    /// As [`Self::rewrite`].
    pub(super) fn gather(
        &mut self,
        trees: &[TreeRef],
        store: &mut Store<'_>,
        run: &Run<'_>,
    ) -> Result<(Option<TreeRef>, Sums)> {
        let mut builder = TreeBuilder::new(self.reader.repository().keyring());
        let mut sums = Sums::default();
        for tree in trees {
            let rewritten = self.rewrite(*tree, store, run)?;
            sums.add(&rewritten.sums);
            sums.directory_count += 1;
            let mut entry =
                Entry::new(&tree.id.to_hex().as_bytes()[..NAME_LEN], EntryKind::Directory);
            (entry.mode, entry.tree) = (0o700, rewritten.tree);
            if rewritten.is_torn {
                entry.set_flag(flags::INCOMPLETE);
            }
            builder.push(&EncodedEntry::new(&entry), &mut |raw| self.metadata(raw, store))?;
        }
        let root = builder.finish(&mut |raw| self.metadata(raw, store))?;
        Ok((root, sums))
    }

    fn level(&self, entry: Option<Entry>, tree: TreeRef, path_len: usize) -> Level<'a> {
        let walk = Walk::new(self.reader, Some(&tree));
        let builder = TreeBuilder::new(self.reader.repository().keyring());
        let sums = Sums::default();
        Level { entry, tree, walk, builder, sums, met: (0, 0), is_torn: false, path_len }
    }

    /// Adds a directory that is rewritten to the one it is in.
    fn take_in(
        &mut self,
        parent: &mut Level<'a>,
        mut entry: Entry,
        rewritten: &Rewritten,
        store: &mut Store<'_>,
    ) -> Result<()> {
        entry.tree = rewritten.tree;
        if rewritten.is_torn {
            entry.set_flag(flags::INCOMPLETE);
        }
        parent.sums.add(&rewritten.sums);
        parent.sums.directory_count += 1;
        self.push(parent, &entry, store)
    }

    fn push(&mut self, level: &mut Level<'a>, entry: &Entry, store: &mut Store<'_>) -> Result<()> {
        level.builder.push(&EncodedEntry::new(entry), &mut |raw| self.metadata(raw, store))
    }

    fn name(&mut self, path: String) {
        if self.named.len() < NAMED_COUNT_MAX {
            self.named.push(path);
        }
    }

    /// Puts zeros in the place of what is lost of a file; how many bytes.
    fn file(&mut self, entry: &mut Entry, store: &mut Store<'_>, run: &Run<'_>) -> Result<u64> {
        let Some(list) = &entry.content else { return Ok(0) };
        let mut is_whole = true;
        self.parts(list, &mut |_, part| {
            is_whole &= matches!(part, Part::There(_));
            run.cancel.check()
        })?;
        if is_whole {
            return Ok(0);
        }
        let mut builder = ListBuilder::default();
        let mut losses = Losses::default();
        let mut offsets = Offsets::new(entry.holes.as_deref().unwrap_or_default());
        self.parts(list, &mut |this, part| match part {
            Part::There(piece) => {
                offsets.next(piece.len);
                builder.push(piece, &mut |raw| this.metadata(raw, store))
            }
            Part::Lost(len) if len > LOST_LEN_MAX => {
                let name = escape(&entry.name);
                let message = format!("more is lost of {name} than can be filled with zeros");
                Err(Error::new(ErrorKind::Unsupported, message)
                    .hint("What is left of the other files can be restored from the old snapshot."))
            }
            Part::Lost(len) => {
                offsets.next_ranges(len).into_iter().for_each(|range| losses.add(range));
                let mut rest = len;
                while rest > 0 {
                    run.cancel.check()?;
                    let piece = this.zeros(rest.min(ZEROS_LEN_MAX), store)?;
                    builder.push(piece, &mut |raw| this.metadata(raw, store))?;
                    rest -= piece.len;
                }
                Ok(())
            }
        })?;
        entry.content = builder.finish(&mut |raw| self.metadata(raw, store))?;
        let lost_bytes = losses.bytes;
        if !losses.note_in(entry) {
            entry.set_flag(flags::INCOMPLETE);
        }
        Ok(lost_bytes)
    }

    /// Hands over the parts of a list in their order.
    fn parts(
        &mut self,
        list: &ChunkList,
        each: &mut dyn FnMut(&mut Self, Part) -> Result<()>,
    ) -> Result<()> {
        let mut window: Vec<Piece> = Vec::new();
        let reader = self.reader;
        for_each_range(reader, list, &mut |range| {
            let lost = match range {
                Ranged::Chunk(piece) => {
                    window.push(piece);
                    None
                }
                Ranged::Lost(len, error) => {
                    unless_lost(error)?;
                    Some(len)
                }
            };
            if lost.is_some() || window.len() >= LOOKUP_COUNT {
                self.look_up(&mut window, each)?;
            }
            lost.map_or(Ok(()), |len| each(self, Part::Lost(len)))
        })?;
        self.look_up(&mut window, each)
    }

    fn look_up(
        &mut self,
        window: &mut Vec<Piece>,
        each: &mut dyn FnMut(&mut Self, Part) -> Result<()>,
    ) -> Result<()> {
        let found = self.pieces.look_up(window)?;
        for (piece, found) in window.drain(..).zip(found) {
            each(
                self,
                if found == Found::There { Part::There(piece) } else { Part::Lost(piece.len) },
            )?;
        }
        Ok(())
    }

    /// A chunk of zeros, stored unless it is there.
    fn zeros(&mut self, len: u64, store: &mut Store<'_>) -> Result<Piece> {
        if let Some(known) = self.zeros.filter(|piece| piece.len == len && store.has(&piece.id)) {
            return Ok(known);
        }
        let raw = vec![0; len as usize];
        let piece = Piece { id: self.put(FrameKind::Data, &raw, store)?, len };
        self.zeros = Some(piece);
        Ok(piece)
    }

    fn metadata(&mut self, raw: Vec<u8>, store: &mut Store<'_>) -> Result<ChunkId> {
        self.put(FrameKind::Metadata, &raw, store)
    }

    fn put(&mut self, kind: FrameKind, raw: &[u8], store: &mut Store<'_>) -> Result<ChunkId> {
        let id = self.reader.repository().keyring().chunk_id(kind, raw);
        let Store(Some((repacking, stored))) = store else { return Ok(id) };
        if !stored.contains(&id) && !self.reader.chunks().find_alive(&[id])?[0] {
            repacking.push_chunk(kind, id, raw)?;
            stored.insert(id);
        }
        Ok(id)
    }
}

/// A part of a file.
enum Part {
    There(Piece),
    /// So many bytes that are lost.
    Lost(u64),
}

/// Ranges of a file that are lost.
#[derive(Default)]
struct Losses {
    /// Ascending and apart.
    ranges: Vec<Range>,
    bytes: u64,
    /// Whether there are more than an entry can say.
    is_cut: bool,
}

impl Losses {
    /// Adds a range behind all others.
    fn add(&mut self, range: Range) {
        self.bytes += range.len;
        let is_full = self.ranges.len() >= HOLE_COUNT_MAX;
        match self.ranges.last_mut() {
            Some(last) if last.offset + last.len == range.offset => last.len += range.len,
            _ if is_full => self.is_cut = true,
            _ => self.ranges.push(range),
        }
    }

    /// Notes the ranges in an entry, beside those that it has; whether there was room for all.
    fn note_in(self, entry: &mut Entry) -> bool {
        let mut all = self.ranges;
        all.extend(entry.lost.iter().flatten());
        all.sort_unstable_by_key(|range| range.offset);
        let mut joined: Vec<Range> = Vec::with_capacity(all.len());
        for range in all {
            match joined.last_mut() {
                Some(last) if last.offset + last.len >= range.offset => {
                    let end = (last.offset + last.len).max(range.offset + range.len);
                    last.len = end - last.offset;
                }
                _ => joined.push(range),
            }
        }
        let fits = joined.len() <= HOLE_COUNT_MAX && !self.is_cut;
        joined.truncate(HOLE_COUNT_MAX);
        entry.lost = Some(joined);
        fits
    }
}

fn sums_of(entry: &Entry, lost_bytes: u64) -> Sums {
    let is = |kind| u64::from(entry.kind == kind);
    let (file_count, directory_count) = (is(EntryKind::File), is(EntryKind::Directory));
    Sums {
        file_count,
        directory_count,
        other_count: 1 - file_count - directory_count,
        lost_file_count: u64::from(lost_bytes > 0),
        lost_bytes,
        ..Sums::default()
    }
}

/// Goes on after an error that says that something is lost.
fn unless_lost(error: Error) -> Result<()> {
    if error.is_loss() { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_before_stays_lost() {
        let mut entry = Entry::new(b"f", EntryKind::File);
        entry.lost = Some(vec![Range { offset: 0, len: 4 }, Range { offset: 20, len: 1 }]);
        let mut losses = Losses::default();
        for (offset, len) in [(4, 3), (7, 2), (15, 5)] {
            losses.add(Range { offset, len });
        }
        assert_eq!((losses.ranges.len(), losses.bytes), (2, 10));
        assert!(losses.note_in(&mut entry));
        let expect = [Range { offset: 0, len: 9 }, Range { offset: 15, len: 6 }];
        assert_eq!(entry.lost.as_deref(), Some(&expect[..]));
    }
}
