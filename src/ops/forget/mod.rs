//! Forgets snapshots: those that are named, or those that a policy does not keep.
//!
//! Nothing is deleted here. A forgotten snapshot is no longer listed, `prune` deletes it and what
//! only it needs, and until then `unforget` brings it back.

mod doubt;
pub mod policy;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use self::doubt::keep;
use self::policy::Policy;
use super::Run;
use super::group::{GroupBy, GroupKey, groups};
use super::snapshots::choose;
use crate::base::calendar::Calendar;
use crate::base::{Error, ErrorKind, Result, SessionId};
use crate::repo::Repository;
use crate::repo::select::Filter;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::tombstones;

/// What to forget.
#[derive(Clone, Debug)]
pub struct Options {
    /// These snapshots, as typed; without any the policy chooses.
    pub words: Vec<String>,
    /// What `latest` counts, or what the policy looks at.
    pub filter: Filter,
    /// What is kept of each group.
    pub policy: Policy,
    /// What snapshots of one group have in common.
    pub group_by: GroupBy,
    /// The calendar that says which day it is.
    pub calendar: Calendar,
    /// Whether nothing may be left of a group, or of the repository.
    pub allow_all: bool,
    /// Only say what would be forgotten.
    pub dry_run: bool,
}

/// What was forgotten, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// Groups in the order of their keys; one without key where snapshots were named.
    pub groups: Vec<Group>,
    /// A snapshot that is not there, and that nobody misses any more.
    pub lost: Option<SessionId>,
}

/// What became of the snapshots of a group; oldest first.
#[derive(Debug, Default)]
pub struct Group {
    /// What they have in common.
    pub key: GroupKey,
    /// What is kept, and why.
    pub kept: Vec<(Committed, Vec<String>)>,
    /// What is forgotten.
    pub forgotten: Vec<Committed>,
}

impl Report {
    /// Everything that is forgotten.
    pub fn forgotten(&self) -> impl Iterator<Item = &Committed> {
        self.groups.iter().flat_map(|group| &group.forgotten)
    }
}

/// Forgets by one reading of the snapshots, and all by one object: what is committed meanwhile is
/// not among it, and a run that is killed has forgotten all or nothing.
///
/// # Errors
/// [`ErrorKind::Usage`] when nothing would be left and nobody said that this is meant; otherwise
/// when the snapshots cannot be listed, or the tombstone cannot be stored.
pub fn forget(repository: &Repository, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut found = Snapshots::read(repository)?.as_of(run.clock.now());
    run.problems.extend(std::mem::take(&mut found.problems));
    if let [word] = &options.words[..]
        && let Some(lost) = missed(&found, word)
    {
        if !options.dry_run {
            tombstones::put_lost(repository, lost, run.clock.now(), "named, and not there")?;
        }
        return Ok(Report { lost: Some(lost), ..Report::default() });
    }
    let (report, reason) = if options.words.is_empty() {
        (by_policy(&found, options)?, format!("policy: {}", options.policy))
    } else {
        (by_name(&found, options)?, "named".to_owned())
    };
    let forgotten: Vec<&Committed> = report.forgotten().collect();
    if !forgotten.is_empty() && !options.dry_run {
        run.cancel.check()?;
        tombstones::put(repository, &forgotten, run.clock.now(), &reason)?;
    }
    Ok(report)
}

/// A snapshot that is not there and not forgotten, though others have seen it; by its whole id.
fn missed(found: &Snapshots, word: &str) -> Option<SessionId> {
    let is_there = |id: &SessionId| found.tombed.contains(id) || found.stored.contains_key(id);
    let seen = found.all.iter().flat_map(|committed| &committed.snapshot.seen);
    let mut sessions = seen.chain(&found.seen_by_tombed).map(|seen| seen.session);
    sessions.find(|id| id.to_hex() == word && !is_there(id))
}

fn by_name(found: &Snapshots, options: &Options) -> Result<Report> {
    let forgotten = choose(found, &options.words, &options.filter)?;
    if let Some(pinned) = forgotten.iter().find(|c| found.pinned.contains(&c.id)) {
        let message =
            format!("snapshot {} is pinned: it is not to be forgotten", pinned.id.short());
        return Err(Error::new(ErrorKind::Usage, message));
    }
    if forgotten.len() == found.all.len() && !options.allow_all {
        return Err(keeps_nothing("these are all snapshots there are"));
    }
    Ok(Report { groups: vec![Group { forgotten, ..Group::default() }], lost: None })
}

fn by_policy(found: &Snapshots, options: &Options) -> Result<Report> {
    let ahead: HashSet<_> = found.ahead().iter().map(|c| c.id).collect();
    let chosen = choose(found, &[], &options.filter)?;
    let mut report = Report::default();
    for (key, all) in groups(chosen, options.group_by) {
        // Whatever the policy says, these stay, and count for no other.
        let (late, present): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|c| ahead.contains(&c.id));
        let reasons = keep(&options.policy, &present, &found.stored, &options.calendar);
        let mut group = Group { key, ..Group::default() };
        for (committed, mut reasons) in present.into_iter().zip(reasons) {
            if found.pinned.contains(&committed.id) {
                reasons.push("pinned".to_owned());
            }
            match reasons.is_empty() {
                true => group.forgotten.push(committed),
                false => group.kept.push((committed, reasons)),
            }
        }
        let stays = vec!["dated in the future".to_owned()];
        group.kept.extend(late.into_iter().map(|committed| (committed, stays.clone())));
        if group.kept.is_empty() && !options.allow_all {
            return Err(keeps_nothing(&format!(
                "the policy keeps none of the {} snapshots of {}",
                group.forgotten.len(),
                group.key.describe().unwrap_or_else(|| "this repository".to_owned()),
            )));
        }
        report.groups.push(group);
    }
    Ok(report)
}

fn keeps_nothing(message: &str) -> Error {
    Error::new(ErrorKind::Usage, message)
        .hint("Nothing was forgotten. If this is what you want, say `--allow-all`.")
}
