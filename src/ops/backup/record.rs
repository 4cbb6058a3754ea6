//! Writes down what a run captured, as the snapshot that is to be committed.

use super::Options;
use crate::base::{SessionId, Timestamp};
use crate::format::entry::TreeRef;
use crate::format::snapshot::{Component, PathBytes, Seen, Snapshot, State, Statistics};
use crate::ops::Run;
use crate::ops::writer::Writer;

/// What only the run knows.
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) kind: &'static str,
    pub(super) paths: Vec<PathBytes>,
    pub(super) parent: Option<SessionId>,
    pub(super) writer: Writer,
    pub(super) seen: Vec<Seen>,
}

/// What of the sources is captured.
#[derive(Clone, Copy)]
pub(super) struct Content {
    pub(super) tree: Option<TreeRef>,
    pub(super) state: State,
    pub(super) problem_count: u64,
}

impl Record {
    /// The snapshot, without the segments that its session stored.
    pub(super) fn to_snapshot(
        &self,
        content: Content,
        options: &Options,
        run: &Run<'_>,
    ) -> Snapshot {
        let mut tags = options.tags.clone();
        tags.sort();
        tags.dedup();
        Snapshot {
            components: vec![self.component(content, run)],
            recovery_point: None,
            time: self.time,
            finished: run.clock.now(),
            host: options.host.clone(),
            user: options.user.clone(),
            tags,
            program: options.program.clone(),
            writer: self.writer.id,
            sequence: self.writer.sequence,
            parent: self.parent,
            segments: Vec::new(),
            seen: self.seen.clone(),
            signature: None,
            description: options.description.clone(),
        }
    }

    fn component(&self, content: Content, run: &Run<'_>) -> Component {
        let Content { tree, state, problem_count } = content;
        Component {
            name: self.kind.to_owned(),
            kind: self.kind.to_owned(),
            tier: None,
            root: tree,
            statistics: statistics(run, problem_count),
            state,
            paths: self.paths.clone(),
        }
    }
}

fn statistics(run: &Run<'_>, problem_count: u64) -> Statistics {
    let progress = run.progress;
    Statistics {
        file_count: progress.files_done.get(),
        directory_count: progress.directories_done.get(),
        other_count: progress.others_done.get(),
        content_bytes: progress.bytes_done.get(),
        new_bytes: progress.new_data_bytes.get() + progress.new_metadata_bytes.get(),
        stored_bytes: progress.stored_bytes.get(),
        problem_count,
    }
}
