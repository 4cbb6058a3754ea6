//! Removes from the target what a snapshot does not have.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, unlinkat};
use rustix::io::Errno;

use super::fault::fault;
use super::{Identity, TargetDir};
use crate::base::Result;

/// What a removal asks before it touches anything.
pub struct Removal<'a> {
    /// Whether what has this path below the root may go.
    pub is_selected: &'a dyn Fn(&[u8], bool) -> bool,
    /// What stays, whatever its name.
    pub stays: &'a [Identity],
    /// Told of everything that goes, the deepest first, with its path and length.
    pub removed: &'a dyn Fn(&[u8], u64),
    /// Whether to stop.
    pub is_over: &'a dyn Fn() -> bool,
}

/// A directory on the way down, with the names in it that are left to do.
struct Level {
    dir: Arc<TargetDir>,
    names: Vec<Box<[u8]>>,
    keeps_something: bool,
}

impl TargetDir {
    /// The names in the directory, in no particular order.
    ///
    /// # Errors
    /// When it cannot be read to the end.
    pub fn for_each_name(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        if self.is_absent() {
            return Ok(());
        }
        let failed = |e| fault("read directory", &self.path(), e);
        for entry in Dir::read_from(self.open()?).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => visit(name),
            }
        }
        Ok(())
    }

    /// Removes `name` with all that is in it and is selected. What lies on another file system
    /// stays, and so do directories that keep something.
    ///
    /// # Errors
    /// At the first thing that can neither be removed nor left alone.
    pub fn remove(self: &Arc<Self>, name: &[u8], how: &Removal<'_>) -> Result<()> {
        // With a stack of its own: a tree may be deeper than a thread's stack allows.
        let names = vec![name.into()];
        let mut levels = vec![Level { dir: Arc::clone(self), names, keeps_something: false }];
        while let Some(level) = levels.last_mut() {
            if (how.is_over)() {
                return Ok(());
            }
            let Some(name) = level.names.pop() else {
                let done = levels.pop().expect("there is a last one");
                if let Some(above) = levels.last_mut() {
                    above.keeps_something |= done.keeps_something;
                    if !done.keeps_something {
                        above.dir.remove_dir(&done.dir, how)?;
                    }
                }
                continue;
            };
            let dir = Arc::clone(&level.dir);
            let Some(found) = dir.look_again(&name)? else { continue };
            let path = dir.path_below(&name);
            let stays = how.stays.contains(&found.identity());
            if stays || !(how.is_selected)(&path, found.is_dir()) {
                level.keeps_something = true;
                continue;
            }
            if found.is_dir() {
                let Some(below) = dir.enter(&name)? else {
                    level.keeps_something = true;
                    continue;
                };
                let mut names = Vec::new();
                below.for_each_name(&mut |name| names.push(name.into()))?;
                levels.push(Level { dir: below, names, keeps_something: false });
                continue;
            }
            if !dir.shared().only_looks {
                match unlinkat(dir.open()?.as_fd(), &*name, AtFlags::empty()) {
                    Ok(()) => {}
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(fault("remove", &dir.path_of(&name), e)),
                }
            }
            (how.removed)(&path, if found.is_file() { found.size() } else { 0 });
        }
        Ok(())
    }

    fn remove_dir(&self, below: &Self, how: &Removal<'_>) -> Result<()> {
        let name = below.name();
        if !self.shared().only_looks {
            match unlinkat(self.open()?.as_fd(), name, AtFlags::REMOVEDIR) {
                Ok(()) => {}
                // Somebody else is quicker.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => return Ok(()),
                Err(e) => return Err(fault("remove directory", &self.path_of(name), e)),
            }
        }
        (how.removed)(&self.path_below(name), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Mutex;

    use super::*;
    use crate::target::testing::{Mount, World, names};
    use crate::target::{Options, Target};

    /// Removes `a` from a target that was there before, and says what went.
    fn remove(world: &World, stays: &[Identity], is_selected: fn(&[u8]) -> bool) -> Vec<String> {
        let target = Target::open(&world.path(""), Options::default()).unwrap();
        let removed = Mutex::new(Vec::new());
        let how = Removal {
            is_selected: &|path, _| is_selected(path),
            stays,
            removed: &|path, _| {
                removed.lock().unwrap().push(String::from_utf8(path.to_vec()).unwrap());
            },
            is_over: &|| false,
        };
        target.root().remove(b"a", &how).unwrap();
        let mut removed = removed.into_inner().unwrap();
        removed.sort();
        removed
    }

    fn fill(world: &World) {
        fs::create_dir_all(world.path("a/b/c")).unwrap();
        for name in ["a/f", "a/b/f", "a/b/c/f"] {
            fs::write(world.path(name), "x").unwrap();
        }
        fs::write(world.outside().join("precious"), "x").unwrap();
        symlink(world.outside(), world.path("a/link")).unwrap();
    }

    #[test]
    fn all_that_is_below_goes_and_links_are_not_followed() {
        let world = World::new();
        fill(&world);
        let removed = remove(&world, &[], |_| true);
        assert_eq!(removed, ["/a", "/a/b", "/a/b/c", "/a/b/c/f", "/a/b/f", "/a/f", "/a/link"]);
        assert_eq!(names(&world.path("")), Vec::<String>::new());
        assert_eq!(names(&world.outside()), ["precious"]);
    }

    #[test]
    fn what_stays_keeps_the_directories_above_it() {
        let world = World::new();
        fill(&world);
        let stays = Identity::of_path(&world.path("a/b/c")).unwrap();
        assert_eq!(remove(&world, &[stays], |path| path != b"/a/link"), ["/a/b/f", "/a/f"]);
        assert_eq!(names(&world.path("a")), ["b", "link"]);
        assert_eq!(names(&world.path("a/b/c")), ["f"]);
    }

    #[test]
    fn other_file_systems_stay() {
        let world = World::new();
        fill(&world);
        let Some(mount) = Mount::tmpfs(&world.path("a/b/c")) else { return };
        fs::write(world.path("a/b/c/mounted"), "x").unwrap();
        remove(&world, &[], |_| true);
        assert_eq!(names(&world.path("a/b/c")), ["mounted"]);
        drop(mount);
    }
}
