//! Which snapshot a run compares its sources with.

use crate::base::SessionId;
use crate::format::snapshot::PathBytes;
use crate::ops::Run;
use crate::repo::snapshots::Snapshots;

/// The newest snapshot of the same paths on this host.
pub(super) fn choose(
    snapshots: &Snapshots,
    host: &str,
    paths: &[PathBytes],
    run: &Run<'_>,
) -> Option<SessionId> {
    snapshots.parent(host, paths).map(|committed| {
        // A guess that is good enough for the time that is left.
        let statistics = committed.snapshot.components[0].statistics;
        run.progress.files_total.set(statistics.file_count);
        run.progress.bytes_total.set(statistics.content_bytes);
        committed.id
    })
}
