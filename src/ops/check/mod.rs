//! Finds out whether a repository is whole.

mod absent;
mod data;
mod findings;
mod walk;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use absent::{find_hidden, find_lost_segments, find_missing_last, pending_count};
use data::{find_false_segments, is_contradiction, read_packs};
pub use findings::Finding;
use findings::{Findings, cause};
use walk::Walker;

use super::writer::{self, last_snapshot};
use super::{DAMAGED_KEY, Run, closing_notices, known_config, open_chunks};
use crate::base::text::escape;
use crate::base::{PackId, Result};
use crate::format::ObjectName;
use crate::index::remembered::encode_ids;
use crate::index::{Cache, CacheOptions, Scratch};
use crate::pipeline::budget::Budget;
use crate::repo::Repository;
use crate::repo::examine::examine;
use crate::repo::reader::Reader;
use crate::repo::rounds;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::trust;

/// What to do about a segment that somebody with the keys made up.
const FALSE_SEGMENT_HINT: &str = "This host no longer relies on it. Find out who has the keys; then \
    back up the sources again: what they still have is stored anew.";

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to read every pack.
    pub read_data: bool,
    /// Directory of the local cache; the check itself reads every segment anew.
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
    /// Bytes of packs that were read.
    pub read_bytes: u64,
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

/// Checks that every snapshot can be restored; with `read_data` by reading every byte.
///
/// # Errors
/// When the repository cannot be listed. Damage is a finding.
pub fn check(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut report = Report::default();
    let snapshots = Snapshots::read(repository)?;
    let mut findings = Findings::default();
    for error in &snapshots.problems {
        findings.add_error(error);
    }
    find_hidden(repository, &snapshots, run, &mut findings)?;
    let pending = pending_count(repository, &snapshots)?;
    if pending > 0 {
        report.notices.push(format!(
            "{pending} sessions have a root and no snapshot: they were stopped at the very end, or \
             somebody took their snapshots away"
        ));
    }
    let examined = examine(repository)?;
    for error in &examined.problems {
        findings.add_error(error);
    }
    if examined.junk_count > 0 {
        report.notices.push(format!(
            "{} among the objects are none, and are left alone: {}",
            examined.junk_count,
            escape(examined.junk.join(", ").as_bytes())
        ));
    }
    let cache = || CacheOptions::new(options.cache_dir.clone(), repository.config().repository);
    {
        // Open only for a moment: a backup that runs beside this wants it.
        let (known, _) = Cache::open(cache());
        if let Err(error) = known_config::compare_with(&known, repository) {
            findings.add_error(&error);
        }
        find_missing_last(&snapshots, last_snapshot(known.meta_get(writer::KEY)), &mut findings);
    }
    // A cache could hide that a segment is gone, so the index is built from what is there; on the
    // disk where that can be, because memory is bounded and repositories are not.
    let scratch = options.cache_dir.as_ref().and_then(|dir| Scratch::make(dir).ok());
    let (chunks, notices) = open_chunks(repository, scratch.as_ref().map(Scratch::path), run)?;
    report.notices.extend(notices);
    for error in run.problems.take() {
        findings.add_error(&error);
    }
    chunks.list_packs(&HashSet::new())?;
    let packs = chunks.packs()?;
    let unindexed = chunks.unindexed_packs();
    report.pack_count = (packs.len() + unindexed.len()) as u64;
    // What a prune has doomed goes, whether it was carried out to the end or not.
    let rounds = rounds::read(repository).unwrap_or_default();
    let doomed: HashSet<PackId> =
        rounds.into_iter().filter_map(|round| round.doomed).flatten().collect();
    let mut gone = Vec::new();
    let missing = chunks.missing_packs().into_iter();
    for (id, listed_len) in missing.filter(|(id, len)| len.is_some() || !doomed.contains(id)) {
        let name = ObjectName::pack(id);
        match listed_len {
            None => {
                findings.add(&name, "it is missing".to_owned());
                gone.push(name);
            }
            Some(len) => {
                let message = format!("it has {len} bytes, which is not what was stored");
                findings.add(&name, message);
            }
        }
    }
    if !unindexed.is_empty() {
        report.notices.push(format!(
            "{} packs are in no index segment: an interrupted run left them",
            unindexed.len()
        ));
    }
    let mut damaged = HashSet::new();
    if options.read_data {
        let alive = packs.iter().copied().filter(|(id, _)| chunks.is_alive(id));
        let all: Vec<_> = alive.chain(unindexed).collect();
        let mut lens: HashMap<PackId, u64> = all.iter().copied().collect();
        let budget = Budget::new((options.max_memory / 2) as usize);
        let read = read_packs(repository, &chunks, all, &budget, run)?;
        for (id, error) in &read.damaged {
            findings.add(&ObjectName::pack(*id), cause(error));
        }
        damaged.extend(read.damaged.iter().map(|(id, _)| *id));
        // Open only for a moment: a backup that runs beside this wants it.
        if !damaged.is_empty() {
            Cache::open(cache()).0.meta_put(DAMAGED_KEY, &encode_ids(&damaged));
        }
        // What is not itself is no witness.
        for (id, _) in read.damaged.iter().filter(|(_, error)| !is_contradiction(error)) {
            lens.remove(id);
        }
        let mut found_false = HashSet::new();
        for (name, segment, packs) in find_false_segments(repository, &lens, &budget, run)? {
            let finding = findings.add(&name, cause(&trust::false_segment(&name)));
            finding.hint = FALSE_SEGMENT_HINT.to_owned();
            damaged.extend(packs);
            found_false.insert(segment);
        }
        if !found_false.is_empty() {
            let (known, _) = Cache::open(cache());
            found_false.extend(trust::distrusted_in(known.meta_get(trust::DISTRUSTED_KEY)));
            known.meta_put(trust::DISTRUSTED_KEY, &trust::distrusted_record(&found_false));
        }
        report.read_bytes = read.bytes;
    }
    let reader = Reader::new(repository, &chunks);
    let mut walker = Walker::new(&reader, run, damaged, options.max_memory, &mut findings);
    for committed in &snapshots.all {
        run.cancel.check()?;
        walker.snapshot(committed)?;
        report.snapshot_count += 1;
    }
    report.chunk_count = walker.count();
    // A run that slept while prune took its first packs still names them when it goes on.
    gone.retain(|name| findings.take_back_unneeded(name));
    if let [first, ..] = &gone[..] {
        let count = gone.len();
        report.notices.push(format!(
            "{count} packs that index segments name are gone, and no snapshot needs them, as {first}"
        ));
    }
    // Snapshots only hint at segments: one that is gone is no loss where others say the same.
    if chunks.has_adopted() {
        find_lost_segments(repository, &snapshots, chunks.superseded(), &mut findings)?;
    }
    report.findings = findings.finish();
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}
