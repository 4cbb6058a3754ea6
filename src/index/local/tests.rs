//! What the local index does when its directory, its disk or its neighbors misbehave.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::home::Home;
use super::*;
use crate::base::testing::skip;
use crate::index::Progress;
use crate::index::numbers::head_key;
use crate::index::testdata::{self, chunk, pack, places, segment, segment_id};
use crate::index::{Cache, CacheOptions, MemoryIndex, Rows, State, conformance};

const REPOSITORY: RepositoryId = RepositoryId::new([9; 32]);
const CACHE_BYTES: usize = 1 << 20;

fn open(dir: &Path) -> (LocalIndex, Option<String>) {
    LocalIndex::open(dir, REPOSITORY, CACHE_BYTES).unwrap()
}

fn options(dir: &Path) -> CacheOptions {
    CacheOptions::new(Some(dir.to_owned()), REPOSITORY)
}

/// More entries than fit a batch, so that a file is ingested.
fn large(pack: u64) -> Segment {
    segment(&[pack], &(0..20_000).map(|n| (n, 0)).collect::<Vec<_>>())
}

#[test]
fn the_local_index_does_what_every_index_does() {
    conformance::check(&|segments, test| {
        let dir = TempDir::new().unwrap();
        let (index, rebuilt) = open(dir.path());
        assert_eq!(rebuilt, None);
        for (id, segment) in segments {
            index.apply(segment_id(*id), segment).unwrap();
        }
        test(&index);
    });
}

#[test]
fn it_is_the_same_after_it_was_closed() {
    conformance::check(&|segments, test| {
        let dir = TempDir::new().unwrap();
        for (id, segment) in segments {
            let (index, rebuilt) = open(dir.path());
            assert_eq!(rebuilt, None);
            index.apply(segment_id(*id), segment).unwrap();
        }
        test(&open(dir.path()).0);
    });
}

/// The owner has the first segment, the reader finds out about the rest itself.
#[test]
fn a_second_process_does_what_every_index_does() {
    conformance::check(&|segments, test| {
        let dir = TempDir::new().unwrap();
        let (owner, _) = open(dir.path());
        let (first, rest) = segments.split_first().unwrap();
        owner.apply(segment_id(first.0), first.1).unwrap();
        let reader = SharedIndex::open(dir.path(), REPOSITORY, CACHE_BYTES).unwrap();
        assert_eq!(reader.segments().unwrap().len(), 1);
        // What the owner does from now on gives out the same numbers to other packs.
        owner.apply(segment_id(900), &segment(&[90, 91], &[(900, 0)])).unwrap();
        for (id, segment) in rest {
            reader.apply(segment_id(*id), segment).unwrap();
        }
        test(&reader);
    });
}

#[test]
fn a_reader_keeps_its_view_while_the_owner_compacts() {
    let dir = TempDir::new().unwrap();
    let (owner, _) = open(dir.path());
    for n in 0..3 {
        owner.apply(segment_id(n), &large(n)).unwrap();
    }
    let reader = SharedIndex::open(dir.path(), REPOSITORY, CACHE_BYTES).unwrap();
    for n in 3..9 {
        owner.apply(segment_id(n), &large(n)).unwrap();
    }
    let db = &owner.store.db;
    db.compact_range_cf(owner.store.family(store::CHUNKS), None::<&[u8]>, None::<&[u8]>);
    let ids: Vec<_> = (0..20_000).map(chunk).collect();
    assert!(owner.find(&ids).unwrap().iter().all(|list| list.len() == 9));
    assert!(reader.find(&ids).unwrap().iter().all(|list| list.len() == 3));
    drop(owner);
    assert!(reader.find(&ids).unwrap().iter().all(|list| list.len() == 3));
    drop(reader);
    let names = fs::read_dir(dir.path().join("v1-rocksdb11")).unwrap();
    let left: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["db"]);
}

