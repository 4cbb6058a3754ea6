//! One directory of the target, reached by name only below its parent.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Stat, fchmod, fstat, mkdirat, openat, openat2, stat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::fault::{fault, replaced};
use super::handle::Handle;
use super::metadata;
use super::root::Shared;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, validate_name};

/// What a restore needs to do in a directory, whatever its final mode.
pub(super) const OWNER_ALL: Mode = Mode::RWXU;
/// How often somebody else may change a name under our hands before we give it up.
pub(super) const ATTEMPT_COUNT_MAX: usize = 64;

/// Tells whether a name still means what was put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    /// What a person names with a path, links followed.
    pub fn of_path(path: &Path) -> Option<Self> {
        stat(path).ok().as_ref().map(Self::from)
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// One directory of the target.
///
/// It knows its parent, so that no path is ever resolved and depth has no limit. Any number may be
/// held: descriptors are closed when there are too many, and opened again from the root down, where
/// each step must meet the same directory as before.
pub struct TargetDir {
    shared: Arc<Shared>,
    parent: Option<Arc<Self>>,
    /// The name in the parent; for the root, the path that a person gave.
    name: Box<[u8]>,
    serial: u64,
    identity: Identity,
    has_other_writers: bool,
    presence: Presence,
}

/// Whether a directory may hold anything that this run did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was there before.
    Found,
    /// This run made it.
    Made,
    /// There is none, and a run that only looks makes none.
    Absent,
}

impl TargetDir {
    pub(super) fn root(shared: Arc<Shared>, name: &[u8], stat: &Stat, presence: Presence) -> Self {
        let serial = shared.descriptors.serial();
        Self {
            shared,
            parent: None,
            name: name.into(),
            serial,
            identity: stat.into(),
            has_other_writers: has_other_writers(stat),
            presence,
        }
    }

    /// Creates the directory `name`, private until [`Self::finish`].
    ///
    /// A directory of that name is used as it is; a file, link or special file of that name is
    /// removed, never followed.
    ///
    /// # Errors
    /// When it cannot be created, or when `name` is not one component.
    pub fn create_child_dir(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        self.check_name(name)?;
        let parent = self.open()?;
        let failed = |e: Errno| fault("create directory", &self.path_of(name), e);
        for _ in 0..ATTEMPT_COUNT_MAX {
            let presence = match mkdirat(&parent, name, OWNER_ALL) {
                Ok(()) => Presence::Made,
                Err(Errno::EXIST) => Presence::Found,
                Err(e) => return Err(failed(e)),
            };
            match self.open_child(parent.as_fd(), name) {
                Ok((fd, stat)) => return Ok(Arc::new(self.child(name, fd, &stat, presence))),
                Err(Errno::NOENT) => {}
                Err(Errno::LOOP | Errno::NOTDIR) => match unlinkat(&parent, name, AtFlags::empty())
                {
                    Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                    Err(e) => return Err(failed(e)),
                },
                Err(e) => return Err(failed(e)),
            }
        }
        Err(replaced(&self.path_of(name)))
    }

    /// The directory `name` as it is, for a run that only looks: nothing is made or changed. Where
    /// there is none, the answer stands for an empty one.
    ///
    /// # Errors
    /// When it cannot be opened, or when `name` is not one component.
    pub fn find_child_dir(self: &Arc<Self>, name: &[u8]) -> Result<Arc<Self>> {
        self.check_name(name)?;
        if self.presence != Presence::Absent {
            let parent = self.open()?;
            match self.open_beneath(parent.as_fd(), name, OFlags::RDONLY) {
                Ok(fd) => {
                    let stat =
                        fstat(&fd).map_err(|e| fault("open directory", &self.path_of(name), e))?;
                    return Ok(Arc::new(self.child(name, fd, &stat, Presence::Found)));
                }
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
                Err(e) => return Err(fault("open directory", &self.path_of(name), e)),
            }
        }
        Ok(Arc::new(Self {
            shared: Arc::clone(&self.shared),
            parent: Some(Arc::clone(self)),
            name: name.into(),
            serial: self.shared.descriptors.serial(),
            identity: self.identity,
            has_other_writers: false,
            presence: Presence::Absent,
        }))
    }

