//! Reads the roots of a repository and marks what they lead to.

use std::collections::HashSet;

use super::Prune;
use super::usage::needed_of;
use crate::backend::{BackendError, create_verified};
use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SessionId};
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Snapshot};
use crate::format::{ObjectKind, ObjectName};
use crate::ops::marks::Marks;
use crate::repo::ledger::damaged_packs;
use crate::repo::reader::Reader;
use crate::repo::roots::Roots;

/// Seconds after which a session that stored nothing more is held for dead. Safety does not depend
/// on it: a session that comes back finds that it was fenced off.
const ABANDONED_AFTER: i64 = 14 * 86_400;
/// Times that roots are read again because some of them were forgotten meanwhile.
const MARK_COUNT_MAX: usize = 10;

impl Prune<'_> {
    /// Reads the roots, then the index, then the packs, and marks what the roots lead to. In this
    /// order nothing that a root needs is stored too late to be found.
    pub(super) fn mark(&mut self, reader: &Reader<'_>, doomed: &HashSet<PackId>) -> Result<Roots> {
        for _ in 0..MARK_COUNT_MAX {
            if !keeps(Rule::RootsFirst) {
                self.chunks.refresh()?;
                self.list_packs(doomed)?;
            }
            let roots = self.roots()?;
            self.damaged = damaged_packs(self.repository)?;
            if keeps(Rule::RootsFirst) {
                self.chunks.refresh()?;
                self.list_packs(doomed)?;
            }
            self.run.problems.extend(self.chunks.take_problems());
            let followed = self.marks.follow(reader, &roots.live, self.run);
            self.run.problems.extend(self.chunks.take_problems());
            let Err(error) = followed else { return Ok(roots) };
            if let Some(Parsed::Session(id, _)) =
                self.marks.take_unknown().map(|name| name.parsed())
                && !self.options.dry_run
            {
                // It has lost something, or a pack that nobody can read holds it: it may not commit.
                self.fence_off(id, "a prune could not tell what it needs")?;
                continue;
            }
            // A snapshot that was forgotten meanwhile may have lost to another prune what it needs.
            if !error.is_loss() || self.still_live(&roots)?.len() == roots.live.len() {
                return Err(error);
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "snapshots are forgotten faster than they can be looked at",
        )
        .hint("Try again when fewer prunes are running."))
    }

    /// Those roots that are still there.
    fn still_live(&self, roots: &Roots) -> Result<Vec<(ObjectName, Snapshot)>> {
        let now = Roots::read(self.repository, self.run.problems)?.live;
        let names: HashSet<ObjectName> = now.into_iter().map(|(name, _)| name).collect();
        Ok(roots.live.iter().filter(|(name, _)| names.contains(name)).cloned().collect())
    }

    /// Tells of chunks that are nowhere, if snapshots need them and not only sessions that will find
    /// out themselves.
    pub(super) fn report_lost(
        &self,
        lost: &[ChunkId],
        reader: &Reader<'_>,
        roots: &Roots,
        doomed: &HashSet<PackId>,
    ) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut committed = self.still_live(roots)?;
        committed.retain(|(name, _)| name.kind() == ObjectKind::Snapshot);
        let mut marks = Marks::new(self.options.max_memory, self.options.scratch_dir.clone());
        marks.follow(reader, &committed, self.run)?;
        let mut needed = needed_of(&mut marks, lost)?;
        if needed.is_empty() {
            return Ok(());
        }
        // This run may have slept between its listings of segments and of packs.
        let look = self.chunks.look_closely()?;
        let mut is_there = HashSet::new();
        for id in &needed {
            if look.finds(self.chunks, id, doomed)? {
                is_there.insert(*id);
            }
        }
        needed.retain(|id| !is_there.contains(id));
        if let Some(first) = needed.iter().min() {
            let count = needed.len();
            let message = format!("{count} chunks that snapshots need are in no pack, as {first}");
            self.run.problems.push(
                Error::new(ErrorKind::Damaged, message)
                    .hint("Run `parados check` to see which files need them."),
            );
        }
        Ok(())
    }

    /// Reads the roots, and cleans up what sessions left that are over.
    fn roots(&self) -> Result<Roots> {
        let roots = Roots::read(self.repository, self.run.problems)?;
        if self.options.dry_run {
            return Ok(roots);
        }
        for name in &roots.finished {
            self.repository.backend().delete(name)?;
        }
        for (id, last) in &roots.undecided {
            if self.now.seconds.saturating_sub(last.seconds) > ABANDONED_AFTER {
                self.fence_off(*id, "it stored nothing for two weeks")?;
            }
        }
        Ok(roots)
    }

    /// Decides that a session never ends. Its root counts until the next round.
    fn fence_off(&self, id: SessionId, reason: &str) -> Result<()> {
        if !keeps(Rule::Fence) {
            return Ok(self.repository.backend().delete(&ObjectName::session(id, 0))?);
        }
        let name = ObjectName::snapshot(id);
        let abort = Decision::Abort { time: self.run.clock.now(), reason: reason.to_owned() };
        let sealed = self.repository.seal(&name, &abort.encode());
        match create_verified(&**self.repository.backend(), &name, &sealed) {
            // It has ended after all, or somebody else was faster.
            Ok(_) | Err(BackendError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
