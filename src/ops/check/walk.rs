//! Walks every snapshot, each node once, down to the chunks that files need.

use std::collections::HashSet;
use std::rc::Rc;

use super::findings::{AFFECTED_COUNT_MAX, Findings};
use crate::base::text::escape;
use crate::base::{ChunkId, PackId, Result};
use crate::format::ObjectName;
use crate::format::entry::{Entry, Range, TreeRef};
use crate::format::list::{ChunkList, Piece};
use crate::ops::Run;
use crate::ops::pieces::{Found, Offsets, Pieces};
use crate::ops::remembered::Remembered;
use crate::repo::list::read_page;
use crate::repo::reader::Reader;
use crate::repo::snapshots::Committed;
use crate::repo::tree::{DEPTH_MAX, Walk};

/// Part of `--max-memory` for chunks that were seen, for directories, for pages that were opened,
/// and for packs that were asked about.
const SEEN_SHARE: u64 = 8;
const WALKED_SHARE: u64 = 8;
const EXPANDED_SHARE: u64 = 32;
const SOUND_SHARE: u64 = 32;
/// Chunks that are looked up at a time.
const LOOKUP_COUNT: usize = 4096;
/// Ranges of one file that a finding names.
const RANGE_COUNT_MAX: usize = 3;

/// A place in a snapshot. It names its directory instead of repeating its path, so that what is still
/// to be walked takes little memory however deep it lies.
struct Place {
    directory: Option<Rc<Place>>,
    name: Vec<u8>,
    depth: usize,
}

impl Place {
    fn below(directory: &Rc<Self>, name: &[u8]) -> Rc<Self> {
        let depth = directory.depth + 1;
        Rc::new(Self { directory: Some(Rc::clone(directory)), name: name.to_vec(), depth })
    }

    /// The path for messages, escaped.
    fn path(&self) -> String {
        let mut names = Vec::new();
        let mut place = self;
        while let Some(directory) = &place.directory {
            names.push(&place.name[..]);
            place = directory;
        }
        names.iter().rev().map(|name| format!("/{}", escape(name))).collect()
    }
}

/// A chunk that is to be looked up.
struct Want {
    piece: Piece,
    /// The file that needs it.
    place: Rc<Place>,
    /// Where in the file it starts.
    offset: u64,
}

/// Lost bytes of one file that should be in one object.
struct Loss {
    object: String,
    place: Rc<Place>,
    /// Ascending and apart.
    ranges: Vec<Range>,
}

impl Loss {
    fn add(&mut self, offset: u64, len: u64) {
        match self.ranges.last_mut() {
            Some(last) if last.offset + last.len == offset => last.len += len,
            _ => self.ranges.push(Range { offset, len }),
        }
    }

    /// The ranges for messages, the first few.
    fn told(&self) -> String {
        let shown = self.ranges.iter().take(RANGE_COUNT_MAX);
        let shown =
            shown.map(|range| format!("{} to {}", range.offset, range.offset + range.len - 1));
        let more = match self.ranges.len().saturating_sub(RANGE_COUNT_MAX) {
            0 => String::new(),
            more => format!(" and {more} more ranges"),
        };
        format!("bytes {}{more}", shown.collect::<Vec<_>>().join(", "))
    }
}

/// Walks snapshots, each node once.
pub(super) struct Walker<'a> {
    reader: &'a Reader<'a>,
    run: &'a Run<'a>,
    pieces: Pieces<'a>,
    /// Chunks that are whole, with their lengths.
    seen: Remembered<ChunkId, u64>,
    /// Directories that were walked: with the sums that a parent promises, which may be false.
    walked: Remembered<TreeRef, ()>,
    /// How often the chunks of each page of a list were looked at. Once more than a finding names is
    /// enough: a page may stand in a list any number of times.
    expanded: Remembered<(Piece, u8), usize>,
    findings: &'a mut Findings,
}

impl<'a> Walker<'a> {
    /// A walker that distrusts packs in `damaged`, and takes a part of `max_memory`, in bytes.
    pub(super) fn new(
        reader: &'a Reader<'a>,
        run: &'a Run<'a>,
        damaged: HashSet<PackId>,
        max_memory: u64,
        findings: &'a mut Findings,
    ) -> Self {
        Self {
            reader,
            run,
            pieces: Pieces::new(reader, damaged, max_memory / SOUND_SHARE),
            seen: Remembered::new(max_memory / SEEN_SHARE),
            walked: Remembered::new(max_memory / WALKED_SHARE),
            expanded: Remembered::new(max_memory / EXPANDED_SHARE),
            findings,
        }
    }

    /// Directories and chunks of files that were looked at; each once as long as it is remembered.
    pub(super) fn count(&self) -> u64 {
        self.walked.new_count + self.seen.new_count
    }