#[test]
fn two_processes_share_one_cache() {
    let dir = TempDir::new().unwrap();
    let (first, notices) = Cache::open(options(dir.path()));
    assert_eq!((first.state(), notices.len()), (State::Local, 0));
    first.index().apply(segment_id(1), &segment(&[1], &[(10, 0)])).unwrap();
    first.meta_put("root", b"known");
    first.rows().put(&[([1; 32], b"row")], 5);

    let (second, notices) = Cache::open(options(dir.path()));
    assert_eq!(second.state(), State::Shared);
    assert!(notices[0].0.contains("in use by another process"), "{notices:?}");
    assert_eq!(second.index().find(&[chunk(10)]).unwrap()[0].len(), 1);
    assert_eq!(second.meta_get("root").unwrap(), b"known");
    second.meta_put("root", b"ignored");
    second.rows().put(&[([2; 32], b"ignored")], 5);
    assert_eq!(second.rows().get(&[[2; 32]], 5), [None]);

    drop(first);
    let (third, notices) = Cache::open(options(dir.path()));
    assert_eq!((third.state(), notices.len()), (State::Local, 0));
    assert_eq!(third.meta_get("root").unwrap(), b"known");
    assert_eq!(second.index().find(&[chunk(10)]).unwrap()[0].len(), 1);
}

#[test]
fn another_repository_is_not_taken_for_this_one() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).0.apply(segment_id(1), &segment(&[1], &[(10, 0)])).unwrap();
    let other = RepositoryId::new([8; 32]);
    let (index, rebuilt) = LocalIndex::open(dir.path(), other, CACHE_BYTES).unwrap();
    assert!(rebuilt.unwrap().contains("another repository"));
    assert!(index.segments().unwrap().is_empty());
    let shared = SharedIndex::open(dir.path(), REPOSITORY, CACHE_BYTES);
    assert!(matches!(shared, Err(OpenError::Unusable(_))));
}

/// As the caller does it: applies what is missing, asks, and starts over when the cache fails.
fn ask(cache: &mut Cache, segments: &[Segment], ids: &[ChunkId]) -> (Vec<Vec<Named>>, Vec<String>) {
    let mut notices = Vec::new();
    for _ in 0..3 {
        let attempt = || -> Result<()> {
            let known = cache.index().segments()?;
            for (n, segment) in (0..).zip(segments) {
                if !known.contains(&segment_id(n)) {
                    cache.index().apply(segment_id(n), segment)?;
                }
            }
            cache.index().find(ids)?;
            let mut packs = Vec::new();
            cache.index().packs(&mut |no, _, _| packs.push(no))?;
            packs.iter().try_for_each(|no| cache.index().pack(*no).map(drop))
        };
        match attempt() {
            Ok(()) => return (places(cache.index(), ids), notices),
            Err(error) => notices.extend(cache.recover(&error).into_iter().map(|notice| notice.0)),
        }
    }
    panic!("the cache did not recover: {notices:?}");
}

type Named = (PackId, u32, u32, u32);

/// Files of the closed database, without those nobody reads.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("v1-rocksdb11/db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            !name.starts_with("LOG") && !name.starts_with("OPTIONS") && name != "LOCK"
        })
        .collect();
    files.sort_unstable();
    files
}

