//! Lists snapshots.

use std::collections::{HashMap, HashSet};

use super::Run;
use super::group::{GroupBy, GroupKey, groups, paths_of};
use crate::base::{Result, SessionId};
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
    /// Instead of those that are committed, what backups have captured so far that came to no end.
    pub interrupted: bool,
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

/// The snapshots that are committed, not forgotten and asked for.
///
/// # Errors
/// When they cannot be listed, or one that was named does not exist; one that cannot be read is a
/// problem.
pub fn snapshots(repository: &Repository, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut found = Snapshots::read(repository)?;
    if options.interrupted {
        let interrupted = found.interrupted(repository)?;
        let problems = std::mem::take(&mut found.problems);
        found = interrupted;
        found.problems.splice(..0, problems);
    }
    let found = found.as_of(run.clock.now());
    let ahead: HashSet<SessionId> = found.ahead().iter().map(|c| c.id).collect();
    let chosen = choose(&found, &options.words, &options.filter);
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
    Ok(Report { groups: groups(chosen, options.group_by), ahead, has_others })
}

/// Those that were named, each once, or those that the filter accepts; oldest first.
///
/// # Errors
/// When one that was named does not exist.
pub(super) fn choose(
    found: &Snapshots,
    words: &[String],
    filter: &Filter,
) -> Result<Vec<Committed>> {
    if words.is_empty() {
        let accepted = found.all.iter().filter(|c| filter.accepts(&c.snapshot));
        return Ok(accepted.cloned().collect());
    }
    let mut chosen: Vec<Committed> = Vec::new();
    for word in words {
        let selector = Selector { word: word.clone(), filter: filter.clone() };
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
