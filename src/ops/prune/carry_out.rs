//! Deletes what was decided, with all that leads to it.

use std::collections::HashSet;

use super::usage::unneeded;
use super::{Prune, Report, segments};
use crate::backend::{Listed, probe};
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId};
use crate::format::{ObjectKind, ObjectName};
use crate::repo::access::list;
use crate::repo::ledger::Ledger;
use crate::repo::parallel::ask_all;
use crate::repo::roots::Roots;
use crate::repo::rounds;
use crate::repo::session::Session;

/// Seconds that a probe takes at most; what is older was left by one that was killed.
const PROBE_LONG_MAX: i64 = 86_400;

impl Prune<'_> {
    /// Deletes what is doomed, and all that leads to it.
    pub(super) fn carry_out(
        &mut self,
        number: u64,
        doomed: HashSet<PackId>,
        roots: &Roots,
        report: &mut Report,
    ) -> Result<()> {
        let session = Session::start(self.repository)?;
        let gone = self.gone(&doomed)?;
        // First the segments, so that nothing names what is gone; with a full disk the other way.
        if let Err(error) = self.replace_segments(&session, &gone, roots, report) {
            if error.kind != ErrorKind::Full {
                return Err(error);
            }
            self.delete(&doomed, report)?;
            self.replace_segments(&session, &gone, roots, report)?;
        }
        self.delete(&doomed, report)?;
        for (name, at) in &roots.forgotten {
            // One that was forgotten since can still be brought back.
            if self.now.seconds.saturating_sub(at.seconds) >= self.options.grace {
                self.repository.backend().delete(name)?;
                report.deleted_snapshots += 1;
            }
        }
        self.tidy_ledger()?;
        if let Some(old) = number.checked_sub(2).filter(|old| *old > 0) {
            rounds::trim(self.repository, old)?;
        }
        Ok(())
    }

    /// Deletes what trials left that were killed, and records of checks that say nothing any more.
    fn tidy_ledger(&self) -> Result<()> {
        let backend = &**self.repository.backend();
        for Listed { name, modified, .. } in list(backend, ObjectKind::Ledger)? {
            let age = self.now.seconds.saturating_sub(modified.seconds);
            if probe::is_left_over(&name) && age > PROBE_LONG_MAX {
                backend.delete(&name)?;
            }
        }
        let ledger = Ledger::read(self.repository)?;
        if ledger.is_empty() {
            return Ok(());
        }
        let packs = self.listed_packs()?;
        for name in ledger.outdated(|pack| packs.contains_key(pack)) {
            backend.delete(&name)?;
        }
        Ok(())
    }

    /// Packs that no segment needs to name: those that are doomed, and those that are gone and of
    /// which nothing is missed.
    pub(super) fn gone(&mut self, doomed: &HashSet<PackId>) -> Result<HashSet<PackId>> {
        let missing = self.chunks.missing_packs().into_iter();
        let missing: HashSet<PackId> =
            missing.filter(|(_, len)| len.is_none()).map(|(id, _)| id).collect();
        let mut gone = doomed.clone();
        if !missing.is_empty() {
            gone.extend(unneeded(self.chunks, &mut self.marks, &missing)?);
        }
        Ok(gone)
    }

    /// Writes segments anew that name packs in `gone`.
    pub(super) fn replace_segments(
        &self,
        session: &Session<'_>,
        gone: &HashSet<PackId>,
        roots: &Roots,
        report: &mut Report,
    ) -> Result<()> {
        let named: HashSet<SegmentId> =
            roots.live.iter().flat_map(|(_, root)| root.segments.iter().copied()).collect();
        let (repository, chunks) = (&**self.repository, self.chunks);
        let replaced = segments::rewrite(repository, chunks, session, gone, &named, self.run)?;
        report.replaced_segments += replaced;
        Ok(())
    }

    /// Deletes those of `packs` that are there.
    pub(super) fn delete(&self, packs: &HashSet<PackId>, report: &mut Report) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let listed = self.listed_packs()?;
        let mut there: Vec<_> =
            packs.iter().filter_map(|id| Some((*id, listed.get(id)?.len))).collect();
        there.sort_unstable();
        let deleted = ask_all(&there, &|(id, len)| {
            self.run.cancel.check()?;
            self.repository.backend().delete(&ObjectName::pack(*id))?;
            Ok::<u64, Error>(*len)
        });
        for len in deleted {
            report.deleted_bytes += len?;
            report.deleted_packs += 1;
        }
        Ok(())
    }
}
