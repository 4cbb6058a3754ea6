//! Space kept back for the records of forget and prune when the disk is full.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::base::size::MIB;

/// The file that holds the space.
const NAME: &str = "reserve";

/// Holds the tombstones of thousands of snapshots, and the records of a prune that deletes 20,000 packs.
const LEN: u64 = 2 * MIB;

/// The reserve is taken again only when this much would stay free, so that the space a person has
/// just made is not eaten at once.
const FREE_LEN_MIN: u64 = 32 * LEN;

/// The reserve of one repository.
pub(super) struct Reserve {
    /// Whether the file is known to be missing, so that a put normally costs nothing extra.
    missing: AtomicBool,
}

impl Reserve {
    /// Looks whether the reserve is there.
    pub(super) fn new(root: &OwnedFd) -> Self {
        let stat = rustix::fs::statat(root, NAME, AtFlags::SYMLINK_NOFOLLOW);
        Self { missing: AtomicBool::new(!stat.is_ok_and(|s| s.st_size as u64 >= LEN)) }
    }

    /// Gives the space back. Says whether there was any.
    pub(super) fn release(&self, root: &OwnedFd) -> bool {
        self.missing.store(true, Ordering::Relaxed);
        if rustix::fs::unlinkat(root, NAME, AtFlags::empty()).is_err() {
            return false;
        }
        // Journaling file systems hand freed blocks out again after a commit; without success here
        // the second attempt simply fails too.
        let _ = rustix::fs::fsync(root);
        true
    }

    /// Takes the space again when it is missing and there is plenty. Best effort.
    pub(super) fn refill(&self, root: &OwnedFd) {
        if !self.missing.load(Ordering::Relaxed) {
            return;
        }
        let plenty = rustix::fs::fstatvfs(root)
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >= FREE_LEN_MIN);
        if plenty {
            // A reserve that cannot be taken is no reason to fail a put that succeeded.
            drop(self.fill(root));
        }
    }

    /// Takes the space, or leaves no trace.
    pub(super) fn fill(&self, root: &OwnedFd) -> io::Result<()> {
        let result = allocate(root);
        match &result {
            Ok(()) => self.missing.store(false, Ordering::Relaxed),
            Err(_) => {
                let _ = rustix::fs::unlinkat(root, NAME, AtFlags::empty());
            }
        }
        result
    }
}

fn allocate(root: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(root, NAME, flags, Mode::RUSR | Mode::WUSR)?;
    match rustix::fs::fallocate(&fd, FallocateFlags::empty(), 0, LEN) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_noise(&fd)?,
        Err(error) => return Err(error.into()),
    }
    rustix::fs::fsync(&fd)?;
    Ok(())
}

/// Fills the file with bytes that no file system can compress or share.
fn write_noise(fd: &OwnedFd) -> io::Result<()> {
    let mut file = File::from(fd.as_fd().try_clone_to_owned()?);
    let mut noise = blake3::Hasher::new().update(b"reserve").finalize_xof();
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..LEN / buffer.len() as u64 {
        noise.fill(&mut buffer);
        file.write_all(&buffer)?;
    }
    Ok(())
}
