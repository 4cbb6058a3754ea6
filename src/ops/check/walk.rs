//! Walks every snapshot, each node once, down to the chunks that files need.

use std::collections::HashSet;
use std::rc::Rc;

use super::findings::{AFFECTED_COUNT_MAX, Findings};
use crate::base::text::escape;
use crate::base::{ChunkId, PackId, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::format::list::{ChunkList, Piece};
use crate::format::{FrameKind, ObjectName};
use crate::ops::Run;
use crate::ops::remembered::Remembered;
use crate::repo::chunks::Located;
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

/// Chunks that are to be looked up, and where they are needed.
type Wanted = Vec<(Piece, Rc<Place>)>;

/// Walks snapshots, each node once.
pub(super) struct Walker<'a> {
    reader: &'a Reader<'a>,
    run: &'a Run<'a>,
    /// Packs that are not as they were stored; what they hold must be tried chunk by chunk.
    damaged: HashSet<PackId>,
    /// Whether a pack can be relied on, for those that were asked about.
    sound: Remembered<PackId, bool>,
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
            damaged,
            sound: Remembered::new(max_memory / SOUND_SHARE),
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
        let mut wanted = Wanted::new();
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
        wanted: &mut Wanted,
    ) -> Result<()> {
        // A level of pages each, of which one at a time is open.
        let open = |list: ChunkList| (list.level, list.pieces.into_iter());
        let mut levels: Vec<_> = entry.content.clone().map(open).into_iter().collect();
        while let Some((level, pieces)) = levels.last_mut() {
            self.run.cancel.check()?;
            let level = *level;
            let Some(piece) = pieces.next() else {
                levels.pop();
                continue;
            };
            if level == 0 {
                if self.seen.get(&piece.id) != Some(piece.len) {
                    wanted.push((piece, Rc::clone(place)));
                }
                // A file may have more chunks than memory has room for.
                if wanted.len() >= LOOKUP_COUNT {
                    self.look_up(snapshot, std::mem::take(wanted))?;
                }
                continue;
            }
            let times = self.expanded.get(&(piece, level)).unwrap_or(0);
            if times >= AFFECTED_COUNT_MAX {
                continue;
            }
            self.expanded.insert((piece, level), times + 1);
            match read_page(self.reader, &piece, level - 1) {
                Ok(page) => levels.push(open(page)),
                Err(error) => {
                    let path = format!("snapshot {snapshot}: {}", place.path());
                    self.findings.affect_by(&error, path);
                }
            }
        }
        Ok(())
    }

    fn look_up(&mut self, snapshot: &str, wanted: Wanted) -> Result<()> {
        let ids: Vec<ChunkId> = wanted.iter().map(|(piece, _)| piece.id).collect();
        let located = self.reader.chunks().locate(&ids)?;
        let mut last: Option<(Rc<Place>, String)> = None;
        for ((piece, place), copies) in wanted.into_iter().zip(located) {
            if copies.iter().any(|copy| self.is_good(&piece, copy)) || self.can_be_read(&piece) {
                self.seen.insert(piece.id, piece.len);
                continue;
            }
            let object = match copies.first() {
                Some(copy) => format!("pack {}", ObjectName::pack(copy.pack.id)),
                None => "index".to_owned(),
            };
            // A file of many lost chunks is named once.
            if last.as_ref().is_some_and(|(p, o)| Rc::ptr_eq(p, &place) && *o == object) {
                continue;
            }
            let shown = format!("snapshot {snapshot}: {}", place.path());
            self.findings.affect(object.clone(), "chunks are in no pack that is left", shown);
            last = Some((place, object));
        }
        Ok(())
    }

    /// Whether a copy is what the file needs, in a pack that is as it was stored.
    fn is_good(&mut self, piece: &Piece, copy: &Located) -> bool {
        let frame = copy.pack.frames.get(copy.place.frame as usize);
        let fits = frame.is_some_and(|frame| frame.kind == FrameKind::Data)
            && u64::from(copy.place.len) == piece.len;
        if !fits {
            return false;
        }
        let id = copy.pack.id;
        if let Some(is_sound) = self.sound.get(&id) {
            return is_sound;
        }
        let is_sound = self.reader.chunks().is_alive(&id) && !self.damaged.contains(&id);
        self.sound.insert(id, is_sound);
        is_sound
    }

    /// Whether some copy of a chunk is good all the same.
    fn can_be_read(&self, piece: &Piece) -> bool {
        let read = self.reader.chunk(FrameKind::Data, &piece.id);
        read.is_ok_and(|raw| raw.len() as u64 == piece.len)
    }
}
