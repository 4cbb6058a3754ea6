//! What a prune deletes, or must not delete, on a real disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::backend::Verb;
use crate::backend::with::fault::{Fault, Faulty, Rule as FaultRule};
use crate::base::SessionId;
use crate::base::calendar::Calendar;
use crate::format::ObjectKind;
use crate::ops::group::GroupBy;
use crate::ops::tests::{Counts, World, describe, noise};
use crate::ops::{forget, restore, unforget};
use crate::repo::roots::Roots;
use crate::repo::select::Filter;
use crate::repo::session::{Recheck, Root, Stored};
use crate::repo::snapshots::Snapshots;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// Forgets these, whatever is left.
pub(super) fn forgetting(ids: &[SessionId]) -> forget::Options {
    forget::Options {
        words: ids.iter().map(|id| id.to_hex()).collect(),
        filter: Filter::default(),
        policy: forget::policy::Policy::default(),
        group_by: GroupBy::default(),
        calendar: Calendar::utc(),
        allow_all: true,
        dry_run: false,
    }
}

/// Restores what is below this path of a snapshot.
pub(super) fn restoring(id: SessionId, path: &str, target: &Path) -> restore::Options {
    restore::Options {
        path: Some(path.into()),
        snapshot: id.to_hex().as_str().into(),
        ..restore::Options::new(target.to_path_buf())
    }
}

impl World {
    fn prune_options(&self) -> Options {
        Options {
            grace: 0,
            max_unused: MaxUnused::Bytes(0),
            max_moved: u64::MAX,
            exclusive: false,
            dry_run: false,
            cache_dir: Some(self.dir.path().join("cache")),
            scratch_dir: self.dir.path().to_path_buf(),
            max_memory: 512 << 20,
        }
    }

    fn prune_with(&self, change: impl FnOnce(&mut Options)) -> Report {
        let counts = Counts::default();
        let mut options = self.prune_options();
        change(&mut options);
        let report = prune(&self.repository, &options, &counts.run()).unwrap();
        assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        report
    }

    fn forget(&self, ids: &[SessionId]) {
        let counts = Counts::default();
        forget::forget(&self.repository, &forgetting(ids), &counts.run()).unwrap();
    }

    fn ids(&self) -> Vec<SessionId> {
        Snapshots::read(&self.repository).unwrap().all.iter().map(|c| c.id).collect()
    }

    fn objects_of(&self, kind: &str) -> BTreeSet<PathBuf> {
        fn walk(path: &Path, found: &mut BTreeSet<PathBuf>) {
            for entry in fs::read_dir(path).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.insert(path);
                }
            }
        }
        let mut found = BTreeSet::new();
        walk(&self.dir.path().join("repository").join(kind), &mut found);
        found
    }

    fn restored(&self, id: SessionId) -> PathBuf {
        let counts = Counts::default();
        let target = self.dir.path().join(format!("restored-{}", id.short()));
        let options = restoring(id, self.source().to_str().unwrap(), &target);
        restore::restore(&self.repository, &options, &counts.run()).unwrap();
        assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        target
    }

    /// A session that has stored its root, which needs the only backup of this world, and nothing else
    /// yet; that backup is forgotten.
    fn in_flight(&self) -> (Session<'_>, Stored<Root>) {
        write(self, 1);
        self.backup();
        let snapshot = Snapshots::read(&self.repository).unwrap().all.remove(0);
        let session = Session::start(&self.repository).unwrap();
        let root = session.put_root(snapshot.snapshot.clone(), &[]).unwrap();
        self.forget(&[snapshot.id]);
        (session, root)
    }

    /// The session looks again, finds that all of its packs are there, and commits.
    fn commit(&self, session: Session<'_>, root: Stored<Root>) {
        let counts = Counts::default();
        let (chunks, _) = open_chunks(&self.repository, None, &counts.run()).unwrap();
        chunks.list_packs(&HashSet::new()).unwrap();
        let recheck = session.recheck(root, &|pack| chunks.is_alive(pack)).unwrap();
        let Recheck::Sound(root) = recheck else { panic!("nothing was doomed") };
        let committed = session.commit(root).unwrap();
        self.is_sound();
        assert_eq!(describe(&self.restored(committed.id)), describe(&self.source()));
    }

    fn is_sound(&self) {
        let findings = self.check().findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
}

/// A file of its own, and one that changes.
fn write(world: &World, number: u64) {
    let source = world.source();
    fs::write(source.join("same"), noise(0, 1_000_000)).unwrap();
    fs::write(source.join("changing"), noise(number, 3_000_000)).unwrap();
    for n in 0..50 {
        fs::write(source.join(format!("small-{n}")), noise(100 * number + n % 7, 1000)).unwrap();
    }
}

