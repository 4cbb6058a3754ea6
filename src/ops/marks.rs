//! Finds every chunk that something kept needs, with each node looked at once.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::path::PathBuf;

use super::Run;
use super::remembered::Remembered;
use super::sorted::SortedIds;
use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, Error, ErrorKind, Result};
use crate::format::entry::TreeRef;
use crate::format::list::ChunkList;
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Snapshot};
use crate::format::tree::Node;
use crate::format::{FrameKind, ObjectKind, ObjectName};
use crate::repo::chunks::{CloseLook, Whereabouts};
use crate::repo::list::read_page;
use crate::repo::reader::{Reader, damaged_chunk};
use crate::repo::snapshots::read_decision;

/// Parts of `--max-memory` for ids that wait to be sorted, and for nodes that were looked at.
const SORTED_SHARE: u64 = 4;
const WALKED_SHARE: u64 = 4;
/// Times that packs are looked at again because one was deleted meanwhile.
const LOOK_COUNT_MAX: usize = 10;
/// Times that they are because one does not say what it holds, which may pass.
const UNKNOWN_COUNT_MAX: usize = 2;

/// What is needed.
pub(super) struct Marks {
    ids: SortedIds,
    /// Tree nodes and pages that were looked at.
    walked: Remembered<ChunkId, ()>,
    /// Roots that were followed.
    roots: HashSet<ObjectName>,
    /// The root at which that ended because nobody can tell what it needs.
    unknown: Option<ObjectName>,
}

impl Marks {
    /// Nothing yet. Takes parts of `max_memory`, in bytes, and files in `dir`.
    pub(super) fn new(max_memory: u64, dir: PathBuf) -> Self {
        Self {
            ids: SortedIds::new(max_memory / SORTED_SHARE, dir),
            walked: Remembered::new(max_memory / WALKED_SHARE),
            roots: HashSet::new(),
            unknown: None,
        }
    }

    /// Ids that cannot be read again.
    #[cfg(test)]
    pub(super) fn unreadable(dir: PathBuf) -> Self {
        Self { ids: SortedIds::unreadable(dir.clone()), ..Self::new(0, dir) }
    }

    /// Adds all that the roots lead to which were not followed yet.
    ///
    /// A session of which nothing was decided may have lost what it relied on to a prune; it finds
    /// that out before it could commit. What is gone of its root is passed over.
    ///
    /// # Errors
    /// When a node of a snapshot cannot be read, or one that is there of a root: what it leads to is
    /// not known.
    pub(super) fn follow(
        &mut self,
        reader: &Reader<'_>,
        roots: &[(ObjectName, Snapshot)],
        run: &Run<'_>,
    ) -> Result<()> {
        let close_look = RefCell::new(None);
        for (name, snapshot) in roots {
            if self.roots.contains(name) {
                continue;
            }
            let is_pending = name.kind() == ObjectKind::Session;
            let has_passed_over = Cell::new(false);
            let is_unknown = Cell::new(false);
            let close_look = &close_look;
            let walk = Walk { reader, run, is_pending, has_passed_over, is_unknown, close_look };
            let trees = snapshot.components.iter().map(|component| component.root);
            let walked = trees.into_iter().try_for_each(|tree| self.trees(&walk, tree));
            if walked.is_err() || walk.has_passed_over.get() {
                // What lies above a part that was not read counts as looked at, and the part may be
                // there the next time: another session has stored it anew, for the same tree.
                self.walked.clear();
            }
            walked.map_err(|error| {
                self.unknown = walk.is_unknown.get().then(|| name.clone());
                unknown(name, error)
            })?;
            // Its session may have ended meanwhile, and then what it needs is not known.
            if walk.has_passed_over.get()
                && let Parsed::Session(id, _) = name.parsed()
                && let Some(Decision::Snapshot(_)) =
                    read_decision(reader.repository(), &ObjectName::snapshot(id))?
            {
                let error = Error::new(ErrorKind::Damaged, "a part of it cannot be read");
                return Err(unknown(&ObjectName::snapshot(id), error));
            }
            self.roots.insert(name.clone());
        }
        Ok(())
    }

