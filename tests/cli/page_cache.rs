//! What other programs keep in memory stays there.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, has, noise, skip};

/// Rounds until one shows something.
const ROUND_COUNT: usize = 5;
/// Bytes of a page, on the systems that this is run on at least.
const PAGE_LEN: u64 = 4096;

/// Pages of a file that are in memory.
fn cached_pages(path: &Path) -> u64 {
    let told =
        Command::new("fincore").args(["-n", "-r", "-o", "PAGES"]).arg(path).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().parse().unwrap()
}

/// A file that somebody works with, with the pages that are in memory because of it.
struct Hot {
    path: PathBuf,
    pages: u64,
}

impl Hot {
    /// One of `len` bytes, of which the first `hot_len` are in memory and nothing else.
    fn new(world: &World, path: &str, len: usize, hot_len: u64) -> Self {
        let path = world.write(path, noise(len as u64, len));
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(cached_pages(&path), 0, "the file system of the tests keeps its pages");
        // Page by page, so that nothing is read ahead.
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
        file.take(hot_len).read_to_end(&mut Vec::new()).unwrap();
        let pages = hot_len.div_ceil(PAGE_LEN);
        assert!(cached_pages(&path) <= pages + 16);
        Self { path, pages }
    }

    /// What is missing, if it is much: one call that drops pages drops all those of its range.
    fn missing(&self) -> Option<String> {
        let pages = cached_pages(&self.path);
        (pages + self.pages / 10 < self.pages)
            .then(|| format!("{pages} of {} pages of {}", self.pages, self.path.display()))
    }
}

/// How a round went.
#[derive(Debug)]
enum Round {
    Kept,
    Lost(String),
    /// The system takes pages back of its own accord, also of files that nobody but this test knows.
    Void,
}

/// Everything that reads and writes much, beside files partly or wholly in memory.
fn round() -> Round {
    let world = World::with_repository();
    let sources = [
        Hot::new(&world, "source/small", 200_000, 100_000),
        Hot::new(&world, "source/large", 6 << 20, 3 << 20),
        Hot::new(&world, "source/whole", 5 << 20, 5 << 20),
        Hot::new(&world, "source/tiny", 4096, 4096),
    ];
    let others = [
        Hot::new(&world, "other/large", 7 << 20, 7 << 20),
        Hot::new(&world, "other/small", 30_000, 30_000),
    ];
    for typed in [
        &["backup", "source"][..],
        &["backup", "source"],
        // Every file is read anew.
        &["backup", "source", "--force"],
        &["check", "--read-data"],
        &["restore", "latest", "--target", "back", "--verify"],
    ] {
        world.ok(typed);
        let lost = sources.iter().find_map(Hot::missing);
        if others.iter().any(|other| other.missing().is_some()) {
            return Round::Void;
        }
        if let Some(lost) = lost {
            return Round::Lost(format!("after {typed:?}: {lost}"));
        }
    }
    Round::Kept
}

#[test]
fn a_backup_throws_nothing_out_of_the_page_cache() {
    let test = "a_backup_throws_nothing_out_of_the_page_cache";
    if !has("fincore") {
        return skip(test, "no program `fincore`");
    }
    let mut lost = Vec::new();
    for _ in 0..ROUND_COUNT {
        match round() {
            Round::Kept => return,
            Round::Lost(what) => lost.push(what),
            Round::Void => {}
        }
    }
    // Where this program is at fault it is so every time.
    assert!(lost.is_empty(), "{lost:#?}");
    skip(test, "the system takes pages back of its own accord");
}

/// Two thirds of it at least: what is written last is left to the sync at the end.
#[test]
fn a_large_file_that_was_restored_leaves_the_page_cache() {
    let test = "a_large_file_that_was_restored_leaves_the_page_cache";
    if !has("fincore") {
        return skip(test, "no program `fincore`");
    }
    let world = World::with_repository();
    let len = 160 << 20;
    let source = world.write("source/large", noise(1, len));
    world.ok(&["backup", "source"]);
    world.ok(&["restore", "latest", "--target", "back"]);
    let pages = cached_pages(&world.at("back").join(source.strip_prefix("/").unwrap()));
    assert!(pages * PAGE_LEN <= len as u64 / 3, "{pages} pages are still there");
}