#[test]
fn what_only_forgotten_snapshots_need_goes_and_the_rest_stays() {
    let world = World::new();
    let mut sources = Vec::new();
    for number in 1..=4 {
        write(&world, number);
        world.backup();
        sources.push(describe(&world.source()));
    }
    let ids = world.ids();
    let before: u64 = world.objects_of("packs").iter().map(|p| p.metadata().unwrap().len()).sum();
    let nothing = world.prune_with(|_| ());
    assert_eq!((nothing.deleted_packs, nothing.unused_bytes), (0, 0));
    world.forget(&ids[..3]);
    let dry = world.prune_with(|options| options.dry_run = true);
    assert!(dry.waiting_bytes > 9_000_000 && dry.deleted_packs == 0, "{dry:?}");
    let report = world.prune_with(|_| ());
    assert_eq!(report.deleted_snapshots, 3);
    assert!(report.deleted_bytes > 9_000_000, "{report:?}");
    let after: u64 = world.objects_of("packs").iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(after + 9_000_000 < before, "{before} {after}");
    assert_eq!(world.ids(), ids[3..]);
    world.is_sound();
    assert_eq!(describe(&world.restored(ids[3])), sources[3]);
    // What was taken over from the last run still is, and nothing is stored twice.
    let (report, counts) = world.backup();
    assert_eq!(counts.progress.new_data_bytes.get(), 0, "{report:?}");
    let again = world.prune_with(|_| ());
    assert_eq!(again.deleted_packs, 0, "{again:?}");
    world.is_sound();
}

#[test]
fn an_unchanged_run_after_a_prune_reads_nothing() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    write(&world, 2);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.backup();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.backup();
    world.forget(&world.ids()[..1]);
    let report = world.prune_with(|_| ());
    assert!(report.replaced_segments > 0, "{report:?}");
    let (_, counts) = world.backup();
    // A large file that is read is the current one.
    assert!(counts.progress.current().is_empty(), "{:?}", counts.progress.current());
}

#[test]
fn within_the_grace_everything_can_come_back() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    let first = describe(&world.source());
    write(&world, 2);
    world.backup();
    let ids = world.ids();
    world.forget(&ids[..1]);
    let packs = world.objects_of("packs");
    let report = world.prune_with(|options| options.grace = 3600);
    assert!(report.waiting_packs > 0 && report.waiting_until.is_some(), "{report:?}");
    assert!(world.objects_of("packs").is_superset(&packs));
    let counts = Counts::default();
    let options = unforget::Options {
        words: vec![ids[0].to_hex()],
        cache_dir: Some(world.dir.path().join("cache")),
        scratch_dir: world.dir.path().to_path_buf(),
        max_memory: 512 << 20,
    };
    let back = unforget::unforget(&world.repository, &options, &counts.run()).unwrap().back;
    // The grace is over for this one: it looks again, and finds that the candidates are needed.
    world.prune_with(|_| ());
    assert_eq!(describe(&world.restored(back[0].1.id)), first);
    world.is_sound();
}

#[test]
fn a_session_that_is_not_over_keeps_what_it_stored_and_what_it_found() {
    let world = World::new();
    let (session, root) = world.in_flight();
    let report = world.prune_with(|_| ());
    assert_eq!(report.deleted_packs, 0, "{report:?}");
    world.commit(session, root);
}

/// A store that says once that a node of its root is another one, or not there.
#[test]
fn a_session_that_is_not_over_keeps_what_was_misread_once() {
    for fault in [Fault::Flipped, Fault::Missing] {
        let world = World::new();
        let (session, root) = world.in_flight();
        let store = Faulty::new(Arc::clone(world.repository.backend()));
        let secret = || Ok(Secret::KeyFile(Key::new([7; 32])));
        let repository = Repository::open(store.clone(), &mut |_| secret()).unwrap();
        store.inject(FaultRule::on(Verb::GetRange, fault).of(ObjectKind::Pack));
        let counts = Counts::default();
        let report = prune(&Arc::new(repository), &world.prune_options(), &counts.run()).unwrap();
        assert_eq!((store.fault_count(), report.deleted_packs), (1, 0), "{fault:?}: {report:?}");
        world.commit(session, root);
    }
}

