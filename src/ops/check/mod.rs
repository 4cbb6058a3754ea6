//! Finds out whether a repository is whole.

mod absent;
mod data;
mod findings;
mod packs;
mod subset;
mod walk;

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use absent::{find_hidden, find_lost_segments, find_missing_last, pending_count};
use findings::Findings;
pub use findings::{Class, Finding};
use packs::Packs;
pub use packs::{Oldest, Verified};
pub use subset::Subset;
use walk::Walker;

use super::writer::{self, last_snapshot};
use super::{Run, closing_notices, known_config, open_chunks};
use crate::base::simulated::is_simulated;
use crate::base::text::escape;
use crate::base::{Error, PackId, Result};
use crate::format::{ObjectKind, ObjectName};
use crate::index::{Cache, CacheOptions, Scratch};
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::chunks::Chunks;
use crate::repo::examine::examine;
use crate::repo::ledger::Ledger;
use crate::repo::reader::{Reader, Unread};
use crate::repo::rounds;
use crate::repo::snapshots::{Committed, Snapshots};

/// Part of `--max-memory` for an index in memory; a larger one is made on the disk.
const INDEX_SHARE: u64 = 8;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Depth {
    /// At the packs that are listed; closer only where something is missing.
    Quick,
    /// At every snapshot, directory and index segment, and where every chunk is.
    Metadata,
    /// At these packs as well, byte by byte.
    Data(Subset),
}

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// How closely.
    pub depth: Depth,
    /// Directory of the local cache; unless the check is quick, it reads every segment anew.
    pub cache_dir: Option<PathBuf>,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// What was checked, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Damage, worst first.
    pub findings: Vec<Finding>,
    /// What a person may want to know.
    pub notices: Vec<String>,
    /// Snapshots that were walked.
    pub snapshot_count: u64,
    /// Packs that are indexed or listed.
    pub pack_count: u64,
    /// Tree nodes and chunks of files that were looked up; one of many files counts once as long
    /// as it is remembered.
    pub chunk_count: u64,
    /// Packs that were read.
    pub read_pack_count: u64,
    /// Bytes of packs that were read.
    pub read_bytes: u64,
    /// Packs that were read wrongly, and right when they were read again.
    pub misread_count: u64,
    /// Which packs were read back when.
    pub verified: Verified,
}

/// What keeps a snapshot from being restored whole, by an index that is open. A part of
/// `max_memory`, in bytes, remembers what was looked at.
///
/// # Errors
/// When the backend cannot be reached.
pub(super) fn lacks(
    reader: &Reader<'_>,
    snapshot: &Committed,
    max_memory: u64,
    run: &Run<'_>,
) -> Result<Vec<Finding>> {
    let mut findings = Findings::default();
    Walker::new(reader, run, HashSet::new(), max_memory, &mut findings).snapshot(snapshot)?;
    Ok(findings.finish())
}

