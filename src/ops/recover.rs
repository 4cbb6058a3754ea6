//! Makes a snapshot of directories that no snapshot names.
//!
//! They are left when a snapshot is lost, when a session never ended, or when the node above them
//! cannot be read any more. Until a prune deletes what nobody needs they can be had back.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::recommit::{Recommit, again, begin};
use super::repack::Repacking;
use super::rewrite::{Rewriter, Store, Sums};
use super::{Run, closing_notices, open_chunks};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, Timestamp, WriterId};
use crate::format::FrameKind;
use crate::format::entry::TreeRef;
use crate::format::list::LEVEL_MAX;
use crate::format::snapshot::{Component, PathBytes, Snapshot, State, Statistics};
use crate::format::tree::Node;
use crate::repo::Repository;
use crate::repo::adopt::read_header;
use crate::repo::chunks::Chunks;
use crate::repo::reader::Reader;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::tree::sums_of;

/// Bytes of memory that a directory takes while others are looked for.
const NODE_BYTES: u64 = 160;
/// Part of `--max-memory` for that.
const NODES_SHARE: u64 = 2;
/// Tag of the snapshot that is made.
const TAG: &str = "recovered";

/// How to recover.
#[derive(Clone, Debug)]
pub struct Options {
    /// Make the snapshot, and do not only say what would be in it.
    pub apply: bool,
    /// Name of the host.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// Name and version of the program.
    pub program: String,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Where files may be made that live as long as the run.
    pub scratch_dir: PathBuf,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Directories that no snapshot names, neither by itself nor through another one.
    pub trees: Vec<TreeRef>,
    /// The snapshot of them.
    pub made: Option<Committed>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Looks for directories that no snapshot names, forgotten ones among them.
///
/// # Errors
/// When objects cannot be listed or stored, or there is too little memory.
pub fn recover(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let recover = Recover { repository, chunks: &chunks, options };
    let (trees, made) = again("what was found", || recover.attempt(run))?;
    let mut report = Report { trees, made, notices };
    run.problems.extend(chunks.take_problems());
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

struct Recover<'a> {
    repository: &'a Repository,
    chunks: &'a Chunks,
    options: &'a Options,
}

impl Recover<'_> {
    /// One session: the trees, and the snapshot of them. `None` when another look found packs that are
    /// about to go.
    fn attempt(&self, run: &Run<'_>) -> Result<Option<(Vec<TreeRef>, Option<Committed>)>> {
        let Self { repository, chunks, options } = *self;
        let session = &begin(repository, chunks, run)?;
        let reader = Reader::new(repository, chunks);
        let trees = self.unnamed(&reader, run)?;
        if trees.is_empty() || !options.apply {
            return Ok(Some((trees, None)));
        }
        let mut store = Store::of(Repacking::new(repository, chunks, session));
        let mut rewriter = Rewriter::new(&reader, options.max_memory);
        let (root, sums) = rewriter.gather(&trees, &mut store, run)?;
        let segments = store.finish()?;
        let snapshot = self.snapshot(root, &sums, run.clock.now());
        let Options { max_memory, scratch_dir, .. } = options;
        let recommit = Recommit { reader: &reader, session, max_memory: *max_memory, scratch_dir };
        let made = recommit.commit(snapshot, segments, run)?;
        Ok(made.map(|made| (trees, Some(made))))
    }

    /// Trees to which neither a snapshot nor another tree leads.
    fn unnamed(&self, reader: &Reader<'_>, run: &Run<'_>) -> Result<Vec<TreeRef>> {
        let mut nodes: HashMap<ChunkId, TreeRef> = HashMap::new();
        let mut named: HashSet<ChunkId> = HashSet::new();
        let count_max = self.options.max_memory / NODES_SHARE / NODE_BYTES;
        self.each_node(reader, run, &mut |id, node| {
            let level = match &node {
                Node::Leaf(_) => 0,
                Node::Branch(level, _) => *level,
            };
            if let Some((entry_count, content_bytes)) = sums_of(&node) {
                nodes.insert(id, TreeRef { id, level, entry_count, content_bytes });
            }
            match node {
                Node::Leaf(all) => named.extend(all.iter().filter_map(|e| Some(e.tree?.id))),
                Node::Branch(_, all) => named.extend(all.iter().map(|child| child.id)),
            }
            match nodes.len() as u64 <= count_max {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Full, "there are too many directories")
                    .hint("Give it more memory: `--max-memory`.")),
            }
        })?;
        let kept = Snapshots::read(self.repository)?.all.into_iter();
        let forgotten = Snapshots::read_forgotten(self.repository)?.all;
        for committed in kept.chain(forgotten) {
            let components = committed.snapshot.components.iter();
            named.extend(components.filter_map(|component| Some(component.root?.id)));
        }
        let mut unnamed: Vec<TreeRef> =
            nodes.into_values().filter(|tree| !named.contains(&tree.id)).collect();
        unnamed.sort_unstable_by_key(|tree| tree.id);
        Ok(unnamed)
    }

    /// Hands over every node of a tree that can be read, some more than once.
    fn each_node(
        &self,
        reader: &Reader<'_>,
        run: &Run<'_>,
        each: &mut dyn FnMut(ChunkId, Node) -> Result<()>,
    ) -> Result<()> {
        // One that no segment names says itself what it holds.
        let may_hold_metadata = |id: &PackId| -> Result<bool> {
            let record = self.chunks.pack(id)?;
            Ok(record.is_none_or(|pack| {
                pack.frames.iter().any(|frame| frame.kind == FrameKind::Metadata)
            }))
        };
        let unindexed = self.chunks.unindexed_packs();
        for (id, len) in self.chunks.packs()?.into_iter().chain(unindexed) {
            run.cancel.check()?;
            if !may_hold_metadata(&id)? {
                continue;
            }
            let header = run.unless_lost(read_header(self.repository, id, len))?;
            let Some(header) = header else { continue };
            let frames = header.frames.iter().filter(|frame| frame.kind == FrameKind::Metadata);
            for chunk in frames.flat_map(|frame| &frame.chunks) {
                let raw = run.unless_lost(reader.chunk(FrameKind::Metadata, &chunk.id))?;
                let Some(raw) = raw else { continue };
                // What is none is a page of a list.
                let decoded = (0..=LEVEL_MAX).find_map(|level| Node::decode(&raw, level).ok());
                if let Some(node) = decoded {
                    each(chunk.id, node)?;
                }
            }
        }
        Ok(())
    }

    fn snapshot(&self, root: Option<TreeRef>, sums: &Sums, now: Timestamp) -> Snapshot {
        let Options { host, user, program, .. } = self.options;
        let component = Component {
            name: "files".to_owned(),
            kind: "files".to_owned(),
            tier: None,
            root,
            statistics: Statistics {
                file_count: sums.file_count,
                directory_count: sums.directory_count,
                other_count: sums.other_count,
                content_bytes: root.map_or(0, |tree| tree.content_bytes),
                problem_count: sums.lost_file_count + sums.lost_directory_count,
                ..Statistics::default()
            },
            state: State::Incomplete,
            paths: vec![PathBytes(format!("/{TAG}").into_bytes())],
        };
        Snapshot {
            components: vec![component],
            recovery_point: None,
            time: now,
            finished: now,
            host: host.clone(),
            user: user.clone(),
            tags: vec![TAG.to_owned()],
            program: program.clone(),
            writer: WriterId::random(),
            sequence: 1,
            parent: None,
            segments: Vec::new(),
            seen: Vec::new(),
            signature: None,
            description: Some("directories that no snapshot named".to_owned()),
        }
    }
}