/// That a node of its root cannot be read may pass, and then it commits.
#[test]
fn a_session_that_is_not_over_keeps_what_cannot_be_read_for_now() {
    type Harm = fn(&mut Vec<u8>);
    let flip: Harm = |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1);
    let cut: Harm = |bytes| bytes.truncate(100);
    for harm in [flip, cut] {
        let world = World::new();
        let (session, root) = world.in_flight();
        let objects: BTreeSet<PathBuf> = world.objects_of("packs").into_iter().collect();
        let good: Vec<Vec<u8>> = objects.iter().map(|path| fs::read(path).unwrap()).collect();
        let overwrite = |path: &PathBuf, bytes: &[u8]| {
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for (path, bytes) in objects.iter().zip(&good) {
            let mut bytes = bytes.clone();
            harm(&mut bytes);
            overwrite(path, &bytes);
        }
        let counts = Counts::default();
        let options = Options { cache_dir: None, ..world.prune_options() };
        let error = prune(&world.repository, &options, &counts.run()).unwrap_err();
        assert!(error.message.contains("it is not known what session root"), "{error}");
        objects.iter().zip(&good).for_each(|(path, bytes)| overwrite(path, bytes));
        world.commit(session, root);
        assert_eq!(world.prune_with(|_| ()).deleted_packs, 0);
        world.is_sound();
    }
}

/// What is gone for good keeps nobody from pruning: its session finds out itself.
#[test]
fn what_is_gone_of_a_session_that_is_not_over_is_passed_over() {
    let world = World::new();
    let _in_flight = world.in_flight();
    world.objects_of("packs").iter().for_each(|path| fs::remove_file(path).unwrap());
    world.prune_with(|_| ());
    assert_eq!(world.ids().len(), 0);
}

/// Nobody knows what a pack holds that cannot be read, so that nothing is gone for certain: whether
/// segments tell of packs that are gone, or nothing tells of any.
#[test]
fn a_session_that_may_have_lost_something_is_fenced_off() {
    for kinds in [&["packs"][..], &["packs", "index"]] {
        let world = World::new();
        let (session, root) = world.in_flight();
        let objects = kinds.iter().flat_map(|kind| world.objects_of(kind));
        objects.for_each(|path| fs::remove_file(path).unwrap());
        let directory = world.dir.path().join("repository/packs/00");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("00".repeat(32)), noise(1, 5000)).unwrap();
        let counts = Counts::default();
        let options = Options { cache_dir: None, ..world.prune_options() };
        prune(&world.repository, &options, &counts.run()).unwrap();
        let told = counts.problems.take();
        let of_pack = told.iter().filter(|problem| problem.message.contains("packs/00/00"));
        assert_eq!(of_pack.count(), 1, "{told:?}");
        let recheck = session.recheck(root, &|_| true).unwrap();
        let Recheck::Sound(root) = recheck else { panic!("nothing was doomed") };
        let error = session.commit(root).unwrap_err();
        assert!(error.message.contains("was fenced off"), "{error}");
    }
}

#[test]
fn a_forgotten_snapshot_that_cannot_be_read_is_named_and_goes() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    write(&world, 2);
    world.backup();
    let ids = world.ids();
    world.forget(&ids[..1]);
    let path = world.dir.path().join(format!("repository/snapshots/{}", ids[0].to_hex()));
    let mut bad = fs::read(&path).unwrap();
    bad[100] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bad).unwrap();
    let findings = world.check().findings;
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert!(finding.object.contains(&ids[0].to_hex()) && finding.hint.contains("forgotten"));
    let report = world.prune_with(|_| ());
    assert_eq!(report.deleted_snapshots, 1);
    assert!(report.deleted_bytes > 2_000_000, "{report:?}");
    world.is_sound();
}

#[test]
fn what_nobody_can_read_keeps_everything() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    write(&world, 2);
    world.backup();
    let ids = world.ids();
    world.forget(&ids[..1]);
    let path = world.dir.path().join(format!("repository/snapshots/{}", ids[1].to_hex()));
    let good = fs::read(&path).unwrap();
    let packs = world.objects_of("packs");
    let counts = Counts::default();
    let run = || prune(&world.repository, &world.prune_options(), &counts.run());
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bad).unwrap();
    let error = run().unwrap_err();
    assert!(error.to_string().contains(&ids[1].to_hex()), "{error}");
    fs::remove_file(&path).unwrap();
    // Nobody has seen it, so its loss shows nowhere: what it needs goes. One that was seen is missed.
    fs::write(&path, &good).unwrap();
    world.backup();
    fs::remove_file(&path).unwrap();
    let error = run().unwrap_err();
    assert!(error.to_string().contains("nobody forgot it"), "{error}");
    assert!(world.objects_of("packs").is_superset(&packs));
    // Who knows that it is lost for good says so.
    world.forget(&ids[1..]);
    let counts = Counts::default();
    prune(&world.repository, &world.prune_options(), &counts.run()).unwrap();
    world.is_sound();
}

