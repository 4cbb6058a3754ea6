//! There and back: init, backup, snapshots, ls, restore, check, keys.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::world::{World, look, noise};

#[test]
fn a_tree_comes_back_as_it_was() {
    let world = World::with_repository();
    let source = world.source();
    fs::write(source.join(std::ffi::OsStr::from_bytes(b"odd \xff\n\x1b[31m")), "odd").unwrap();
    let summary = world.ok(&["backup", "source", "--tag", "a,b", "--description", "first"]);
    assert!(summary.out.starts_with("Files: 9 new, 0 changed, 0 unmodified\n"), "{}", summary.out);
    world.ok(&["restore", "latest", "--target", "back"]);
    let inner = world.at("back").join(source.strip_prefix("/").unwrap());
    assert_eq!(look(&inner), look(&source));
    let part = format!("latest:{}/data", source.display());
    world.ok(&["restore", &part, "-t", "part"]);
    assert_eq!(look(&world.at("part")), look(&source.join("data")));
    let file = format!("latest:{}/hello.txt", source.display());
    world.ok(&["restore", &file, "-t", "file"]);
    assert_eq!(fs::read(world.at("file/hello.txt")).unwrap(), b"hello\n");
    let check = world.ok(&["check", "--read-data"]);
    assert!(check.out.ends_with("no errors were found\n"), "{}", check.out);
    assert!(check.out.contains("every pack has been read back"), "{}", check.out);
    let quick = world.ok(&["check", "--quick"]);
    assert!(quick.out.starts_with("compared 2 packs with the index\n"), "{}", quick.out);
    world.ok(&["restore", "latest", "--target", "cacheless", "--no-cache"]);
    fs::remove_dir_all(world.at("home/.cache")).unwrap();
    world.ok(&["ls", "latest"]);
}

#[test]
fn a_person_is_shown_ten_findings_and_a_program_all() {
    let world = World::with_repository_at(None, &["--pack-size", "64K"]);
    for number in 0..30 {
        world.write(&format!("source/{number}"), noise(number, 300_000));
    }
    world.ok(&["backup", "source"]);
    // Those of metadata are smaller, and without the top of a tree nobody misses what is below.
    let mut packs = world.objects("packs");
    packs.retain(|pack| fs::metadata(pack).unwrap().len() > 100_000);
    for pack in &packs[..12] {
        fs::remove_file(pack).unwrap();
    }
    let seen = world.expect(1, &["check"]);
    assert_eq!(seen.err.matches("damage: pack").count(), 10, "{}", seen.err);
    assert!(seen.err.contains("and 2 more"), "{}", seen.err);
    let all = crate::world::json_lines(&world.expect(1, &["check", "--json"]).err);
    assert_eq!(all.iter().filter(|line| line["message_type"] == "error").count(), 12);
}

#[test]
fn listings_show_names_that_cannot_drive_a_terminal() {
    let world = World::with_repository();
    world.write("source/\u{1b}[31mred", "x");
    std::os::unix::fs::symlink("to\nsomewhere", world.at("source/link")).unwrap();
    world.ok(&["backup", "source"]);
    let source = world.at("source").display().to_string();
    let listed = world.ok(&["ls", "latest", &source]);
    let short = world.stable(&listed.out);
    let lines: Vec<&str> = short.lines().skip(1).collect();
    let expect = ["<world>/source", "<world>/source/\\x1b[31mred", "<world>/source/link"];
    assert_eq!(lines, expect);
    let long = world.ok(&["ls", "-l", "latest", &source]).out;
    assert!(long.contains(" -> to\\nsomewhere\n"), "{long}");
    assert!(!long.contains('\u{1b}'));
}

#[test]
fn a_second_run_stores_nothing_and_a_change_little() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    let again = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    assert_eq!(again["packs_added"], 0);
    assert_eq!(again["data_added"], 0);
    world.write("source/new.bin", noise(99, 5000));
    let more = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    assert_eq!(more["files_new"], 1);
    assert!(more["data_added"].as_u64().unwrap() < 20_000, "{more}");
    let table = world.ok(&["snapshots"]).out;
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["ID", "Time", "Host", "Tags", "Paths", "Size"]);
}

