//! Each bad request has a clear error with a way out.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::{World, has, is_root, skip};

#[test]
fn a_repository_that_is_not_there() {
    let world = World::new();
    insta::assert_snapshot!(world.error(10, &["snapshots", "-r", "nowhere"]), @r"
    error: could not open <world>/nowhere: there is no such directory: No such file or directory (os error 2)
    hint: Check the location, or make a repository there with `parados init`.
    ");
    fs::create_dir(world.at("empty")).unwrap();
    insta::assert_snapshot!(world.error(10, &["snapshots", "-r", "empty"]), @r"
    error: there is no repository at <world>/empty
    hint: Make one with `parados init`, or check the location.
    ");
    let error = world.error(2, &["snapshots", "-r", "sftp:host:/x"]);
    assert!(error.starts_with("error: \"sftp\" is no kind of location we know\n"), "{error}");
    insta::assert_snapshot!(world.error(2, &["init"]), @r"
    error: no location was given for the new repository
    hint: Name one with `-r LOCATION`; without any, `parados backup PATH` makes one in your home directory.
    ");
}

#[test]
fn a_repository_that_exists() {
    let world = World::with_repository();
    insta::assert_snapshot!(world.error(1, &["init"]), @r"
    error: there is a repository at <world>/repository already
    hint: Use it as it is, or choose another location.
    ");
    insta::assert_snapshot!(world.error(2, &["init", "-r", "other", "--pack-size", "1G"]), @r"
    error: could not use the pack size of --pack-size
    hint: It is between <size> and <size>.
    ");
}

#[test]
fn snapshots_that_do_not_exist() {
    let world = World::with_repository();
    insta::assert_snapshot!(world.error(1, &["ls", "latest"]), @r"
    error: there is no snapshot yet
    hint: Make one with `parados backup PATH`.
    ");
    world.source();
    world.ok(&["backup", "source"]);
    insta::assert_snapshot!(world.error(1, &["restore", "dead", "-t", "back"]), @r"
    error: there is no snapshot dead
    hint: List them with `parados snapshots`; four or more digits of an id will do.
    ");
    insta::assert_snapshot!(world.error(1, &["restore", "latest:/no/such", "-t", "back"]), @r"
    error: there is no /no in the snapshot
    hint: See what is there with `parados ls SNAPSHOT`.
    ");
    assert!(!world.at("back").exists());
}

#[test]
fn sources_that_are_missing() {
    let world = World::with_repository();
    world.source();
    insta::assert_snapshot!(world.error(1, &["backup", "nowhere"]), @r"
    error: could not read <world>/nowhere: no such file or directory
    hint: None of the sources can be backed up; check the paths.
    ");
    let answer = world.expect(3, &["backup", "source", "nowhere"]);
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    problem: could not read <world>/nowhere: no such file or directory
    hint: If it was not meant to go away, check the path.
    ");
    assert!(answer.out.contains("1 problem: the snapshot lacks what could not be read\n"));
    assert!(world.ok(&["snapshots"]).out.contains("(partial)"));
    assert!(world.error(2, &["backup"]).contains("<PATH>"));
}

#[test]
fn a_source_that_may_not_be_read() {
    let mut world = World::with_repository();
    let source = world.source();
    if is_root() {
        if !has("setpriv") {
            return skip("a_source_that_may_not_be_read", "root reads everything, no setpriv");
        }
        world.become_nobody();
    }
    let closed = source.join("docs/again");
    fs::remove_file(&closed).unwrap();
    fs::write(&closed, "secret").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&closed, Some(0), Some(0)).unwrap();
    }
    let answer = world.expect(3, &["backup", "source"]);
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    problem: could not read <world>/source/docs/again: permission denied
    hint: Run as a user who may read it, as root, or leave it out.
    ");
    let json = world.expect(3, &["backup", "source", "--json"]);
    let problem: serde_json::Value =
        serde_json::from_str(json.err.lines().next().unwrap()).unwrap();
    assert_eq!(problem["message_type"], "error");
    assert_eq!(problem["during"], "archival");
    assert_eq!(problem["kind"], "access");
    // The rest is there.
    world.ok(&["restore", "latest", "-t", "back"]);
    let back = world.at("back").join(source.strip_prefix("/").unwrap());
    assert_eq!(fs::read(back.join("hello.txt")).unwrap(), b"hello\n");
    // A target that may not be written.
    let closed = world.at("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let error = world.error(1, &["restore", "latest", "-t", "closed/back"]);
    insta::assert_snapshot!(error, @r"
    error: could not create directory closed/back: Permission denied (os error 13)
    hint: Choose another `--target`, or one that this user may write to.
    ");
}

#[test]
fn a_target_that_is_no_directory() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    let error = world.error(1, &["restore", "latest", "-t", "source/hello.txt"]);
    assert!(error.starts_with("error: could not "), "{error}");
    assert!(error.contains("source/hello.txt"), "{error}");
}

#[test]
fn little_memory_is_refused_with_the_least_that_will_do() {
    let world = World::with_repository();
    world.source();
    insta::assert_snapshot!(world.error(2, &["backup", "source", "--max-memory", "1M"]), @r"
    error: <size> of memory is too little for packs of <size>
    hint: Give at least `--max-memory 184M`.
    ");
    insta::assert_snapshot!(world.error(2, &["restore", "latest", "-t", "x", "--max-memory", "1M"]), @r"
    error: <size> of memory is too little for a restore
    hint: Give at least `--max-memory 120M`.
    ");
    assert!(!world.at("x").exists());
    let error = world.error(2, &["backup", "source", "--max-memory", "much"]);
    assert!(error.contains("is not a size"), "{error}");
}

#[test]
fn a_snapshot_that_is_not_the_only_one_of_its_name() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    for last in [1, 2] {
        let mut id = [0xab; 32];
        id[31] = last;
        crate::plant::plant_as(&world, parados::base::SessionId::new(id));
    }
    let error = world.expect(2, &["ls", "abab"]).err;
    insta::assert_snapshot!("an ambiguous snapshot", error);
    insta::assert_snapshot!("no such snapshot", world.error(1, &["ls", "nonsense"]));
}
