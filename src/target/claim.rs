//! Holds a name for a new thing until the thing is whole.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::TargetDir;
use super::directory::{ATTEMPT_COUNT_MAX, Identity};
use super::fault::{fault, in_the_way, replaced};
use crate::base::{Error, Result, random};

/// Start of the names that things have until they replace something; random digits follow.
pub(super) const TEMPORARY_PREFIX: &str = ".parados-";

/// A name that this run created, to which hard links may be made.
#[derive(Clone, Debug)]
pub struct Created {
    pub(super) dir: Arc<TargetDir>,
    pub(super) name: Box<[u8]>,
    pub(super) identity: Identity,
}

/// An entry that was made.
#[derive(Debug)]
pub struct Finished {
    /// Where it is.
    pub created: Created,
    /// Metadata that could not be applied.
    pub problems: Vec<Error>,
}

/// A name taken for a new thing. Dropped before [`Self::commit`], the thing is removed again.
#[derive(Debug)]
pub(super) struct Claim {
    created: Created,
    /// The name that the thing has until it replaces what exists.
    temporary: Option<Box<[u8]>>,
    is_committed: bool,
}

impl Created {
    /// What has a name in a directory that only this run can enter, see [`Target::make_own_dir`].
    ///
    /// [`Target::make_own_dir`]: super::Target::make_own_dir
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn in_own_dir(dir: &Arc<TargetDir>, name: &[u8]) -> Result<Option<Self>> {
        let of = |identity| Self { dir: Arc::clone(dir), name: name.into(), identity };
        Ok(dir.look_again(name)?.map(|found| of(found.identity())))
    }

    /// Whether the name still means what this run put there.
    pub fn is_in_place(&self) -> bool {
        let found = self.dir.look_again(&self.name);
        found.is_ok_and(|found| found.is_some_and(|found| found.identity() == self.identity))
    }
}

impl Claim {
    /// Calls `create` with a name of which nothing exists: `name`, or a temporary one if `name` is
    /// taken by what it may replace. `create` must fail with `EEXIST` rather than use what exists,
    /// and says what it made.
    pub(super) fn new<T>(
        dir: &Arc<TargetDir>,
        name: &[u8],
        create: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<(T, Stat), Errno>,
    ) -> Result<(T, Self)> {
        dir.check_name(name)?;
        let fd = dir.open()?;
        for _ in 0..ATTEMPT_COUNT_MAX {
            match create(fd.as_fd(), name) {
                Ok((made, stat)) => return Ok((made, Self::of(dir, name, None, &stat))),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(fault("create", &dir.path_of(name), e)),
            }
            match unlinkat(&fd, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::NOTDIR) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(in_the_way(&dir.path_of(name))),
                Err(e) => return Err(fault("replace directory", &dir.path_of(name), e)),
            }
            let temporary = temporary_name();
            match create(fd.as_fd(), &temporary) {
                Ok((made, stat)) => {
                    return Ok((made, Self::of(dir, name, Some(temporary), &stat)));
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(fault("create", &dir.path_of(name), e)),
            }
        }
        Err(replaced(&dir.path_of(name)))
    }

