//! Forgetting: one object that marks any number of snapshots, so that a run forgets all or none.

use super::Repository;
use super::snapshots::{Committed, Snapshots};
use crate::backend::{BackendError, create_verified};
use crate::base::rules::{Rule, keeps};
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, Timestamp};
use crate::format::ObjectName;
use crate::format::snapshot::Seen;
use crate::format::tombstone::Tombstone;

/// Snapshots in one tombstone: far more than anybody has, and far from the longest tombstone.
const SESSION_COUNT_MAX: usize = 100_000;

/// Marks snapshots as forgotten, all by one object. It stays for ever, so that no delayed request
/// of a store brings a forgotten snapshot back.
///
/// # Errors
/// When it cannot be stored: then nothing is forgotten, or a time-out leaves it open.
pub fn put(
    repository: &Repository,
    forgotten: &[&Committed],
    time: Timestamp,
    reason: &str,
) -> Result<()> {
    if !keeps(Rule::Tombstone) {
        for committed in forgotten {
            repository.backend().delete(&ObjectName::snapshot(committed.id))?;
        }
        return Ok(());
    }
    for part in forgotten.chunks(SESSION_COUNT_MAX) {
        let sessions = part.iter().map(|committed| committed.id).collect();
        let seen = part.iter().flat_map(|c| c.snapshot.seen.iter().copied()).collect();
        put_one(repository, sessions, seen, time, reason)?;
    }
    Ok(())
}

/// Marks a snapshot as forgotten that is not there, so that nobody misses it any more.
///
/// # Errors
/// As [`put`].
pub fn put_lost(
    repository: &Repository,
    lost: SessionId,
    time: Timestamp,
    reason: &str,
) -> Result<()> {
    put_one(repository, vec![lost], Vec::new(), time, reason)
}

fn put_one(
    repository: &Repository,
    mut sessions: Vec<SessionId>,
    mut seen: Vec<Seen>,
    time: Timestamp,
    reason: &str,
) -> Result<()> {
    sessions.sort_unstable();
    sessions.dedup();
    seen.sort_unstable_by_key(|seen| (seen.writer, seen.sequence, seen.session));
    seen.dedup();
    let tombstone = Tombstone { sessions, time, seen, reason: reason.to_owned() };
    let body = tombstone.encode();
    for id in &tombstone.sessions {
        let name = ObjectName::tombstone(*id);
        match create_verified(&**repository.backend(), &name, &repository.seal(&name, &body)) {
            Ok(_) => return Ok(()),
            // Somebody forgot this one as well, or junk has its name. The list may have the name of
            // any other.
            Err(BackendError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let tombed = Snapshots::read_tombed(repository, &Problems::default())?;
    match tombstone.sessions.iter().find(|id| !tombed.contains(id)) {
        None => Ok(()),
        Some(id) => Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "snapshot {} cannot be forgotten: {} is taken",
                id.short(),
                ObjectName::tombstone(*id)
            ),
        )
        .hint("What has this name is no tombstone of this repository; remove that object.")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::Verb;
    use crate::backend::memory::Memory;
    use crate::backend::with::fault::{Fault, Faulty, Rule};
    use crate::base::{SystemClock, WriterId};
    use crate::format::ObjectKind;
    use crate::repo::testing::{commit, make, open, snapshot_of};

    const NOW: Timestamp = Timestamp::new(5_000, 0);

    fn world() -> (Arc<Faulty>, Repository, Vec<Committed>) {
        let memory = Memory::new("tombstones", Arc::new(SystemClock));
        make(memory.clone());
        let faulty = Faulty::new(memory);
        let repository = open(faulty.clone());
        for n in 0..4 {
            let seen = Seen {
                writer: WriterId::new([n; 32]),
                session: SessionId::new([n; 32]),
                sequence: 1,
            };
            let time = Timestamp::new(n.into(), 0);
            commit(
                &repository,
                crate::format::snapshot::Snapshot {
                    seen: vec![seen],
                    ..snapshot_of(time, "host", "/x")
                },
            );
        }
        let all = Snapshots::read(&repository).expect("they are listed").all;
        (faulty, repository, all)
    }

    fn left(repository: &Repository) -> Vec<SessionId> {
        Snapshots::read(repository).expect("they are listed").all.iter().map(|c| c.id).collect()
    }

    fn ids(all: &[Committed]) -> Vec<SessionId> {
        all.iter().map(|c| c.id).collect()
    }

    #[test]
    fn one_object_forgets_all_and_keeps_what_they_had_seen() {
        let (_, repository, all) = world();
        put(&repository, &[&all[2], &all[0]], NOW, "because").expect("they are forgotten");
        assert_eq!(left(&repository), [all[1].id, all[3].id]);
        let forgotten = Snapshots::read_forgotten(&repository).expect("they are listed");
        assert_eq!(ids(&forgotten.all), [all[0].id, all[2].id]);
        let writers: Vec<u8> =
            forgotten.seen_by_tombed.iter().map(|s| s.writer.as_bytes()[0]).collect();
        assert_eq!(writers, [0, 2]);
        let mut count = 0;
        repository.backend().list(ObjectKind::Tombstone, &mut |_| count += 1).expect("listed");
        assert_eq!(count, 1);
        // Again, which changes nothing; and one more beside those.
        put(&repository, &[&all[0], &all[2]], NOW, "again").expect("they are forgotten");
        put(&repository, &[&all[0], &all[1], &all[2]], NOW, "one more").expect("it is forgotten");
        assert_eq!(left(&repository), [all[3].id]);
    }

    #[test]
    fn junk_in_the_place_of_one_keeps_no_other_and_is_named_where_it_does() {
        let (_, repository, all) = world();
        let mut sorted: Vec<&Committed> = all.iter().collect();
        sorted.sort_by_key(|c| c.id);
        let name = ObjectName::tombstone(sorted[0].id);
        let junk = repository.seal(&ObjectName::config(9), b"junk");
        repository.backend().put(&name, &junk).expect("it is stored");
        let error = put(&repository, &[sorted[0]], NOW, "").expect_err("the name is taken");
        assert!(error.to_string().contains(&name.to_string()), "{error}");
        assert_eq!(left(&repository).len(), 4);
        put(&repository, &sorted[..2], NOW, "").expect("the other has a name");
        assert_eq!(left(&repository).len(), 2);
    }

    #[test]
    fn a_failure_forgets_none_and_a_lost_answer_all() {
        let (faulty, repository, all) = world();
        let two: Vec<&Committed> = all.iter().take(2).collect();
        faulty.inject(Rule::on(Verb::Put, Fault::Denied).of(ObjectKind::Tombstone));
        put(&repository, &two, NOW, "").expect_err("it is denied");
        assert_eq!(left(&repository), ids(&all));
        faulty.inject(Rule::on(Verb::Put, Fault::After).of(ObjectKind::Tombstone));
        put(&repository, &two, NOW, "").expect("it is read back");
        assert_eq!(left(&repository), ids(&all[2..]));
    }
}
