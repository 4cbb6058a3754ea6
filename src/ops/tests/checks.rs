//! How closely a check looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Counts, World, noise};
use crate::backend::Backend;
use crate::backend::verb::Verb;
use crate::backend::with::fault::{Fault, Faulty, Rule};
use crate::base::PackId;
use crate::base::calendar::Calendar;
use crate::format::config::PACK_LEN_MIN;
use crate::format::{ObjectKind, ObjectName};
use crate::ops::check::{self, Class, Depth, Subset};
use crate::ops::forget::policy::Policy;
use crate::ops::group::GroupBy;
use crate::ops::prune::{self, MaxUnused};
use crate::ops::{backup, forget};
use crate::repo::Repository;
use crate::repo::select::Filter;
use crate::repo::snapshots::Snapshots;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// Files of a world with some twenty packs.
const FILE_COUNT: u64 = 60;

fn world() -> World {
    let world = World::new();
    write(&world, 0..FILE_COUNT);
    back_up(&world);
    world
}

fn write(world: &World, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        fs::write(world.source().join(seed.to_string()), noise(seed, 60_000)).unwrap();
    }
}

fn back_up(world: &World) {
    let options =
        backup::Options { pack_len: Some(PACK_LEN_MIN), ..world.backup_options(&world.source()) };
    backup::backup(&world.repository, &options, &Counts::default().run()).unwrap();
}

/// The longest first: the last ones of a run may hold little.
fn pack_files(world: &World) -> Vec<PathBuf> {
    let repository = world.dir.path().join("repository");
    let mut packs: Vec<_> = world.objects().into_iter().collect();
    packs.retain(|(name, _)| name.starts_with("packs"));
    packs.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    packs.into_iter().map(|(name, _)| repository.join(name)).collect()
}

fn record_count(world: &World) -> usize {
    let names = world.objects().into_keys();
    names.filter(|name| name.starts_with("ledger/verified")).count()
}

/// The repository by way of a backend that can fail, and a check of it without a cache.
fn faulty(world: &World) -> (Arc<Faulty>, Arc<Repository>) {
    let faulty = Faulty::new(Arc::clone(world.repository.backend()));
    let secret = || Ok(Secret::KeyFile(Key::new([7; 32])));
    let backend = Arc::clone(&faulty) as Arc<dyn Backend>;
    let repository = Repository::open(backend, &mut |_| secret()).unwrap();
    (faulty, Arc::new(repository))
}

fn check_all(repository: &Arc<Repository>) -> check::Report {
    let depth = Depth::Data(Subset::All);
    let options = check::Options { depth, cache_dir: None, max_memory: 512 << 20 };
    check::check(repository, &options, &Counts::default().run()).unwrap()
}

fn damage(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn checks_of_parts_come_to_every_pack_in_turn() {
    let world = world();
    let pack_count = pack_files(&world).len() as u64;
    let before = world.check_to(Depth::Metadata);
    assert_eq!((before.verified.never_count, before.read_pack_count), (pack_count, 0));
    let mut read = 0;
    for run in 1.. {
        let report = world.check_to(Depth::Data(Subset::Percent(30.0)));
        assert!(report.findings.is_empty() && report.read_pack_count > 0, "{report:?}");
        assert_eq!(report.verified.pack_count, pack_count);
        read += report.read_pack_count;
        if read >= pack_count {
            assert!((3..=4).contains(&run), "{run}");
            break;
        }
        assert_eq!(report.verified.never_count, pack_count - read, "none is read twice");
    }
    // What is new comes before what was read already.
    assert_eq!(world.check_to(Depth::Quick).verified.never_count, 0);
    write(&world, FILE_COUNT..FILE_COUNT + 2);
    back_up(&world);
    let new = pack_files(&world).len() as u64 - pack_count;
    assert!(new > 0);
    assert_eq!(world.check_to(Depth::Quick).verified.never_count, new);
    for left in (0..new).rev() {
        let report = world.check_to(Depth::Data(Subset::Bytes(1)));
        assert_eq!((report.read_pack_count, report.verified.never_count), (1, left));
    }
}

#[test]
fn groups_come_to_every_pack_once() {
    let world = world();
    let groups = (1..=3).map(|number| Subset::Group { number, count: 3 });
    let read = groups.map(|group| world.check_to(Depth::Data(group)).read_pack_count);
    assert_eq!(read.sum::<u64>(), pack_files(&world).len() as u64);
    assert_eq!(world.check_to(Depth::Quick).verified.never_count, 0);
}

#[test]
fn the_pack_that_waits_for_longest_is_named() {
    let world = world();
    let packs = pack_files(&world);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&packs[3]).unwrap().set_modified(old).unwrap();
    let oldest = world.check_to(Depth::Quick).verified.oldest.unwrap();
    let is_it = |path: &PathBuf| path.ends_with(oldest.pack.to_hex());
    assert!(is_it(&packs[3]), "{oldest:?}");
    assert_eq!(oldest.since.seconds, 1_000_000_000);
    // Once it was read, another one waits.
    world.check_to(Depth::Data(Subset::Bytes(1)));
    let oldest = world.check_to(Depth::Quick).verified.oldest.unwrap();
    assert!(!packs[3].ends_with(oldest.pack.to_hex()) && oldest.since.seconds > 1_000_000_000);
}