/// Checks that every snapshot can be restored, as closely as `options` say.
///
/// # Errors
/// When the repository cannot be listed. Damage is a finding.
pub fn check(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let (findings, report) = (Findings::default(), Report::default());
    let mut check = Check { repository, options, run, findings, report };
    let snapshots = check.snapshots()?;
    if !check.is_quick() {
        check.other_objects(&snapshots)?;
    }
    check.what_is_remembered(&snapshots);
    // A cache could hide that a segment is gone, so the index is built from what is there; on the
    // disk where that can be, because memory is bounded and repositories are not.
    let cache_dir = options.cache_dir.as_ref();
    let scratch = match cache_dir {
        Some(dir) if !check.is_quick() && !check.index_fits_memory()? => Scratch::make(dir).ok(),
        _ => None,
    };
    let index_dir = match check.is_quick() {
        true => cache_dir,
        false => scratch.as_ref().map(Scratch::path),
    };
    let (chunks, notices) = open_chunks(repository, index_dir, run)?;
    check.report.notices.extend(notices);
    for error in run.problems.take() {
        check.findings.add_error(&error);
    }
    let packs = Packs::list(repository, &chunks)?;
    check.report.pack_count = packs.count;
    let mut gone = check.listed(&chunks, &packs);
    let mut ledger = check.ledger()?;
    let walk = AllSnapshots { repository, chunks: &chunks, snapshots: &snapshots, options, run };
    let mut damaged = HashSet::new();
    let mut walked = None;
    if let Depth::Data(subset) = options.depth {
        let is_sound = check.findings.is_empty() && ledger.damaged().is_empty();
        // Nearly always nothing is damaged, and then snapshots need not wait for the data.
        (damaged, walked) = thread::scope(|threads| {
            let walked =
                (is_sound && !is_simulated()).then(|| threads.spawn(|| walk.trusting_all()));
            let damaged = check.data(&chunks, &packs, &mut ledger, subset, &mut gone);
            let walked =
                walked.map(|walked| walked.join().unwrap_or_else(|panic| resume_unwind(panic)));
            Ok::<_, Error>((damaged?, walked.transpose()?))
        })?;
    }
    check.report.verified = Verified::of(&packs, &ledger);
    damaged.extend(check.known_damaged(&packs, &ledger));
    let is_sound = check.findings.is_empty() && damaged.is_empty();
    if let Some((walked, _)) = walked.as_ref().filter(|_| !is_sound) {
        check.report.misread_count += walked.misread_count;
    }
    match walked.filter(|_| is_sound) {
        Some((walked, findings)) => check.conclude(&chunks, &snapshots, &walked, findings, gone)?,
        None if check.is_quick() && is_sound => {}
        None => {
            let mut findings = std::mem::take(&mut check.findings);
            let walked = walk.run(damaged, &mut findings)?;
            check.conclude(&chunks, &snapshots, &walked, findings, gone)?;
        }
    }
    let Check { findings, mut report, .. } = check;
    report.misread_count += chunks.misread_count();
    if report.misread_count > 0 {
        report.notices.push(format!(
            "{} objects were read wrongly, and right when they were read again: the connection or the \
             memory of this host is not to be relied on",
            report.misread_count
        ));
    }
    report.findings = findings.finish();
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// What walking them all takes.
struct AllSnapshots<'a> {
    repository: &'a Arc<Repository>,
    chunks: &'a Chunks,
    snapshots: &'a Snapshots,
    options: &'a Options,
    run: &'a Run<'a>,
}

/// What was walked.
struct Walked {
    snapshot_count: u64,
    chunk_count: u64,
    misread_count: u64,
}

impl AllSnapshots<'_> {
    /// Walks every snapshot, distrusting packs in `damaged`.
    fn run(&self, damaged: HashSet<PackId>, findings: &mut Findings) -> Result<Walked> {
        let reader = Reader::new(self.repository, self.chunks);
        let max_memory = self.options.max_memory;
        let mut walker = Walker::new(&reader, self.run, damaged, max_memory, findings);
        let mut snapshot_count = 0;
        for committed in &self.snapshots.all {
            self.run.cancel.check()?;
            walker.snapshot(committed)?;
            snapshot_count += 1;
        }
        let chunk_count = walker.count();
        let Unread { misread_count, passed_over } = reader.take_unread();
        for error in &passed_over {
            findings.add_error(error);
        }
        Ok(Walked { snapshot_count, chunk_count, misread_count })
    }

    /// As [`Self::run`], where nothing was found yet.
    fn trusting_all(&self) -> Result<(Walked, Findings)> {
        let mut findings = Findings::default();
        Ok((self.run(HashSet::new(), &mut findings)?, findings))
    }
}

/// A check that is under way.
struct Check<'a> {
    repository: &'a Arc<Repository>,
    options: &'a Options,
    run: &'a Run<'a>,
    findings: Findings,
    report: Report,
}

