//! Makes a thing that must not be opened: a link, pipe, socket or device.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dev, Mode, OFlags, Stat, fstat, linkat, openat};
use rustix::io::Errno;

use super::claim::{Claim, Finished};
use super::fault::fault;
use super::handle::Handle;
use super::private::{Private, THING};
use super::{TargetDir, metadata};
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::Entry;

/// Makes a thing with `make`, and gives it the metadata of `entry`.
///
/// The system has no call that makes such a thing and finds it at once. Where others may put
/// something else under its name in between, whose owner and mode would change, it is made where
/// they cannot, and linked from there.
pub(super) fn place(
    dir: &Arc<TargetDir>,
    name: &[u8],
    entry: &Entry,
    device: Dev,
    make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
) -> Result<Finished> {
    let ((fd, stat), claim) = if dir.has_other_writers() {
        let private = Private::create(dir)?;
        let failed = |e| fault("create", &dir.path_of(name), e);
        make(private.fd(), THING).map_err(failed)?;
        let (fd, stat) = find(private.fd(), THING).map_err(failed)?;
        let link = |dir: BorrowedFd<'_>, name: &[u8]| {
            linkat(private.fd(), THING, dir, name, AtFlags::empty())?;
            Ok(((), stat))
        };
        let ((), claim) = Claim::new(dir, name, link)?;
        ((fd, stat), claim)
    } else {
        Claim::new(dir, name, |dir, name| {
            make(dir, name)?;
            let (fd, stat) = find(dir, name)?;
            Ok(((fd, stat), stat))
        })?
    };
    // The system keeps 12 bits of the major and 20 of the minor number, and drops the others.
    if stat.st_rdev != device {
        let message =
            format!("could not create {}: its device numbers are too large", claim.path());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let handle = Handle::path(fd.as_fd());
    let problems = metadata::apply(dir.shared(), &handle, entry, &|| claim.path());
    Ok(Finished { created: claim.commit()?, problems })
}

/// Holds on to what has a name, without opening it.
fn find(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    Ok((fd, stat))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;
    use crate::format::entry::EntryKind;
    use crate::target::testing::{World, entry, names};
    use crate::target::{Options, Target};

    /// The identity of what was found used to be checked by its number of names, which somebody can
    /// bring back to one in time.
    #[test]
    fn what_somebody_puts_under_the_name_meanwhile_keeps_its_mode() {
        let world = World::new();
        // As in a directory that was there before.
        fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        let target = Target::open(&world.path(""), Options::default()).unwrap();
        let precious = world.outside().join("precious");
        mknodat(CWD, &precious, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let made = place(target.root(), b"p", &entry(EntryKind::Fifo, 0o666), 0, |dir, name| {
            mknodat(dir, name, FileType::Fifo, Mode::RUSR, 0)?;
            fs::hard_link(&precious, world.path("aside")).unwrap();
            fs::rename(world.path("aside"), world.path("p")).unwrap();
            Ok(())
        });
        assert!(made.unwrap().problems.is_empty());
        let mode = |path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(precious.clone()), mode(world.path("p"))), (0o400, 0o666));
        assert_eq!(fs::metadata(&precious).unwrap().nlink(), 1);
        assert_eq!(names(&world.path("")), ["p"]);
    }
}