#[test]
fn a_record_that_is_stored_anew_does_not_look_younger() {
    let world = world();
    world.check();
    let since = |world: &World| world.check_to(Depth::Quick).verified.oldest.unwrap().since;
    let before = since(&world);
    let record = world.objects().into_keys().find(|name| name.starts_with("ledger")).unwrap();
    let path = world.dir.path().join("repository").join(record);
    let long_after = std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000);
    fs::File::open(&path).unwrap().set_modified(long_after).unwrap();
    assert!(since(&world).seconds <= before.seconds + 1);
    // Nor does it look younger than it was stored when a clock was ahead.
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(since(&world).seconds, 1_000_000_000);
}

#[test]
fn what_is_damaged_is_not_recorded_as_read() {
    let world = world();
    let pack = &pack_files(&world)[0];
    damage(pack, 5000);
    let report = world.check();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!(finding.class, Some(Class::AtRest));
    assert!(!finding.affected.is_empty());
    assert_eq!(report.verified.never_count, 1);
    let oldest = report.verified.oldest.unwrap();
    assert!(pack.ends_with(oldest.pack.to_hex()));
}

#[test]
fn a_check_of_other_packs_knows_which_are_damaged() {
    let world = world();
    damage(&pack_files(&world)[0], 5000);
    let is_lost = |report: check::Report| report.findings.iter().any(|f| !f.affected.is_empty());
    let [first, second] = [1, 2].map(|number| Depth::Data(Subset::Group { number, count: 2 }));
    let [in_first, in_second] = [first, second].map(|group| is_lost(world.check_to(group)));
    // Whichever group it is in, the second check knows of it.
    assert!(in_second);
    let other = if in_first { second } else { first };
    assert!(is_lost(world.check_to(other)));
    assert!(is_lost(world.check_to(Depth::Metadata)));
    back_up(&world);
    assert!(!is_lost(world.check()));
}

#[test]
fn what_was_damaged_before_it_was_stored_says_so() {
    let world = world();
    let mut bytes = fs::read(&pack_files(&world)[0]).unwrap();
    bytes[5000] ^= 1;
    let name = ObjectName::pack(PackId::new(*blake3::hash(&bytes).as_bytes()));
    let path = world.dir.path().join("repository").join(name.as_str());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    let report = world.check();
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert!(finding.object.contains(name.as_str()));
    assert_eq!(finding.class, Some(Class::Memory));
}

#[test]
fn what_was_misread_on_its_way_is_no_damage() {
    let world = world();
    for kind in [ObjectKind::Pack, ObjectKind::Snapshot, ObjectKind::Index] {
        for fault in [Fault::Flipped, Fault::Short] {
            let (faulty, repository) = faulty(&world);
            faulty.inject(Rule::on(Verb::Get, fault).of(kind));
            let report = check_all(&repository);
            assert!(report.findings.is_empty(), "{kind:?} {fault:?}: {:?}", report.findings);
            let tells = report.notices.iter().any(|notice| notice.contains("read wrongly"));
            assert_eq!((report.misread_count, tells), (1, true), "{kind:?} {fault:?}");
        }
    }
}

#[test]
fn a_quick_check_reads_no_data_until_something_is_missing() {
    let world = world();
    let (faulty, repository) = faulty(&world);
    faulty.inject(Rule::on(Verb::Get, Fault::Broken).of(ObjectKind::Pack).times(u32::MAX));
    faulty.inject(Rule::on(Verb::GetRange, Fault::Broken).of(ObjectKind::Pack).times(u32::MAX));
    let options = check::Options { depth: Depth::Quick, cache_dir: None, max_memory: 512 << 20 };
    let report = check::check(&repository, &options, &Counts::default().run()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(report.pack_count, pack_files(&world).len() as u64);
    for (number, harm) in [harm_by_cutting as fn(&PathBuf), harm_by_removing].iter().enumerate() {
        harm(&pack_files(&world)[number]);
        let report = world.check_to(Depth::Quick);
        let lost: BTreeSet<_> = report.findings.iter().flat_map(|f| &f.affected).collect();
        assert!(!lost.is_empty(), "{report:?}");
    }
}

fn harm_by_cutting(path: &PathBuf) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn harm_by_removing(path: &PathBuf) {
    fs::remove_file(path).unwrap();
}

#[test]
fn records_that_say_nothing_any_more_go_with_a_prune() {
    let world = world();
    world.check();
    world.check_to(Depth::Data(Subset::Bytes(1)));
    world.check();
    assert_eq!(record_count(&world), 3);
    // A prune that finds something to delete.
    fs::write(world.source().join("0"), noise(1000, 60_000)).unwrap();
    back_up(&world);
    forget_the_first(&world);
    prune(&world);
    assert_eq!(record_count(&world), 1);
    let report = world.check_to(Depth::Quick);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert!(report.verified.never_count < report.verified.pack_count);
}

fn forget_the_first(world: &World) {
    let snapshots = Snapshots::read(&world.repository).unwrap();
    let options = forget::Options {
        words: vec![snapshots.all[0].id.to_hex()],
        filter: Filter::default(),
        policy: Policy::default(),
        group_by: GroupBy::default(),
        calendar: Calendar::utc(),
        allow_all: false,
        dry_run: false,
    };
    forget::forget(&world.repository, &options, &Counts::default().run()).unwrap();
}

fn prune(world: &World) {
    let options = prune::Options {
        grace: 0,
        max_unused: MaxUnused::Bytes(0),
        max_moved: u64::MAX,
        exclusive: false,
        dry_run: false,
        cache_dir: None,
        scratch_dir: world.dir.path().to_path_buf(),
        max_memory: 512 << 20,
    };
    let report = prune::prune(&world.repository, &options, &Counts::default().run()).unwrap();
    assert!(report.deleted_packs > 0, "{report:?}");
}