impl Check<'_> {
    fn is_quick(&self) -> bool {
        self.options.depth == Depth::Quick
    }

    /// The local cache of this host. Open only for a moment: a backup that runs beside this wants it.
    fn known(&self) -> Cache {
        let id = self.repository.config().repository;
        Cache::open(CacheOptions::new(self.options.cache_dir.clone(), id)).0
    }

    /// Every snapshot that is committed and not forgotten, and what hides some of them.
    fn snapshots(&mut self) -> Result<Snapshots> {
        let mut snapshots = Snapshots::read(self.repository)?;
        if !snapshots.problems.is_empty() {
            // What was misread on its way is no damage.
            let again = Snapshots::read(self.repository)?;
            if again.problems.len() < snapshots.problems.len() {
                self.report.misread_count +=
                    (snapshots.problems.len() - again.problems.len()) as u64;
                snapshots = again;
            }
        }
        for error in &snapshots.problems {
            self.findings.add_error(error);
        }
        find_hidden(self.repository, &snapshots, self.run, &mut self.findings)?;
        let pending = pending_count(self.repository, &snapshots)?;
        if pending > 0 {
            self.report.notices.push(format!(
                "{pending} sessions have a root and no snapshot: they run still or were interrupted \
                 (`parados snapshots --interrupted` lists them), or somebody took their snapshots away"
            ));
        }
        Ok(snapshots)
    }

    /// Objects that neither snapshots nor the index lead to.
    fn other_objects(&mut self, snapshots: &Snapshots) -> Result<()> {
        let examined = examine(self.repository, &snapshots.tombed)?;
        self.report.misread_count += examined.misread_count;
        for error in &examined.problems {
            self.findings.add_error(error);
        }
        if examined.junk_count > 0 {
            self.report.notices.push(format!(
                "{} among the objects are none, and are left alone: {}",
                examined.junk_count,
                escape(examined.junk.join(", ").as_bytes())
            ));
        }
        Ok(())
    }

    /// What this host knows of the repository, and the repository no more.
    fn what_is_remembered(&mut self, snapshots: &Snapshots) {
        let known = self.known();
        if let Err(error) = known_config::compare_with(&known, self.repository) {
            self.findings.add_error(&error);
        }
        let last = last_snapshot(known.meta_get(writer::KEY));
        find_missing_last(snapshots, last, &mut self.findings);
    }

    fn ledger(&mut self) -> Result<Ledger> {
        let ledger = Ledger::read(self.repository)?;
        for error in &ledger.problems {
            self.findings.add_error(error);
        }
        Ok(ledger)
    }

    /// Packs that were damaged when they were last read, by this check or another one.
    fn known_damaged(&mut self, packs: &Packs, ledger: &Ledger) -> HashSet<PackId> {
        let mut damaged = ledger.damaged();
        damaged.retain(|id| packs.is_there(id));
        if !damaged.is_empty() {
            self.report.notices.push(format!(
                "{} packs were damaged when they were last read: `parados repair packs` saves what is \
                 left of them",
                damaged.len()
            ));
        }
        damaged
    }

    /// Packs that are missing or of another length; names of those that are gone, which nobody may
    /// need.
    fn listed(&mut self, chunks: &Chunks, packs: &Packs) -> Vec<ObjectName> {
        let mut missing = chunks.missing_packs();
        if missing.iter().any(|(_, listed_len)| listed_len.is_none()) {
            // What a prune has doomed goes, whether it was carried out to the end or not.
            match rounds::doomed(self.repository) {
                Ok(doomed) => missing.retain(|(id, len)| len.is_some() || !doomed.contains(id)),
                Err(error) => self
                    .report
                    .notices
                    .push(format!("packs that a prune deletes may count as missing here: {error}")),
            }
        }
        let mut gone = Vec::new();
        for (id, listed_len) in missing {
            let name = ObjectName::pack(id);
            match listed_len {
                None => {
                    self.findings.add(&name, "it is missing".to_owned());
                    gone.push(name);
                }
                Some(len) => {
                    let message = format!("it has {len} bytes, which is not what was stored");
                    self.findings.add(&name, message);
                }
            }
        }
        if packs.unindexed_count > 0 {
            self.report.notices.push(format!(
                "{} packs are in no index segment: an interrupted run left them, and the next backup \
                 uses them",
                packs.unindexed_count
            ));
        }
        gone
    }

    /// Whether an index in memory takes no more than its part: about as much as the segments that it is made
    /// of.
    fn index_fits_memory(&self) -> Result<bool> {
        let listed = list(&**self.repository.backend(), ObjectKind::Index)?;
        let len: u64 = listed.iter().map(|segment| segment.len).sum();
        Ok(len <= self.options.max_memory / INDEX_SHARE)
    }

    /// Takes in what walking all snapshots found. Packs that are `gone` are damage only if a snapshot needs
    /// them.
    fn conclude(
        &mut self,
        chunks: &Chunks,
        snapshots: &Snapshots,
        walked: &Walked,
        findings: Findings,
        mut gone: Vec<ObjectName>,
    ) -> Result<()> {
        self.findings = findings;
        self.report.snapshot_count = walked.snapshot_count;
        self.report.chunk_count = walked.chunk_count;
        self.report.misread_count += walked.misread_count;
        // A run that slept while prune took its first packs still names them when it goes on.
        gone.retain(|name| self.findings.take_back_unneeded(name));
        if let [first, ..] = &gone[..] {
            let count = gone.len();
            self.report.notices.push(format!(
                "{count} packs that index segments name are gone, and no snapshot needs them, as \
                 {first}"
            ));
        }
        // Snapshots only hint at segments: one that is gone is no loss where others say the same.
        if chunks.has_adopted() {
            let superseded = chunks.superseded();
            find_lost_segments(self.repository, snapshots, superseded, &mut self.findings)?;
        }
        Ok(())
    }
}