    /// Takes a temporary name beside `name` for a file that takes long to write. Where nobody else
    /// can have put something there, the name is always the same, and what a run that was killed
    /// has left under it is taken up again: `true` says so.
    pub(super) fn beside(dir: &Arc<TargetDir>, name: &[u8]) -> Result<(OwnedFd, Self, bool)> {
        dir.check_name(name)?;
        let fd = dir.open()?;
        if !dir.is_new() {
            match unlinkat(&fd, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) => return Err(in_the_way(&dir.path_of(name))),
                Err(e) => return Err(fault("replace directory", &dir.path_of(name), e)),
            }
        }
        let mut temporary =
            if dir.has_other_writers() { temporary_name() } else { lasting_name(name) };
        for _ in 0..ATTEMPT_COUNT_MAX {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&fd, &*temporary, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let stat = fstat(&file).map_err(|e| fault("create", &dir.path_of(name), e))?;
                    // Whoever is quicker to lock it may have it.
                    let _is_locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
                    return Ok((file, Self::of(dir, name, Some(temporary), &stat), false));
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(fault("create", &dir.path_of(name), e)),
            }
            if !dir.has_other_writers()
                && let Ok((file, stat)) = take_up(dir, fd.as_fd(), &temporary)
            {
                return Ok((file, Self::of(dir, name, Some(temporary), &stat), true));
            }
            temporary = temporary_name();
        }
        Err(replaced(&dir.path_of(name)))
    }

    /// Removes what a run that was killed has left for [`Self::beside`], where only it can have.
    pub(super) fn discard_left_over(dir: &Arc<TargetDir>, name: &[u8]) {
        let temporary = lasting_name(name);
        if !dir.is_new()
            && !dir.has_other_writers()
            && let Ok(fd) = dir.open()
            && take_up(dir, fd.as_fd(), &temporary).is_ok()
        {
            // It takes space, and nothing else.
            unlinkat(&fd, &*temporary, AtFlags::empty()).ok();
        }
    }

    /// Leaves the thing under its temporary name, for a run that goes on with it.
    pub(super) fn leave(mut self) {
        self.is_committed = self.temporary.is_some() && !self.dir().has_other_writers();
    }

    fn of(dir: &Arc<TargetDir>, name: &[u8], temporary: Option<Box<[u8]>>, stat: &Stat) -> Self {
        let created = Created { dir: Arc::clone(dir), name: name.into(), identity: stat.into() };
        Self { created, temporary, is_committed: false }
    }

    /// The directory of the name.
    pub(super) fn dir(&self) -> &Arc<TargetDir> {
        &self.created.dir
    }

    /// The final path for messages, escaped.
    pub(super) fn path(&self) -> String {
        self.created.dir.path_of(&self.created.name)
    }

    /// The name that the thing has now.
    pub(super) fn current_name(&self) -> &[u8] {
        self.temporary.as_deref().unwrap_or(&self.created.name)
    }

    /// Puts the thing under its final name, in place of what is there.
    pub(super) fn commit(mut self) -> Result<Created> {
        if let Some(temporary) = &self.temporary {
            let Created { dir, name, .. } = &self.created;
            let fd = dir.open()?;
            renameat(&fd, &**temporary, &fd, &**name).map_err(|e| match e {
                Errno::ISDIR => in_the_way(&self.path()),
                e => fault("replace", &self.path(), e),
            })?;
        }
        self.is_committed = true;
        Ok(self.created.clone())
    }

    /// Removes the thing, unless its name means something else by now.
    fn give_up(&self) -> Result<()> {
        let fd = self.dir().open()?;
        let name = self.current_name();
        let failed = |e: Errno| fault("remove", &self.path(), e);
        let stat = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if Identity::from(&stat) == self.created.identity {
            unlinkat(&fd, name, AtFlags::empty()).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_committed {
            // The failure that brought us here is what the caller reports.
            self.give_up().ok();
        }
    }
}

/// Opens what a run that was killed has left, unless another run is at it.
fn take_up(dir: &TargetDir, fd: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    let file = dir.open_component(fd, name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let stat = fstat(&file)?;
    // The other run may have put it in its place between the two calls.
    let named = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_nlink == 1
        && Identity::from(&named) == Identity::from(&stat);
    if is_ours { Ok((file, stat)) } else { Err(Errno::BUSY) }
}

/// The temporary name of a file that takes long to write: a later run finds it again.
fn lasting_name(name: &[u8]) -> Box<[u8]> {
    let hash = blake3::hash(name);
    format!("{TEMPORARY_PREFIX}{}", hex::encode(&hash.as_bytes()[..8])).into_bytes().into()
}

/// A name that nobody else uses, 64 random bits long. Should one exist, the next is tried.
pub(super) fn temporary_name() -> Box<[u8]> {
    format!("{TEMPORARY_PREFIX}{}", hex::encode(random::<8>())).into_bytes().into()
}
