//! Restores that remove what the snapshot does not have.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::disks::Disk;
use crate::restoring::{backed_up, summary};
use crate::world::{Answer, World, has, is_root, look, noise, skip};

#[test]
fn what_the_snapshot_does_not_have_is_removed_on_request_only() {
    let (world, source, part) = backed_up();
    world.ok(&["restore", &part, "-t", "back"]);
    let spoil = || {
        world.write("back/docs/more/and/more", "x");
        world.write("back/docs/more/keep.log", "x");
        world.write("back/new", "x");
        world.write("outside/precious", "x");
        let _there_already = symlink(world.at("outside"), world.at("back/link out"));
    };
    spoil();
    world.ok(&["restore", &part, "-t", "back"]);
    assert!(world.at("back/new").exists());
    let some = summary(&world, &[&part, "-t", "back", "--delete", "--exclude", "*.log"]);
    assert_eq!(some["files_deleted"], 4, "{some}");
    assert!(world.at("back/docs/more/keep.log").exists());
    spoil();
    let one = summary(&world, &[&part, "-t", "back", "--delete", "--include", "/docs"]);
    assert_eq!(one["files_deleted"], 4, "{one}");
    assert!(world.at("back/new").exists() && world.at("back/link out").is_symlink());
    world.ok(&["restore", &part, "-t", "back", "--delete"]);
    assert_eq!(look(&world.at("back")), look(&source));
    assert!(world.at("outside/precious").exists());
}

#[test]
fn nothing_is_removed_beside_what_was_backed_up_nor_what_the_program_needs() {
    let (mut world, source, _) = backed_up();
    world.ok(&["restore", "latest", "-t", "root"]);
    let inner = world.at("root").join(source.strip_prefix("/").unwrap());
    // The snapshot knows nothing of what lies beside the source.
    let beside = [world.at("root/beside"), inner.with_file_name("beside"), inner.join("new")];
    beside.iter().for_each(|path| fs::write(path, "x").unwrap());
    fs::rename(world.at("repository"), inner.join("repository")).unwrap();
    world.set("PARADOS_REPOSITORY", inner.join("repository"));
    let told = summary(&world, &["latest", "-t", "root", "--delete"]);
    assert_eq!(told["files_deleted"], 1, "{told}");
    assert_eq!(beside.map(|path| path.exists()), [true, true, false]);
    world.ok(&["check"]);
}

/// Restores the last snapshot of `source` over `source` and removes what it does not have.
fn put_back(world: &World, source: &Path) -> Answer {
    world.ok(&["restore", &format!("latest:{}", source.display()), "-t", "source", "--delete"])
}

#[test]
fn what_was_left_out_of_the_snapshot_is_not_removed() {
    let world = World::with_repository();
    let source = world.source();
    world.write("source/logs/a.log", "x");
    world.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    world.write("source/cache/data", "x");
    world.write("source/large/file", noise(1, 5000));
    world.write("source/ignored/.ignore", "secret");
    world.write("source/ignored/secret", "x");
    let before = look(&source);
    let leave_out = ["--exclude-caches", "-e", "*.log", "--exclude-larger-than", "4096"];
    let leave_out = [&["backup", "source", "--ignore-file", ".ignore"], &leave_out[..]].concat();
    world.ok(&leave_out);
    // What is new goes where the snapshot has all names, and stays where it has not.
    world.write("source/docs/new", "x");
    world.write("source/logs/new", "x");
    let ran = put_back(&world, &source);
    assert!(ran.err.contains("nothing was removed from "), "{}", ran.err);
    assert!(ran.out.contains("removed 1 name "), "{}", ran.out);
    assert!(!source.join("docs/new").exists());
    fs::remove_file(source.join("logs/new")).unwrap();
    assert_eq!(
        look(&source).into_keys().collect::<Vec<_>>(),
        before.into_keys().collect::<Vec<_>>()
    );
}

#[test]
fn what_is_mounted_in_the_source_is_not_removed() {
    let world = World::with_repository();
    let source = world.source();
    let name = "what_is_mounted_in_the_source_is_not_removed";
    let Some(disk) = Disk::mount(name, world.at("source/mounted"), "1m") else { return };
    world.write("source/mounted/precious", "x");
    world.ok(&["backup", "source", "-x"]);
    put_back(&world, &source);
    assert!(source.join("mounted/precious").exists());
    drop(disk);
}

#[test]
fn what_could_not_be_backed_up_is_not_removed() {
    let mut world = World::with_repository();
    let source = world.source();
    world.write("source/secret", "x");
    world.write("source/closed/file", "x");
    if is_root() {
        if !has("setpriv") {
            return skip("what_could_not_be_backed_up_is_not_removed", "no setpriv");
        }
        world.become_nobody();
    }
    for name in ["secret", "closed"] {
        fs::set_permissions(source.join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    world.expect(3, &["backup", "source"]);
    put_back(&world, &source);
    fs::set_permissions(source.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(source.join("secret").exists() && source.join("closed/file").exists());
}
