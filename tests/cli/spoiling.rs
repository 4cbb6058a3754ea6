//! A cache that goes bad while it is used.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::world::{Answer, World, look, noise};

/// What becomes of each file of the cache; that one is gone by then is no fault.
type Spoil = fn(&Path) -> std::io::Result<()>;

const SPOILS: [(&str, Spoil); 4] = [
    ("some bits are flipped", |path| {
        let file = File::options().write(true).open(path)?;
        let bytes = fs::read(path)?;
        bytes
            .iter()
            .enumerate()
            .step_by(97)
            .try_for_each(|(at, byte)| file.write_all_at(&[byte ^ 1 << (at % 8)], at as u64))
    }),
    ("all is zero", |path| {
        let len = fs::metadata(path)?.len();
        File::options().write(true).open(path)?.write_all_at(&vec![0; len as usize], 0)
    }),
    ("half is cut off", |path| {
        let file = File::options().write(true).open(path)?;
        file.set_len(file.metadata()?.len() / 2)
    }),
    ("all is removed", |path| fs::remove_file(path)),
];

const FILE_COUNT: u64 = 160;
/// Longest that it may take until something is stored.
const PATIENCE: Duration = Duration::from_secs(120);

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    let below = found.flatten().map(|entry| entry.path());
    below.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Writes files of which each has a half that was there before.
fn write_source(world: &World, version: u64) {
    for number in 0..FILE_COUNT {
        let halves = [noise(number, 64 << 10), noise(number + 1000 * version, 64 << 10)];
        world.write(&format!("source/{number:03}"), hex::encode(halves.concat()));
    }
}

#[test]
fn a_cache_that_is_spoiled_while_it_is_used_spoils_no_snapshot() {
    let mut was_noticed = false;
    for (title, spoil) in SPOILS {
        let world = World::with_repository_at(None, &["--pack-size", "256K"]);
        write_source(&world, 1);
        world.ok(&["backup", "source"]);
        let before = world.objects("packs").len();
        write_source(&world, 2);
        let typed = ["backup", "source", "--compression", "max"];
        let mut child = world.command(&typed).spawn().unwrap();
        let patience = Instant::now() + PATIENCE;
        while world.objects("packs").len() < before + 4 {
            assert!(Instant::now() < patience && child.try_wait().unwrap().is_none(), "{title}");
            sleep(Duration::from_millis(10));
        }
        let cached = files(&world.at("home/.cache"));
        assert!(cached.len() > 3, "{title}: {cached:?}");
        cached.iter().for_each(|file| drop(spoil(file)));
        assert!(child.try_wait().unwrap().is_none(), "{title}: it was too fast");
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!(answer.code, 0, "{title}: {}", answer.err);
        world.ok(&["check", "--read-data"]);
        // Whoever comes next takes the cache for what it is.
        let next = world.ok(&["backup", "source", "--json"]);
        was_noticed |= [answer.err, next.err.clone()].iter().any(|said| said.contains("cache"));
        let told = next.json().pop().unwrap();
        assert_eq!(told["data_added"], 0, "{title}: {told}");
        world.ok(&["restore", "latest", "--target", "back"]);
        let back = world.at("back").join(world.at("source").strip_prefix("/").unwrap());
        assert_eq!(look(&world.at("source")), look(&back), "{title}");
    }
    assert!(was_noticed, "what was spoiled was of no use");
}
