//! The suite that every backend and every decorator must pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Barrier;

use bytes::Bytes;

use super::{Backend, BackendError, Junk, Listed, Put, Verified, create_verified};
use crate::base::{PackId, SegmentId, SessionId};
use crate::format::name::{GenerationStep, ObjectKind, ObjectName};
use crate::seal::Sealed;

/// A new, empty place, and a way past the backend to store anything in it.
pub(crate) struct Subject {
    /// The backend to try.
    pub backend: Arc<dyn Backend>,
    /// Stores bytes under a name below the repository, as a stranger would.
    pub plant: Planter,
}

/// Stores bytes under a name, past the backend.
pub(crate) type Planter = Box<dyn Fn(&str, &[u8])>;

/// Threads that create one name at the same time.
const RACERS: usize = 16;

/// More than one page of any service, which is 1,000 on S3 and GCS and 5,000 on Azure.
const MANY: u32 = 1_100;

/// Runs every check on a new place each.
pub(crate) fn check(make: &dyn Fn() -> Subject) {
    for (name, test) in TESTS {
        let subject = make();
        let run = std::panic::AssertUnwindSafe(|| test(&subject));
        if let Err(panic) = std::panic::catch_unwind(run) {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without words");
            panic!("{name}, at {}: {what}", subject.backend.location());
        }
    }
}

type Test = fn(&Subject);

const TESTS: &[(&str, Test)] = &[
    ("a created object reads back", created_objects_read_back),
    ("a second create changes nothing", a_second_create_changes_nothing),
    ("one of many creates wins", one_of_many_creates_wins),
    ("ranges are exact or errors", ranges_are_exact_or_errors),
    ("missing objects are named", missing_objects_are_named),
    ("listings are complete", listings_are_complete),
    ("kinds do not mix", kinds_do_not_mix),
    ("junk is reported and harmless", junk_is_reported_and_harmless),
    ("a listing may call back", a_listing_may_call_back),
    ("deleting is idempotent", deleting_is_idempotent),
    ("heal takes the promised bytes only", heal_takes_the_promised_bytes_only),
    ("create_verified tells ours from theirs", create_verified_tells_ours_from_theirs),
    ("the probe finds the place safe", the_probe_finds_the_place_safe),
];

fn sealed(bytes: impl Into<Bytes>) -> Sealed {
    Sealed::from_store(bytes.into())
}

fn note(n: u32) -> ObjectName {
    ObjectName::parse(&format!("notes/{}/{n}", SessionId::new([7; 32]))).expect("a name")
}

fn pack_of(bytes: &[u8]) -> ObjectName {
    ObjectName::pack(PackId::new(*blake3::hash(bytes).as_bytes()))
}

fn listing(backend: &dyn Backend, kind: ObjectKind) -> (BTreeMap<ObjectName, Listed>, Vec<Junk>) {
    let (mut objects, mut junk) = (BTreeMap::new(), Vec::new());
    let listed = backend.list(kind, &mut |found| match found {
        Ok(listed) => {
            let twice = objects.insert(listed.name.clone(), listed);
            assert_eq!(twice, None, "an object is listed once");
        }
        Err(stranger) => junk.push(stranger),
    });
    listed.unwrap_or_else(|e| panic!("listing {kind:?}: {e:?}"));
    (objects, junk)
}

fn one_of_each_kind() -> Vec<ObjectName> {
    let session = SessionId::new([1; 32]);
    vec![
        ObjectName::config(1),
        ObjectName::key(crate::base::SlotId::new([2; 32])),
        pack_of(b"body"),
        ObjectName::index(session, 0, SegmentId::new(*blake3::hash(b"body").as_bytes())),
        ObjectName::session(session, 0),
        ObjectName::snapshot(session),
        ObjectName::tombstone(session),
        ObjectName::generation(1, GenerationStep::Candidates),
        note(0),
        ObjectName::parse("ledger/drill/1").expect("a name"),
    ]
}

/// Bytes that differ from place to place, so that a read from the wrong place shows.
fn pattern(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"pattern").finalize_xof().fill(&mut bytes);
    Bytes::from(bytes)
}

fn created_objects_read_back(subject: &Subject) {
    let backend = &*subject.backend;
    for name in one_of_each_kind() {
        assert_eq!(backend.put(&name, &sealed("body")).expect("created"), Put::Created, "{name}");
        assert_eq!(backend.get(&name).expect("read"), sealed("body"), "{name}");
        let listed = backend.stat(&name).expect("looked up");
        assert_eq!((&listed.name, listed.len), (&name, 4));
        let (objects, junk) = listing(backend, name.kind());
        let same = objects.get(&name).expect("listed at once");
        assert_eq!((same.len, junk), (4, vec![]), "{name}");
    }
    let (empty, large) = (note(1), pattern(20 << 20));
    backend.put(&empty, &sealed("")).expect("created");
    assert!(backend.get(&empty).expect("read").is_empty());
    assert_eq!(backend.stat(&empty).expect("looked up").len, 0);
    let name = pack_of(&large);
    backend.put(&name, &sealed(large.clone())).expect("created");
    assert!(backend.get(&name).expect("read") == sealed(large));
}

