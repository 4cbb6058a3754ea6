//! What a restore does where something is there already.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::restore::{self, Action, How, Overwrite};
use super::tests::{Counts, World, describe, fill, noise};
use crate::backend::Verb;
use crate::backend::with::count::Counted;
use crate::backend::with::fault::{Fault, Faulty, Rule};
use crate::backend::with::slow::Slow;
use crate::base::size::MIB;
use crate::base::{ErrorKind, Result};
use crate::format::ObjectKind;
use crate::pipeline::RestorePlan;
use crate::repo::Repository;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// A backed-up source, and its repository behind a counter and what makes it fail.
struct Scene {
    world: World,
    repository: Arc<Repository>,
    counted: Arc<Counted>,
    faulty: Arc<Faulty>,
    target: PathBuf,
}

impl Scene {
    fn new() -> Self {
        Self::of(|source| {
            fill(source);
            fs::write(source.join("large"), noise(9, 12_000_000)).unwrap();
        })
    }

    fn of(fill: impl Fn(&Path)) -> Self {
        let world = World::new();
        fill(&world.source());
        world.backup();
        // Far enough away that more is asked for before the first answer comes.
        let slow = Slow::new(Arc::clone(world.repository.backend()), Duration::from_millis(2));
        let faulty = Faulty::new(slow);
        let counted = Counted::new(Arc::clone(&faulty) as _);
        let secret = || Secret::KeyFile(Key::new([7; 32]));
        let repository = Repository::open(Arc::clone(&counted) as _, &mut |_| Ok(secret()));
        let repository = Arc::new(repository.unwrap());
        let target = world.dir.path().join("target");
        Self { repository, counted, faulty, target, world }
    }

    fn try_restore(&self, how: How) -> (Result<restore::Report>, Counts) {
        self.try_restore_with(how, 512 * MIB)
    }

    fn try_restore_with(&self, how: How, memory: u64) -> (Result<restore::Report>, Counts) {
        let counts = Counts::default();
        let options = restore::Options {
            path: Some(self.world.source().to_str().unwrap().into()),
            how,
            max_memory: memory,
            ..restore::Options::new(self.target.clone())
        };
        self.counted.take();
        (restore::restore(&self.repository, &options, &counts.run()), counts)
    }

    fn restore(&self, how: How) -> Counts {
        let (result, counts) = self.try_restore(how);
        result.unwrap();
        assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        counts
    }

    /// Bytes of packs that the last restore read.
    fn fetched(&self) -> u64 {
        let calls = self.counted.calls().into_iter();
        calls.filter(|call| call.kind == ObjectKind::Pack).map(|call| call.bytes).sum()
    }

    fn is_whole(&self) {
        assert_eq!(describe(&self.target), describe(&self.world.source()));
    }

    fn at(&self, path: &str) -> PathBuf {
        self.target.join(path)
    }
}