/// Rebuilt, slower, told about: all right. An error that stays or another answer: never.
#[test]
fn damage_never_changes_an_answer() {
    let segments =
        [large(1), segment(&[1, 2], &[(10, 0), (11, 1), (50_000, 1)]), large(3), large(4)];
    let ids: Vec<_> = (0..100).chain(49_990..50_010).map(chunk).collect();
    let expect = {
        let index = MemoryIndex::default();
        for (n, segment) in (0..).zip(&segments) {
            index.apply(segment_id(n), segment).unwrap();
        }
        places(&index, &ids)
    };
    let whole = TempDir::new().unwrap();
    let (mut cache, _) = Cache::open(options(whole.path()));
    cache.rows().put(&[([1; 32], b"row")], 5);
    assert_eq!(ask(&mut cache, &segments, &ids).0, expect);
    drop(cache);
    // Opened once more, so that there are flushed files beside a log with the rest.
    let (cache, _) = Cache::open(options(whole.path()));
    cache.meta_put("root", b"known");
    drop(cache);
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("garbage", |path| {
            let len = fs::metadata(path).unwrap().len() as usize;
            fs::write(path, vec![0xa5; len]).unwrap();
        }),
        ("zeros in the middle", |path| {
            let mut bytes = fs::read(path).unwrap();
            let len = bytes.len();
            bytes[len / 3..len / 2].fill(0);
            fs::write(path, bytes).unwrap();
        }),
        ("flipped bits", |path| {
            let mut bytes = fs::read(path).unwrap();
            for n in (7..bytes.len()).step_by(509) {
                bytes[n] ^= 0x10;
            }
            fs::write(path, bytes).unwrap();
        }),
        ("cut", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("emptied", |path| fs::write(path, b"").unwrap()),
        ("deleted", |path| fs::remove_file(path).unwrap()),
    ];
    let file_count = files(whole.path()).len();
    assert!(file_count >= 6, "CURRENT, IDENTITY, MANIFEST, a log, ingested and flushed files");
    let mut rebuilt_count = 0;
    for n in 0..file_count {
        for (name, damage) in damages {
            let dir = crash_image(whole.path());
            let path = files(dir.path()).remove(n);
            damage(&path);
            let (mut cache, notices) = Cache::open(options(dir.path()));
            let (found, more) = ask(&mut cache, &segments, &ids);
            assert_eq!(found, expect, "{name}: {}", path.display());
            let rows = cache.rows().get(&[[1; 32]], 5);
            assert!(rows == [None] || rows == [Some(b"row".to_vec())]);
            rebuilt_count += usize::from(!notices.is_empty() || !more.is_empty());
            drop(cache);
            // The next run has a sound one.
            let (mut cache, notices) = Cache::open(options(dir.path()));
            assert_eq!(
                (cache.state(), notices),
                (State::Local, vec![]),
                "{name}: {}",
                path.display()
            );
            assert_eq!(ask(&mut cache, &segments, &ids), (expect.clone(), vec![]));
        }
    }
    assert!(rebuilt_count > file_count, "{rebuilt_count} of {file_count} files");
}

/// What a kill leaves: all that was handed to the system, nothing that was only in memory.
fn crash_image(dir: &Path) -> TempDir {
    let image = TempDir::new().unwrap();
    fs::create_dir_all(image.path().join("v1-rocksdb11/db")).unwrap();
    for path in files(dir) {
        fs::copy(&path, image.path().join(path.strip_prefix(dir).unwrap())).unwrap();
    }
    image
}

#[test]
fn a_kill_loses_nothing_that_was_applied() {
    let dir = TempDir::new().unwrap();
    let (index, _) = open(dir.path());
    let segments = [segment(&[1], &[(1, 0)]), large(2), segment(&[3], &[(1, 0)]), large(4)];
    let ids: Vec<_> = (0..20_000).map(chunk).collect();
    for (n, segment) in (0..).zip(&segments) {
        index.store().put(&[(KEY, &[n as u8])], n);
        index.apply(segment_id(n), segment).unwrap();
        let image = crash_image(dir.path());
        let (after, rebuilt) = open(image.path());
        assert_eq!(rebuilt, None);
        assert_eq!(after.segments().unwrap(), index.segments().unwrap());
        assert_eq!(after.find(&ids).unwrap(), index.find(&ids).unwrap());
        // The row may be lost or an older one, but only under its own epoch.
        assert!(row(after.store(), n).is_none_or(|row| row == [n as u8]));
    }
}

/// A power cut takes the end of the log as well.
#[test]
fn a_cut_log_loses_whole_segments() {
    let dir = TempDir::new().unwrap();
    let (index, _) = open(dir.path());
    let segments: Vec<_> =
        (0..12).map(|n| segment(&[n, n + 1], &[(n, 0), (n + 1, 1), (5, 0)])).collect();
    for (n, segment) in (0..).zip(&segments) {
        index.apply(segment_id(n), segment).unwrap();
    }
    let ids: Vec<_> = (0..20).map(chunk).collect();
    let expect = places(&index, &ids);
    let (mut whole_count, mut part_count) = (0, 0);
    for cut in 0..40 {
        let image = crash_image(dir.path());
        let log = files(image.path())
            .into_iter()
            .find(|path| path.extension().is_some_and(|e| e == "log"));
        let log = fs::OpenOptions::new().write(true).open(log.unwrap()).unwrap();
        let len = log.metadata().unwrap().len();
        log.set_len(len * cut / 39).unwrap();
        let (mut cache, notices) = Cache::open(options(image.path()));
        assert_eq!(notices, []);
        match cache.index().segments().unwrap().len() {
            12 => whole_count += 1,
            _ => part_count += 1,
        }
        assert_eq!(ask(&mut cache, &segments, &ids), (expect.clone(), vec![]), "cut {cut}");
    }
    assert!(whole_count >= 1 && part_count >= 20, "{whole_count} whole, {part_count} in part");
}

