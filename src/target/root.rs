//! The directory below which a restore writes.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, fchmod, fstat, fstatvfs, openat, syncfs};

use super::Options;
use super::claim::temporary_name;
use super::descriptors::Descriptors;
use super::directory::{OWNER_ALL, Presence, TargetDir};
use super::fault::fault;
use super::owners::Owners;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};

/// The directory below which a restore writes.
#[derive(Debug)]
pub struct Target {
    root: Arc<TargetDir>,
    /// Mode that the root had, where it had to be widened for the restore.
    narrower_mode: Option<Mode>,
}

impl Target {
    /// Opens the directory at `path`, creating it with its missing parents.
    ///
    /// `path` is a person's word: symbolic links in it are followed, once, here. A directory
    /// that is created here is private (0700), and stays so unless [`TargetDir::finish`] gives it
    /// another mode. One that exists keeps its mode, since others may be using it; only where it
    /// lacks rights of its owner, they are lent until the end.
    ///
    /// # Errors
    /// When it is no directory, or can neither be created nor opened.
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let shown = escape(path.as_os_str().as_bytes());
        let failed = |e| unusable(fault("create directory", &shown, e));
        let presence =
            if create_missing(path).map_err(failed)? { Presence::Made } else { Presence::Found };
        let fd = open_root(path)?;
        let stat = fstat(&fd).map_err(|e| fault("read the mode of", &shown, e))?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let lent = !mode.contains(OWNER_ALL) && fchmod(&fd, mode | OWNER_ALL).is_ok();
        let narrower_mode = lent.then_some(mode);
        let shared = Shared::new(options, fd, false);
        let root = TargetDir::root(Arc::new(shared), path.as_os_str().as_bytes(), &stat, presence);
        Ok(Self { root: Arc::new(root), narrower_mode })
    }

    /// Opens the directory at `path` for a run that only looks: nothing is made or changed, and
    /// where there is none, it stands for an empty one.
    ///
    /// # Errors
    /// When it is no directory, or cannot be opened.
    pub fn inspect(path: &Path, options: Options) -> Result<Self> {
        let (fd, presence) = match open_root(path) {
            Ok(fd) => (fd, Presence::Found),
            // Never used: what is absent is not opened.
            Err(e) if e.kind == ErrorKind::NotFound => {
                (open_root(Path::new("/"))?, Presence::Absent)
            }
            Err(e) => return Err(e),
        };
        let name = path.as_os_str().as_bytes();
        let stat = fstat(&fd).map_err(|e| fault("read the mode of", &escape(name), e))?;
        let root = TargetDir::root(Arc::new(Shared::new(options, fd, true)), name, &stat, presence);
        Ok(Self { root: Arc::new(root), narrower_mode: None })
    }

    /// The directory itself.
    pub fn root(&self) -> &Arc<TargetDir> {
        &self.root
    }

    /// Makes a directory in the root that only this run enters, to be removed by the caller.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_own_dir(&self) -> Result<Arc<TargetDir>> {
        self.root.create_child_dir(&temporary_name())
    }

    /// Whether nothing is in the directory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        let mut is_empty = true;
        self.root.for_each_name(&mut |_| is_empty = false)?;
        Ok(is_empty)
    }

    /// Bytes that can still be written.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn available_bytes(&self) -> Result<u64> {
        let shared = self.root.shared();
        let space = fstatvfs(&shared.root)
            .map_err(|e| fault("read the free space of", &self.root.path(), e))?;
        // Root may use the blocks that are reserved for it.
        let blocks = if shared.is_root { space.f_bfree } else { space.f_bavail };
        Ok(blocks.saturating_mul(space.f_frsize))
    }

    /// Waits until everything is on disk, on every file system that was written to.
    ///
    /// # Errors
    /// When the disk fails or is full: some of what was written is lost.
    pub fn finish(mut self) -> Result<()> {
        let narrowed = self.narrow();
        let shared = self.root.shared();
        if shared.only_looks {
            return Ok(());
        }
        let mounts: Vec<Arc<OwnedFd>> = {
            let mounts = shared.mounts.lock().unwrap_or_else(PoisonError::into_inner);
            mounts.values().map(Arc::clone).collect()
        };
        for fd in mounts.iter().chain([&shared.root]) {
            syncfs(fd).map_err(|e| fault("sync", &self.root.path(), e))?;
        }
        narrowed.map_err(|e| fault("restore the mode of", &self.root.path(), e))
    }

    /// Takes back the rights that were lent to the owner of the root.
    fn narrow(&mut self) -> rustix::io::Result<()> {
        let shared = self.root.shared();
        match self.narrower_mode.take() {
            Some(mode) if !shared.root_is_finished.load(Ordering::Relaxed) => {
                fchmod(&shared.root, mode)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Only after a failure, which is what the caller reports.
        self.narrow().ok();
    }
}

/// What all directories of one run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) is_root: bool,
    pub(super) owners: Owners,
    pub(super) descriptors: Descriptors,
    /// The root stays open: every other directory is reached from here.
    pub(super) root: Arc<OwnedFd>,
    /// A directory on each further file system, by device number. Opened before anything is written
    /// there, so that its `syncfs` reports every error since.
    pub(super) mounts: Mutex<HashMap<u64, Arc<OwnedFd>>>,
    /// Linux before 5.6, or a container that forbids the call.
    pub(super) lacks_openat2: AtomicBool,
    /// The root has its final mode.
    pub(super) root_is_finished: AtomicBool,
    /// Nothing may be made or changed.
    pub(super) only_looks: bool,
}

