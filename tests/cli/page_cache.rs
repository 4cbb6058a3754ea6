//! What other programs keep in memory stays there.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use crate::world::{World, has, noise, skip};

/// Pages of a file that are in memory.
fn cached_pages(path: &Path) -> u64 {
    let told =
        Command::new("fincore").args(["-n", "-r", "-o", "PAGES"]).arg(path).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_backup_throws_nothing_out_of_the_page_cache() {
    let test = "a_backup_throws_nothing_out_of_the_page_cache";
    if !has("fincore") {
        return skip(test, "no program `fincore`");
    }
    let world = World::with_repository();
    let paths = [("source/small", 200_000), ("source/large", 6 << 20)]
        .map(|(path, len)| world.write(path, noise(1, len)));
    let mut pages = Vec::new();
    for path in &paths {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(cached_pages(path), 0, "the file system of the tests keeps its pages");
        // Somebody works with the first half of it.
        let half = file.metadata().unwrap().len() / 2;
        file.take(half).read_to_end(&mut Vec::new()).unwrap();
        pages.push(cached_pages(path));
        assert!(pages.last().unwrap() * 4096 >= half);
    }
    world.ok(&["backup", "source"]);
    for (path, before) in paths.iter().zip(pages) {
        assert!(cached_pages(path) >= before, "{}", path.display());
    }
}
