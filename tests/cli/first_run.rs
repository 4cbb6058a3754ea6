//! A first backup that needs no set-up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

#[test]
fn the_first_backup_makes_a_repository_and_says_what_it_is_not() {
    let world = World::new();
    world.source();
    let answer = world.ok(&["backup", "source"]);
    insta::assert_snapshot!(world.stable(&answer.out), @r"
    created repository <id> at <world>/home/.local/share/parados/repository
    its key is in <world>/home/.config/parados/key

    Recovery code (shown only now; write it down and keep it somewhere else):

      <code>

    This repository is on the same machine as your files, so it is no protection against losing that disk.
    For a copy elsewhere (a directory, or s3://bucket/prefix):
        parados init -r /mnt/disk/backup
        parados backup -r /mnt/disk/backup PATH

    Files: 8 new, 0 changed, 0 unmodified
    Added to the repository: <size> (<size> stored)
    processed 8 files, <size> in 0:01
    snapshot <id> saved
    ");
    assert_eq!(answer.err, "");
    let mode = |path: &str| fs::metadata(world.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("home/.config/parados/key"), 0o600);
    assert_eq!(mode("home/.local/share/parados"), 0o700);
    assert_eq!(mode("home/.cache/parados"), 0o700);
    assert!(world.at("home/.cache/parados/CACHEDIR.TAG").exists());
    assert_eq!(fs::read_dir(world.at("home/.local/share/parados")).unwrap().count(), 1);
    let again = world.ok(&["backup", "source"]);
    assert!(!again.out.contains("ecovery"), "{}", again.out);
    assert!(world.ok(&["snapshots"]).out.ends_with("\n2 snapshots\n"));
    world.ok(&["check", "--read-data"]);
}

#[test]
fn the_recovery_code_opens_it_when_the_key_is_lost() {
    let world = World::new();
    world.source();
    let made = world.ok(&["backup", "source", "--json"]).json();
    assert_eq!(made[0]["message_type"], "initialized");
    assert!(made[0]["notice"].as_str().unwrap().contains("no protection"));
    let code = made[0]["recovery_code"].as_str().unwrap();
    fs::remove_file(world.at("home/.config/parados/key")).unwrap();
    insta::assert_snapshot!(world.error(1, &["snapshots"]), @r"
    error: could not read the key file <world>/home/.config/parados/key: No such file or directory (os error 2)
    hint: If it is lost, open the repository with `--recovery-code`.
    ");
    let typed = code.to_uppercase().replace('-', " ");
    let answer = world.run_with(&typed, &["snapshots", "--recovery-code"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let wrong = world.run_with("prc1-nonsense\n", &["snapshots", "--recovery-code"]);
    assert_eq!(wrong.code, 12, "{}", wrong.err);
    // A backup must not make a second key for a repository that exists.
    world.expect(1, &["backup", "source"]);
    assert!(!world.at("home/.config/parados/key").exists());
}

#[test]
fn an_existing_key_file_is_used_and_never_overwritten() {
    let world = World::new();
    world.source();
    let other = world.at("other");
    let typed = ["init", "-r", "other", "--key-file", "home/.config/parados/key", "-q"];
    world.ok(&typed);
    let key = fs::read(world.at("home/.config/parados/key")).unwrap();
    world.ok(&["backup", "source"]);
    assert_eq!(fs::read(world.at("home/.config/parados/key")).unwrap(), key);
    assert!(other.exists());
}

#[test]
fn what_belongs_to_the_repository_is_left_out_of_a_backup_of_the_home() {
    let world = World::new();
    world.write("home/letter.txt", "dear");
    let answer = world.ok(&["backup", "home"]);
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    note: left out <world>/home/.cache/parados: it belongs to this repository
    note: left out <world>/home/.config/parados/key: it belongs to this repository
    note: left out <world>/home/.local/share/parados/repository: it belongs to this repository
    ");
    let listed = world.ok(&["ls", "latest"]).out;
    assert!(listed.contains("/home/letter.txt"), "{listed}");
    assert!(!listed.contains("/key") && !listed.contains("/repository"), "{listed}");
}

#[test]
fn a_cache_elsewhere_is_left_out_and_what_lies_beside_it_is_not() {
    let mut world = World::with_repository();
    world.write("place/letter.txt", "dear");
    for how in ["--cache-dir", "PARADOS_CACHE_DIR"] {
        let mut typed = vec!["backup", "place"];
        if how.starts_with('-') {
            typed.extend([how, "place"]);
        } else {
            world.set(how, world.at("place"));
        }
        let answer = world.ok(&typed);
        assert!(answer.err.contains("belongs to this repository"), "{how}: {}", answer.err);
        let listed = world.ok(&["ls", "latest"]).out;
        assert!(listed.contains("/letter.txt") && !listed.contains("rocksdb"), "{how}: {listed}");
    }
}

#[test]
fn other_commands_make_nothing() {
    let world = World::new();
    insta::assert_snapshot!(world.error(10, &["snapshots"]), @r"
    error: no repository was named, and there is none at <world>/home/.local/share/parados/repository
    hint: Name one with `-r LOCATION` or PARADOS_REPOSITORY; `parados backup PATH` makes this default one.
    ");
    for command in [&["check"][..], &["ls", "latest"], &["key", "list"]] {
        world.expect(10, command);
    }
    assert_eq!(fs::read_dir(world.at("home")).unwrap().count(), 0);
}