#[test]
fn keys_come_and_go() {
    let mut world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    world.ok(&["key", "add", "--new-key-file", "second", "--label", "for the other host"]);
    let listed = world.ok(&["key", "list", "--json"]).json().remove(0);
    let slots = listed.as_array().unwrap();
    assert_eq!(slots.len(), 2);
    let current = slots.iter().find(|slot| slot["current"] == true).unwrap();
    let other = slots.iter().find(|slot| slot["current"] == false).unwrap();
    assert_eq!(other["label"], "for the other host");
    let in_use = current["id"].as_str().unwrap();
    insta::assert_snapshot!(world.error(2, &["key", "remove", in_use]), @r"
    error: key slot <id> is the one in use
    hint: Open the repository with another key, or use `parados key passwd`.
    ");
    world.ok(&["key", "passwd", "--new-key-file", "third"]);
    world.expect(12, &["snapshots"]);
    world.set("PARADOS_KEY_FILE", world.at("third"));
    world.ok(&["snapshots"]);
    world.ok(&["key", "remove", other["id"].as_str().unwrap()]);
    insta::assert_snapshot!(world.error(12, &["snapshots", "--key-file", "second"]), @r"
    error: could not open the repository at <world>/repository: the key file does not belong to it
    hint: Try again, or use another key: `--key-file`, or a recovery code.
    ");
    // A name goes over to the key that takes the place.
    let passwd = ["key", "passwd", "--new-key-file", "fourth"];
    world.ok(&[&passwd[..], &["--label", "at home"]].concat());
    world.set("PARADOS_KEY_FILE", world.at("fourth"));
    world.ok(&["key", "passwd", "--new-key-file", "fifth"]);
    world.set("PARADOS_KEY_FILE", world.at("fifth"));
    assert_eq!(world.ok(&["key", "list", "--json"]).json().remove(0)[0]["label"], "at home");
    let last = world.ok(&["key", "list", "--json"]).json().remove(0)[0]["id"].clone();
    let error = world.error(2, &["key", "remove", last.as_str().unwrap()]);
    assert!(error.contains("is the last one"), "{error}");
    let code = world.ok(&["key", "add", "--new-recovery-code", "--json"]).json().remove(0);
    let code = code["recovery_code"].as_str().unwrap().to_owned();
    world.unset("PARADOS_KEY_FILE");
    let answer = world.run_with(&code, &["snapshots", "--recovery-code"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let error = world.error(1, &["key", "add", "--key-file", "fifth", "--new-key-file", "second"]);
    assert!(error.contains("there is a file second already"), "{error}");
}

#[test]
fn settings_come_from_files_too() {
    let mut world = World::with_repository();
    world.source();
    world.unset("PARADOS_REPOSITORY");
    world.unset("PARADOS_KEY_FILE");
    let repository = world.at("repository").display().to_string();
    let text = "repository-file = 'location'\nkey-file = '../../../key'\nmax-memory = '256M'\n";
    world.write("home/.config/parados/config.toml", text);
    world.write("home/.config/parados/location", format!("{repository}\n"));
    world.ok(&["backup", "source"]);
    world.write("home/.config/parados/config.toml", "\nrepositry = 'x'\n");
    insta::assert_snapshot!(world.error(2, &["snapshots"]), @r"
    error: the configuration file <world>/home/.config/parados/config.toml makes no sense: unknown field `repositry`, expected one of `repository`, `repository-file`, `password-file`, `password-command`, `key-file`, `cache-dir`, `max-memory`
    hint: See line 2.
    ");
    fs::remove_file(world.at("home/.config/parados/config.toml")).unwrap();
    world.set("PARADOS_REPOSITORY_FILE", world.at("home/.config/parados/location"));
    world.set("PARADOS_KEY_FILE", world.at("key"));
    world.ok(&["snapshots"]);
    world.set("PARADOS_REPOSITORY", &repository);
    let error = world.error(2, &["snapshots"]);
    assert!(error.contains("two settings of the environment say where the repository is"));
}
