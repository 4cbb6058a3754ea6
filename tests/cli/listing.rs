//! Which snapshots a word and the options select, how entries are listed.

use std::fs;

use parados::base::Timestamp;
use serde_json::Value;

use crate::plant::plant;
use crate::world::{Answer, World};

/// Four snapshots: host, tags and source of each.
const MADE: [[&str; 3]; 4] =
    [["a", "", "one"], ["a", "day", "two"], ["b", "day,disk", "one"], ["a", "disk", "one"]];

struct Scene {
    world: World,
    ids: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let world = World::with_repository();
        world.write("one/x", "x");
        world.write("two/y", "y");
        let backup = |[host, tags, source]: [&str; 3]| {
            world.ok(&["backup", source, "-H", host, "--tag", tags, "--json"]).snapshot_id()
        };
        let ids = MADE.map(backup).to_vec();
        Self { world, ids }
    }

    /// Places in `MADE` of the snapshots that a list of JSON has.
    fn places(&self, list: &Value) -> Vec<usize> {
        let place = |snapshot: &Value| self.ids.iter().position(|id| snapshot["id"] == **id);
        list.as_array().unwrap().iter().map(|snapshot| place(snapshot).unwrap()).collect()
    }

    fn listed(&self, typed: &[&str]) -> Vec<usize> {
        let typed = [&["snapshots", "--json"], typed].concat();
        self.places(&self.world.ok(&typed).json()[0])
    }

    /// The place of the snapshot that `ls` takes.
    fn taken(&self, typed: &[&str]) -> usize {
        let head = self.world.ok(&[&["ls", "--json"], typed].concat()).json().remove(0);
        self.ids.iter().position(|id| head["id"] == **id).unwrap()
    }
}