    /// Walks what a snapshot has.
    pub(super) fn snapshot(&mut self, committed: &Committed) -> Result<()> {
        let short = committed.id.short();
        for component in &committed.snapshot.components {
            let top = Rc::new(Place { directory: None, name: Vec::new(), depth: 0 });
            let mut levels: Vec<_> = component.root.map(|tree| (tree, top)).into_iter().collect();
            while let Some((tree, place)) = levels.pop() {
                self.run.cancel.check()?;
                self.directory(&short, tree, &place, &mut levels)?;
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        snapshot: &str,
        tree: TreeRef,
        place: &Rc<Place>,
        levels: &mut Vec<(TreeRef, Rc<Place>)>,
    ) -> Result<()> {
        let path = || format!("snapshot {snapshot}: {}/", place.path());
        if place.depth > DEPTH_MAX {
            let message = format!("it lies deeper than {DEPTH_MAX} directories");
            let object = format!("a directory of snapshot {snapshot}");
            self.findings.affect(object, &message, path());
            return Ok(());
        }
        if !self.walked.insert(tree, ()) {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for entry in Walk::new(self.reader, Some(&tree)) {
            match entry {
                Ok(entry) => {
                    let below = Place::below(place, &entry.name);
                    self.content(snapshot, &entry, &below, &mut wanted)?;
                    levels.extend(entry.tree.map(|tree| (tree, below)));
                }
                Err(error) => self.findings.affect_by(&error, path()),
            }
        }
        self.look_up(snapshot, wanted)
    }

    fn content(
        &mut self,
        snapshot: &str,
        entry: &Entry,
        place: &Rc<Place>,
        wanted: &mut Vec<Want>,
    ) -> Result<()> {
        // A level of pages each, of which one at a time is open.
        let open = |list: ChunkList| (list.level, list.pieces.into_iter());
        let mut levels: Vec<_> = entry.content.clone().map(open).into_iter().collect();
        let mut offsets = Offsets::new(entry.holes.as_deref().unwrap_or_default());
        while let Some((level, pieces)) = levels.last_mut() {
            self.run.cancel.check()?;
            let level = *level;
            let Some(piece) = pieces.next() else {
                levels.pop();
                continue;
            };
            if level == 0 {
                let offset = offsets.next(piece.len);
                if self.seen.get(&piece.id) != Some(piece.len) {
                    wanted.push(Want { piece, place: Rc::clone(place), offset });
                }
                // A file may have more chunks than memory has room for.
                if wanted.len() >= LOOKUP_COUNT {
                    self.look_up(snapshot, std::mem::take(wanted))?;
                }
                continue;
            }
            let times = self.expanded.get(&(piece, level)).unwrap_or(0);
            if times >= AFFECTED_COUNT_MAX {
                offsets.next(piece.len);
                continue;
            }
            self.expanded.insert((piece, level), times + 1);
            match read_page(self.reader, &piece, level - 1) {
                Ok(page) => levels.push(open(page)),
                Err(error) => {
                    let ranges = offsets.next_ranges(piece.len);
                    let loss = Loss { object: String::new(), place: Rc::clone(place), ranges };
                    let path = format!("snapshot {snapshot}: {}: {}", place.path(), loss.told());
                    self.findings.affect_by(&error, path);
                }
            }
        }
        Ok(())
    }

    fn look_up(&mut self, snapshot: &str, wanted: Vec<Want>) -> Result<()> {
        let pieces: Vec<Piece> = wanted.iter().map(|want| want.piece).collect();
        let found = self.pieces.look_up(&pieces)?;
        // A file of many lost chunks is named once.
        let mut losses: Vec<Loss> = Vec::new();
        for (Want { piece, place, offset }, found) in wanted.into_iter().zip(found) {
            let object = match found {
                Found::There => {
                    self.seen.insert(piece.id, piece.len);
                    continue;
                }
                Found::Lost(Some(pack)) => format!("pack {}", ObjectName::pack(pack)),
                Found::Lost(None) => "index".to_owned(),
            };
            let of_file =
                losses.iter_mut().rev().take_while(|loss| Rc::ptr_eq(&loss.place, &place));
            match of_file.into_iter().find(|loss| loss.object == object) {
                Some(loss) => loss.add(offset, piece.len),
                None => {
                    let ranges = vec![Range { offset, len: piece.len }];
                    losses.push(Loss { object, place, ranges });
                }
            }
        }
        for loss in losses {
            let shown = format!("snapshot {snapshot}: {}: {}", loss.place.path(), loss.told());
            self.findings.affect(loss.object, "chunks are in no pack that is left", shown);
        }
        Ok(())
    }
}
