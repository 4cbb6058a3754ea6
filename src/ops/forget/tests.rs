//! Forgetting and bringing back, with real snapshots.

use std::fs;

use super::policy::{Count, Each};
use super::*;
use crate::base::Timestamp;
use crate::format::note::Note;
use crate::format::snapshot::Snapshot;
use crate::format::{ObjectKind, ObjectName};
use crate::ops::tests::{Counts, World, describe, noise};
use crate::ops::unforget;
use crate::repo::testing::{commit, snapshot_of};

fn options(words: &[SessionId]) -> Options {
    Options {
        words: words.iter().map(|id| id.to_hex()).collect(),
        filter: Filter::default(),
        policy: Policy::default(),
        group_by: GroupBy { host: true, paths: true, tags: false },
        calendar: Calendar::utc(),
        allow_all: false,
        dry_run: false,
    }
}

fn keep_last(count: u32) -> Options {
    let counts = vec![(Each(None), Count::AtMost(count))];
    Options { policy: Policy { counts, ..Policy::default() }, ..options(&[]) }
}

fn listed(repository: &Repository) -> Vec<SessionId> {
    Snapshots::read(repository).unwrap().all.iter().map(|c| c.id).collect()
}

fn run(repository: &Repository, options: &Options) -> Result<Vec<SessionId>> {
    let counts = Counts::default();
    let report = forget(repository, options, &counts.run())?;
    Ok(report.forgotten().map(|c| c.id).collect())
}

/// A snapshot of nothing that `host` made at so many seconds.
fn made(repository: &Repository, host: &str, seconds: i64) -> SessionId {
    commit(repository, snapshot_of(Timestamp::new(seconds, 0), host, "/x"))
}

