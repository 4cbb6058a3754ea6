//! A snapshot of nothing, for the tests of this layer.

use crate::base::{Timestamp, WriterId};
use crate::format::snapshot::{Component, PathBytes, Snapshot, State, Statistics};

/// A complete snapshot of `host` without content, of words of `paths`, made at `time`.
pub(super) fn snapshot_of(time: Timestamp, host: &str, paths: &str) -> Snapshot {
    let paths = paths.split_whitespace().map(|path| PathBytes(path.as_bytes().to_vec())).collect();
    let component = Component {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        tier: None,
        root: None,
        statistics: Statistics::default(),
        state: State::Complete,
        paths,
    };
    Snapshot {
        components: vec![component],
        recovery_point: None,
        time,
        finished: time,
        host: host.to_owned(),
        user: String::new(),
        tags: Vec::new(),
        program: String::new(),
        writer: WriterId::new([1; 32]),
        sequence: 1,
        parent: None,
        segments: Vec::new(),
        seen: Vec::new(),
        signature: None,
        description: None,
    }
}
