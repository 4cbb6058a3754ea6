//! What strangers put among the objects, or take away.

use std::fs;

use super::{World, describe, fill};
use crate::backend::create_verified;
use crate::base::ErrorKind;
use crate::format::{FORMAT_VERSION, ObjectName};
use crate::ops::{Run, backup};

#[test]
fn junk_among_the_objects_blocks_neither_backup_nor_restore() {
    let world = World::new();
    fill(&world.source());
    let repository = world.dir.path().join("repository");
    let id = "ab".repeat(32);
    let junk = [
        "gc/1/c".to_owned(),
        "gc/1/b".to_owned(),
        "gc/1/d".to_owned(),
        "gc/9/d".to_owned(),
        format!("sessions/{id}/0"),
        format!("notes/{id}/0"),
        format!("ledger/verified/{id}"),
        format!("index/{id}-0-{id}"),
        format!("packs/ab/{id}"),
        format!("snapshots/{id}"),
        format!("tombs/{id}"),
        format!("keys/{id}"),
        "packs/ab/nonsense".to_owned(),
        "gc/nonsense".to_owned(),
    ];
    for name in &junk {
        let path = repository.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"nonsense").unwrap();
    }
    let (_, counts) = world.backup();
    let told: Vec<String> = counts.problems.take().iter().map(ToString::to_string).collect();
    // Of a generation without a readable list only the name is told; nothing is doomed by it.
    for name in ["gc/1/c", "gc/1/d", "gc/9/d", "index/", "snapshots/", "tombs/"] {
        assert!(told.iter().any(|message| message.contains(name)), "{name} in {told:?}");
    }
    let (target, _) = world.restore("target");
    assert_eq!(describe(&target), describe(&world.source()));
    let found: Vec<String> = world.check().findings.into_iter().map(|f| f.object).collect();
    let kinds = ["gc/1/b", "sessions/", "notes/", "ledger/", "keys/", "index/", "snapshots/"];
    for name in kinds {
        assert!(found.iter().any(|object| object.contains(name)), "{name} in {found:?}");
    }
}

#[test]
fn a_config_that_was_brought_back_shows_itself() {
    let world = World::new();
    fill(&world.source());
    let backend = world.repository.backend();
    let first = backend.get(&ObjectName::config(1)).unwrap();
    let mut config = world.repository.config().clone();
    config.predecessor = Some(blake3::hash(first.bytes()).as_bytes().to_vec());
    assert_eq!(config.version, FORMAT_VERSION);
    let name = ObjectName::config(2);
    create_verified(&**backend, &name, &world.repository.seal(&name, &config.encode())).unwrap();
    let run = |cache: bool| {
        let counts = super::Counts::default();
        let mut options = world.backup_options(&world.source());
        options.cache_dir = options.cache_dir.filter(|_| cache);
        let run: Run<'_> = counts.run();
        backup::backup(&world.reopen(), &options, &run).map(drop)
    };
    run(true).unwrap();
    fs::remove_file(world.dir.path().join("repository/config/2")).unwrap();
    let error = run(true).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.message.contains("config/2"), "{error}");
    let findings = World { repository: world.reopen(), ..world }.check().findings;
    assert!(findings.iter().any(|f| f.object.contains("config/2")), "{findings:?}");
}
