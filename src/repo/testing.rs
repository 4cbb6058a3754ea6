//! A repository with snapshots of nothing, for tests.

use std::sync::Arc;

use super::Repository;
use super::access::Creation;
use super::session::{Recheck, Session};
use crate::backend::Backend;
use crate::base::{SessionId, SystemClock, Timestamp, WriterId};
use crate::format::slot::Label;
use crate::format::snapshot::{Component, PathBytes, Snapshot, State, Statistics};
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// Makes a repository.
pub(crate) fn make(backend: Arc<dyn Backend>) {
    let secrets = [(Secret::KeyFile(Key::new([7; 32])), Label::default())];
    let creation = Creation::default();
    Repository::create(backend, &creation, &secrets, &SystemClock).expect("it is new");
}

/// Opens one that was made here.
pub(crate) fn open(backend: Arc<dyn Backend>) -> Repository {
    Repository::open(backend, &mut |_| Ok(Secret::KeyFile(Key::new([7; 32])))).expect("it opens")
}

/// Commits a snapshot.
pub(crate) fn commit(repository: &Repository, snapshot: Snapshot) -> SessionId {
    let session = Session::start(repository).expect("it starts");
    let root = session.put_root(snapshot, &[]).expect("it is stored");
    match session.recheck(root, &|_| false).expect("it is looked at") {
        Recheck::Sound(root) => session.commit(root).expect("it is committed").id,
        Recheck::Endangered => unreachable!("nothing prunes"),
    }
}

/// A complete snapshot of `host` without content, of words of `paths`, made at `time`.
pub(crate) fn snapshot_of(time: Timestamp, host: &str, paths: &str) -> Snapshot {
    let paths = paths.split_whitespace().map(|path| PathBytes(path.as_bytes().to_vec())).collect();
    let component = Component {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        tier: None,
        root: None,
        statistics: Statistics::default(),
        state: State::Complete,
        paths,
    };
    Snapshot {
        components: vec![component],
        recovery_point: None,
        time,
        finished: time,
        host: host.to_owned(),
        user: String::new(),
        tags: Vec::new(),
        program: String::new(),
        writer: WriterId::new([1; 32]),
        sequence: 1,
        parent: None,
        segments: Vec::new(),
        seen: Vec::new(),
        signature: None,
        description: None,
    }
}
