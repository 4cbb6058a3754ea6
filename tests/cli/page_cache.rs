//! What other programs keep in memory stays there.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, has, noise, skip};

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
        let pages = cached_pages(&path);
        assert!(pages * PAGE_LEN >= hot_len && (pages - 1) * PAGE_LEN <= hot_len + (64 << 10));
        Self { path, pages }
    }

    /// The machine itself takes a page back now and then where memory is short; one call that drops
    /// pages drops all those of its range.
    fn check(&self, when: &str) -> Result<(), String> {
        let pages = cached_pages(&self.path);
        if pages + self.pages / 10 >= self.pages {
            return Ok(());
        }
        Err(format!("{when}: {pages} of {} pages of {}", self.pages, self.path.display()))
    }
}

/// One round of everything that reads and writes much, beside files partly or wholly in memory:
/// sources, and files that are none of this program's business.
fn round() -> Result<(), String> {
    let world = World::with_repository();
    let files = [
        Hot::new(&world, "source/small", 200_000, 100_000),
        Hot::new(&world, "source/large", 6 << 20, 3 << 20),
        Hot::new(&world, "source/whole", 5 << 20, 5 << 20),
        Hot::new(&world, "source/tiny", 4096, 4096),
        Hot::new(&world, "other/large", 7 << 20, 7 << 20),
        Hot::new(&world, "other/small", 30_000, 30_000),
    ];
    let check = |when: &str| files.iter().try_for_each(|file| file.check(when));
    world.ok(&["backup", "source"]);
    check("first")?;
    world.ok(&["backup", "source"]);
    check("unchanged")?;
    // Every file is read anew.
    world.ok(&["backup", "source", "--force"]);
    check("forced")?;
    world.ok(&["check", "--read-data"]);
    world.ok(&["restore", "latest", "--target", "back", "--verify"]);
    check("restored")
}

#[test]
fn a_backup_throws_nothing_out_of_the_page_cache() {
    let test = "a_backup_throws_nothing_out_of_the_page_cache";
    if !has("fincore") {
        return skip(test, "no program `fincore`");
    }
    // Where this program is at fault it is so every time; a machine that is out of memory is not.
    let told: Vec<String> = (0..3).map_while(|_| round().err()).collect();
    assert!(told.len() < 3, "{told:#?}");
}
