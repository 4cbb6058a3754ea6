//! Groups of snapshots by what they have in common.

use std::collections::BTreeMap;

use crate::base::text::escape;
use crate::format::snapshot::Snapshot;
use crate::repo::snapshots::Committed;

/// What snapshots of one group have in common; nothing makes one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The set of paths.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

/// What the snapshots of a group have in common; absent where it was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The host.
    pub host: Option<String>,
    /// The paths, sorted, as raw bytes.
    pub paths: Option<Vec<Vec<u8>>>,
    /// The tags, sorted.
    pub tags: Option<Vec<String>>,
}

impl GroupBy {
    /// The key of the group that a snapshot is in.
    pub fn key(self, snapshot: &Snapshot) -> GroupKey {
        GroupKey {
            host: self.host.then(|| snapshot.host.clone()),
            paths: self.paths.then(|| paths_of(snapshot)),
            tags: self.tags.then(|| {
                let mut tags = snapshot.tags.clone();
                tags.sort_unstable();
                tags.dedup();
                tags
            }),
        }
    }
}

impl GroupKey {
    /// What they have in common, for a person; nothing where nothing was asked for.
    pub fn describe(&self) -> Option<String> {
        fn shown<T: AsRef<[u8]>>(what: &str, all: &[T]) -> String {
            let all: Vec<String> = all.iter().map(|one| escape(one.as_ref())).collect();
            format!("{what} [{}]", all.join(", "))
        }
        let host = self.host.as_ref().map(|host| shown("host", &[host]));
        let paths = self.paths.as_ref().map(|paths| shown("paths", paths));
        let tags = self.tags.as_ref().map(|tags| shown("tags", tags));
        let parts: Vec<String> = [host, paths, tags].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Snapshots in groups: in the order of their keys, those of each in the order they came.
pub(super) fn groups(
    all: impl IntoIterator<Item = Committed>,
    by: GroupBy,
) -> Vec<(GroupKey, Vec<Committed>)> {
    let mut groups: BTreeMap<GroupKey, Vec<Committed>> = BTreeMap::new();
    for committed in all {
        groups.entry(by.key(&committed.snapshot)).or_default().push(committed);
    }
    groups.into_iter().collect()
}

/// The paths of all components, sorted.
pub(super) fn paths_of(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let components = snapshot.components.iter();
    let mut paths: Vec<Vec<u8>> =
        components.flat_map(|component| &component.paths).map(|path| path.0.clone()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}
