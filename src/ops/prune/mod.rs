//! Deletes what no snapshot needs, beside any number of backups, restores and other prunes.
//!
//! A prune names *candidates*, lets the grace pass, says that it *begins*, looks at all roots once
//! more, and writes down what is *doomed*; only that is deleted. A backup looks at these records
//! after its root is stored, so that one of the two always sees the other (`docs/protocol.md`).

mod mark;
mod plan;
mod relocate;
mod segments;
mod sorted;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use self::mark::Marks;
pub use self::plan::MaxUnused;
use self::plan::Plan;
use self::relocate::Relocation;
use self::usage::{Usage, doomed, needed_of, unneeded};
use super::{Run, closing_notices, open_chunks};
use crate::backend::{BackendError, Listed, create_verified, probe};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId, SessionId, Timestamp};
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Snapshot};
use crate::format::{GenerationStep, ObjectKind, ObjectName};
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::adopt::read_header;
use crate::repo::chunks::Chunks;
use crate::repo::reader::Reader;
use crate::repo::roots::Roots;
use crate::repo::rounds::{self, Round};
use crate::repo::session::Session;

/// Seconds after which a session that stored nothing more is held for dead. Safety does not depend
/// on it: a session that comes back finds that it was fenced off.
const ABANDONED_AFTER: i64 = 14 * 86_400;
/// Seconds for which a running session is left its packs, unless there is no grace at all. Taking
/// them is safe too, and costs it doing its work again.
const YOUNG_FOR: i64 = 72 * 3600;
/// Seconds that a probe takes at most; what is older was left by one that was killed.
const PROBE_LONG_MAX: i64 = 86_400;
/// Times that roots are read again because some of them were forgotten meanwhile.
const MARK_COUNT_MAX: usize = 10;
/// Rounds in one run: one that is finished, and one that is begun.
const ROUND_COUNT_MAX: usize = 2;

/// How to prune.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seconds between naming candidates and deciding on them, in which `unforget` works and
    /// restores of forgotten snapshots end.
    pub grace: i64,
    /// Unneeded bytes that may stay in packs.
    pub max_unused: MaxUnused,
    /// Most bytes of packs to move.
    pub max_moved: u64,
    /// Whether nobody else writes, for a store that cannot create atomically.
    pub exclusive: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Where files may be made that live as long as the run.
    pub scratch_dir: PathBuf,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// Packs that were deleted.
    pub deleted_packs: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Packs that are named to be deleted, and wait for the grace to pass.
    pub waiting_packs: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When they can go, by the clock of the place.
    pub waiting_until: Option<Timestamp>,
    /// Bytes of frames that were moved into other packs.
    pub moved_bytes: u64,
    /// Packs that stay.
    pub kept_packs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Of these, bytes that nobody needs.
    pub unused_bytes: u64,
    /// Index segments that were replaced.
    pub replaced_segments: u64,
    /// Forgotten snapshots that are gone for good.
    pub deleted_snapshots: u64,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Prunes.
///
/// # Errors
/// When it is not known what is needed, or the place cannot be relied on: nothing is deleted then
/// that was not decided before.
pub fn prune(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let now = time_of_place(repository, options)?;
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let mut report = Report { notices, ..Report::default() };
    for _ in 0..ROUND_COUNT_MAX {
        let marks = Marks::new(options.max_memory, options.scratch_dir.clone());
        let mut prune = Prune { repository, chunks: &chunks, options, now, marks, run };
        if !prune.round(&mut report)? {
            break;
        }
    }
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// The time of the place, after trying what the protocol relies on.
fn time_of_place(repository: &Repository, options: &Options) -> Result<Timestamp> {
    if options.dry_run {
        // Nothing may be written, and nothing depends on it.
        return Ok(Timestamp::new(i64::MAX, 0));
    }
    let probe = repository.backend().probe()?;
    if !probe.is_safe() && !options.exclusive {
        let message = "this place does not keep what prune relies on, above all atomic creation";
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("If no backup and no other prune is running, say `--exclusive`."));
    }
    Ok(probe.now)
}