    /// The root of a session at which the last walk ended because a pack does not say what it holds:
    /// nobody can tell whether something of the root is gone.
    pub(super) fn take_unknown(&mut self) -> Option<ObjectName> {
        self.unknown.take()
    }

    /// Hands over the ids of all chunks that are needed, sorted, in batches.
    ///
    /// # Errors
    /// Those of `each`, and when what was sorted cannot be read.
    pub(super) fn batches(&mut self, each: &mut dyn FnMut(&[ChunkId]) -> Result<()>) -> Result<()> {
        self.ids.batches(each)
    }

    fn trees(&mut self, walk: &Walk<'_>, top: Option<TreeRef>) -> Result<()> {
        let mut open: Vec<(ChunkId, u8)> = Vec::new();
        open.extend(top.map(|tree| (tree.id, tree.level)));
        while let Some((id, level)) = open.pop() {
            walk.run.cancel.check()?;
            self.ids.push(&id)?;
            if self.walked.get(&id).is_some() {
                continue;
            }
            let read = || {
                let raw = walk.reader.chunk(FrameKind::Metadata, &id)?;
                Node::decode(&raw, level).map_err(|error| damaged_chunk(&id, error))
            };
            match walk.unless_gone(&id, read)? {
                None => continue,
                Some(Node::Branch(_, children)) => {
                    open.extend(children.iter().rev().map(|child| (child.id, level - 1)));
                }
                Some(Node::Leaf(entries)) => {
                    for entry in entries {
                        open.extend(entry.tree.map(|tree| (tree.id, tree.level)));
                        if let Some(list) = entry.content {
                            self.content(walk, list)?;
                        }
                    }
                }
            }
            self.walked.insert(id, ());
        }
        Ok(())
    }

    fn content(&mut self, walk: &Walk<'_>, list: ChunkList) -> Result<()> {
        let mut open = Vec::new();
        let mut next = Some(list);
        while let Some(list) = next {
            for piece in list.pieces {
                self.ids.push(&piece.id)?;
                if list.level > 0 && self.walked.get(&piece.id).is_none() {
                    open.push((piece, list.level - 1));
                }
            }
            next = None;
            while let (None, Some((piece, level))) = (&next, open.pop()) {
                walk.run.cancel.check()?;
                next = walk.unless_gone(&piece.id, || read_page(walk.reader, &piece, level))?;
                if next.is_some() {
                    self.walked.insert(piece.id, ());
                }
            }
        }
        Ok(())
    }
}

/// How one root is walked.
struct Walk<'a> {
    reader: &'a Reader<'a>,
    run: &'a Run<'a>,
    /// Whether its session has not been decided.
    is_pending: bool,
    /// Whether something of it was missing.
    has_passed_over: Cell<bool>,
    /// Whether it cannot be told if something of it is missing.
    is_unknown: Cell<bool>,
    /// Taken when something of a root could not be read; the roots were found before.
    close_look: &'a RefCell<Option<CloseLook>>,
}

impl Walk<'_> {
    /// Reads what `id` names; `None` if it is gone and its session was not decided. That it cannot
    /// be read is not enough: the next time it can, the session knows nothing of that, and what
    /// lies below would be deleted.
    fn unless_gone<T>(&self, id: &ChunkId, read: impl Fn() -> Result<T>) -> Result<Option<T>> {
        for attempt in 0.. {
            let error = match read() {
                Err(error) if self.is_pending && error.is_loss() => error,
                read => return read.map(Some),
            };
            if !keeps(Rule::Gone) {
                break;
            }
            let chunks = self.reader.chunks();
            let mut look = self.close_look.borrow_mut();
            let whereabouts = match &*look {
                Some(_) if attempt == 0 => continue,
                Some(taken) => Some(taken.whereabouts(chunks, id)?),
                None => None,
            };
            match whereabouts {
                Some(Whereabouts::Gone) => break,
                // It was deleted after that look.
                Some(Whereabouts::There)
                    if error.kind == ErrorKind::NotFound && attempt < LOOK_COUNT_MAX => {}
                Some(Whereabouts::Unknown) if attempt < UNKNOWN_COUNT_MAX => {}
                None => {}
                Some(other) => {
                    self.is_unknown.set(other == Whereabouts::Unknown);
                    return Err(error);
                }
            }
            let taken = look.insert(chunks.look_closely()?);
            self.reader.ask_again(|pack| taken.lists(pack));
        }
        self.has_passed_over.set(true);
        Ok(None)
    }
}

