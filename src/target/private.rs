//! A directory that nobody else can enter, inside one that others write to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::TargetDir;
use super::claim::temporary_name;
use super::directory::OWNER_ALL;
use super::fault::{fault, replaced};
use crate::base::Result;

/// The one name in it.
pub(super) const THING: &[u8] = b"thing";

/// A directory that nobody else can enter. What is made here is known to be what was made, even
/// where the system has no call that makes a thing and opens it at once. Removed when dropped.
#[derive(Debug)]
pub(super) struct Private<'dir> {
    dir: &'dir TargetDir,
    name: Box<[u8]>,
    fd: OwnedFd,
}

impl<'dir> Private<'dir> {
    pub(super) fn create(dir: &'dir TargetDir) -> Result<Self> {
        let name = temporary_name();
        let failed = |e: Errno| fault("create directory", &dir.path_of(&name), e);
        let parent = dir.open()?;
        mkdirat(&parent, &*name, OWNER_ALL).map_err(failed)?;
        let (fd, stat) = dir.open_child(parent.as_fd(), &name).map_err(failed)?;
        let is_closed = stat.st_mode & 0o077 == 0;
        // A server may have given it to somebody else than us (`root_squash`).
        let is_ours = stat.st_uid == geteuid().as_raw()
            || stat.st_uid == owner_of_new_files(parent.as_fd()).map_err(failed)?;
        let path = dir.path_of(&name);
        let private = Self { dir, name, fd };
        if is_closed && is_ours { Ok(private) } else { Err(replaced(&path)) }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Private<'_> {
    fn drop(&mut self) {
        // What cannot be removed has a telling name, and harms nobody.
        unlinkat(&self.fd, THING, AtFlags::empty()).ok();
        if let Ok(parent) = self.dir.open() {
            unlinkat(&parent, &*self.name, AtFlags::REMOVEDIR).ok();
        }
    }
}

/// Whom the file system takes us for: a regular file can be made and opened at once.
fn owner_of_new_files(dir: BorrowedFd<'_>) -> Result<u32, Errno> {
    let name = temporary_name();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let fd = openat(dir, &*name, flags, Mode::RUSR | Mode::WUSR)?;
    let stat = fstat(&fd);
    unlinkat(dir, &*name, AtFlags::empty()).ok();
    Ok(stat?.st_uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::testing::{World, names};

    #[test]
    fn it_is_closed_and_leaves_nothing_behind() {
        let world = World::new();
        let private = Private::create(world.root()).unwrap();
        assert_eq!(names(&world.path("")).len(), 1);
        let stat = fstat(private.fd()).unwrap();
        assert_eq!(stat.st_mode & 0o7777, 0o700);
        mkdirat(private.fd(), "other", OWNER_ALL).unwrap();
        unlinkat(private.fd(), "other", AtFlags::REMOVEDIR).unwrap();
        openat(private.fd(), THING, OFlags::WRONLY | OFlags::CREATE, Mode::RUSR).unwrap();
        drop(private);
        assert_eq!(names(&world.path("")), Vec::<String>::new());
        let fd = world.root().open().unwrap();
        let owner = owner_of_new_files(fd.as_fd()).unwrap();
        assert_eq!(owner, geteuid().as_raw());
        assert_eq!(names(&world.path("")), Vec::<String>::new());
    }
}