struct Prune<'a> {
    repository: &'a Arc<Repository>,
    chunks: &'a Chunks,
    options: &'a Options,
    /// By the clock of the place.
    now: Timestamp,
    marks: Marks,
    run: &'a Run<'a>,
}

/// What there was to look at, and what may go.
struct Candidates {
    packs: HashSet<PackId>,
    /// Whether there are forgotten snapshots, which go with the round.
    has_forgotten: bool,
}

impl Prune<'_> {
    /// Finishes the round that is open, or begins one; whether another one may follow.
    fn round(&mut self, report: &mut Report) -> Result<bool> {
        let mut rounds = rounds::read(self.repository)?;
        let highest = rounds.last().map_or(0, |round| round.number);
        // The two last ones count. Whatever is older was carried out before the last one was named;
        // if it is there, a prune that slept for long has written it.
        let old = rounds.iter().take_while(|round| round.number + 1 < highest).count();
        for round in rounds.drain(..old) {
            if !self.options.dry_run {
                rounds::trim(self.repository, round.number)?;
            }
        }
        for round in &rounds {
            if let Some(doomed) = &round.doomed
                && !self.options.dry_run
            {
                self.delete(&doomed.iter().copied().collect(), report)?;
            }
        }
        if let Some(round) = rounds.last().filter(|round| round.doomed.is_none()) {
            let candidates = round.candidates.iter().flatten().copied().collect();
            if self.options.dry_run {
                return self.wait(round, &candidates, report).map(|()| false);
            }
            return self.decide(round, candidates, report);
        }
        self.begin(&rounds, highest + 1, report)
    }

    /// Names candidates, and goes on with them if there is no grace.
    fn begin(&mut self, rounds: &[Round], number: u64, report: &mut Report) -> Result<bool> {
        let session = Session::start(self.repository)?;
        if let Some(left) = self.left_of(rounds)? {
            report.notices.push(format!(
                "{left} doomed packs could not be deleted yet; nothing further is decided before"
            ));
            return Ok(false);
        }
        let candidates = self.candidates(&session, &doomed_in(rounds), report)?;
        if self.options.dry_run || (candidates.packs.is_empty() && !candidates.has_forgotten) {
            return Ok(false);
        }
        let step = GenerationStep::Candidates;
        let time = self.run.clock.now();
        let agreed = rounds::agree(self.repository, number, step, &candidates.packs, time)?;
        let round = Round { number, named: self.now, ..Round::default() };
        self.decide(&round, agreed.into_iter().collect(), report).map(|_| false)
    }

    /// Reads the roots, then the index, then the packs, and marks what the roots lead to. In this
    /// order nothing that a root needs is stored too late to be found.
    fn mark(&mut self, reader: &Reader<'_>, doomed: &HashSet<PackId>) -> Result<Roots> {
        for _ in 0..MARK_COUNT_MAX {
            let roots = self.roots()?;
            self.chunks.refresh()?;
            self.chunks.list_packs(doomed)?;
            self.run.problems.extend(self.chunks.take_problems());
            let Err(error) = self.marks.follow(reader, &roots.live, self.run) else {
                return Ok(roots);
            };
            // A snapshot that was forgotten meanwhile may have lost to another prune what it needs.
            let is_lost = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Damaged);
            if !is_lost || self.still_live(&roots)?.len() == roots.live.len() {
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

    /// How many packs that were doomed before the last round are still there.
    fn left_of(&self, rounds: &[Round]) -> Result<Option<usize>> {
        let [before, _] = rounds else { return Ok(None) };
        let doomed: HashSet<&PackId> = before.doomed.iter().flatten().collect();
        let left = self.listed_packs()?.into_keys().filter(|id| doomed.contains(id)).count();
        Ok((left > 0).then_some(left))
    }

    /// Finds what nobody needs, and moves what is needed out of packs that mostly are not.
    fn candidates(
        &mut self,
        session: &Session<'_>,
        doomed: &HashSet<PackId>,
        report: &mut Report,
    ) -> Result<Candidates> {
        let reader = Reader::new(self.repository, self.chunks);
        let roots = self.mark(&reader, doomed)?;
        let usage = Usage::count(self.chunks, &mut self.marks)?;
        self.report_lost(&usage.lost, &reader, &roots)?;
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
        packs.extend(self.unindexed(&young)?);
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
            let lens = self.listed_packs()?;
            report.waiting_packs = packs.len() as u64;
            report.waiting_bytes = packs.iter().filter_map(|id| lens.get(id)).map(|p| p.len).sum();
        }
        Ok(Candidates { packs, has_forgotten: !roots.forgotten.is_empty() })
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
                self.fence_off(*id)?;
            }
        }
        Ok(roots)
    }

    /// Decides that a session never ends. Its root counts until the next round.
    fn fence_off(&self, id: SessionId) -> Result<()> {
        let name = ObjectName::snapshot(id);
        let reason = "it stored nothing for two weeks".to_owned();
        let abort = Decision::Abort { time: self.run.clock.now(), reason };
        let sealed = self.repository.seal(&name, &abort.encode());
        match create_verified(&**self.repository.backend(), &name, &sealed) {
            // It has ended after all, or somebody else was faster.
            Ok(_) | Err(BackendError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells of chunks that are nowhere, if snapshots need them and not only sessions that will find
    /// out themselves.
    fn report_lost(&self, lost: &[ChunkId], reader: &Reader<'_>, roots: &Roots) -> Result<()> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut committed = self.still_live(roots)?;
        committed.retain(|(name, _)| name.kind() == ObjectKind::Snapshot);
        let mut marks = Marks::new(self.options.max_memory, self.options.scratch_dir.clone());
        marks.follow(reader, &committed, self.run)?;
        let needed = needed_of(&mut marks, lost)?;
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
        let unindexed: HashSet<PackId> =
            self.chunks.unindexed_packs().into_iter().map(|(id, _)| id).collect();
        let listed = self.listed_packs()?.into_iter();
        young.extend(
            listed
                .filter(|(id, p)| unindexed.contains(id) && is_young(p.modified))
                .map(|(id, _)| id),
        );
        Ok(young)
    }

    /// Packs that no segment names and that hold the last copy of nothing. One whose header cannot
    /// be read is not among them: nobody knows what it holds.
    fn unindexed(&mut self, young: &HashSet<PackId>) -> Result<HashSet<PackId>> {
        let mut found = HashSet::new();
        for (id, len) in self.chunks.unindexed_packs() {
            if young.contains(&id) {
                continue;
            }
            self.run.cancel.check()?;
            match read_header(self.repository, id, len) {
                Ok(header) => {
                    let frames = header.frames.iter();
                    let ids: Vec<ChunkId> =
                        frames.flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
                    if self.has_copies(ids)? {
                        found.insert(id);
                    }
                }
                Err(error) if error.kind == ErrorKind::Damaged => self.run.problems.push(error),
                Err(error) if error.kind == ErrorKind::NotFound => {}
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

    /// Decides on the candidates of a round, unless the grace is not over, and carries it out;
    /// whether that was done.
    fn decide(
        &mut self,
        round: &Round,
        candidates: HashSet<PackId>,
        report: &mut Report,
    ) -> Result<bool> {
        let age = self.now.seconds.saturating_sub(round.named.seconds);
        if age < self.options.grace && !round.has_begun {
            return self.wait(round, &candidates, report).map(|()| false);
        }
        self.run.cancel.check()?;
        let (repository, number) = (self.repository, round.number);
        let time = self.run.clock.now();
        rounds::agree(repository, number, GenerationStep::Begin, &HashSet::new(), time)?;
        // Everything from here on was read after the beginning. A later round would mean that this
        // one is over, and that it is somebody else's turn.
        let rounds = rounds::read(repository)?;
        if rounds.last().is_some_and(|last| last.number > number) {
            return Ok(false);
        }
        let earlier = doomed_in(&rounds);
        let reader = Reader::new(repository, self.chunks);
        let roots = self.mark(&reader, &earlier)?;
        let unindexed: HashSet<PackId> =
            self.chunks.unindexed_packs().into_iter().map(|(id, _)| id).collect();
        let (loose, indexed): (HashSet<PackId>, _) =
            candidates.into_iter().partition(|id| unindexed.contains(id));
        let mut decided = doomed(self.chunks, &mut self.marks, &indexed)?;
        // What they hold must not be the only copy beside what was just doomed.
        self.chunks.list_packs(&earlier.union(&decided).copied().collect())?;
        decided.extend(self.unindexed(&HashSet::new())?.intersection(&loose));
        let step = GenerationStep::Doomed;
        let decided = rounds::agree(repository, number, step, &decided, time)?;
        // A prune that slept since it looked may have written this where the true record was removed
        // long ago. Then two later rounds are there, and it means nothing.
        if rounds::read(repository)?.last().is_some_and(|last| last.number > number + 1) {
            rounds::trim(repository, number)?;
            return Ok(false);
        }
        self.carry_out(number, decided.into_iter().collect(), &roots, report)?;
        Ok(true)
    }

    /// Packs that no segment needs to name: those that are doomed, and those that are gone and of
    /// which nothing is missed.
    fn gone(&mut self, doomed: &HashSet<PackId>) -> Result<HashSet<PackId>> {
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
    fn replace_segments(
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

    /// Deletes what is doomed, and all that leads to it.
    fn carry_out(
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
        for Listed { name, modified, .. } in list(&**self.repository.backend(), ObjectKind::Ledger)?
        {
            if probe::is_left_over(&name)
                && self.now.seconds.saturating_sub(modified.seconds) > PROBE_LONG_MAX
            {
                self.repository.backend().delete(&name)?;
            }
        }
        if let Some(old) = number.checked_sub(2).filter(|old| *old > 0) {
            rounds::trim(self.repository, old)?;
        }
        Ok(())
    }

    /// Deletes those of `packs` that are there.
    fn delete(&self, packs: &HashSet<PackId>, report: &mut Report) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        let listed = self.listed_packs()?;
        let there: Vec<_> =
            packs.iter().filter_map(|id| Some((*id, listed.get(id)?.len))).collect();
        let deleted = crate::repo::parallel::ask_all(&there, &|(id, len)| {
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

    fn wait(&self, round: &Round, packs: &HashSet<PackId>, report: &mut Report) -> Result<()> {
        let lens = self.listed_packs()?;
        let named = round.named;
        report.waiting_packs = packs.len() as u64;
        report.waiting_bytes = packs.iter().filter_map(|id| lens.get(id)).map(|p| p.len).sum();
        report.waiting_until =
            Some(Timestamp::new(named.seconds.saturating_add(self.options.grace), named.nanos));
        Ok(())
    }

    fn listed_packs(&self) -> Result<HashMap<PackId, Listed>> {
        let listed = list(&**self.repository.backend(), ObjectKind::Pack)?;
        let packs = listed.into_iter().filter_map(|object| match object.name.parsed() {
            Parsed::Pack(id) => Some((id, object)),
            _ => None,
        });
        Ok(packs.collect())
    }
}

/// What these rounds have doomed. Candidates are not among it: most of what is needed may lie there.
fn doomed_in(rounds: &[Round]) -> HashSet<PackId> {
    rounds.iter().filter_map(|round| round.doomed.as_ref()).flatten().copied().collect()
}
