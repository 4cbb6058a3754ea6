//! A directory for an index that lives as long as one run.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::base::Id;

/// Start of the names of such directories.
const PREFIX: &str = "scratch-";

/// A directory of its own for each run, removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Locked while the run lives, so that the next one removes what a killed one left.
    _file: File,
}

impl Scratch {
    /// Makes one below `dir`, after removing those of runs that were killed.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn make(dir: &Path) -> io::Result<Self> {
        sweep(dir);
        let name: Id<()> = Id::random();
        let path = dir.join(format!("{PREFIX}{}", name.short()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        let file = File::open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _file: file })
    }

    /// The directory.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(file) = File::open(entry.path())
            && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_runs_left_goes_away_and_what_others_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scratch-of-a-killed-run")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        let first = Scratch::make(dir.path()).unwrap();
        let second = Scratch::make(dir.path()).unwrap();
        fs::write(second.path().join("file"), "x").unwrap();
        let count = || fs::read_dir(dir.path()).unwrap().count();
        assert!(first.path().exists() && dir.path().join("other").exists());
        assert_eq!(count(), 3);
        drop((first, second));
        assert_eq!(count(), 1);
    }
}