#[test]
fn what_is_named_is_forgotten_and_nothing_is_deleted() {
    let world = World::new();
    let ids: Vec<SessionId> = (0..3).map(|n| made(&world.repository, "host", n)).collect();
    let dry = Options { dry_run: true, ..options(&ids[..1]) };
    assert_eq!(run(&world.repository, &dry).unwrap(), ids[..1]);
    assert_eq!(listed(&world.repository), ids);
    assert_eq!(run(&world.repository, &options(&ids[..2])).unwrap(), ids[..2]);
    assert_eq!(listed(&world.repository), ids[2..]);
    let snapshots = world.repository.backend();
    let mut count = 0;
    snapshots.list(ObjectKind::Snapshot, &mut |_| count += 1).unwrap();
    assert_eq!(count, 3);
    let error = run(&world.repository, &options(&ids[..1])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn nothing_is_left_only_where_that_is_meant() {
    let world = World::new();
    let ids = [made(&world.repository, "a", 1), made(&world.repository, "b", 2)];
    let error = run(&world.repository, &options(&ids)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    // A policy that keeps a tag which only one group has.
    let tags = vec![vec!["x".to_owned()]];
    let policy = Options { policy: Policy { tags, ..Policy::default() }, ..options(&[]) };
    let error = run(&world.repository, &policy).unwrap_err();
    assert!(error.to_string().contains("host [a]"), "{error}");
    assert_eq!(listed(&world.repository), ids);
    run(&world.repository, &Options { allow_all: true, ..policy }).unwrap();
    assert_eq!(listed(&world.repository), []);
}

#[test]
fn a_policy_looks_at_each_group_by_itself() {
    let world = World::new();
    let a: Vec<SessionId> = (0..3).map(|n| made(&world.repository, "a", n)).collect();
    let b: Vec<SessionId> = (10..12).map(|n| made(&world.repository, "b", n)).collect();
    let only_b = Filter { hosts: vec!["b".to_owned()], ..Filter::default() };
    let filtered = Options { filter: only_b, ..keep_last(1) };
    assert_eq!(run(&world.repository, &filtered).unwrap(), b[..1]);
    assert_eq!(run(&world.repository, &keep_last(1)).unwrap(), a[..2]);
    assert_eq!(listed(&world.repository), [a[2], b[1]]);
    let together = Options { group_by: GroupBy::default(), ..keep_last(1) };
    assert_eq!(run(&world.repository, &together).unwrap(), a[2..]);
}

#[test]
fn what_is_pinned_or_dated_in_the_future_stays_and_pushes_nothing_out() {
    let world = World::new();
    let ids: Vec<SessionId> = (0..3).map(|n| made(&world.repository, "host", n)).collect();
    let future = made(&world.repository, "host", 9_000_000_000);
    let time = Timestamp::new(5, 0);
    let pin = |number: u64, pinned| {
        let body =
            Note { session: ids[0], time, tags: None, pinned: Some(pinned), description: None };
        let name = ObjectName::parse(&format!("notes/{}/{number}", ids[0].to_hex())).unwrap();
        let sealed = world.repository.seal(&name, &body.encode());
        world.repository.backend().put(&name, &sealed).unwrap();
    };
    pin(1, true);
    assert_eq!(run(&world.repository, &keep_last(1)).unwrap(), ids[1..2]);
    assert_eq!(listed(&world.repository), [ids[0], ids[2], future]);
    let error = run(&world.repository, &options(&ids[..1])).unwrap_err();
    assert!(error.to_string().contains("pinned"), "{error}");
    pin(2, false);
    assert_eq!(run(&world.repository, &keep_last(1)).unwrap(), ids[..1]);
}

#[test]
fn what_comes_back_is_whole_and_a_snapshot_of_its_own() {
    let world = World::new();
    let source = world.source();
    fs::write(source.join("file"), noise(1, 2_000_000)).unwrap();
    world.backup();
    fs::write(source.join("file"), noise(2, 2_000_000)).unwrap();
    world.backup();
    let first = listed(&world.repository)[0];
    let before = Snapshots::read(&world.repository).unwrap().all.remove(0).snapshot;
    run(&world.repository, &options(&[first])).unwrap();
    let bring = |words: &[String]| {
        let counts = Counts::default();
        let options = unforget::Options {
            words: words.to_vec(),
            cache_dir: Some(world.dir.path().join("cache")),
            scratch_dir: world.dir.path().to_path_buf(),
            max_memory: 512 << 20,
        };
        unforget::unforget(&world.repository, &options, &counts.run())
    };
    let could = bring(&[]).unwrap().forgotten;
    assert_eq!(could.iter().map(|c| c.id).collect::<Vec<_>>(), [first]);
    let back = bring(&[first.short()]).unwrap().back;
    let new = &back[0].1;
    assert_ne!(new.id, first);
    let Snapshot { writer, sequence, seen, segments, .. } = new.snapshot.clone();
    assert_eq!(new.snapshot, Snapshot { writer, sequence, seen, segments, ..before });
    assert_eq!(listed(&world.repository)[0], new.id);
    fs::write(source.join("file"), noise(1, 2_000_000)).unwrap();
    let counts = Counts::default();
    let target = world.dir.path().join("target");
    let restore = crate::ops::restore::Options {
        path: Some(source.to_str().unwrap().into()),
        snapshot: new.id.to_hex().as_str().into(),
        ..crate::ops::restore::Options::new(target.clone())
    };
    crate::ops::restore::restore(&world.repository, &restore, &counts.run()).unwrap();
    assert_eq!(fs::read(target.join("file")).unwrap(), noise(1, 2_000_000));
    assert_eq!(describe(&target).len(), 1);

    // Without its packs it does not come back, and says which file it lacks.
    run(&world.repository, &options(&[new.id])).unwrap();
    fs::remove_dir_all(world.dir.path().join("repository/packs")).unwrap();
    let error = bring(&[new.id.to_hex()]).unwrap_err();
    assert!(error.to_string().contains("not whole"), "{error}");
    assert_eq!(listed(&world.repository).len(), 1);
}
