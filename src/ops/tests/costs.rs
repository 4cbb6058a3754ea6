//! What a run costs, in objects, bytes, reading.

use std::fs;
use std::time::Duration;

use super::{Counts, Run, World, backup, fill, noise};
use crate::base::{ChunkId, Clock, ErrorKind, SystemClock, Timestamp};

/// A clock that is an hour ahead, so that every file is settled.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        Timestamp::new(now.seconds + 3600, now.nanos)
    }
}

#[test]
fn an_unchanged_run_costs_two_small_objects_and_a_small_change_five() {
    let world = World::new();
    fill(&world.source());
    world.backup_at(&Later);
    // Session root and snapshot.
    let (objects, bytes) = world.added(|| drop(world.backup_at(&Later)));
    assert!(objects == 2 && bytes < 16 << 10, "{objects} objects, {bytes} bytes");
    fs::write(world.source().join("new"), noise(99, 100_000)).unwrap();
    let (objects, bytes) = world.added(|| drop(world.backup_at(&Later)));
    assert!(objects <= 5 && bytes < 256 << 10, "{objects} objects, {bytes} bytes");
}

#[test]
fn a_byte_inserted_in_the_middle_of_a_large_file_stores_little() {
    let world = World::new();
    let mut bytes = noise(1, 64 << 20);
    fs::write(world.source().join("large"), &bytes).unwrap();
    world.backup();
    bytes.insert(32 << 20, b'x');
    fs::write(world.source().join("large"), &bytes).unwrap();
    let (_, stored) = world.added(|| drop(world.backup()));
    assert!(stored < 1 << 20, "{stored} bytes");
    let (target, _) = world.restore("target");
    assert!(fs::read(target.join("large")).unwrap() == bytes);
}

/// The id of the whole tree, which depends on every chunk id in it.
fn tree_of(world: &World, threads: usize, read_concurrency: usize) -> ChunkId {
    // One more for the caller, who waits on a thread of the pool.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads + 1).build().unwrap();
    let mut options = world.backup_options(&world.source());
    options.read_concurrency = read_concurrency;
    options.force = true;
    let counts = Counts::default();
    let report =
        pool.install(|| backup::backup(&world.repository, &options, &counts.run())).unwrap();
    report.snapshot.components[0].root.unwrap().id
}

#[test]
fn ids_do_not_depend_on_threads() {
    let world = World::new();
    fill(&world.source());
    let first = tree_of(&world, 1, 1);
    for (threads, read_concurrency) in [(1, 8), (4, 1), (4, 8)] {
        let tree = tree_of(&world, threads, read_concurrency);
        assert_eq!(tree, first, "{threads} threads, {read_concurrency} files at a time");
    }
}

#[test]
fn a_file_that_is_not_settled_is_read_again_and_a_settled_one_is_not() {
    for (clock, is_read) in [(&SystemClock as &dyn Clock, true), (&Later, false)] {
        let world = World::new();
        for (name, len) in [("small", 10), ("large", 3 << 20)] {
            fs::write(world.source().join(name), noise(1, len)).unwrap();
        }
        world.backup_at(clock);
        let (_, counts) = world.backup_at(clock);
        // Only who opens a file says so.
        assert_eq!(!counts.progress.current().is_empty(), is_read);
        assert_eq!(counts.progress.files_unmodified.get(), 2);
    }
}

#[test]
fn what_a_stopped_run_stored_is_not_stored_again() {
    const LEN: usize = 96 << 20;
    let world = World::new();
    fs::write(world.source().join("large"), noise(1, LEN)).unwrap();
    let counts = Counts::default();
    let options = world.backup_options(&world.source());
    let error = std::thread::scope(|threads| {
        threads.spawn(|| {
            while counts.progress.stored_packs.get() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            counts.cancel.raise();
        });
        let run: Run<'_> = counts.run();
        backup::backup(&world.repository, &options, &run).unwrap_err()
    });
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let before = counts.progress.new_data_bytes.get();
    let (_, counts) = world.backup();
    let after = counts.progress.new_data_bytes.get();
    assert!(before >= 16 << 20 && before + after == LEN as u64, "{before}, then {after}");
}
