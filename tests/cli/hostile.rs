//! Text that somebody else chose neither drives the terminal nor looks like a line of ours.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use parados::base::text::is_printable;
use parados::format::slot::{KdfCost, Label};
use parados::format::snapshot::PathBytes;
use parados::seal::keys::Key;
use parados::seal::slot::Secret;

use crate::plant::{open, plant};
use crate::world::{Answer, World};

/// Clears a screen, begins a line, goes back to its start, turns it around, sets a color.
const HOSTILE: &str = "\u{1b}[2Ja\nerror: FORGED\r\u{202e}b\u{9b}31m";

fn assert_harmless(answer: &Answer, what: &str) {
    for text in [&answer.out, &answer.err] {
        assert!(is_printable(text), "{what}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error: FORGED")), "{what}: {text}");
    }
}

/// Everywhere that a snapshot has text, it is hostile.
fn scene() -> World {
    let world = World::with_repository_at(None, &["--pack-size", "128K"]);
    let place = format!("source/{HOSTILE}");
    world.write(&format!("{place}/{HOSTILE}"), crate::world::noise(1, 200_000));
    std::os::unix::fs::symlink(HOSTILE, world.at(&format!("{place}/link"))).unwrap();
    world.ok(&["backup", "source"]);
    plant(&world, |snapshot| {
        let text = || HOSTILE.to_owned();
        (snapshot.host, snapshot.user, snapshot.program) = (text(), text(), text());
        (snapshot.tags, snapshot.description) = (vec![text()], Some(text()));
        let component = &mut snapshot.components[0];
        (component.name, component.kind, component.tier) = (text(), text(), Some(text()));
        component.paths = vec![PathBytes(format!("/{HOSTILE}").into_bytes())];
    });
    let label = Label {
        host: HOSTILE.into(),
        user: HOSTILE.into(),
        text: HOSTILE.into(),
        ..Label::default()
    };
    let secret = Secret::KeyFile(Key::random());
    open(&world).add_slot(&secret, KdfCost::STANDARD, &label).unwrap();
    world
}

#[test]
fn no_command_repeats_hostile_text() {
    let world = scene();
    let inner = format!("{}/{HOSTILE}", world.at("source").display());
    let run = |code: i32, typed: &[&str]| {
        let answer = world.expect(code, typed);
        assert_harmless(&answer, &typed.join(" "));
        answer
    };
    let table = run(0, &["snapshots"]).out;
    assert_eq!(table.matches("\\x1b[2Ja\\nerror: FORGED\\r\\u{202e}b\\u{9b}31m").count(), 4);
    run(0, &["snapshots", "--compact", "--group-by", "host,paths,tags"]);
    let head = run(0, &["ls", "latest"]).out;
    assert!(head.starts_with("snapshot ") && head.contains(" by \\x1b[2Ja\\n"), "{head}");
    run(0, &["ls", "-l", "latest", &inner]);
    run(0, &["restore", "latest", "-v", "-t", HOSTILE]);
    run(0, &["backup", "source", "-v", "-H", HOSTILE, "--tag", HOSTILE]);
    run(0, &["backup", "source", "-v", "-H", HOSTILE, "--description", HOSTILE]);
    run(0, &["check", "-v"]);
    assert!(run(0, &["key", "list"]).out.contains("  \\x1b[2Ja\\nerror"));
    run(0, &["key", "add", "--new-key-file", &format!("k{HOSTILE}"), "--label", HOSTILE]);
    run(0, &["init", "-r", &format!("./{HOSTILE}"), "--key-file", &format!("l{HOSTILE}")]);
    run(0, &["generate", "--man", &format!("m{HOSTILE}")]);
}

#[test]
fn no_error_repeats_hostile_text() {
    let world = scene();
    let run = |code: i32, typed: &[&str]| {
        let answer = world.expect(code, typed);
        assert_harmless(&answer, &typed.join(" "));
        answer.err
    };
    for typed in [
        &["ls", HOSTILE][..],
        &["ls", "latest", HOSTILE],
        &["ls", "latest", "--host", HOSTILE, "--tag", "x", "--path", HOSTILE],
        &["ls", &format!("latest~{HOSTILE}")],
        &["snapshots", HOSTILE],
        &["snapshots", "--group-by", HOSTILE],
        &["backup", &format!("-{HOSTILE}")],
        &[HOSTILE],
        &["restore", HOSTILE, "-t", "x"],
        &["restore", &format!("latest:/{HOSTILE}"), "-t", "x"],
        &["restore", "latest", "-t", &format!("key/{HOSTILE}")],
        &["backup", HOSTILE],
        &["key", "remove", HOSTILE],
        &["key", "add", "--new-key-file", &format!("key/{HOSTILE}")],
        &["key", "add", "--new-password-file", HOSTILE],
        &["snapshots", "--repository-file", HOSTILE],
        &["snapshots", "--password-command", HOSTILE],
        &["generate", "--man", &format!("key/{HOSTILE}")],
    ] {
        let answer = world.run(typed);
        assert!(matches!(answer.code, 1 | 2), "{typed:?}: {}", answer.err);
        assert_harmless(&answer, &typed.join(" "));
    }
    run(10, &["snapshots", "-r", &format!("./{HOSTILE}")]);
    run(3, &["backup", "source", HOSTILE]);
    // Names in what a damaged pack costs.
    let mut packs = world.objects("packs");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    fs::remove_file(&packs[0]).unwrap();
    let told = run(3, &["restore", "latest", "-t", "y", "--no-cache"]);
    assert!(told.contains("\\x1b[2Ja\\nerror: FORGED"), "{told}");
    let told = run(1, &["check", "--read-data"]);
    assert!(told.contains("lost in ") && told.contains("\\x1b[2Ja\\nerror: FORGED"), "{told}");
}

#[test]
fn json_shows_hostile_text_escaped_and_keeps_it() {
    let mut world = scene();
    for typed in
        [&["snapshots", "--json"][..], &["ls", "latest", "--json"], &["key", "list", "--json"]]
    {
        let answer = world.ok(typed);
        assert_harmless(&answer, &typed.join(" "));
    }
    let list = world.ok(&["snapshots", "latest", "--json"]).json().remove(0);
    assert_eq!(list[0]["hostname"], HOSTILE);
    // A name that is no UTF-8 is kept as well.
    let odd = OsString::from(OsStr::from_bytes(b"odd\xff\x1b"));
    fs::write(world.at("source").join(&odd), "x").unwrap();
    world.set("PARADOS_LOG", "trace");
    let answer = world.ok(&["backup", "source"]);
    assert_harmless(&answer, "log");
    world.unset("PARADOS_LOG");
    let nodes = world.ok(&["ls", "latest", "--json"]).json();
    let hex = nodes.iter().find_map(|node| node["path_hex"].as_str()).unwrap();
    assert!(hex.ends_with(&hex::encode(odd.as_bytes())), "{hex}");
}