impl Shared {
    fn new(options: Options, root: OwnedFd, only_looks: bool) -> Self {
        Self {
            options,
            is_root: rustix::process::geteuid().is_root(),
            owners: Owners::default(),
            descriptors: Descriptors::default(),
            root: Arc::new(root),
            mounts: Mutex::default(),
            lacks_openat2: AtomicBool::new(false),
            root_is_finished: AtomicBool::new(false),
            only_looks,
        }
    }
}

fn open_root(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shown = escape(path.as_os_str().as_bytes());
    openat(CWD, path, flags, Mode::empty())
        .map_err(|e| unusable(fault("open directory", &shown, e)))
}

/// The error for a target that can never be written to, with the way out.
fn unusable(error: Error) -> Error {
    match error.hint {
        Some(_) => error,
        None => error.hint("Choose another `--target`, or one that this user may write to."),
    }
}

/// Creates `path` with its missing parents, which `mkdir -p` would give the same modes. Says
/// whether `path` itself was made.
fn create_missing(path: &Path) -> std::io::Result<bool> {
    let missing: Vec<&Path> = path
        .ancestors()
        .filter(|p| !p.as_os_str().is_empty())
        .take_while(|p| !p.exists())
        .collect();
    let mut is_made = false;
    for (left, part) in missing.iter().enumerate().rev() {
        let mode = if left == 0 { 0o700 } else { 0o777 };
        match DirBuilder::new().mode(mode).create(part) {
            Ok(()) => is_made = left == 0,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(e) => return Err(e),
        }
        let permissions = part.metadata()?.permissions().mode();
        // The umask may have taken the owner's rights.
        if permissions & 0o700 != 0o700 {
            std::fs::set_permissions(part, PermissionsExt::from_mode(permissions & 0o777 | 0o700))?;
        }
    }
    Ok(is_made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::EntryKind;
    use crate::target::create_file;
    use crate::target::testing::{World, entry, names};

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_target_is_created_private_with_its_parents() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b/c");
        let target = Target::open(&path, Options::default()).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert!(target.available_bytes().unwrap() > 0);
        target.finish().unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_target_that_exists_keeps_its_mode() {
        let scratch = tempfile::tempdir().unwrap();
        for (before, meanwhile) in [(0o755, 0o755), (0o2555, 0o2755), (0o1777, 0o1777)] {
            std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(before)).unwrap();
            let target = Target::open(scratch.path(), Options::default()).unwrap();
            assert_eq!(mode(scratch.path()), meanwhile);
            target.finish().unwrap();
            assert_eq!(mode(scratch.path()), before);
            drop(Target::open(scratch.path(), Options::default()).unwrap());
            assert_eq!(mode(scratch.path()), before, "after a failed restore");
        }
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o511)).unwrap();
        let target = Target::open(scratch.path(), Options::default()).unwrap();
        assert!(target.root().finish(&entry(EntryKind::Directory, 0o751)).unwrap().is_empty());
        target.finish().unwrap();
        assert_eq!(mode(scratch.path()), 0o751, "the entry decides");
    }

    #[test]
    fn a_link_given_by_a_person_is_resolved_once() {
        let world = World::new();
        let (real, other) = (world.outside().join("real"), world.outside().join("other"));
        let link = world.outside().join("link");
        std::fs::create_dir(&real).unwrap();
        std::fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let target = Target::open(&link, Options::default()).unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        create_file(target.root(), b"f").unwrap().finish(&entry(EntryKind::File, 0o600)).unwrap();
        assert_eq!(names(&real), ["f"]);
        assert_eq!(names(&other), Vec::<String>::new());
    }

    #[test]
    fn a_target_that_is_no_directory_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert!(Target::open(&file, Options::default()).is_err());
        assert!(Target::open(&file.join("below"), Options::default()).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
        let dangling = scratch.path().join("dangling");
        std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
        let error = Target::open(&dangling, Options::default()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(names(scratch.path()), ["dangling", "file"]);
    }
}