/// A power cut can take the end of the log and leave files that were ingested after it.
#[test]
fn parts_of_different_times_are_found_out() {
    let lose = |family: &str, key: &[u8], value: Option<&[u8]>| {
        let dir = TempDir::new().unwrap();
        let (index, _) = open(dir.path());
        index.apply(segment_id(1), &segment(&[1], &[(1, 0)])).unwrap();
        index.apply(segment_id(2), &large(2)).unwrap();
        let family = index.store.family(family);
        match value {
            Some(value) => index.store.db.put_cf(family, key, value).unwrap(),
            None => index.store.db.delete_cf(family, key).unwrap(),
        }
        drop(index);
        open(dir.path()).1
    };
    let old = Progress { next_no: 1, count: 1 }.encode();
    // Packs are older than chunks; chunks are older than segments.
    assert!(lose(store::PACKS, &head_key(PackNo(1)), None).unwrap().contains("disagree"));
    assert!(lose(store::CHUNKS, store::FENCE_KEY, Some(&old)).unwrap().contains("disagree"));
    assert!(lose(store::CHUNKS, store::FENCE_KEY, None).unwrap().contains("disagree"));
    // Segments that were not marked are only done again.
    assert_eq!(lose(store::SEGMENTS, segment_id(2).as_bytes(), None), None);
}

#[test]
fn a_segment_applied_but_not_marked_is_applied_again() {
    let dir = TempDir::new().unwrap();
    let (index, _) = open(dir.path());
    index.apply(segment_id(2), &large(2)).unwrap();
    let segments = index.store.family(store::SEGMENTS);
    index.store.db.delete_cf(segments, segment_id(2).as_bytes()).unwrap();
    drop(index);
    let (index, rebuilt) = open(dir.path());
    assert_eq!(rebuilt, None);
    assert!(index.segments().unwrap().is_empty());
    index.apply(segment_id(2), &large(2)).unwrap();
    let ids: Vec<_> = (0..20_000).map(chunk).collect();
    assert!(index.find(&ids).unwrap().iter().all(|list| list.len() == 1));
    assert_eq!(index.pack_no(&pack(2)).unwrap(), Some(PackNo(0)));
}

#[test]
fn a_directory_deleted_while_open_is_built_anew() {
    let dir = TempDir::new().unwrap();
    let segments = [large(1), large(2)];
    let ids: Vec<_> = (0..100).map(chunk).collect();
    let (mut cache, _) = Cache::open(options(dir.path()));
    let (expect, _) = ask(&mut cache, &segments[..1], &ids);
    fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(ask(&mut cache, &segments[..1], &ids).0, expect);
    let (found, _) = ask(&mut cache, &segments, &ids);
    assert!(found.iter().all(|list| list.len() == 2));
    assert_eq!(cache.state(), State::Local);
}

#[test]
fn what_a_run_finds_damaged_is_set_aside_by_the_next() {
    let dir = TempDir::new().unwrap();
    let (index, _) = open(dir.path());
    index.apply(segment_id(1), &large(1)).unwrap();
    let (rebuilt, bad) = (|| open(dir.path()).1, dir.path().join("v1-rocksdb11.bad"));
    index.poison();
    drop(index);
    assert!(rebuilt().unwrap().contains("damaged"));
    assert!(bad.join("poisoned").exists());
    assert_eq!(rebuilt(), None);
}

#[test]
fn a_directory_that_cannot_be_made_means_memory() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    let (cache, notices) = Cache::open(options(&file.join("cache")));
    assert_eq!(cache.state(), State::Memory);
    assert!(notices[0].0.contains("in memory for this run"), "{notices:?}");
    cache.index().apply(segment_id(1), &large(1)).unwrap();
    cache.meta_put("root", b"kept until the end");
    assert!(cache.meta_get("root").is_some());
}

/// A file system of its own, if this process may mount one.
struct Mount(TempDir);

