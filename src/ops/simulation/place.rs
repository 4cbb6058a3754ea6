//! The directory of a schedule, for a seed the same each time.
//!
//! Ids of trees follow from paths, and what happens follows from ids.

use std::fs;
use std::path::{Path, PathBuf};

/// So many schedules are played at the same time, at most.
const PLACE_COUNT: u64 = 16;

/// A directory that one schedule has for itself.
pub(super) struct Place {
    path: PathBuf,
    /// Locked: whoever else plays a seed with this place waits, in this process or another.
    lock: fs::File,
}

impl Place {
    /// The place of this seed, once nobody else has it.
    pub(super) fn of(seed: u64) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        // What a person made nobody else may write to.
        let user = rustix::process::getuid().as_raw();
        let path = base.join(format!("parados-simulation-{user}/{}", seed % PLACE_COUNT));
        fs::create_dir_all(&path).expect("a directory");
        let lock = fs::File::open(&path).expect("it was just made");
        lock.lock().expect("it can be locked");
        let place = Self { path, lock };
        // Who was killed left something.
        place.empty();
        place
    }

    /// A fresh directory of this number.
    pub(super) fn dir(&self, number: usize) -> PathBuf {
        let dir = self.path.join(number.to_string());
        fs::create_dir_all(&dir).expect("there is space");
        dir
    }

    fn empty(&self) {
        for entry in fs::read_dir(&self.path).expect("it is ours").flatten() {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.empty();
        drop(self.lock.unlock());
    }
}