    /// The directory `name`, for what is done to everything in it; `None` where another file system
    /// is mounted.
    ///
    /// # Errors
    /// When it is no directory any more, or cannot be opened.
    pub(super) fn enter(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Self>>> {
        self.check_name(name)?;
        let parent = self.open()?;
        let failed = |e| fault("open directory", &self.path_of(name), e);
        let (parent, parent_device) = (parent.as_fd(), self.identity.device);
        // A directory of the same file system may be mounted too: only this call tells.
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if openat2(parent, name, flags, Mode::empty(), inside).is_err_and(|e| e == Errno::XDEV) {
            return Ok(None);
        }
        let (fd, stat) = if self.shared.only_looks {
            let fd = self.open_beneath(parent, name, OFlags::RDONLY).map_err(failed)?;
            let stat = fstat(&fd).map_err(failed)?;
            (fd, stat)
        } else {
            self.open_child(parent, name).map_err(failed)?
        };
        if stat.st_dev != parent_device {
            return Ok(None);
        }
        Ok(Some(Arc::new(self.child(name, fd, &stat, Presence::Found))))
    }

    /// Applies the metadata of `entry`, once everything below is finished.
    ///
    /// Returns what could not be applied.
    ///
    /// # Errors
    /// When the directory is not there any more.
    pub fn finish(&self, entry: &Entry) -> Result<Vec<Error>> {
        let fd = self.open()?;
        let problems =
            metadata::apply(&self.shared, &Handle::open(fd.as_fd()), entry, &|| self.path());
        if self.parent.is_none() {
            self.shared.root_is_finished.store(true, Ordering::Relaxed);
        }
        Ok(problems)
    }

    /// The raw path of `name` below the root, from a slash on.
    pub fn path_below(&self, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        let mut dir = self;
        while let Some(parent) = &dir.parent {
            names.push(&dir.name);
            dir = parent;
        }
        names.push(b"");
        names.reverse();
        names.join(&b'/')
    }

    /// The path for messages, escaped.
    pub fn path(&self) -> String {
        let mut names = vec![&self.name[..]];
        let mut dir = self;
        while let Some(parent) = &dir.parent {
            names.push(&parent.name);
            dir = parent;
        }
        names.reverse();
        let path = escape(&names.join(&b'/'));
        // The root may be "/" itself.
        if path.starts_with("//") { path[1..].to_owned() } else { path }
    }

    /// The path of `name` in this directory for messages, escaped.
    pub fn path_of(&self, name: &[u8]) -> String {
        let dir = self.path();
        let slash = if dir.ends_with('/') { "" } else { "/" };
        format!("{dir}{slash}{}", escape(name))
    }

    /// Whether names here may change under our hands. What this run creates is private until it is
    /// finished.
    pub(super) fn has_other_writers(&self) -> bool {
        self.has_other_writers
    }

    /// Whether nothing can be here that this run did not make.
    pub fn is_new(&self) -> bool {
        self.presence != Presence::Found
    }

    /// Whether there is no such directory, which only a run that only looks meets.
    pub fn is_absent(&self) -> bool {
        self.presence == Presence::Absent
    }

    /// Its name in its parent.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Which directory it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Refuses what is not one component. The format has refused it already; here is where it would
    /// do harm.
    pub(super) fn check_name(&self, name: &[u8]) -> Result<()> {
        validate_name(name).map_err(|e| {
            let message = format!("could not restore {:?} in {}", escape(name), self.path());
            Error::new(ErrorKind::Damaged, message).because(e)
        })
    }

    /// The directory, open; opened again from the nearest ancestor that is, if need be.
    pub(super) fn open(&self) -> Result<Arc<OwnedFd>> {
        if self.presence == Presence::Absent {
            return Err(fault("open directory", &self.path(), Errno::NOENT));
        }
        let mut closed = Vec::new();
        let mut dir = self;
        let mut fd = loop {
            let Some(parent) = &dir.parent else { break Arc::clone(&self.shared.root) };
            if let Some(fd) = self.shared.descriptors.get(dir.serial) {
                break fd;
            }
            closed.push(dir);
            dir = parent;
        };
        for dir in closed.into_iter().rev() {
            fd = dir.reopen(fd.as_fd())?;
        }
        Ok(fd)
    }

    fn reopen(&self, parent: BorrowedFd<'_>) -> Result<Arc<OwnedFd>> {
        let (fd, stat) = self.open_child(parent, &self.name).map_err(|e| match e {
            Errno::NOENT | Errno::LOOP | Errno::NOTDIR => replaced(&self.path()),
            e => fault("open directory", &self.path(), e),
        })?;
        if Identity::from(&stat) != self.identity {
            return Err(replaced(&self.path()));
        }
        let fd = Arc::new(fd);
        self.shared.descriptors.keep(self.serial, Arc::clone(&fd));
        Ok(fd)
    }

    fn child(self: &Arc<Self>, name: &[u8], fd: OwnedFd, stat: &Stat, presence: Presence) -> Self {
        let identity = Identity::from(stat);
        let serial = self.shared.descriptors.serial();
        let fd = Arc::new(fd);
        if identity.device != self.identity.device {
            let mut mounts = self.shared.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            mounts.entry(identity.device).or_insert_with(|| Arc::clone(&fd));
        }
        self.shared.descriptors.keep(serial, fd);
        Self {
            shared: Arc::clone(&self.shared),
            parent: Some(Arc::clone(self)),
            name: name.into(),
            serial,
            identity,
            has_other_writers: has_other_writers(stat),
            presence,
        }
    }

    /// Opens `name`, which must be a directory, with all rights of its owner.
    pub(super) fn open_child(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
    ) -> Result<(OwnedFd, Stat), Errno> {
        let fd = match self.open_beneath(parent, name, OFlags::RDONLY) {
            // Ours, but with a mode that locks us out: an earlier restore, or the umask.
            Err(Errno::ACCESS) => {
                let found = self.open_beneath(parent, name, OFlags::PATH)?;
                Handle::path(found.as_fd()).chmod(OWNER_ALL)?;
                self.open_beneath(parent, name, OFlags::RDONLY)?
            }
            other => other?,
        };
        let stat = fstat(&fd)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !mode.contains(OWNER_ALL) {
            // Somebody else's may still be writable for us; if not, the next call says so.
            fchmod(&fd, mode | OWNER_ALL).ok();
        }
        Ok((fd, stat))
    }

    /// Opens the directory of one component without following anything.
    fn open_beneath(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        access: OFlags,
    ) -> Result<OwnedFd, Errno> {
        self.open_component(parent, name, access | OFlags::DIRECTORY)
    }

    /// Opens one component that exists without following anything.
    pub(super) fn open_component(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        access: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.shared.lacks_openat2.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match openat2(parent, name, flags, Mode::empty(), resolve) {
                // EPERM is what older container runtimes answer to calls they do not know.
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.shared.lacks_openat2.store(true, Ordering::Relaxed);
                }
                other => return other,
            }
        }
        // As safe for one validated component: there is no other name to follow.
        openat(parent, name, flags, Mode::empty())
    }
}

