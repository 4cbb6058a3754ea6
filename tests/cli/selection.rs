//! Selection: what a backup leaves out, what it reads from lists.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::disks::Disk;
use crate::world::{World, is_root, json_lines, skip};

const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";

/// A tree with something for every option.
fn tree() -> World {
    let world = World::with_repository();
    let files = [
        ("main.c", "c"),
        ("main.o", "o"),
        ("OLD.O", "O"),
        ("big", &"x".repeat(3000)),
        ("fit", &"x".repeat(2048)),
        ("sub/deep/lib.c", "c"),
        ("sub/deep/lib.o", "o"),
        ("sub/keep.o", "o"),
        ("cache/CACHEDIR.TAG", SIGNATURE),
        ("cache/junk/a", "a"),
        ("cache/b", "b"),
        ("fake/CACHEDIR.TAG", "Signature: of somebody else"),
        ("fake/data", "d"),
        ("skip/.nobackup", ""),
        ("skip/data", "d"),
        (".ignore", "*.o\n/cache\n"),
        ("sub/.ignore", "!keep.o\ndeep/\n"),
    ];
    for (path, content) in files {
        world.write(&format!("source/{path}"), content);
    }
    symlink("a link is as long as what it leads to".repeat(60), world.at("source/link")).unwrap();
    world
}

/// The entries of the latest snapshot below the source that are no directories, and directories
/// that are empty in it with a slash.
fn stored(world: &World) -> BTreeSet<String> {
    let source = world.at("source");
    let answer = world.ok(&["ls", "latest", "--recursive", "--json"]);
    let nodes = answer.json().into_iter().filter(|line| line["message_type"] == "node");
    let mut found = BTreeSet::new();
    for node in nodes {
        let Ok(path) = Path::new(node["path"].as_str().unwrap()).strip_prefix(&source) else {
            continue;
        };
        let path = path.to_str().unwrap().to_owned();
        if let Some((parent, _)) = path.rsplit_once('/') {
            found.remove(&format!("{parent}/"));
        }
        found.insert(if node["type"] == "dir" { format!("{path}/") } else { path });
    }
    found.remove("/");
    found
}

/// Everything that is in the tree.
fn all() -> BTreeSet<String> {
    let names = "main.c main.o OLD.O big fit sub/deep/lib.c sub/deep/lib.o sub/keep.o \
                 cache/CACHEDIR.TAG cache/junk/a cache/b fake/CACHEDIR.TAG fake/data \
                 skip/.nobackup skip/data link .ignore sub/.ignore";
    names.split_whitespace().map(str::to_owned).collect()
}

/// Everything but some names, and what is stored for them.
fn but(gone: &str, instead: &str) -> BTreeSet<String> {
    let mut names = all();
    for name in gone.split_whitespace() {
        assert!(names.remove(name), "{name}");
    }
    names.extend(instead.split_whitespace().map(str::to_owned));
    names
}