#[test]
fn snapshots_are_selected_as_restic_selects_them() {
    let scene = Scene::new();
    for (typed, expect) in [
        (&[][..], &[0, 1, 2, 3][..]),
        (&["--host", "a"], &[0, 1, 3]),
        (&["-H", "a", "-H", "b"], &[0, 1, 2, 3]),
        (&["--tag", "day"], &[1, 2]),
        (&["--tag", "day,disk"], &[2]),
        (&["--tag", "day,disk", "--tag", ""], &[0, 2]),
        (&["--path", "one"], &[0, 2, 3]),
        (&["--path", "./two/../one/"], &[0, 2, 3]),
        (&["--path", "one", "--path", "two"], &[]),
        (&["-H", "a", "--path", "one", "--tag", "disk"], &[3]),
        (&["--latest", "1"], &[1, 2, 3]),
        (&["--latest", "2"], &[0, 1, 2, 3]),
        (&["--latest", "1", "--tag", "day"], &[1, 2]),
        (&["latest", "latest~2", "latest"], &[1, 3]),
        (&["latest", "--host", "b"], &[2]),
        (&[&scene.ids[2][..8], &scene.ids[0]], &[0, 2]),
    ] {
        assert_eq!(scene.listed(typed), expect, "{typed:?}");
    }
    let none = scene.world.ok(&["snapshots", "--host", "c"]);
    let expect = "no snapshot is like this; without options `parados snapshots` lists all\n";
    assert_eq!(none.out, expect);
    insta::assert_snapshot!(scene.world.error(1, &["snapshots", "dead"]), @r"
    error: there is no snapshot dead
    hint: List them with `parados snapshots`; four or more digits of an id will do.
    ");
    scene.world.expect(2, &["snapshots", "latest~x"]);
    scene.world.expect(2, &["snapshots", "--latest", "0"]);
    scene.world.expect(2, &["snapshots", "--group-by", "user"]);
}

#[test]
fn the_host_of_the_environment_counts_until_it_is_unset() {
    let mut scene = Scene::new();
    scene.world.set("PARADOS_HOST", "b");
    assert_eq!(scene.listed(&[]), [2]);
    assert_eq!(scene.listed(&["--host", ""]), [0, 1, 2, 3]);
    assert_eq!(scene.taken(&["latest"]), 2);
    assert_eq!(scene.taken(&[&scene.ids[3]]), 3);
    let error = scene.world.error(1, &["ls", "latest~1"]);
    assert!(error.contains("latest~1 goes back too far: there is only 1 snapshot"), "{error}");
}

#[test]
fn latest_is_what_the_options_accept_wherever_a_snapshot_is_named() {
    let scene = Scene::new();
    assert_eq!(scene.taken(&["latest"]), 3);
    assert_eq!(scene.taken(&["latest~3"]), 0);
    assert_eq!(scene.taken(&["latest", "--path", "two"]), 1);
    assert_eq!(scene.taken(&["latest~1", "--tag", "day"]), 1);
    let restored = |typed: &[&str]| {
        let typed = [&["restore", "-t", typed[0], "--json"], typed].concat();
        let id = scene.world.ok(&typed).json().pop().unwrap()["snapshot_id"].clone();
        scene.ids.iter().position(|own| id == **own).unwrap()
    };
    assert_eq!(restored(&["latest~1"]), 2);
    assert_eq!(restored(&["latest", "--host", "a", "--path", "two"]), 1);
    insta::assert_snapshot!(scene.world.error(1, &["restore", "latest", "--tag", "x,y", "-t", "b"]), @r#"
    error: there is no snapshot with tags x,y
    hint: List what there is with `parados snapshots --host ""`.
    "#);
    let told = scene.world.ok(&["ls", &scene.ids[0], "--host", "b"]);
    assert!(told.err.starts_with("warning: `--host`, `--tag` and `--path` have no say"));
    assert!(scene.world.ok(&["ls", "latest", "--host", "b"]).err.is_empty());
}

#[test]
fn groups_have_in_common_what_was_asked_for() {
    let scene = Scene::new();
    let typed = ["snapshots", "--json", "--group-by", "host,tags"];
    let groups = scene.world.ok(&typed).json().remove(0);
    let seen: Vec<(String, String, Vec<usize>)> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let key = &group["group_key"];
            assert!(key["paths"].is_null());
            let host = key["hostname"].as_str().unwrap().to_owned();
            (host, key["tags"].to_string(), scene.places(&group["snapshots"]))
        })
        .collect();
    let row = |host: &str, tags: &str, places: &[usize]| {
        (host.to_owned(), tags.to_owned(), places.to_vec())
    };
    let expect = [
        row("a", "[]", &[0]),
        row("a", r#"["day"]"#, &[1]),
        row("a", r#"["disk"]"#, &[3]),
        row("b", r#"["day","disk"]"#, &[2]),
    ];
    assert_eq!(seen, expect);
    let table = scene.world.ok(&["snapshots", "-c", "-g", "host", "--host", "a"]).out;
    insta::assert_snapshot!(scene.world.stable(&table), @r"
    snapshots of host [a]:
    ID        Time                 Host  Tags  Size
    -----------------------------------------------
    <id>  <time> <time>  a           <size>
    <id>  <time> <time>  a     day   <size>
    <id>  <time> <time>  a     disk  <size>
    -----------------------------------------------
    3 snapshots
    ");
}

#[test]
fn descriptions_are_listed_where_there_are_any() {
    let world = World::with_repository();
    world.write("one/x", "x");
    world.ok(&["backup", "one"]);
    assert!(!world.ok(&["snapshots"]).out.contains("Description"));
    world.ok(&["backup", "one", "--description", "before the move"]);
    let table = world.ok(&["snapshots"]).out;
    assert!(table.contains("Description") && table.contains("  before the move  "), "{table}");
}

#[test]
fn entries_come_in_one_order_and_only_those_asked_for() {
    let world = World::with_repository();
    for path in ["b/x", "b/inner/deep", "a-b", "a/y", "a/z", "B"] {
        world.write(&format!("top/{path}"), "12345");
    }
    world.ok(&["backup", "top"]);
    let top = world.at("top").display().to_string();
    let list = |typed: &[&str]| {
        let out = world.ok(&[&["ls", "-q", "latest"], typed].concat()).out;
        let inner = out.lines().filter_map(|line| line.strip_prefix(&top)).map(str::to_owned);
        inner.collect::<Vec<_>>().join(" ")
    };
    let [a, b, inner] = ["a", "b", "b/inner"].map(|name| format!("{top}/{name}"));
    let all = " /B /a /a/y /a/z /a-b /b /b/inner /b/inner/deep /b/x";
    assert_eq!(list(&[]), all);
    assert_eq!(list(&[&top]), " /B /a /a-b /b");
    assert_eq!(list(&[&top, "--recursive"]), all);
    assert_eq!(list(&[&b, &a]), "/a /a/y /a/z /b /b/inner /b/x");
    assert_eq!(list(&[&b, &inner]), "/b /b/inner /b/x /b/inner/deep");
    assert_eq!(list(&[&inner, &b, "--recursive"]), "/b /b/inner /b/inner/deep /b/x");
    assert_eq!(list(&[&format!("{b}/x")]), "/b/x");
    let error = world.error(1, &["ls", "latest", &a, &format!("{top}/none")]);
    assert!(error.starts_with("error: there is no <world>/top/none in the snapshot"), "{error}");
    let sizes = |flag: &[&str]| world.ok(&[&["ls", "-lq", "latest", &a], flag].concat()).out;
    assert!(sizes(&[]).lines().nth(1).unwrap().contains("     5 20"), "{}", sizes(&[]));
    assert!(sizes(&["--human-readable"]).contains("     5 B 20"));
}

fn assert_told(answer: &Answer, parts: &[&str]) {
    for part in parts {
        assert!(answer.err.contains(part), "{part}: {}", answer.err);
    }
}

#[test]
fn latest_says_when_it_may_be_an_older_one() {
    let scene = Scene::new();
    let newest = scene.world.at(&format!("repository/snapshots/{}", scene.ids[3]));
    fs::remove_file(&newest).unwrap();
    fs::write(&newest, "no snapshot").unwrap();
    let older = &scene.ids[2][..8];
    let parts = [
        &format!("problem: snapshot snapshots/{} is damaged", scene.ids[3])[..],
        &format!(
            "problem: latest may be an older one than it should: it is snapshot {older} of 20"
        ),
    ];
    let listed = scene.world.expect(3, &["ls", "latest"]);
    assert_told(&listed, &parts);
    assert!(listed.out.starts_with(&format!("snapshot {older} of ")), "{}", listed.out);
    assert_told(&scene.world.expect(3, &["restore", "latest", "-t", "back"]), &parts);
    // Whoever names a snapshot gets that one.
    let named = scene.world.expect(3, &["ls", older]);
    assert!(!named.err.contains("older one"), "{}", named.err);
}

#[test]
fn a_snapshot_from_the_future_is_neither_latest_nor_parent() {
    let scene = Scene::new();
    let future = plant(&scene.world, |snapshot| snapshot.time = Timestamp::new(4_070_908_800, 0));
    let future = &future.to_hex()[..8];
    let told = format!("problem: snapshot {future} is dated 2099-01-01 00:00:00, later than now");
    let listed = scene.world.expect(3, &["ls", "latest"]);
    assert_told(&listed, &[&told, "hint: Check the clocks of a and of this host"]);
    assert!(listed.out.contains(&scene.ids[3][..8]), "{}", listed.out);
    assert_told(&scene.world.expect(3, &["restore", "latest", "-t", "back"]), &[&told]);
    scene.world.ok(&["restore", future, "-t", "other"]);
    let backup = scene.world.expect(3, &["backup", "one", "-H", "a", "--json"]);
    assert!(backup.err.contains("later than now"), "{}", backup.err);
    assert_eq!(backup.json().pop().unwrap()["parent"], *scene.ids[3]);
    assert!(scene.world.ok(&["backup", "two", "-H", "a"]).err.is_empty());
    let table = scene.world.ok(&["snapshots"]).out;
    let marked = table.lines().find(|line| line.contains("(dated in the future)")).unwrap();
    assert!(marked.starts_with(future), "{table}");
    // It is not among the newest either.
    let newest = scene.world.expect(3, &["snapshots", "--latest", "1"]);
    assert!(!newest.out.contains(future), "{}", newest.out);
    assert_told(&newest, &[&told]);
}
