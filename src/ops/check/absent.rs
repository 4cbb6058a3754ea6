//! Finds objects that others name and that are not there.

use std::collections::HashSet;

use super::findings::Findings;
use crate::base::Result;
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::repo::Repository;
use crate::repo::access::list_names;
use crate::repo::snapshots::Snapshots;

/// Finds snapshots that others have seen and that are neither listed nor forgotten: somebody took
/// them away.
pub(super) fn find_hidden(snapshots: &Snapshots, findings: &mut Findings) {
    let listed: HashSet<_> = snapshots.all.iter().map(|committed| committed.id).collect();
    let by_kept = snapshots.all.iter().flat_map(|committed| {
        let who = format!("snapshot {}", committed.id.short());
        committed.snapshot.seen.iter().map(move |seen| (seen, who.clone()))
    });
    let by_tombed =
        snapshots.seen_by_tombed.iter().map(|seen| (seen, "a forgotten snapshot".to_owned()));
    for (seen, who) in by_kept.chain(by_tombed) {
        if !listed.contains(&seen.session) && !snapshots.tombed.contains(&seen.session) {
            let name = ObjectName::snapshot(seen.session);
            let message =
                format!("it is missing or damaged: {who} has seen it, and nobody forgot it");
            findings.add(&name, message).hint =
                "Find out who can delete from this location; its files may be in later snapshots."
                    .to_owned();
        }
    }
}

/// Finds index segments that a snapshot names and that are gone. Their packs can still be read.
pub(super) fn find_lost_segments(
    repository: &Repository,
    snapshots: &Snapshots,
    findings: &mut Findings,
) -> Result<()> {
    let mut listed = HashSet::new();
    for name in list_names(&**repository.backend(), ObjectKind::Index)? {
        if let Parsed::Index(_, _, id) = name.parsed() {
            listed.insert(id);
        }
    }
    for committed in &snapshots.all {
        for id in committed.snapshot.segments.iter().filter(|id| !listed.contains(id)) {
            let message = format!("snapshot {} needs it, and it is missing", committed.id.short());
            findings.add_named(format!("index segment {id}"), message).hint =
                "Restores read the headers of its packs instead, which takes longer.".to_owned();
        }
    }
    Ok(())
}
