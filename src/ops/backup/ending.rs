//! Ends a session: with a snapshot, or without one where none is wanted.

use super::{Made, Options, epoch};
use crate::base::rules::{Rule, keeps};
use crate::base::{Result, SegmentId, SessionId};
use crate::format::snapshot::Snapshot;
use crate::index::remembered::LastEpoch;
use crate::ops::Run;
use crate::ops::writer::Writer;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Recheck, Session, Stored};
use crate::repo::snapshots::{Committed, Snapshots};

/// A session whose sources are captured.
pub(super) struct Ending<'a> {
    pub(super) repository: &'a Repository,
    pub(super) chunks: &'a Chunks,
    pub(super) options: &'a Options,
    pub(super) session: &'a Session<'a>,
    pub(super) segments: &'a [Stored<SegmentId>],
    /// Whether packs were stored.
    pub(super) has_stored: bool,
    pub(super) parent: Option<&'a Committed>,
    /// Whether files were taken over from the parent without asking for their chunks.
    pub(super) takes_over: bool,
    /// Stands for host and sources.
    pub(super) scope: [u8; 32],
    /// Epoch of the rows of this run.
    pub(super) epoch: u64,
    pub(super) writer: Writer,
}

impl Ending<'_> {
    /// What comes of `snapshot`. `None` when another look found that the session relied on packs or
    /// a parent that are about to go.
    ///
    /// # Errors
    /// When the repository cannot be read or written, or the session was fenced off.
    pub(super) fn run(&self, snapshot: Snapshot, run: &Run<'_>) -> Result<Option<Made>> {
        if let Some(parent) = self.unchanged(&snapshot)
            && !self.is_tombed(parent.id, run)?
        {
            if !self.options.dry_run {
                self.keep_epoch(parent.id);
            }
            return Ok(Some(Made::Unchanged));
        }
        if self.options.dry_run {
            return Ok(Some(Made::Nothing));
        }
        let root = self.session.put_root(snapshot, self.segments)?;
        let relies_on = |pack: &_| self.chunks.is_alive(pack);
        let Recheck::Sound(root) = self.session.recheck(root, &relies_on)? else {
            return Ok(None);
        };
        // Files taken over without asking for their chunks rely on the parent being kept.
        if let Some(parent) = self.parent.filter(|_| self.takes_over && keeps(Rule::ParentKept))
            && self.is_tombed(parent.id, run)?
        {
            return Ok(None);
        }
        let committed = self.session.commit(root)?;
        self.keep_epoch(committed.id);
        self.writer.keep(self.chunks, committed.id);
        Ok(Some(Made::Snapshot(committed.id)))
    }

    /// The parent, if it says already what `snapshot` would say, and nothing had to be stored.
    fn unchanged(&self, snapshot: &Snapshot) -> Option<&Committed> {
        let may_skip = self.options.skip_if_unchanged && !self.has_stored;
        self.parent.filter(|parent| may_skip && says_the_same(&parent.snapshot, snapshot))
    }

    fn is_tombed(&self, id: SessionId, run: &Run<'_>) -> Result<bool> {
        Ok(Snapshots::read_tombed(self.repository, run.problems)?.contains(&id))
    }

    /// Tells the next run that the rows of this one describe `snapshot`.
    fn keep_epoch(&self, snapshot: SessionId) {
        let segments = self.chunks.segments().into_iter().collect();
        let last = LastEpoch { epoch: self.epoch, snapshot, segments };
        epoch::remember(&last, self.chunks, &self.scope);
    }
}

/// Whether two snapshots say the same of the same sources.
fn says_the_same(one: &Snapshot, other: &Snapshot) -> bool {
    let said = |snapshot: &Snapshot| -> Vec<_> {
        let components = snapshot.components.iter();
        components.map(|c| (c.kind.clone(), c.paths.clone(), c.root, c.state)).collect()
    };
    said(one) == said(other)
}