fn a_second_create_changes_nothing(subject: &Subject) {
    let (backend, name) = (&*subject.backend, ObjectName::config(1));
    assert_eq!(backend.put(&name, &sealed("first")).expect("created"), Put::Created);
    let before = backend.stat(&name).expect("looked up");
    assert_eq!(backend.put(&name, &sealed("second")).expect("asked"), Put::Exists);
    assert_eq!(backend.put(&name, &sealed("")).expect("asked"), Put::Exists);
    assert_eq!(backend.get(&name).expect("read"), sealed("first"));
    assert_eq!(backend.stat(&name).expect("looked up"), before);
}

fn one_of_many_creates_wins(subject: &Subject) {
    let backend = &*subject.backend;
    for round in 0..4 {
        let name = ObjectName::generation(round, GenerationStep::Doomed);
        let barrier = Barrier::new(RACERS);
        let winners: Vec<usize> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..RACERS)
                .map(|racer| {
                    let (name, barrier) = (&name, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let put = backend.put(name, &sealed(format!("racer {racer}")));
                        (put.expect("no error") == Put::Created).then_some(racer)
                    })
                })
                .collect();
            racers.into_iter().filter_map(|r| r.join().expect("no panic")).collect()
        });
        assert_eq!(winners.len(), 1, "winners of round {round}: {winners:?}");
        let expect = sealed(format!("racer {}", winners[0]));
        assert_eq!(backend.get(&name).expect("read"), expect);
    }
}

fn ranges_are_exact_or_errors(subject: &Subject) {
    let backend = &*subject.backend;
    let bytes = pattern((3 << 20) + 5);
    let len = bytes.len() as u64;
    let name = pack_of(&bytes);
    backend.put(&name, &sealed(bytes.clone())).expect("created");
    let ranges =
        [0..len, 0..1, 1..2, len - 1..len, 4095..4097, 7..(2 << 20) + 9, 0..0, 5..5, len..len];
    for range in ranges {
        let expect = bytes.slice(range.start as usize..range.end as usize);
        let read = backend.get_range(&name, range.clone());
        assert!(read.unwrap_or_else(|e| panic!("{range:?}: {e:?}")) == sealed(expect), "{range:?}");
    }
    #[allow(clippy::reversed_empty_ranges, reason = "a reversed range is one of the cases")]
    for range in
        [0..len + 1, len - 1..len + 1, len..len + 1, len + 5..len + 9, len + 1..len + 1, 9..8]
    {
        match backend.get_range(&name, range.clone()) {
            Err(BackendError::Range { at, len: actual, .. }) => {
                assert_eq!(actual, len);
                assert!(at.to_string().contains(name.as_str()));
            }
            other => panic!("{range:?}: {other:?}"),
        }
    }
}

fn missing_objects_are_named(subject: &Subject) {
    let backend = &*subject.backend;
    for name in one_of_each_kind() {
        let errors = [
            backend.get(&name).expect_err("missing"),
            backend.get_range(&name, 0..1).expect_err("missing"),
            backend.get_range(&name, 0..0).expect_err("missing"),
            backend.stat(&name).expect_err("missing"),
        ];
        for error in errors {
            assert!(error.is_not_found() && !error.is_transient(), "{name}: {error:?}");
            assert_eq!(error.object(), Some(&name));
            let text = error.to_string();
            assert!(text.contains(name.as_str()), "{text}");
            assert!(text.contains(&backend.location().to_string()), "{text}");
        }
        assert_eq!(listing(backend, name.kind()), (BTreeMap::new(), vec![]));
    }
}

fn listings_are_complete(subject: &Subject) {
    let backend = &*subject.backend;
    std::thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                for n in (part..MANY).step_by(8) {
                    let put = backend.put(&note(n), &sealed(vec![0; n as usize % 5]));
                    assert_eq!(put.expect("created"), Put::Created);
                }
            });
        }
    });
    let (objects, junk) = listing(backend, ObjectKind::Note);
    assert_eq!((objects.len(), junk.len()), (MANY as usize, 0));
    for n in 0..MANY {
        let listed = objects.get(&note(n)).unwrap_or_else(|| panic!("{n} is not listed"));
        assert_eq!(listed.len, u64::from(n) % 5);
    }
    backend.delete(&note(3)).expect("deleted");
    let (objects, _) = listing(backend, ObjectKind::Note);
    assert_eq!(objects.len(), MANY as usize - 1);
    assert!(!objects.contains_key(&note(3)));
}

fn kinds_do_not_mix(subject: &Subject) {
    let backend = &*subject.backend;
    for name in one_of_each_kind() {
        backend.put(&name, &sealed("body")).expect("created");
    }
    for name in one_of_each_kind() {
        let (objects, junk) = listing(backend, name.kind());
        assert_eq!(objects.keys().collect::<Vec<_>>(), [&name]);
        assert_eq!(junk, []);
    }
}

