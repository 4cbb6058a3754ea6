//! Lists snapshots.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Run;
use crate::base::{Result, SessionId};
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::repo::select::{Filter, Selector};
use crate::repo::snapshots::{Committed, Snapshots};

/// Which snapshots to list, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these, as typed; all that the filter accepts when there is none.
    pub words: Vec<String>,
    /// What `latest`, or all, must have.
    pub filter: Filter,
    /// Only so many of the newest for each host and set of paths.
    pub newest: Option<usize>,
    /// What snapshots of one group have in common.
    pub group_by: GroupBy,
}

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

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Groups in the order of their keys, snapshots in each oldest first.
    pub groups: Vec<(GroupKey, Vec<Committed>)>,
    /// Those of them that are dated later than now.
    pub ahead: HashSet<SessionId>,
    /// Whether there are any that were not asked for.
    pub has_others: bool,
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

/// The snapshots that are committed, not forgotten and asked for.
///
/// # Errors
/// When they cannot be listed, or one that was named does not exist; one that cannot be read is a
/// problem.
pub fn snapshots(repository: &Repository, options: &Options, run: &Run<'_>) -> Result<Report> {
    let found = Snapshots::read(repository)?.as_of(run.clock.now());
    let ahead: HashSet<SessionId> = found.ahead().iter().map(|c| c.id).collect();
    let chosen = choose(&found, options);
    let counts_back = options.newest.is_some()
        || options.words.iter().any(|word| Selector::from(word.as_str()).is_latest());
    let ahead_problem = found.ahead_problem(&options.filter).filter(|_| counts_back);
    let total = found.all.len();
    run.problems.extend(found.problems);
    run.problems.extend(ahead_problem);
    let mut chosen = chosen?;
    if let Some(count) = options.newest {
        chosen = newest(chosen, count, &ahead);
    }
    let has_others = chosen.len() < total;
    let mut groups: BTreeMap<GroupKey, Vec<Committed>> = BTreeMap::new();
    for committed in chosen {
        groups.entry(options.group_by.key(&committed.snapshot)).or_default().push(committed);
    }
    Ok(Report { groups: groups.into_iter().collect(), ahead, has_others })
}

/// Those that were named, each once, or those that the filter accepts; oldest first.
fn choose(found: &Snapshots, options: &Options) -> Result<Vec<Committed>> {
    if options.words.is_empty() {
        let accepted = found.all.iter().filter(|c| options.filter.accepts(&c.snapshot));
        return Ok(accepted.cloned().collect());
    }
    let mut chosen: Vec<Committed> = Vec::new();
    for word in &options.words {
        let selector = Selector { word: word.clone(), filter: options.filter.clone() };
        let committed = found.select(&selector)?;
        if chosen.iter().all(|other| other.id != committed.id) {
            chosen.push(committed.clone());
        }
    }
    chosen.sort_by_key(|c| (c.snapshot.time, c.id));
    Ok(chosen)
}

/// The last `count` for each host and set of paths; those ahead of the clock are none of them.
fn newest(chosen: Vec<Committed>, count: usize, ahead: &HashSet<SessionId>) -> Vec<Committed> {
    let mut seen: HashMap<(String, Vec<Vec<u8>>), usize> = HashMap::new();
    let mut kept: Vec<Committed> = chosen
        .into_iter()
        .rev()
        .filter(|committed| {
            let key = (committed.snapshot.host.clone(), paths_of(&committed.snapshot));
            let place = seen.entry(key).or_default();
            let is_kept = !ahead.contains(&committed.id) && *place < count;
            *place += usize::from(is_kept);
            is_kept
        })
        .collect();
    kept.reverse();
    kept
}

/// The paths of all components, sorted.
fn paths_of(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let components = snapshot.components.iter();
    let mut paths: Vec<Vec<u8>> =
        components.flat_map(|component| &component.paths).map(|path| path.0.clone()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}