/// Whether somebody else may change names in a directory. Write rights from an ACL show as those of
/// the group.
fn has_other_writers(stat: &Stat) -> bool {
    stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o022 != 0
}

impl fmt::Debug for TargetDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

impl Drop for TargetDir {
    fn drop(&mut self) {
        self.shared.descriptors.forget(self.serial);
        // One after the other: thousands of nested drops would overflow the stack of a thread.
        let mut parent = self.parent.take();
        while let Some(dir) = parent {
            parent = Arc::into_inner(dir).and_then(|mut dir| dir.parent.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::format::entry::EntryKind;
    use crate::target::descriptors::OPEN_COUNT_MAX;
    use crate::target::testing::{Mount, World, entry, is_root, names};
    use crate::target::{create_file, create_special, create_symlink};

    #[test]
    fn a_planted_link_is_removed_and_not_followed() {
        for lacks_openat2 in [false, true] {
            let world = World::new();
            world.root().shared().lacks_openat2.store(lacks_openat2, Ordering::Relaxed);
            symlink(world.outside(), world.path("d")).unwrap();
            symlink("../outside", world.path("relative")).unwrap();
            symlink("dangling", world.path("e")).unwrap();
            for name in [b"d".as_slice(), b"relative", b"e"] {
                let dir = world.root().create_child_dir(name).unwrap();
                create_file(&dir, b"f").unwrap().finish(&entry(EntryKind::File, 0o600)).unwrap();
            }
            world.check_outside();
            assert!(fs::symlink_metadata(world.path("d")).unwrap().is_dir());
            assert_eq!(names(&world.path("relative")), ["f"]);
        }
    }

    #[test]
    fn what_is_no_directory_gives_way_and_a_directory_is_used() {
        let world = World::new();
        fs::write(world.path("file"), "old").unwrap();
        world.root().create_child_dir(b"file").unwrap();
        assert!(world.path("file").is_dir());
        fs::create_dir(world.path("dir")).unwrap();
        fs::write(world.path("dir/kept"), "kept").unwrap();
        let mode = || world.path("dir").metadata().unwrap().permissions().mode() & 0o7777;
        for before in [0o055, 0o555] {
            fs::set_permissions(world.path("dir"), PermissionsExt::from_mode(before)).unwrap();
            let dir = world.root().create_child_dir(b"dir").unwrap();
            assert_eq!(mode() & 0o700, 0o700);
            create_file(&dir, b"new").unwrap().finish(&entry(EntryKind::File, 0o600)).unwrap();
            assert_eq!(names(&world.path("dir")), ["kept", "new"]);
            assert!(dir.finish(&entry(EntryKind::Directory, 0o555)).unwrap().is_empty());
            assert_eq!(mode(), 0o555);
        }
        fs::set_permissions(world.path("dir"), PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn names_that_leave_the_directory_are_refused_here_too() {
        let world = World::new();
        let long = [b'x'; 256];
        for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"../outside/x", b"a\0b", &long] {
            let mut link = entry(EntryKind::Symlink, 0o777);
            link.target = Some(b"t".to_vec());
            let errors = [
                world.root().create_child_dir(name).unwrap_err(),
                create_file(world.root(), name).unwrap_err(),
                create_symlink(world.root(), name, &link).unwrap_err(),
                create_special(world.root(), name, &entry(EntryKind::Fifo, 0o600)).unwrap_err(),
            ];
            assert!(errors.iter().all(|e| e.kind == ErrorKind::Damaged), "{errors:?}");
        }
        assert_eq!(names(&world.path("")), Vec::<String>::new());
        world.check_outside();
    }

    #[test]
    fn nothing_appears_outside_while_a_directory_turns_into_a_link_and_back() {
        let world = World::new();
        let stop = AtomicBool::new(false);
        let dir = world.path("d");
        let aside = world.path("aside");
        let mut made_count = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Errors are expected: the restore removes what it finds.
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(&dir, &aside).ok();
                    symlink(world.outside(), &dir).ok();
                    std::thread::yield_now();
                    fs::remove_file(&dir).ok();
                    fs::rename(&aside, &dir).ok();
                }
            });
            let started = std::time::Instant::now();
            let mut link = entry(EntryKind::Symlink, 0o777);
            link.target = Some(b"t".to_vec());
            while started.elapsed().as_millis() < 700 {
                let Ok(dir) = world.root().create_child_dir(b"d") else { continue };
                // Forces the way through the name again.
                dir.shared.descriptors.forget(dir.serial);
                if let Ok(file) = create_file(&dir, b"f") {
                    file.write_at(b"secret", 0).unwrap();
                    file.finish(&entry(EntryKind::File, 0o600)).ok();
                    made_count += 1;
                }
                dir.shared.descriptors.forget(dir.serial);
                create_symlink(&dir, b"l", &link).ok();
                create_special(&dir, b"p", &entry(EntryKind::Fifo, 0o600)).ok();
                if let Ok(deeper) = dir.create_child_dir(b"deeper") {
                    create_file(&deeper, b"f").ok();
                    deeper.finish(&entry(EntryKind::Directory, 0o700)).ok();
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(made_count > 0);
        assert_eq!(names(&world.outside()), Vec::<String>::new());
    }

    #[test]
    fn a_directory_that_was_replaced_is_noticed_when_it_is_opened_again() {
        let world = World::new();
        let dir = world.root().create_child_dir(b"d").unwrap();
        let below = dir.create_child_dir(b"below").unwrap();
        let close = || [&dir, &below].map(|d| d.shared.descriptors.forget(d.serial));
        close();
        create_file(&below, b"f").unwrap();
        fs::rename(world.path("d"), world.path("moved")).unwrap();
        let check = || {
            close();
            assert_eq!(create_file(&below, b"f").unwrap_err().kind, ErrorKind::Busy);
            assert_eq!(below.create_child_dir(b"c").unwrap_err().kind, ErrorKind::Busy);
        };
        check();
        symlink(world.outside(), world.path("d")).unwrap();
        fs::create_dir(world.outside().join("below")).unwrap();
        check();
        fs::remove_file(world.path("d")).unwrap();
        fs::create_dir_all(world.path("d/below")).unwrap();
        check();
        assert_eq!(names(&world.path("d/below")), Vec::<String>::new());
        assert_eq!(names(&world.outside().join("below")), Vec::<String>::new());
    }

    #[test]
    fn depth_is_limited_neither_by_paths_nor_by_descriptors_nor_by_the_stack() {
        let world = World::new();
        let name = [b'n'; 40];
        let mut dirs = vec![Arc::clone(world.root())];
        for _ in 0..1500 {
            let child = dirs.last().unwrap().create_child_dir(&name).unwrap();
            dirs.push(child);
        }
        let deepest = dirs.pop().unwrap();
        assert!(deepest.path().len() > 4096 * 10);
        create_file(&deepest, b"f").unwrap().finish(&entry(EntryKind::File, 0o600)).unwrap();
        let mut link = entry(EntryKind::Symlink, 0o777);
        link.target = Some(b"f".to_vec());
        link.mtime = Some(crate::base::Timestamp::new(-5, 7));
        assert!(create_symlink(&deepest, b"l", &link).unwrap().problems.is_empty());
        assert!(world.root().shared().descriptors.open_count() <= OPEN_COUNT_MAX);
        dirs.push(deepest);
        let mode = entry(EntryKind::Directory, 0o750);
        while let Some(dir) = dirs.pop() {
            assert!(dir.finish(&mode).unwrap().is_empty());
        }
        // std's own removal holds a descriptor for each level.
        let removed = std::process::Command::new("rm").arg("-rf").arg(world.path("")).status();
        assert!(removed.unwrap().success());
    }

    #[test]
    fn a_long_chain_of_parents_is_dropped_on_a_small_stack() {
        let world = World::new();
        let stat = fstat(&world.root().shared.root).unwrap();
        let mut dir = Arc::clone(world.root());
        for _ in 0..100_000 {
            let (shared, parent) = (Arc::clone(&dir.shared), Some(Arc::clone(&dir)));
            let identity = Identity::from(&stat);
            let (name, has_other_writers) = ([].into(), false);
            dir = Arc::new(TargetDir {
                shared,
                parent,
                name,
                serial: 0,
                identity,
                has_other_writers,
                presence: Presence::Found,
            });
        }
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        small.spawn(move || drop(dir)).unwrap().join().unwrap();
    }

    #[test]
    fn every_file_system_below_is_synced() {
        if !is_root("every_file_system_below_is_synced") {
            return;
        }
        let world = World::new();
        for name in ["a", "b"] {
            fs::create_dir(world.path(name)).unwrap();
        }
        let Some(mount) = Mount::tmpfs(&world.path("a")) else { return };
        let dirs = [&b"a"[..], b"b"].map(|name| world.root().create_child_dir(name).unwrap());
        let below = dirs[0].create_child_dir(b"below").unwrap();
        create_file(&below, b"f").unwrap().finish(&entry(EntryKind::File, 0o600)).unwrap();
        let mounts = world.root().shared.mounts.lock().unwrap().len();
        drop((below, dirs));
        // Detached first, so that the scratch directory can be removed; still open, so synced.
        drop(mount);
        world.finish();
        assert_eq!(mounts, 1);
    }

    #[test]
    fn paths_in_messages_are_escaped() {
        let world = World::new();
        let dir = world.root().create_child_dir(b"a\x1b[31m").unwrap();
        assert!(dir.path_of(b"\n\xff").ends_with("/target/a\\x1b[31m/\\n\\xff"));
        assert!(create_file(&dir, b"b/\n").unwrap_err().to_string().contains("b/\\\\n"));
    }
}
