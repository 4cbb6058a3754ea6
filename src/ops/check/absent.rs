//! Finds objects that others name and that are not there.

use std::collections::HashSet;

use super::findings::Findings;
use crate::base::{Result, SegmentId, SessionId};
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::ops::Run;
use crate::repo::Repository;
use crate::repo::access::list_names;
use crate::repo::snapshots::{Snapshots, read_decision};

/// Finds snapshots that others have seen and that are neither listed nor forgotten: somebody took
/// them away.
pub(super) fn find_hidden(
    repository: &Repository,
    snapshots: &Snapshots,
    run: &Run<'_>,
    findings: &mut Findings,
) -> Result<()> {
    let listed: HashSet<_> = snapshots.all.iter().map(|committed| committed.id).collect();
    let by_kept = snapshots.all.iter().flat_map(|committed| {
        let who = format!("snapshot {}", committed.id.short());
        committed.snapshot.seen.iter().map(move |seen| (seen, who.clone()))
    });
    let by_tombed =
        snapshots.seen_by_tombed.iter().map(|seen| (seen, "a forgotten snapshot".to_owned()));
    let is_missing = |id: &SessionId| !listed.contains(id) && !snapshots.tombed.contains(id);
    let missing: Vec<_> =
        by_kept.chain(by_tombed).filter(|(seen, _)| is_missing(&seen.session)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // One that was forgotten and pruned since the tombstones were read is none.
    let tombed = Snapshots::read_tombed(repository, run.problems)?;
    for (seen, who) in missing {
        let name = ObjectName::snapshot(seen.session);
        // One that was made while snapshots were listed may have been missed.
        let is_there = || matches!(read_decision(repository, &name), Ok(Some(_)));
        if !tombed.contains(&seen.session) && !is_there() {
            let message =
                format!("it is missing or damaged: {who} has seen it, and nobody forgot it");
            findings.add(&name, message).hint =
                "Find out who can delete from this location; its files may be in later snapshots."
                    .to_owned();
        }
    }
    Ok(())
}

/// Finds out whether the last snapshot that this host made is gone, which nobody can have seen yet.
pub(super) fn find_missing_last(
    snapshots: &Snapshots,
    last: Option<SessionId>,
    findings: &mut Findings,
) {
    let is_there = |id: &SessionId| {
        snapshots.tombed.contains(id) || snapshots.all.iter().any(|committed| committed.id == *id)
    };
    if let Some(last) = last.filter(|last| !is_there(last)) {
        let message =
            "it is missing or damaged: this host made it, and nobody forgot it".to_owned();
        findings.add(&ObjectName::snapshot(last), message).hint =
            "Find out who can delete from this location; back up again what it held.".to_owned();
    }
}

/// Finds index segments that a snapshot names and that are gone, unless another one replaced them. Their packs can still be read.
pub(super) fn find_lost_segments(
    repository: &Repository,
    snapshots: &Snapshots,
    superseded: HashSet<SegmentId>,
    findings: &mut Findings,
) -> Result<()> {
    let mut listed = superseded;
    for name in list_names(&**repository.backend(), ObjectKind::Index)? {
        if let Parsed::Index(_, _, id) = name.parsed() {
            listed.insert(id);
        }
    }
    for committed in &snapshots.all {
        for id in committed.snapshot.segments.iter().filter(|id| !listed.contains(id)) {
            let message = format!("snapshot {} needs it, and it is missing", committed.id.short());
            findings.add_named(format!("index segment {id}"), message).hint =
                "Restores read the headers of its packs instead, which takes longer; `parados repair \
                 index` describes them anew."
                    .to_owned();
        }
    }
    Ok(())
}

/// How many sessions stored the root of a snapshot, which is neither there nor forgotten.
pub(super) fn pending_count(repository: &Repository, snapshots: &Snapshots) -> Result<usize> {
    let mut sessions = HashSet::new();
    for name in list_names(&**repository.backend(), ObjectKind::Session)? {
        if let Parsed::Session(id, _) = name.parsed() {
            sessions.insert(id);
        }
    }
    for name in list_names(&**repository.backend(), ObjectKind::Snapshot)? {
        if let Parsed::Snapshot(id) = name.parsed() {
            sessions.remove(&id);
        }
    }
    Ok(sessions.difference(&snapshots.tombed).count())
}
