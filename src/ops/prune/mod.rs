//! Deletes what no snapshot needs, beside any number of backups, restores and other prunes.
//!
//! A prune names *candidates*, lets the grace pass, says that it *begins*, looks at all roots once
//! more, and writes down what is *doomed*; only that is deleted. A backup looks at these records
//! after its root is stored, so that one of the two always sees the other (`docs/protocol.md`).

mod candidates;
mod carry_out;
mod look;
mod plan;
mod relocate;
mod segments;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use self::plan::MaxUnused;
use self::usage::{Doomed, doomed};
use super::marks::Marks;
use super::{Run, closing_notices, open_chunks};
use crate::backend::Listed;
use crate::base::rules::{Rule, keeps};
use crate::base::{Error, ErrorKind, PackId, Result, Timestamp};
use crate::format::GenerationStep;
use crate::repo::Repository;
use crate::repo::access::listed_packs;
use crate::repo::chunks::Chunks;
use crate::repo::reader::Reader;
use crate::repo::rounds::{self, Round};
use crate::repo::session::Session;

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
    let now = time_of_place(repository, options, run)?;
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let mut report = Report { notices, ..Report::default() };
    for _ in 0..ROUND_COUNT_MAX {
        let marks = Marks::new(options.max_memory, options.scratch_dir.clone());
        let damaged = HashSet::new();
        let mut prune = Prune { repository, chunks: &chunks, damaged, options, now, marks, run };
        if !prune.round(&mut report)? {
            break;
        }
    }
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// The time of the place, after trying what the protocol relies on.
fn time_of_place(repository: &Repository, options: &Options, run: &Run<'_>) -> Result<Timestamp> {
    if options.dry_run {
        // Nothing may be written, and nothing is decided.
        return Ok(run.clock.now());
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
    /// Packs that are no copies of anything, and stay while they may hold the last one. Read after the
    /// roots, so that it has all that any writer knew whose root was read.
    damaged: HashSet<PackId>,
    options: &'a Options,
    /// By the clock of the place.
    now: Timestamp,
    marks: Marks,
    run: &'a Run<'a>,
}

impl Prune<'_> {
    /// Finishes the round that is open, or begins one; whether another one may follow.
    fn round(&mut self, report: &mut Report) -> Result<bool> {
        let mut rounds = rounds::read(self.repository)?;
        let highest = rounds.last().map_or(0, |round| round.number);
        // The two last ones count. Whatever is older was carried out before the last one was named;
        // if it is there, a prune that slept for long has written it.
        let is_old = |round: &Round| round.number + 1 < highest && keeps(Rule::TwoRounds);
        let old = rounds.iter().take_while(|round| is_old(round)).count();
        for round in rounds.drain(..old) {
            if !self.options.dry_run {
                rounds::trim(self.repository, round.number)?;
            }
        }
        if !self.options.dry_run {
            self.delete(&doomed_in(&rounds), report)?;
        }
        let is_open = |round: &&Round| round.doomed.is_none() && keeps(Rule::OneRound);
        if let Some(round) = rounds.last().filter(is_open) {
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

    /// How many packs that were doomed before the last round are still there.
    fn left_of(&self, rounds: &[Round]) -> Result<Option<usize>> {
        let [before, _] = rounds else { return Ok(None) };
        if !keeps(Rule::NothingLeft) {
            return Ok(None);
        }
        let doomed: HashSet<&PackId> = before.doomed.iter().flatten().collect();
        let left = self.listed_packs()?.into_keys().filter(|id| doomed.contains(id)).count();
        Ok((left > 0).then_some(left))
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
        let reader = Reader::new(repository, self.chunks);
        let too_early = match keeps(Rule::RootsAgain) {
            true => None,
            false => Some(self.mark(&reader, &HashSet::new())?),
        };
        let time = self.run.clock.now();
        rounds::agree(repository, number, GenerationStep::Begin, &HashSet::new(), time)?;
        // Everything from here on was read after the beginning. A later round would mean that this
        // one is over, and that it is somebody else's turn.
        let rounds = rounds::read(repository)?;
        let is_over = rounds.last().is_some_and(|last| last.number > number);
        if is_over && keeps(Rule::LaterRound) {
            return Ok(false);
        }
        let earlier = doomed_in(&rounds);
        let roots = match too_early {
            None => self.mark(&reader, &earlier)?,
            Some(roots) => roots,
        };
        let unindexed: HashSet<PackId> =
            self.chunks.unindexed_packs().into_iter().map(|(id, _)| id).collect();
        let (loose, indexed): (HashSet<PackId>, _) =
            candidates.into_iter().partition(|id| unindexed.contains(id));
        let Doomed { packs: mut decided, is_all_there } =
            doomed(self.chunks, &mut self.marks, &indexed)?;
        // What they hold must not be the only copy beside what was just doomed.
        self.list_packs(&earlier.union(&decided).copied().collect())?;
        decided.extend(self.unindexed(&HashSet::new(), is_all_there)?.intersection(&loose));
        let step = GenerationStep::Doomed;
        let agreed = rounds::agree(repository, number, step, &decided, time)?;
        let decided = if keeps(Rule::OneDecision) { agreed } else { decided.into_iter().collect() };
        // A prune that slept since it looked may have written this where the true record was removed
        // long ago. Then two later rounds are there, and it means nothing.
        let rounds = rounds::read(repository)?;
        let has_slept = rounds.last().is_some_and(|last| last.number > number + 1);
        if has_slept && keeps(Rule::TwoRounds) {
            rounds::trim(repository, number)?;
            return Ok(false);
        }
        self.carry_out(number, decided.into_iter().collect(), &roots, report)?;
        Ok(true)
    }

    fn wait(&self, round: &Round, packs: &HashSet<PackId>, report: &mut Report) -> Result<()> {
        let named = round.named;
        report.waiting_until =
            Some(Timestamp::new(named.seconds.saturating_add(self.options.grace), named.nanos));
        self.count_waiting(packs, report)
    }

    fn count_waiting(&self, packs: &HashSet<PackId>, report: &mut Report) -> Result<()> {
        let listed = self.listed_packs()?;
        report.waiting_packs = packs.len() as u64;
        report.waiting_bytes =
            packs.iter().filter_map(|id| listed.get(id)).map(|pack| pack.len).sum();
        Ok(())
    }

    /// Lists packs: neither those in `doomed` nor damaged ones can be relied on.
    fn list_packs(&self, doomed: &HashSet<PackId>) -> Result<()> {
        self.chunks.list_packs(&doomed.union(&self.damaged).copied().collect())
    }

    fn listed_packs(&self) -> Result<HashMap<PackId, Listed>> {
        Ok(listed_packs(&**self.repository.backend())?.collect())
    }
}

/// What the last two rounds have doomed: older records mean nothing. Candidates are not among it: most of what is needed may lie there.
fn doomed_in(rounds: &[Round]) -> HashSet<PackId> {
    let highest = rounds.last().map_or(0, |round| round.number);
    let counts = |round: &&Round| round.number + 1 >= highest || !keeps(Rule::TwoRounds);
    let doomed = rounds.iter().filter(counts).filter_map(|round| round.doomed.as_ref());
    doomed.flatten().copied().collect()
}