fn junk_is_reported_and_harmless(subject: &Subject) {
    let backend = &*subject.backend;
    let name = ObjectName::snapshot(SessionId::new([1; 32]));
    backend.put(&name, &sealed("body")).expect("created");
    let strangers = ["snapshots/README.txt", "snapshots/.DS_Store", "snapshots/deep/er/file"];
    for stranger in strangers {
        (subject.plant)(stranger, b"junk");
    }
    (subject.plant)("snapshotsx", b"outside");
    (subject.plant)("lost+found", b"outside");
    let (objects, junk) = listing(backend, ObjectKind::Snapshot);
    assert_eq!(objects.keys().collect::<Vec<_>>(), [&name]);
    // A directory too deep for objects may be reported instead of what is in it.
    assert_eq!(junk.len(), 3, "{junk:?}");
    for found in &junk {
        assert!(strangers.iter().any(|s| s.starts_with(&found.name)), "{junk:?}");
    }
    for found in junk.iter().filter(|found| strangers.contains(&found.name.as_str())) {
        assert_eq!(found.len, 4, "{junk:?}");
    }
}

fn a_listing_may_call_back(subject: &Subject) {
    let backend = &*subject.backend;
    for n in 0..5 {
        backend.put(&note(n), &sealed("body")).expect("created");
    }
    let mut read = 0;
    let listed = backend.list(ObjectKind::Note, &mut |found| {
        let found = found.expect("no junk");
        assert_eq!(backend.get(&found.name).expect("read"), sealed("body"));
        backend.delete(&found.name).expect("deleted");
        read += 1;
    });
    listed.expect("listed");
    assert_eq!(read, 5);
    assert!(listing(backend, ObjectKind::Note).0.is_empty());
}

fn deleting_is_idempotent(subject: &Subject) {
    let backend = &*subject.backend;
    for name in one_of_each_kind() {
        backend.delete(&name).expect("nothing to delete is fine");
        backend.put(&name, &sealed("body")).expect("created");
        backend.delete(&name).expect("deleted");
        backend.delete(&name).expect("gone already is fine");
        assert!(backend.get(&name).expect_err("deleted").is_not_found());
        assert!(listing(backend, name.kind()).0.is_empty());
        // Names are not used again by the protocol, but a late request may do it.
        assert_eq!(backend.put(&name, &sealed("again")).expect("created"), Put::Created);
    }
}

fn heal_takes_the_promised_bytes_only(subject: &Subject) {
    let backend = &*subject.backend;
    let good = pattern(1 << 20);
    let digest = *blake3::hash(&good).as_bytes();
    let index = ObjectName::index(SessionId::new([1; 32]), 4, SegmentId::new(digest));
    for name in [pack_of(&good), index] {
        (subject.plant)(name.as_str(), b"damaged");
        assert_eq!(backend.get(&name).expect("read"), sealed("damaged"));
        let wrong = backend.heal(&name, &sealed("wrong")).expect_err("refused");
        assert!(matches!(wrong, BackendError::Damaged { .. }), "{wrong:?}");
        assert_eq!(wrong.object(), Some(&name));
        assert_eq!(backend.get(&name).expect("read"), sealed("damaged"));
        backend.heal(&name, &sealed(good.clone())).expect("healed");
        assert!(backend.get(&name).expect("read") == sealed(good.clone()));
        backend.delete(&name).expect("deleted");
        backend.heal(&name, &sealed(good.clone())).expect("a missing one is restored");
        assert_eq!(backend.stat(&name).expect("looked up").len, good.len() as u64);
    }
    let name = ObjectName::config(1);
    backend.put(&name, &sealed("body")).expect("created");
    let refused = backend.heal(&name, &sealed("other")).expect_err("refused");
    assert!(matches!(refused, BackendError::Unsupported { .. }), "{refused:?}");
    assert_eq!(backend.get(&name).expect("read"), sealed("body"));
}

fn create_verified_tells_ours_from_theirs(subject: &Subject) {
    let (backend, name) = (&*subject.backend, ObjectName::config(1));
    let verified = |bytes| create_verified(backend, &name, &sealed(bytes));
    assert_eq!(verified("ours").expect("created"), Verified::Created);
    assert_eq!(verified("ours").expect("found"), Verified::AlreadyOurs);
    match verified("theirs") {
        Err(BackendError::Conflict { stored, at }) => {
            assert_eq!(stored, sealed("ours"));
            assert!(at.to_string().contains("config/1"));
        }
        other => panic!("{other:?}"),
    }
}

fn the_probe_finds_the_place_safe(subject: &Subject) {
    let backend = &*subject.backend;
    let probe = backend.probe().expect("probed");
    assert!(probe.is_safe(), "{probe:?}");
    assert_eq!(probe.deletes_take_effect, Some(true));
    assert!(probe.now.seconds > 0, "{probe:?}");
    assert_eq!(listing(backend, ObjectKind::Ledger), (BTreeMap::new(), vec![]));
}