fn patch(path: &Path, bytes: &[u8], offset: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// The tree, of which few files have metadata only, is read every time.
const METADATA_BYTES_MAX: u64 = 500_000;

#[test]
fn what_is_there_is_not_fetched_and_stays_the_same_file() {
    let scene = Scene::new();
    scene.restore(How::default());
    scene.is_whole();
    assert!(scene.fetched() > 20_000_000);
    let inodes = |scene: &Scene| {
        ["random", "large", "empty", "sparse"]
            .map(|name| fs::metadata(scene.at(name)).unwrap().ino())
    };
    let before = inodes(&scene);
    let counts = scene.restore(How::default());
    scene.is_whole();
    assert!(scene.fetched() < METADATA_BYTES_MAX, "{} bytes", scene.fetched());
    assert_eq!(inodes(&scene), before);
    let progress = &counts.progress;
    // Two names are one file, whose second name is a link again.
    assert_eq!((progress.files_done.get(), progress.files_skipped.get()), (507, 505));
    assert_eq!(progress.bytes_done.get(), progress.bytes_skipped.get());
    assert_eq!(progress.bytes_done.get(), progress.bytes_total.get());
}

#[test]
fn only_chunks_that_differ_are_fetched() {
    let scene = Scene::new();
    scene.restore(How::default());
    patch(&scene.at("large"), b"other", 6_000_000);
    let shorter = fs::OpenOptions::new().write(true).open(scene.at("random")).unwrap();
    shorter.set_len(2_900_000).unwrap();
    patch(&scene.at("sparse"), b"no hole", 9 << 20);
    fs::OpenOptions::new()
        .append(true)
        .open(scene.at("zeros"))
        .unwrap()
        .set_len(6_000_000)
        .unwrap();
    let counts = scene.restore(How::default());
    scene.is_whole();
    let fetched = scene.fetched();
    assert!((1..1_500_000).contains(&fetched), "{fetched} bytes");
    let progress = &counts.progress;
    assert_eq!(progress.files_done.get() - progress.files_skipped.get(), 2 + 4);
    assert!(fs::metadata(scene.at("sparse")).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn a_restore_that_ended_early_goes_on_where_it_was() {
    let scene = Scene::of(|source| fs::write(source.join("large"), noise(1, 60_000_000)).unwrap());
    // An older file has the name, and is whole until the end.
    fs::create_dir(&scene.target).unwrap();
    fs::write(scene.at("large"), "old").unwrap();
    let rule = Rule::on(Verb::GetRange, Fault::Before).of(ObjectKind::Pack).after(9);
    scene.faulty.inject(rule.times(u32::MAX));
    let (result, _) = scene.try_restore(How::default());
    assert_eq!(result.unwrap_err().kind, ErrorKind::Offline);
    let first = scene.fetched();
    assert!(first > 15_000_000, "{first} bytes");
    assert_eq!(fs::read(scene.at("large")).unwrap(), b"old");
    scene.faulty.calm();
    scene.restore(How::default());
    scene.is_whole();
    assert_eq!(fs::read_dir(&scene.target).unwrap().count(), 1, "a temporary file is left");
    let both = first + scene.fetched();
    assert!(both < 62_000_000, "{both} bytes in both runs");
}

#[test]
fn a_file_that_is_there_stays_where_some_of_the_new_one_is_lost() {
    for fault in [Fault::Flipped, Fault::Denied, Fault::Missing] {
        let scene =
            Scene::of(|source| fs::write(source.join("large"), noise(1, 6_000_000)).unwrap());
        scene.restore(How::default());
        // What is read first is the tree.
        let reads: Vec<_> =
            scene.counted.take().into_iter().filter(|c| c.verb == Verb::GetRange).collect();
        let tree_count = reads.iter().take_while(|read| read.name == reads[0].name).count();
        let spoil = || {
            let rule = Rule::on(Verb::GetRange, fault).of(ObjectKind::Pack);
            scene.faulty.inject(rule.after(tree_count as u32).times(u32::MAX));
        };
        fs::write(scene.at("large"), "old").unwrap();
        spoil();
        let (result, counts) = scene.try_restore(How::default());
        result.unwrap();
        assert_eq!(fs::read(scene.at("large")).unwrap(), b"old", "{fault:?}");
        let problems = counts.problems.take();
        assert!(problems[0].message.contains("what is there stays"), "{:?}", problems[0]);
        assert_eq!(fs::read_dir(&scene.target).unwrap().count(), 1, "a temporary file is left");
        // Where there is none, what is left of it comes back, with its length.
        fs::remove_file(scene.at("large")).unwrap();
        scene.faulty.calm();
        spoil();
        let (result, counts) = scene.try_restore(How::default());
        result.unwrap();
        assert_eq!(fs::metadata(scene.at("large")).unwrap().len(), 6_000_000);
        let problems = counts.problems.take();
        assert!(problems[0].message.contains("zeros stand in their place"), "{:?}", problems[0]);
        // It is worth no more than what the next run makes of it.
        scene.faulty.calm();
        scene.restore(How::default());
        scene.is_whole();
    }
}

#[test]
fn a_missing_pack_is_not_asked_for_again() {
    let scene = Scene::of(|source| {
        for n in 0..40 {
            fs::write(source.join(n.to_string()), noise(n, 500_000)).unwrap();
        }
    });
    scene.restore(How::default());
    let calls = scene.counted.take();
    let pack = calls.iter().filter(|call| call.kind == ObjectKind::Pack).max_by_key(|c| c.bytes);
    let name = pack.unwrap().name.clone();
    fs::remove_file(scene.world.dir.path().join("repository").join(&name)).unwrap();
    fs::remove_dir_all(&scene.target).unwrap();
    let (result, counts) = scene.try_restore(How::default());
    result.unwrap();
    assert!(counts.problems.count() > 50, "many chunks are lost");
    let asked = scene.counted.calls().iter().filter(|call| call.name == name).count();
    // Each thread may have asked before the first answer.
    assert!(asked <= 1 + rayon::current_num_threads(), "{asked} requests");
}

#[test]
fn what_changes_after_it_was_written_is_found_by_reading_back() {
    let scene = Scene::new();
    let target = scene.target.clone();
    let spoil = move |_: Action, path: &[u8], _: u64| match path {
        b"/large" => patch(&target.join("large"), b"spoiled", 3_000_000),
        b"/deep/link" => patch(&target.join("deep/link"), b"H", 0),
        b"/sparse" => patch(&target.join("sparse"), b"x", 7),
        b"/empty" => fs::write(target.join("empty"), "x").unwrap(),
        _ => {}
    };
    let how = How { verify: true, tell: Some(Arc::new(spoil)), ..How::default() };
    let (report, counts) = scene.try_restore(how);
    assert_eq!(report.unwrap().mismatch_count, 4);
    let problems = counts.problems.take();
    for (name, what) in [
        ("large", ": bytes 2"),
        ("deep/link", ": bytes 0 to 4 differ"),
        ("sparse", ": bytes 0 to 5242879 differ"),
        ("empty", ": it has 1 bytes and not 0"),
    ] {
        let found = problems.iter().any(|p| p.message.contains(name) && p.message.contains(what));
        assert!(found, "{name}: {problems:?}");
    }
    let how = || How { verify: true, ..How::default() };
    assert_eq!(scene.try_restore(how()).0.unwrap().mismatch_count, 0);
    scene.is_whole();
}

#[test]
fn another_name_of_a_file_is_tried_where_the_first_fails() {
    let scene = Scene::new();
    fs::create_dir_all(scene.at("deep/link/in the way")).unwrap();
    let (result, counts) = scene.try_restore(How::default());
    result.unwrap();
    assert_eq!(counts.problems.count(), 1);
    assert_eq!(fs::read(scene.at("small")).unwrap(), b"hello");
    fs::remove_dir_all(scene.at("deep/link")).unwrap();
    scene.restore(How::default());
    scene.is_whole();
}

/// A name outside would get the metadata, and worse, a file that is written in place its content.
#[test]
fn a_file_with_a_name_elsewhere_is_replaced_and_not_touched() {
    let scene = Scene::new();
    scene.restore(How::default());
    let outside = scene.world.dir.path().join("outside");
    fs::hard_link(scene.at("random"), &outside).unwrap();
    fs::set_permissions(&outside, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let before = fs::metadata(&outside).unwrap();
    scene.restore(How::default());
    scene.is_whole();
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((after.mode(), after.nlink()), (before.mode(), 1));
    assert!(scene.fetched() < METADATA_BYTES_MAX, "{} bytes", scene.fetched());
}

#[test]
fn what_lies_in_the_place_of_a_file_is_neither_followed_nor_waited_for() {
    let scene = Scene::new();
    fs::create_dir(&scene.target).unwrap();
    let outside = scene.world.dir.path().join("outside");
    fs::copy(scene.world.source().join("random"), &outside).unwrap();
    symlink(&outside, scene.at("random")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.at("large"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    symlink("nowhere", scene.at("empty")).unwrap();
    let before = fs::metadata(&outside).unwrap();
    scene.restore(How::default());
    scene.is_whole();
    let after = fs::metadata(&outside).unwrap();
    assert_eq!((before.ctime(), before.ctime_nsec()), (after.ctime(), after.ctime_nsec()));
}

#[test]
fn files_are_overwritten_as_asked() {
    let scene = Scene::new();
    scene.restore(How::default());
    let time = fs::metadata(scene.at("random")).unwrap().modified().unwrap();
    let set_time = |name: &str, time| {
        let file = fs::OpenOptions::new().write(true).open(scene.at(name)).unwrap();
        file.set_modified(time).unwrap();
    };
    let spoil = || {
        let hour = std::time::Duration::from_secs(3600);
        for (name, time) in [("random", time), ("large", time + hour), ("zeros", time - hour)] {
            patch(&scene.at(name), b"spoiled", 1000);
            set_time(name, time);
        }
        fs::remove_file(scene.at("empty")).unwrap();
    };
    let is_spoiled = |name: &str| fs::read(scene.at(name)).unwrap()[1000..].starts_with(b"spoiled");
    for (overwrite, stay) in [
        (Overwrite::Never, [true, true, true]),
        (Overwrite::IfNewer, [true, true, false]),
        (Overwrite::IfChanged, [true, false, false]),
        (Overwrite::Always, [false, false, false]),
    ] {
        spoil();
        scene.restore(How { overwrite, ..How::default() });
        assert_eq!(["random", "large", "zeros"].map(is_spoiled), stay, "{overwrite:?}");
        assert!(scene.at("empty").exists());
    }
    scene.is_whole();
}

#[test]
fn a_dry_run_changes_nothing_and_tells_everything() {
    let scene = Scene::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let how = || {
        let told = Arc::clone(&told);
        let tell = move |action, path: &[u8], _| {
            told.lock().unwrap().push((action, String::from_utf8(path.to_vec()).unwrap()));
        };
        How { dry_run: true, delete: true, tell: Some(Arc::new(tell)), ..How::default() }
    };
    scene.restore(how());
    assert!(!scene.target.exists());
    let told_of = |action| {
        let told = told.lock().unwrap();
        told.iter().filter(|(a, _)| *a == action).map(|(_, path)| path.clone()).collect::<Vec<_>>()
    };
    assert_eq!((told_of(Action::Restored).len(), told_of(Action::Unchanged).len()), (508, 0));
    scene.restore(How::default());
    told.lock().unwrap().clear();
    patch(&scene.at("large"), b"other", 6_000_000);
    fs::write(scene.at("deep/more"), "more").unwrap();
    let before = describe(&scene.target);
    let counts = scene.restore(how());
    assert_eq!(describe(&scene.target), before);
    assert!(scene.fetched() < METADATA_BYTES_MAX);
    assert!(told_of(Action::Updated).contains(&"/large".to_owned()), "{told:?}");
    assert_eq!(told_of(Action::Deleted), ["/deep/more"]);
    assert_eq!(counts.progress.files_deleted.get(), 1);
    assert!(told_of(Action::Unchanged).len() >= 500);
}

#[test]
fn long_runs_of_zeros_become_holes_on_request() {
    let scene = Scene::of(|source| fs::write(source.join("zeros"), vec![0; 5_000_000]).unwrap());
    let blocks = || fs::metadata(scene.at("zeros")).unwrap().blocks() * 512;
    scene.restore(How::default());
    assert!(blocks() >= 5_000_000);
    fs::remove_dir_all(&scene.target).unwrap();
    scene.restore(How { sparse: true, ..How::default() });
    assert!(blocks() < 100_000, "{} bytes", blocks());
    scene.is_whole();
}

#[test]
fn symbolic_links_come_after_everything_else() {
    let scene = Scene::of(|source| {
        // The first names of all.
        symlink("large", source.join("0-link")).unwrap();
        fs::create_dir(source.join("1-directory")).unwrap();
        symlink("../large", source.join("1-directory/0-link")).unwrap();
        for n in 0..600 {
            fs::write(source.join(format!("file-{n}")), noise(n, 1000)).unwrap();
        }
        fs::write(source.join("large"), noise(9, 12_000_000)).unwrap();
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let tell = move |_, path: &[u8], _| heard.lock().unwrap().push(path.ends_with(b"-link"));
    scene.restore(How { tell: Some(Arc::new(tell)), ..How::default() });
    scene.is_whole();
    let told = told.lock().unwrap();
    assert_eq!(told.iter().filter(|is_link| **is_link).count(), 2);
    // Directories are told when all in them is done, so only those that hold a link follow.
    let first = told.iter().position(|is_link| *is_link).unwrap();
    assert!(first >= 601 && told.len() - first <= 4, "{first} of {}", told.len());
}

/// Counted where bytes are taken, not by what the system says of the process, which the allocator,
/// the cache of pages and other tests have a part in.
#[test]
fn less_memory_means_that_less_is_on_its_way_and_nothing_is_left_out() {
    let scene = Scene::of(|source| {
        for n in 0..3 {
            fs::write(source.join(n.to_string()), noise(n, 8_000_000)).unwrap();
        }
        for n in 3..500 {
            fs::write(source.join(n.to_string()), noise(n, 1000)).unwrap();
            symlink("0", source.join(format!("link-{n}"))).unwrap();
        }
    });
    let run = |memory: u64| {
        let (report, counts) = scene.try_restore_with(How::default(), memory);
        assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        scene.is_whole();
        let reads = scene.counted.calls().into_iter();
        let reads =
            reads.filter(|call| call.verb == Verb::GetRange && call.kind == ObjectKind::Pack);
        let longest = reads.map(|call| call.bytes).max().unwrap();
        (report.unwrap().flight_bytes_max, longest)
    };
    let mut most = 0;
    for memory in [120 * MIB, 140 * MIB, 512 * MIB] {
        let plan = RestorePlan::new(memory).unwrap();
        let (flight, longest) = run(memory);
        // More than one read at a time, each with a frame, of which few are longer than a MiB.
        assert!(flight > plan.read_len_max && flight > most, "{flight} of {plan:?}");
        assert!(flight <= plan.flight_bytes as u64, "{flight} of {plan:?}");
        assert!(longest <= plan.read_len_max, "{longest} bytes at once of {plan:?}");
        most = flight;
        // In place, with a comparison before and after, in the same memory.
        patch(&scene.at("1"), b"other", 6_000_000);
        let how = How { verify: true, ..How::default() };
        let (report, counts) = scene.try_restore_with(how, memory);
        assert_eq!((report.unwrap().mismatch_count, counts.problems.count()), (0, 0));
        scene.is_whole();
        fs::remove_dir_all(&scene.target).unwrap();
    }
    let error = scene.try_restore_with(How::default(), 64 * MIB).0.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(!scene.target.exists());
}