#[test]
fn each_option_leaves_out_what_it_says() {
    let mut world = tree();
    let source = world.at("source").display().to_string();
    world.set("PLACE", &source);
    world.write("list", "# objects\n\n  *.o  \n!keep.o\n$PLACE/fake\n");
    world.write("ilist", "*.o\n");
    let sub = format!("{source}/sub");
    let rows: &[(&[&str], BTreeSet<String>)] = &[
        (&[], all()),
        (&["--exclude", "*.o"], but("main.o sub/deep/lib.o sub/keep.o", "")),
        (&["-e", "*.o", "-e", "!keep.o"], but("main.o sub/deep/lib.o", "")),
        (&["-e", "!keep.o", "-e", "*.o"], but("main.o sub/deep/lib.o sub/keep.o", "")),
        (&["--iexclude", "*.o"], but("main.o OLD.O sub/deep/lib.o sub/keep.o", "")),
        (&["-e", "deep"], but("sub/deep/lib.c sub/deep/lib.o", "")),
        (&["-e", "/deep", "-e", "eep"], all()),
        (&["-e", &sub], but("sub/deep/lib.c sub/deep/lib.o sub/keep.o sub/.ignore", "")),
        (&["-e", "source/**/lib.?"], but("sub/deep/lib.c sub/deep/lib.o", "sub/deep/")),
        (&["--exclude-file", "list"], but("main.o sub/deep/lib.o fake/CACHEDIR.TAG fake/data", "")),
        (&["--iexclude-file", "ilist"], but("main.o OLD.O sub/deep/lib.o sub/keep.o", "")),
        (&["--exclude-caches"], but("cache/junk/a cache/b", "")),
        (&["--exclude-if-present", ".nobackup"], but("skip/data", "")),
        (&["--exclude-if-present", "CACHEDIR.TAG"], but("cache/junk/a cache/b fake/data", "")),
        (&["--exclude-if-present", "CACHEDIR.TAG:Signature: of"], but("fake/data", "")),
        (&["--exclude-larger-than", "2K"], but("big", "")),
        (&["--exclude-larger-than", "2047"], but("big fit", "")),
        (
            &["--ignore-file", ".ignore"],
            but("main.o sub/deep/lib.c sub/deep/lib.o cache/CACHEDIR.TAG cache/junk/a cache/b", ""),
        ),
        (&["--ignore-file", ".gitignore", "--one-file-system"], all()),
    ];
    for (options, expect) in rows {
        let answer = world.ok(&[&["backup", "source", "-q"], *options].concat());
        assert_eq!((answer.out.as_str(), answer.err.as_str()), ("", ""), "{options:?}");
        assert_eq!(&stored(&world), expect, "{options:?}");
    }
}

#[test]
fn a_changed_selection_shows_nothing_and_loses_nothing_of_the_last_run() {
    let world = tree();
    // Young files are read again in any case.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let backup = |options: &[&str]| {
        let summary = world.ok(&[&["backup", "source", "--json"], options].concat()).json();
        let summary = summary.last().unwrap();
        (stored(&world), summary["files_new"].as_u64(), summary["files_unmodified"].as_u64())
    };
    let none = Some(0);
    let count = |names: &BTreeSet<String>| Some(names.len() as u64 - 1);
    assert_eq!(backup(&[]), (all(), count(&all()), none));
    assert_eq!(backup(&[]), (all(), none, count(&all())), "what follows reuses what it can");
    let objects = but("main.o sub/deep/lib.o sub/keep.o", "");
    assert_eq!(backup(&["-e", "*.o"]), (objects.clone(), none, count(&objects)));
    assert_eq!(backup(&["-e", "*.o"]), (objects.clone(), none, count(&objects)));
    assert_eq!(backup(&[]), (all(), Some(3), count(&objects)));
    assert_eq!(backup(&["--exclude-larger-than", "2K"]).0, but("big", ""));
    assert_eq!(backup(&[]), (all(), Some(1), count(&but("big", ""))));
    // A tag appears in a directory of which nothing else changes, and goes again.
    world.write("source/sub/deep/.nobackup", "");
    let tagged = but("sub/deep/lib.c sub/deep/lib.o skip/data", "sub/deep/.nobackup");
    assert_eq!(backup(&["--exclude-if-present", ".nobackup"]).0, tagged);
    fs::remove_file(world.at("source/sub/deep/.nobackup")).unwrap();
    assert_eq!(backup(&["--exclude-if-present", ".nobackup"]).0, but("skip/data", ""));
    // So does a line of an ignore file.
    world.write("source/sub/.ignore", "*.c\n");
    let ignored = "main.o sub/deep/lib.c sub/deep/lib.o sub/keep.o cache/CACHEDIR.TAG cache/b \
                   cache/junk/a";
    assert_eq!(backup(&["--ignore-file", ".ignore"]).0, but(ignored, "sub/deep/"));
    assert_eq!(backup(&[]).0, all());
    world.ok(&["restore", "latest", "--target", "back"]);
    let back = world.at("back").join(world.at("source").strip_prefix("/").unwrap());
    assert_eq!(crate::world::look(&back), crate::world::look(&world.at("source")));
    world.ok(&["check", "--read-data"]);
}

