//! Snapshots that no run of the program would make, committed through the library.

use std::fs;
use std::sync::Arc;

use parados::backend::{self, Location, Options};
use parados::base::{SessionId, Timestamp};
use parados::format::ObjectName;
use parados::format::snapshot::{Decision, Snapshot};
use parados::repo::Repository;
use parados::repo::session::{Recheck, Session};
use parados::repo::snapshots::Snapshots;
use parados::seal::code::{self, CodeKind};
use parados::seal::slot::Secret;

use crate::world::World;

/// Opens the repository of `world` by its key file.
pub(crate) fn open(world: &World) -> Arc<Repository> {
    let location = Location::local(&world.at("repository")).unwrap();
    let options = Options { writable: true, ..Options::default() };
    let text = fs::read_to_string(world.at("key")).unwrap();
    let key = || Secret::KeyFile(code::from_text(CodeKind::KeyFile, &text).unwrap());
    let backend = backend::open(&location, &options).unwrap();
    Arc::new(Repository::open(backend, &mut |_| Ok(key())).unwrap())
}

/// Plants a copy of the newest snapshot under an id.
pub(crate) fn plant_as(world: &World, id: SessionId) {
    let repository = open(world);
    let found = Snapshots::read(&repository).unwrap();
    let snapshot = found.resolve("latest").unwrap().snapshot.clone();
    let name = ObjectName::snapshot(id);
    let sealed = repository.seal(&name, &Decision::Snapshot(snapshot).encode());
    repository.backend().put(&name, &sealed).unwrap();
}

/// Commits a copy of the newest snapshot with some changes, which is the newest from then on.
pub(crate) fn plant(world: &World, change: impl FnOnce(&mut Snapshot)) -> SessionId {
    let repository = open(world);
    let found = Snapshots::read(&repository).unwrap();
    let mut snapshot = found.resolve("latest").unwrap().snapshot.clone();
    let time = snapshot.time;
    snapshot.time = Timestamp::new(time.seconds, time.nanos + 1);
    change(&mut snapshot);
    let session = Session::start(&repository).unwrap();
    let root = session.put_root(snapshot, &[]).unwrap();
    match session.recheck(root, &|_| false).unwrap() {
        Recheck::Sound(root) => session.commit(root).unwrap().id,
        Recheck::Endangered => panic!("nothing prunes"),
    }
}
