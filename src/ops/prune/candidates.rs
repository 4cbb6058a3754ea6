//! Finds packs that may go.

use std::collections::HashSet;

use super::plan::Plan;
use super::relocate::Relocation;
use super::usage::{self, Usage, needed_of};
use super::{Prune, Report};
use crate::backend::Listed;
use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, ErrorKind, PackId, Result, Timestamp};
use crate::format::ObjectKind;
use crate::format::name::Parsed;
use crate::repo::access::list;
use crate::repo::adopt::read_header;
use crate::repo::reader::Reader;
use crate::repo::roots::Roots;
use crate::repo::session::Session;

/// Seconds for which a running session is left its packs, unless there is no grace at all. Taking
/// them is safe too, and costs it doing its work again.
const YOUNG_FOR: i64 = 72 * 3600;

/// Times that segments and packs are listed before a chunk is held for lost.
const LOOK_COUNT_MAX: usize = 3;

/// What there was to look at, and what may go.
pub(super) struct Candidates {
    pub(super) packs: HashSet<PackId>,
    /// Whether there are forgotten snapshots, which go with the round.
    pub(super) has_forgotten: bool,
}

impl Prune<'_> {
    /// Finds what nobody needs, and moves what is needed out of packs that mostly are not.
    pub(super) fn candidates(
        &mut self,
        session: &Session<'_>,
        doomed: &HashSet<PackId>,
        report: &mut Report,
    ) -> Result<Candidates> {
        let reader = Reader::new(self.repository, self.chunks);
        let roots = self.mark(&reader, doomed)?;
        let usage = self.usage(doomed)?;
        self.report_lost(&usage.lost, &reader, &roots, doomed)?;
        if !self.options.dry_run {
            // What a prune that was killed, or slept, has left.
            let gone = self.gone(doomed)?;
            self.replace_segments(session, &gone, &roots, report)?;
        }
        let young = self.young_packs(&roots)?;
        let settled: Vec<_> =
            usage.packs.iter().filter(|pack| !young.contains(&pack.id)).copied().collect();
        let plan = Plan::new(&settled, self.options.max_unused, self.options.max_moved);
        let mut packs = plan.dead;
        packs.extend(self.unindexed(&young, usage.lost.is_empty())?);
        packs.extend(self.spare_damaged(doomed, report)?);
        report.unused_bytes = plan.unused_bytes;
        if self.options.dry_run {
            packs.extend(&plan.emptied);
            report.moved_bytes = usage
                .packs
                .iter()
                .filter(|pack| plan.emptied.contains(&pack.id))
                .map(|pack| pack.len)
                .sum::<u64>()
                .saturating_sub(plan.emptied_bytes);
        } else if !plan.emptied.is_empty() {
            let (repository, chunks) = (&**self.repository, self.chunks);
            let relocation = Relocation { repository, chunks, reader: &reader, session };
            match relocation.run(&plan.emptied, &mut self.marks, self.run) {
                Ok(moved) => {
                    report.moved_bytes += moved.bytes;
                    packs.extend(moved.packs);
                }
                // What nobody needs can go all the same, and makes room.
                Err(error) if error.kind == ErrorKind::Full => self.run.problems.push(error),
                Err(error) => return Err(error),
            }
        }
        let kept = usage.packs.iter().filter(|pack| !packs.contains(&pack.id));
        (report.kept_packs, report.kept_bytes) =
            kept.fold((0, 0), |(count, bytes), pack| (count + 1, bytes + pack.len));
        if self.options.dry_run {
            self.count_waiting(&packs, report)?;
        }
        Ok(Candidates { packs, has_forgotten: !roots.forgotten.is_empty() })
    }

    /// How much of each pack is needed. What seems to be nowhere may have been missed by a listing
    /// that took its time, while another prune wrote segments anew: it is listed again.
    fn usage(&mut self, doomed: &HashSet<PackId>) -> Result<Usage> {
        let mut usage = Usage::count(self.chunks, &mut self.marks)?;
        for _ in 1..LOOK_COUNT_MAX {
            if usage.lost.is_empty() {
                break;
            }
            self.chunks.refresh()?;
            self.list_packs(doomed)?;
            usage = Usage::count(self.chunks, &mut self.marks)?;
        }
        Ok(usage)
    }

    /// Damaged packs in which nothing that is needed lies alone.
    fn spare_damaged(
        &mut self,
        doomed: &HashSet<PackId>,
        report: &mut Report,
    ) -> Result<HashSet<PackId>> {
        if self.damaged.is_empty() {
            return Ok(HashSet::new());
        }
        let listed = self.listed_packs()?;
        let unindexed: HashSet<PackId> =
            self.chunks.unindexed_packs().into_iter().map(|(id, _)| id).collect();
        let is_there = |id: &&PackId| listed.contains_key(*id) && !unindexed.contains(*id);
        let damaged: HashSet<PackId> =
            self.damaged.difference(doomed).filter(is_there).copied().collect();
        let spare = usage::doomed(self.chunks, &mut self.marks, &damaged)?.packs;
        let kept_count = damaged.len() - spare.len();
        if kept_count > 0 {
            report.notices.push(format!(
                "{kept_count} damaged packs stay, because what they hold is nowhere else: `parados \
                 repair packs` saves what is left of them"
            ));
        }
        Ok(spare)
    }

    /// Packs of sessions that may still be running.
    fn young_packs(&self, roots: &Roots) -> Result<HashSet<PackId>> {
        let mut young = HashSet::new();
        if self.options.grace == 0 {
            return Ok(young);
        }
        let is_young =
            |modified: Timestamp| self.now.seconds.saturating_sub(modified.seconds) < YOUNG_FOR;
        let mut segments = Vec::new();
        for Listed { name, modified, .. } in list(&**self.repository.backend(), ObjectKind::Index)?
        {
            if let Parsed::Index(session, _, id) = name.parsed()
                && is_young(modified)
                && !roots.settled.contains(&session)
            {
                segments.push(id);
            }
        }
        self.chunks.ask_index(|index, _| {
            let mut numbers = HashSet::new();
            for id in &segments {
                numbers.extend(index.packs_of(id)?.unwrap_or_default());
            }
            index.packs(&mut |no, id, _| {
                if numbers.contains(&no) {
                    young.insert(*id);
                }
            })
        })?;
        let unindexed = self.chunks.unindexed_packs();
        if !unindexed.is_empty() {
            let listed = self.listed_packs()?;
            let is_young = |id: &PackId| listed.get(id).is_some_and(|p| is_young(p.modified));
            young.extend(unindexed.into_iter().map(|(id, _)| id).filter(is_young));
        }
        Ok(young)
    }

    /// Packs that no segment names and that hold the last copy of nothing. Nobody knows what one
    /// holds whose header cannot be read, cut off when it was stored perhaps: it is among them only
    /// if nothing is missed that it could hold.
    pub(super) fn unindexed(
        &mut self,
        young: &HashSet<PackId>,
        is_all_there: bool,
    ) -> Result<HashSet<PackId>> {
        let mut found = HashSet::new();
        for (id, len) in self.chunks.unindexed_packs() {
            if young.contains(&id) {
                continue;
            }
            self.run.cancel.check()?;
            if !keeps(Rule::HeaderRead) {
                found.insert(id);
                continue;
            }
            match read_header(self.repository, id, len) {
                Ok(header) => {
                    let frames = header.frames.iter();
                    let ids: Vec<ChunkId> =
                        frames.flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
                    if self.has_copies(ids)? {
                        found.insert(id);
                    }
                }
                Err(error) if error.kind == ErrorKind::Damaged && is_all_there => {
                    found.insert(id);
                }
                // `check` names it, and whoever misses something is told to run that.
                Err(error) if error.is_loss() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Whether every chunk of these that is needed lies in a pack of the index as well.
    fn has_copies(&mut self, mut ids: Vec<ChunkId>) -> Result<bool> {
        ids.sort_unstable();
        ids.dedup();
        let needed: Vec<ChunkId> = needed_of(&mut self.marks, &ids)?.into_iter().collect();
        Ok(self.chunks.find_alive(&needed)?.into_iter().all(|is_alive| is_alive))
    }
}
