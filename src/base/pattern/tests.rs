//! Paths against patterns: examples of restic's manual, edges, the definition itself.

use proptest::prelude::*;

use super::*;

fn patterns(case: Case, texts: &[&str]) -> Patterns {
    let mut patterns = Patterns::new(case);
    for text in texts {
        patterns.add(text.as_bytes()).unwrap();
    }
    patterns
}

/// Checks that of `paths` exactly those with a `+` are matched, by path and on the way down.
#[track_caller]
fn check(case: Case, texts: &[&str], paths: &[&str]) {
    let patterns = patterns(case, texts);
    for line in paths {
        let (sign, path) = line.split_at(1);
        let is_matched = patterns.is_match_path(path.as_bytes());
        assert_eq!(is_matched, sign == "+", "{texts:?} {path}");
        let (parent, name) = path.rsplit_once('/').unwrap();
        let names = parent.split('/').skip(1);
        let level = names.fold(patterns.top(), |l, name| patterns.enter(&l, name.as_bytes()));
        assert_eq!(patterns.is_match(&level, name.as_bytes()), is_matched, "{texts:?} {path}");
        if is_matched {
            assert!(patterns.may_match_below(&level), "{texts:?} {path}");
        }
    }
}

#[test]
fn examples_of_the_manual_hold() {
    let check = |pattern: &str, paths: &[&str]| check(Case::Sensitive, &[pattern], paths);
    check("*.c", &["+/src/main.c", "+/src/dir.c/main.h", "-/src/main.cc", "-/src/c"]);
    check("foo", &["+/dir1/foo/dir2/file", "+/dir/foo", "-/dir/foobar", "-/barfoo", "-/Foo"]);
    check("foo/", &["+/dir1/foo/dir2/file", "+/dir/foo", "-/dir/foobar"]);
    check("/bin", &["+/bin", "+/bin/bash", "-/usr/bin/restic", "-/binary"]);
    check("b*ash", &["+/bin/bash", "+/usr/bash/x", "-/bin/ash"]);
    check(
        "foo/**/bar",
        &["+/dir1/foo/dir2/bar/file", "+/foo/bar/file", "+/tmp/foo/bar", "+/foo/x/y/z/bar"],
    );
    check("foo/**/bar", &["-/foo/x/baz", "-/bar/foo", "-/xfoo/bar"]);
    check("foo bar star/foo.txt", &["+/a/foo bar star/foo.txt", "-/a/foo bar star/foo.txt2"]);
}

#[test]
fn patterns_start_where_they_say() {
    let check = |pattern: &str, paths: &[&str]| check(Case::Sensitive, &[pattern], paths);
    check("a/b", &["+/a/b", "+/x/a/b", "+/x/a/b/c", "-/a", "-/a/x/b", "-/b"]);
    check("/a/b", &["+/a/b", "+/a/b/c", "-/x/a/b", "-/a"]);
    check("/*/b", &["+/a/b", "-/b", "-/a/a/b"]);
    check("*/b", &["+/a/b", "+/x/a/b/c", "-/b"]);
    check("/a/*", &["+/a/b", "+/a/b/c", "-/a"]);
    check("*", &["+/a", "+/a/.b", "+/a.b"]);
    check("/", &["+/a", "+/a/b"]);
    check("a/../b", &["+/b", "+/x/b", "-/a/c"]);
    check("./a", &["+/a", "+/x/a"]);
    check(".", &["-/a", "-/a/b"]);
    check("../a", &["-/a"]);
}

#[test]
fn a_class_cannot_hold_a_slash() {
    assert_eq!(Patterns::new(Case::Sensitive).add(b"a[/]b"), Err(PatternError::OpenClass));
}