impl Mount {
    fn tmpfs(options: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(dir.path())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skip("a local index on a full disk", "this process may not mount a file system");
        None
    }

    fn remount(&self, options: &str) {
        let status = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0.path())
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_an_error_that_memory_cures() {
    let Some(disk) = Mount::tmpfs("size=12m") else { return };
    let dir = disk.0.path();
    let segments: Vec<_> = (0..8).map(large).collect();
    let (mut cache, notices) = Cache::open(options(dir));
    assert_eq!((cache.state(), notices.len()), (State::Local, 0));
    // All but one mebibyte, however much the database has set aside.
    let mut ballast = fs::File::create(dir.join("ballast")).unwrap();
    while std::io::Write::write_all(&mut ballast, &[1; 4096]).is_ok() {}
    let len = ballast.metadata().unwrap().len();
    ballast.set_len(len - (1 << 20)).unwrap();
    drop(ballast);
    let error = (0..)
        .zip(&segments)
        .find_map(|(n, segment)| cache.index().apply(segment_id(n), segment).err())
        .unwrap();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    // A row that finds no space is no error at all.
    for n in 0..4u8 {
        cache.rows().put(&[([n; 32], vec![n; 4 << 20].as_slice())], 5);
    }
    let notices = cache.recover(&error);
    assert_eq!(cache.state(), State::Memory);
    assert!(notices[0].0.contains("in memory"), "{notices:?}");
    let ids: Vec<_> = (0..100).map(chunk).collect();
    assert!(ask(&mut cache, &segments, &ids).0.iter().all(|list| list.len() == 8));

    // What was there before is still good when there is space again.
    drop(cache);
    fs::remove_file(dir.join("ballast")).unwrap();
    let (mut cache, notices) = Cache::open(options(dir));
    assert_eq!((cache.state(), notices), (State::Local, vec![]));
    let (found, notices) = ask(&mut cache, &segments[..3], &ids);
    assert!(found.iter().all(|list| list.len() >= 3));
    assert_eq!(notices, [""; 0]);
}

#[test]
fn a_read_only_disk_means_memory() {
    let Some(disk) = Mount::tmpfs("size=32m") else { return };
    let dir = disk.0.path();
    open(dir).0.apply(segment_id(1), &large(1)).unwrap();
    disk.remount("ro");
    let (cache, notices) = Cache::open(options(dir));
    assert_eq!((cache.state(), notices.len()), (State::Memory, 1), "{notices:?}");
    disk.remount("rw");
    let (cache, notices) = Cache::open(options(dir));
    assert_eq!((cache.state(), notices.len()), (State::Local, 0));
    assert_eq!(cache.index().segments().unwrap(), HashSet::from([segment_id(1)]));
}

#[test]
fn others_may_not_look_into_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let (cache, _) = Cache::open(options(&dir.path().join("a/b")));
    for part in ["a", "a/b", "a/b/v1-rocksdb11"] {
        let mode = fs::metadata(dir.path().join(part)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{part}");
    }
    drop(cache);
}

#[test]
fn what_killed_readers_left_is_swept() {
    let dir = TempDir::new().unwrap();
    let (owner, _) = open(dir.path());
    let home = Home::new(dir.path());
    let living = home.reader_dir().unwrap();
    let left = dir.path().join("v1-rocksdb11/reader-00");
    fs::create_dir(&left).unwrap();
    drop(owner);
    drop(open(dir.path()));
    assert!(!left.exists() && living.path().exists());
}

const KEY: [u8; 32] = [1; 32];

fn row(rows: &dyn Rows, epoch: u64) -> Option<Vec<u8>> {
    rows.get(&[KEY], epoch).pop().unwrap()
}

fn check_rows(rows: &dyn Rows) {
    let keys: Vec<[u8; 32]> =
        (0..3000u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
    let bytes: Vec<Vec<u8>> = keys.iter().map(|key| key.repeat(usize::from(key[0]))).collect();
    let batch: Vec<_> = keys.iter().zip(&bytes).map(|(key, b)| (*key, b.as_slice())).collect();
    rows.put(&batch, 1);
    assert!(rows.get(&keys, 1).iter().zip(&bytes).all(|(row, b)| row.as_ref() == Some(b)));
    assert!(rows.get(&keys, 2).iter().all(Option::is_none));
    // A run finds half of them unchanged, writes one again, and commits.
    rows.stamp(&keys[..1500], 1, 2);
    rows.put(&[(keys[7], b"new")], 2);
    let found = rows.get(&keys, 2);
    assert_eq!(found.iter().flatten().count(), 1500);
    assert_eq!(found[7].as_deref(), Some(&b"new"[..]));
    assert_eq!(found[8].as_ref(), Some(&bytes[8]));
    // The next run writes a row again and is killed: the row is nobody's.
    rows.put(&[(keys[8], b"never committed")], 3);
    assert_eq!(rows.get(&keys[8..9], 2), [None]);
    // Stamping what is not there, or of another run, does nothing.
    rows.stamp(&[[0; 32], keys[8], keys[2000]], 2, 4);
    assert!(rows.get(&[[0; 32], keys[8], keys[2000]], 4).iter().all(Option::is_none));
    // 1,500 of epoch 1 and one of epoch 3 are of no use any more.
    assert_eq!(rows.retain(&[2]), 1501);
    assert_eq!(rows.get(&keys, 2).iter().flatten().count(), 1499);
    assert!(rows.get(&[], 2).is_empty());
}

#[test]
fn rows_count_for_the_run_that_stamped_them() {
    check_rows(&crate::index::MemoryRows::default());
    let dir = TempDir::new().unwrap();
    check_rows(open(dir.path()).0.store());
}

#[test]
fn rows_outlive_a_closed_index_without_a_log() {
    let dir = TempDir::new().unwrap();
    open(dir.path()).0.store().put(&[(KEY, b"row")], 1);
    let (index, _) = open(dir.path());
    assert_eq!(row(index.store(), 1).unwrap(), b"row");
    index.store().stamp(&[KEY], 1, 2);
    drop(index);
    assert_eq!(row(open(dir.path()).0.store(), 2).unwrap(), b"row");
}

/// A crash may keep a stamp and lose the row it was made for, or the reverse.
#[test]
fn a_row_without_its_own_stamp_is_absent() {
    let dir = TempDir::new().unwrap();
    let (index, _) = open(dir.path());
    let store = index.store();
    let put = |family, value: &[u8]| store.db.put_cf(store.family(family), KEY, value).unwrap();
    store.put(&[(KEY, b"old")], 1);
    let old_stamp = store.db.get_cf(store.family(store::STAMPS), KEY).unwrap().unwrap();
    store.put(&[(KEY, b"new")], 2);
    put(store::ROWS, b"old");
    assert_eq!(row(store, 2), None);
    put(store::ROWS, b"new");
    assert_eq!(row(store, 2).unwrap(), b"new");
    put(store::STAMPS, &old_stamp);
    assert_eq!((row(store, 1), row(store, 2)), (None, None));
    put(store::STAMPS, b"short");
    assert_eq!(row(store, 2), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn local_and_memory_say_the_same(segments in testdata::segments(), cuts in any::<u8>()) {
        let dir = TempDir::new().unwrap();
        let memory = MemoryIndex::default();
        let mut local = open(dir.path()).0;
        for (n, segment) in (0..).zip(&segments) {
            memory.apply(segment_id(n), segment).unwrap();
            local.apply(segment_id(n), segment).unwrap();
            if cuts & (1 << n) != 0 {
                drop(local);
                local = open(dir.path()).0;
            }
        }
        let ids: Vec<_> = (0..70).map(chunk).collect();
        // Numbers as well, since they are given in the order of segments.
        prop_assert_eq!(memory.find(&ids).unwrap(), local.find(&ids).unwrap());
        prop_assert_eq!(memory.segments().unwrap(), local.segments().unwrap());
        for n in 0..8 {
            let id = segment_id(n);
            prop_assert_eq!(memory.packs_of(&id).unwrap(), local.packs_of(&id).unwrap());
        }
        for n in 0..12 {
            let no = memory.pack_no(&pack(n)).unwrap();
            prop_assert_eq!(no, local.pack_no(&pack(n)).unwrap());
            if let Some(no) = no {
                prop_assert_eq!(memory.pack(no).unwrap(), local.pack(no).unwrap());
            }
        }
    }
}