#[test]
fn what_is_left_out_is_no_problem() {
    let mut world = tree();
    if !is_root() {
        return skip("what_is_left_out_is_no_problem", "only root can become nobody");
    }
    world.become_nobody();
    for name in ["source/closed", "source/sub/closed"] {
        fs::create_dir(world.at(name)).unwrap();
        fs::set_permissions(world.at(name), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let answer = world.expect(3, &["backup", "source"]);
    assert_eq!(answer.err.matches("closed").count(), 2, "{}", answer.err);
    let answer = world.ok(&["backup", "source", "--exclude", "closed"]);
    assert_eq!(answer.err, "");
    assert!(!answer.out.contains("closed"), "{}", answer.out);
    assert_eq!(stored(&world), all());
}

#[test]
fn what_is_left_out_is_named_when_asked_for() {
    let world = tree();
    world.write("source/sub/.ignore", "deep/\n{a\n");
    let options = [
        "backup",
        "source",
        "--verbose",
        "--exclude=big",
        "--exclude-caches",
        "--exclude-larger-than=2047",
        "--ignore-file=.ignore",
    ];
    let answer = world.ok(&options);
    let text = world.stable(&answer.out);
    let excluded: BTreeSet<&str> = text.lines().filter(|l| l.starts_with("excluded")).collect();
    let expect = [
        "excluded <world>/source/big: a pattern matches it",
        "excluded <world>/source/cache: an ignore file says so",
        "excluded <world>/source/fit: it is too large",
        "excluded <world>/source/main.o: an ignore file says so",
        "excluded <world>/source/sub/deep: an ignore file says so",
        "excluded <world>/source/sub/keep.o: an ignore file says so",
    ];
    assert_eq!(excluded, BTreeSet::from(expect));
    let fault = "note: line 2 of <world>/source/sub/.ignore excludes nothing: ";
    let notes = world.stable(&answer.err);
    assert!(notes.starts_with(fault) && notes.lines().count() == 1, "{notes}");
    let answer = world.ok(&["backup", "source", "-v", "--json", "--exclude-caches"]);
    let lines = json_lines(&answer.out);
    let items: Vec<_> = lines.iter().filter(|l| l["message_type"] == "excluded_item").collect();
    assert_eq!(items.len(), 1, "{}", answer.out);
    assert_eq!(items[0]["item"], world.at("source/cache").to_str().unwrap());
    assert_eq!(items[0]["reason"], "tag");
    let quiet = world.ok(&["backup", "source", "--json", "--exclude-caches"]);
    assert!(!quiet.out.contains("excluded"), "{}", quiet.out);
}

#[test]
fn a_named_source_is_left_out_aloud() {
    let world = tree();
    let answer = world.ok(&["backup", "source/big", "source/fit", "-e", "big"]);
    let note = "note: left out <world>/source/big, which was named: a pattern matches it";
    assert_eq!(world.stable(&answer.err), note);
    assert_eq!(stored(&world), BTreeSet::from(["fit".to_owned()]));
    let named = ["backup", "source/sub/deep", "source/main.c", "source/cache/b"];
    let answer = world.ok(&[&named[..], &["-e", "sub", "--exclude-caches"]].concat());
    insta::assert_snapshot!(world.stable(&answer.err), @r"
    note: left out <world>/source/cache/b, which was named: its directory is tagged
    note: left out <world>/source/sub/deep, which was named: a pattern matches it
    ");
    let left = ["cache/", "main.c", "sub/"].map(str::to_owned);
    assert_eq!(stored(&world), BTreeSet::from(left), "the way to it is kept");
    // Ignore files count inside of a source only, larger files also where they are named.
    let named = ["backup", "source/main.o", "source/big", "--ignore-file", ".ignore"];
    world.ok(&[&named[..], &["--exclude-larger-than", "2K"]].concat());
    assert_eq!(stored(&world), BTreeSet::from(["main.o".to_owned()]));
}

#[test]
fn patterns_follow_the_links_that_sources_follow() {
    let world = tree();
    symlink("source", world.at("alias")).unwrap();
    let pattern = world.at("alias/sub/*").display().to_string();
    world.ok(&["backup", "alias/sub", "alias/main.c", "-e", &pattern]);
    assert_eq!(stored(&world), BTreeSet::from(["main.c", "sub/"].map(str::to_owned)));
}

#[test]
fn other_file_systems_stay_out_where_asked() {
    let test = "other_file_systems_stay_out_where_asked";
    let world = tree();
    let Some(_disk) = Disk::mount(test, world.at("source/disk"), "1m") else { return };
    world.write("source/disk/inner/data", "d");
    world.ok(&["backup", "source"]);
    assert_eq!(stored(&world), but("", "disk/inner/data"));
    world.ok(&["backup", "source", "-x"]);
    assert_eq!(stored(&world), but("", "disk/"), "the mount point is kept");
    world.ok(&["backup", "source", "source/disk/inner", "--one-file-system"]);
    assert_eq!(stored(&world), but("", "disk/inner/data"), "it was named");
    world.ok(&["backup", "source"]);
    assert_eq!(stored(&world), but("", "disk/inner/data"));
}

#[test]
fn lists_name_what_to_back_up() {
    let world = tree();
    world.write("source/[x]", "x");
    world.write("source/ #y ", "y");
    world.write("wild", "# a list\n\n  source/ma*.[co]  \nsource/sub\n");
    world.write("verbatim", "source/[x]\n\nsource/ #y \n");
    world.write("raw", "source/fit\0source/ #y \0");
    let backup = |options: &[&str], expect: &str| {
        world.ok(&[&["backup"], options].concat());
        let expect: BTreeSet<String> = expect.split('|').map(str::to_owned).collect();
        assert_eq!(stored(&world), expect, "{options:?}");
    };
    let sub = "sub/deep/lib.c|sub/deep/lib.o|sub/keep.o|sub/.ignore";
    backup(&["--files-from", "wild"], &format!("main.c|main.o|{sub}"));
    backup(&["--files-from", "wild", "-e", "*.o"], "main.c|sub/deep/lib.c|sub/.ignore");
    backup(&["--files-from-verbatim", "verbatim"], "[x]| #y ");
    backup(&["--files-from-raw", "raw"], "fit| #y ");
    backup(
        &["source/big", "--files-from-raw", "raw", "--files-from-verbatim", "verbatim"],
        "big|fit|[x]| #y ",
    );
    for (option, text) in [
        ("--files-from", "source/m*.c\nsource/f?t\n"),
        ("--files-from-verbatim", "source/main.c\r\nsource/fit"),
        ("--files-from-raw", "source/main.c\0source/fit\0"),
    ] {
        let answer = world.run_with(text, &["backup", option, "-"]);
        assert_eq!(answer.code, 0, "{}", answer.err);
        assert_eq!(stored(&world), BTreeSet::from(["fit", "main.c"].map(str::to_owned)));
    }
    // What does not exist is missed; a pattern may match nothing.
    let answer = world.run_with("source/gone\nsource/fit\n", &["backup", "--files-from", "-"]);
    assert_eq!(answer.code, 3, "{}", answer.err);
    assert!(answer.err.contains("source/gone"), "{}", answer.err);
    let answer = world.run_with("source/gone*\nsource/fit\n", &["backup", "--files-from", "-"]);
    assert_eq!(answer.code, 0);
    let warning = "warning: nothing matches the pattern source/gone* in line 1 of standard input\n";
    assert_eq!(answer.err, warning);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_stored() {
    let mut world = tree();
    world.write("list", "*.o\n\n# fine\nmain.[c\n");
    world.write("vars", "$NOWHERE/*\n");
    world.write("cut", "source/fit\0source/ma");
    world.write("globs", "source\nsource/[\n");
    world.write("empty", "# nothing\n");
    let refused: &[&[&str]] = &[
        &["source", "--exclude", "*.o", "--exclude", "\u{1b}[]x"],
        &["source", "--iexclude", "x\\"],
        &["source", "--exclude-file", "list"],
        &["source", "--iexclude-file", "vars"],
        &["source", "--exclude-if-present", ":header"],
        &["source", "--ignore-file", "a/b"],
        &["--files-from-raw", "cut"],
        &["--files-from", "globs"],
        &["--files-from", "empty"],
        &["--files-from", "-", "--files-from-raw", "-"],
    ];
    world.expect(2, &["backup", "source", "--exclude-larger-than", "much"]);
    world.expect(2, &["backup"]);
    let mut told = String::new();
    for typed in refused {
        let error = world.error(2, &[&["backup"], *typed].concat());
        told.push_str(&format!("$ backup {}\n{error}\n", typed.join(" ").escape_debug()));
    }
    for typed in [["source", "--exclude-file", "gone"], ["source", "--files-from", "gone"]] {
        let error = world.error(1, &[&["backup"], &typed[..]].concat());
        told.push_str(&format!("$ backup {}\n{error}\n", typed.join(" ")));
    }
    world.unset("PARADOS_KEY_FILE");
    let answer = world.run_with("source/fit\n", &["backup", "--files-from", "-"]);
    assert_eq!(answer.code, 2);
    told.push_str(&format!("$ backup --files-from -\n{}", answer.err));
    insta::assert_snapshot!(told, @r"
    $ backup source --exclude *.o --exclude \u{1b}[]x
    error: could not use the pattern \x1b[]x of --exclude: a `]` inside of `[...]` needs a backslash before it
    hint: A backslash before a character takes its special meaning away.
    $ backup source --iexclude x\\
    error: could not use the pattern x\\ of --iexclude: nothing follows the last backslash
    hint: A backslash before a character takes its special meaning away.
    $ backup source --exclude-file list
    error: could not use the pattern main.[c in line 4 of list: a `[` has no `]`
    hint: A backslash before a character takes its special meaning away.
    $ backup source --iexclude-file vars
    error: could not use the pattern $NOWHERE/* in line 1 of vars: there is no variable NOWHERE
    hint: Set it, or write `$$` for a dollar sign.
    $ backup source --exclude-if-present :header
    error: could not use :header of --exclude-if-present: it is no name of a file in a directory
    $ backup source --ignore-file a/b
    error: could not use a/b of --ignore-file: it is no name of a file
    hint: For patterns in one file of any path, use `--exclude-file FILE`.
    $ backup --files-from-raw cut
    error: could not use the list of files cut: no zero byte ends the last path
    hint: Each path ends with a zero byte, as from `find ... -print0`.
    $ backup --files-from globs
    error: could not use the pattern source/[ in line 2 of globs: a `[` has no `]`
    hint: For names as they are, use `--files-from-verbatim FILE`.
    $ backup --files-from empty
    error: no source was given
    hint: Name the files and directories to back up.
    $ backup --files-from - --files-from-raw -
    error: standard input can be read only once
    $ backup source --exclude-file gone
    error: could not read the file of patterns gone: No such file or directory (os error 2)
    $ backup source --files-from gone
    error: could not read the list of files gone: No such file or directory (os error 2)
    $ backup --files-from -
    error: standard input holds a list of files, so that nothing can be typed there
    hint: Say what opens the repository: `--password-file FILE` or `--key-file FILE`.
    ");
    world.set("PARADOS_KEY_FILE", world.at("key"));
    assert_eq!(world.ok(&["snapshots", "--json"]).out.trim(), "[]");
}
