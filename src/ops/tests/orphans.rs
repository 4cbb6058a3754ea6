//! Packs that no segment names: who uses them, who does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;

use super::{Counts, World, describe, noise};
use crate::format::FrameKind;
use crate::format::config::PACK_LEN_MIN;
use crate::format::pack::FrameChunk;
use crate::ops::{backup, open_chunks};
use crate::repo::reader::Reader;
use crate::repo::session::Session;
use crate::seal::frame;
use crate::seal::pack::PackBuilder;

impl World {
    fn of_kind(&self, kind: &str) -> Vec<PathBuf> {
        let paths = self.objects().into_keys().filter(|path| path.starts_with(kind));
        paths.map(|path| self.dir.path().join("repository").join(path)).collect()
    }
}

/// Changes every byte but for the first and the last, where the pack says what it holds.
fn spoil_frames(pack: &Path) {
    let mut bytes = fs::read(pack).unwrap();
    bytes[200..5000].iter_mut().for_each(|byte| *byte ^= 1);
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
}

#[test]
fn a_good_copy_that_no_segment_names_is_found_by_all_who_look_at_once() {
    let world = World::new();
    // One chunk.
    let content = noise(3, 10_000);
    fs::write(world.source().join("file"), &content).unwrap();
    world.backup();
    let named = world.of_kind("packs");
    let repository = &world.repository;
    let (keyring, kind) = (repository.keyring(), FrameKind::Data);
    let id = keyring.chunk_id(kind, &content);
    let session = Session::start(repository).unwrap();
    let chunk = FrameChunk { id, len: content.len() as u32 };
    let frame = frame::seal(keyring.repository(), session.key(), kind, 3, &content, vec![chunk]);
    let mut pack = PackBuilder::new(Arc::clone(session.key()), PACK_LEN_MIN);
    pack.push(frame);
    session.put_pack(pack.finish(false)).unwrap();
    let data = named.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    spoil_frames(data);

    let (chunks, _) = open_chunks(repository, None, &Counts::default().run()).unwrap();
    let reader = Reader::new(repository, &chunks);
    let start = Barrier::new(8);
    thread::scope(|threads| {
        let look = || {
            start.wait();
            reader.chunk(kind, &id)
        };
        let looks: Vec<_> = (0..8).map(|_| threads.spawn(look)).collect();
        for found in looks {
            assert!(found.join().unwrap().unwrap() == content);
        }
    });
}

#[test]
fn a_damaged_pack_is_not_taken_over_by_any_later_run() {
    let world = World::new();
    fs::write(world.source().join("file"), noise(3, 10_000)).unwrap();
    world.backup();
    for kind in ["index", "sessions", "snapshots"] {
        world.of_kind(kind).iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    let packs = world.of_kind("packs");
    spoil_frames(packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap());
    assert!(!world.check().findings.is_empty());
    // Backups of something else come first.
    let other = world.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    for number in 0..2 {
        fs::write(other.join("file"), noise(100 + number, 5000)).unwrap();
        let counts = Counts::default();
        backup::backup(&world.repository, &world.backup_options(&other), &counts.run()).unwrap();
    }
    world.backup();
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(describe(&target), describe(&world.source()));
}