#[test]
fn many_small_segments_become_one() {
    let world = World::new();
    for number in 0..20 {
        fs::write(world.source().join(format!("file-{number}")), noise(number, 20_000)).unwrap();
        world.backup();
    }
    assert_eq!(world.objects_of("index").len(), 20);
    world.forget(&world.ids()[..1]);
    let report = world.prune_with(|_| ());
    assert!(report.replaced_segments >= 20, "{report:?}");
    assert!(world.objects_of("index").len() <= 2);
    world.is_sound();
    let last = world.ids().pop().unwrap();
    assert_eq!(describe(&world.restored(last)), describe(&world.source()));
}

/// A prune that slept for months writes its decision, which was made and carried out by others.
#[test]
fn a_decision_of_long_ago_means_nothing() {
    let world = World::new();
    for number in 1..=4 {
        write(&world, number);
        world.backup();
    }
    for _ in 0..3 {
        world.forget(&world.ids()[..1]);
        world.prune_with(|_| ());
    }
    let highest = rounds::read(&world.repository).unwrap().last().unwrap().number;
    assert!(highest >= 3, "{highest}");
    let listed = listed_packs(&**world.repository.backend()).unwrap();
    let packs: HashSet<PackId> = listed.map(|(id, _)| id).collect();
    assert!(!packs.is_empty());
    let time = Timestamp::new(0, 0);
    rounds::agree(&world.repository, 1, GenerationStep::Doomed, &packs, time).unwrap();
    world.prune_with(|_| ());
    assert!(rounds::read(&world.repository).unwrap().iter().all(|round| round.number > 1));
    world.is_sound();
    let last = world.ids().pop().unwrap();
    assert_eq!(describe(&world.restored(last)), describe(&world.source()));
    // A backup that finds it relies on nothing in it, and stores anew what it needs.
    rounds::agree(&world.repository, 1, GenerationStep::Doomed, &packs, time).unwrap();
    world.backup();
    world.is_sound();
}

/// A segment is lost, and others are new since the index was filled.
#[test]
fn what_a_lost_segment_named_is_found_right_after_something_else_was() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    let counts = Counts::default();
    let (chunks, _) = open_chunks(&world.repository, None, &counts.run()).unwrap();
    let mut known = world.objects_of("index");
    let roots = [2, 3].map(|number| {
        write(&world, number);
        world.backup();
        let last = Snapshots::read(&world.repository).unwrap().all.pop().unwrap();
        last.snapshot.components[0].root.unwrap().id
    });
    known.extend(world.objects_of("index").into_iter().filter(|path| {
        let last = world.ids().pop().unwrap().to_hex();
        !path.to_string_lossy().contains(&last)
    }));
    let lost: Vec<_> = world.objects_of("index").difference(&known).cloned().collect();
    assert_eq!(lost.len(), 1);
    fs::remove_file(&lost[0]).unwrap();
    let reader = Reader::new(&world.repository, &chunks);
    for root in roots {
        reader.chunk(crate::format::FrameKind::Metadata, &root).unwrap();
    }
}

/// A restore that began before a prune moved what it is about to read.
#[test]
fn what_was_moved_meanwhile_is_found_by_who_has_an_old_index() {
    let world = World::new();
    write(&world, 1);
    world.backup();
    write(&world, 2);
    world.backup();
    let counts = Counts::default();
    let (chunks, _) = open_chunks(&world.repository, None, &counts.run()).unwrap();
    world.forget(&world.ids()[..1]);
    assert!(world.prune_with(|_| ()).moved_bytes > 0);
    let roots = Roots::read(&world.repository, &counts.problems).unwrap();
    let reader = Reader::new(&world.repository, &chunks);
    let mut marks = Marks::new(64 << 20, world.dir.path().to_path_buf());
    marks.follow(&reader, &roots.live, &counts.run()).unwrap();
    let mut ids = Vec::new();
    marks
        .batches(&mut |batch| {
            ids.extend_from_slice(batch);
            Ok(())
        })
        .unwrap();
    let kinds = [crate::format::FrameKind::Data, crate::format::FrameKind::Metadata];
    assert!(ids.iter().all(|id| kinds.iter().any(|kind| reader.chunk(*kind, id).is_ok())));
}