fn unknown(name: &ObjectName, error: Error) -> Error {
    let message = format!("it is not known what {} {name} needs", name.kind().noun());
    let hint = if name.kind() == ObjectKind::Session {
        "Nothing was pruned. Try again; if it stays so, `parados check --read-data` says which packs \
         cannot be read. A run that stored nothing for 14 days is given up, and needs nothing then."
    } else {
        "Nothing was pruned. `parados check` says what is damaged; a backup of the sources may heal \
         it, and a snapshot that is lost can be forgotten."
    };
    Error::new(error.kind, message).because(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::base::SessionId;
    use crate::format::ObjectKind;
    use crate::ops::open_chunks;
    use crate::ops::tests::{Counts, World, noise};
    use crate::repo::access::list_names;

    /// All that a snapshot needs, with what was looked at before.
    fn needs(marks: &mut Marks, reader: &Reader<'_>, root: (ObjectName, Snapshot)) -> Vec<ChunkId> {
        marks.follow(reader, &[root], &Counts::default().run()).unwrap();
        let mut all = Vec::new();
        let mut each = |batch: &[ChunkId]| {
            all.extend_from_slice(batch);
            Ok(())
        };
        marks.batches(&mut each).unwrap();
        all
    }

    /// Paths of the packs that are stored.
    fn packs(world: &World) -> HashSet<PathBuf> {
        let names = list_names(&**world.repository.backend(), ObjectKind::Pack).unwrap();
        let top = world.dir.path().join("repository");
        names.iter().map(|name| top.join(name.as_str())).collect()
    }

    /// A session that was never decided has lost a directory; another one has stored that anew, and
    /// committed the same tree.
    #[test]
    fn what_was_passed_over_in_one_tree_is_looked_at_in_another() {
        let world = World::new();
        fs::create_dir_all(world.source().join("inner")).unwrap();
        fs::write(world.source().join("inner/file"), noise(1, 100_000)).unwrap();
        world.backup();
        let of_inner = packs(&world);
        fs::write(world.source().join("more"), "more").unwrap();
        let (report, _) = world.backup();
        let snapshot = report.snapshot;
        let counts = Counts::default();
        let marks = || Marks::new(64 << 20, world.dir.path().to_path_buf());
        let committed = (ObjectName::snapshot(SessionId::new([1; 32])), snapshot.clone());
        let pending = (ObjectName::session(SessionId::new([2; 32]), 0), snapshot);
        let open = || open_chunks(&world.repository, None, &counts.run()).unwrap().0;
        let chunks = open();
        let whole =
            needs(&mut marks(), &Reader::new(&world.repository, &chunks), committed.clone());

        let away = |path: &PathBuf| path.with_extension("away");
        of_inner.iter().for_each(|path| fs::rename(path, away(path)).unwrap());
        let mut marks = marks();
        let chunks = open();
        let part = needs(&mut marks, &Reader::new(&world.repository, &chunks), pending);
        assert!(part.len() < whole.len(), "nothing was passed over");
        of_inner.iter().for_each(|path| fs::rename(away(path), path).unwrap());
        let chunks = open();
        let all = needs(&mut marks, &Reader::new(&world.repository, &chunks), committed);
        assert_eq!(all, whole);
    }
}