#[test]
fn two_stars_stand_for_any_depth() {
    let check = |pattern: &str, paths: &[&str]| check(Case::Sensitive, &[pattern], paths);
    check("**", &["+/a", "+/a/b"]);
    check("/**", &["+/a", "+/a/b"]);
    check("a/**", &["+/a", "+/a/b", "+/x/a", "-/b"]);
    check("/a/**/*.o", &["+/a/x.o", "+/a/b/c/x.o", "-/x/a/x.o", "-/a/x.c"]);
    check("**/a", &["+/a", "+/x/a", "-/x"]);
    check("/**/a", &["+/a", "+/x/y/a", "-/x"]);
    check("a/**/b/**/c", &["+/a/b/c", "+/a/x/b/y/z/c", "+/b/a/a/b/b/c", "-/a/c", "-/b/c"]);
    check("a**b", &["+/ab", "+/axb", "-/a/b"]);
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let home = [
        "/home/me/*",
        "!/home/me/Documents",
        "!/home/me/code",
        "!/home/me/.emacs.d",
        "node_modules",
        "*~",
        "*.o",
    ];
    check(
        Case::Sensitive,
        &home,
        &[
            "-/home/me",
            "+/home/me/Music",
            "+/home/me/Music/a.ogg",
            "-/home/me/Documents",
            "-/home/me/Documents/letter.txt",
            "+/home/me/Documents/letter.txt~",
            "-/home/me/code/main.c",
            "+/home/me/code/main.o",
            "+/home/me/code/js/node_modules/left-pad/index.js",
            "-/home/me/.emacs.d/init.el",
            "-/home/you/Music",
        ],
    );
    check(Case::Sensitive, &["*.log", "!keep.log"], &["+/a.log", "-/keep.log", "-/x/keep.log"]);
    check(Case::Sensitive, &["!keep.log", "*.log"], &["+/a.log", "+/keep.log"]);
    check(Case::Sensitive, &["a", "!a", "a"], &["+/a", "+/a/b"]);
    check(Case::Sensitive, &["*.o", "!x*", "*.o"], &["+/x.o", "-/x.c"]);
    check(Case::Sensitive, &["a*", "!ab*", "abc*"], &["+/a", "-/ab", "+/abc", "+/x/abcd"]);
    check(Case::Sensitive, &["!a"], &["-/a", "-/b"]);
    check(Case::Sensitive, &["\\!a", "[!]b"], &["+/!a", "-/a", "+/!b"]);
    check(Case::Sensitive, &["a", "!"], &["+/a"]);
    check(Case::Sensitive, &["", "a"], &["+/a", "-/b"]);
}

#[test]
fn case_is_ignored_where_asked() {
    check(Case::Insensitive, &["*.JPG"], &["+/a.jpg", "+/b.JpG", "-/a.jpeg"]);
    check(Case::Insensitive, &["/Home/[A-C]*"], &["+/home/ada", "+/HOME/Bob", "-/home/dan"]);
    check(Case::Insensitive, &["\u{dc}BER?"], &["+/\u{fc}berx", "+/\u{dc}BER\u{df}"]);
    check(Case::Sensitive, &["*.JPG"], &["-/a.jpg", "+/a.JPG"]);
    let patterns = patterns(Case::Insensitive, &["\u{c9}*"]);
    assert!(patterns.is_match_path(b"/\xc3\xa9\xff"));
    assert!(!patterns.is_match_path(b"/\xe9"), "Latin-1 is not UTF-8");
}

#[test]
fn nothing_is_looked_for_where_nothing_can_be() {
    let below = |texts: &[&str], path: &str| {
        let patterns = patterns(Case::Sensitive, texts);
        let names = path.split('/').filter(|name| !name.is_empty());
        let level = names.fold(patterns.top(), |l, name| patterns.enter(&l, name.as_bytes()));
        patterns.may_match_below(&level)
    };
    assert!(below(&["/a/b/c"], "/") && below(&["/a/b/c"], "/a") && below(&["/a/b/c"], "/a/b"));
    assert!(below(&["/a/b/c"], "/a/b/c/d"), "it is matched itself");
    assert!(!below(&["/a/b/c"], "/b") && !below(&["/a/b/c"], "/a/c"));
    assert!(below(&["/a/**/c"], "/a/x/y") && !below(&["/a/**/c"], "/b"));
    assert!(below(&["x"], "/a") && below(&["*.x"], "/a") && below(&["x?y"], "/a"));
    assert!(below(&["a/b"], "/x") && !below(&["!a", "!a/b", "!/x"], "/x") && !below(&[], "/"));
    assert!(!below(&["/a", "!/a/b"], "/a/b"));
}

/// Whether one pattern without `!` matches, by the definition: each `**` is any number of `*`.
fn by_definition(pattern: &str, path: &[&str]) -> bool {
    fn fits(components: &[&str], names: &[&str]) -> bool {
        match components {
            // What lies below a match is matched as well.
            [] => true,
            ["**", rest @ ..] => (0..=names.len()).any(|skip| fits(rest, &names[skip..])),
            [component, rest @ ..] => names.split_first().is_some_and(|(name, names)| {
                (*component == "*" || component == name) && fits(rest, names)
            }),
        }
    }
    let components: Vec<&str> = pattern.split('/').filter(|c| !c.is_empty()).collect();
    let starts = if pattern.starts_with('/') { 1 } else { path.len() };
    (0..starts).any(|start| fits(&components, &path[start..]))
}

proptest! {
    #[test]
    fn the_way_down_agrees_with_the_definition(
        texts in prop::collection::vec("!?/?((a|b|\\*|\\*\\*)/){0,3}(a|b|\\*|\\*\\*)", 1..5),
        path in prop::collection::vec("[ab]", 1..6),
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let mut expect = false;
        for text in &texts {
            match text.strip_prefix('!') {
                Some(taken_back) => expect &= !by_definition(taken_back, &names),
                None => expect |= by_definition(text, &names),
            }
        }
        let sign = if expect { "+" } else { "-" };
        check(Case::Sensitive, &texts, &[&format!("{sign}/{}", names.join("/"))]);
    }
}
