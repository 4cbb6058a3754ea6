//! A regular file, written from several threads.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{
    FallocateFlags, FileType, FlockOperation, Mode, OFlags, copy_file_range, fallocate, fchmod,
    flock, fstat, ioctl_ficlone, openat,
};
use rustix::io::Errno;

use super::claim::{Claim, Created, Finished};
use super::directory::Identity;
use super::existing::{FileReader, Found};
use super::fault::{fault, replaced};
use super::handle::Handle;
use super::{TargetDir, metadata};
use crate::base::{Error, Result};
use crate::format::entry::Entry;

/// Bytes that the system is asked to copy at a time.
const COPY_LEN_MAX: usize = 1 << 30;
/// Bytes that are copied at a time where the system does not.
const PLAIN_COPY_LEN: usize = 256 << 10;

/// A regular file that is being written. Dropped before [`Self::finish`], it is removed, and what
/// it was to replace stays; one that is written in place stays as it is by then.
#[derive(Debug)]
pub struct FileWriter {
    file: File,
    hold: Hold,
    is_left_over: bool,
}

/// What is written.
#[derive(Debug)]
enum Hold {
    /// A new file.
    New(Claim),
    /// What was there before.
    Old(Created),
}

/// Creates the regular file `name` in `dir`, private until it is finished.
///
/// # Errors
/// [`crate::base::ErrorKind::Exists`] when a directory with content has the name.
pub fn create_file(dir: &Arc<TargetDir>, name: &[u8]) -> Result<FileWriter> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (fd, claim) = Claim::new(dir, name, |dir, name| {
        let fd = openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        let stat = fstat(&fd)?;
        Ok((fd, stat))
    })?;
    Ok(FileWriter { file: fd.into(), hold: Hold::New(claim), is_left_over: false })
}

/// Creates the regular file `name` in `dir` under a temporary name until it is finished; what a run
/// that was killed has left of it is taken up again, with whatever is in it.
///
/// # Errors
/// [`crate::base::ErrorKind::Exists`] when a directory with content has the name.
pub fn create_file_beside(dir: &Arc<TargetDir>, name: &[u8]) -> Result<FileWriter> {
    let (fd, claim, is_left_over) = Claim::beside(dir, name)?;
    Ok(FileWriter { file: fd.into(), hold: Hold::New(claim), is_left_over })
}

/// Opens the regular file `name` in `dir`, which `found` has found, to be written in place as `entry`
/// says. From then on only its owner may read it, until it is finished: it may get content that
/// others must not read. What a run that was killed has left beside it is removed.
///
/// # Errors
/// When it may not be written, is being executed, has another name, which may lie anywhere, is
/// another one by now, or another restore is at it. When it would let somebody else read what is
/// written: it has another owner than it is to have, or rules that are to stay.
pub fn open_file_in_place(
    dir: &Arc<TargetDir>,
    name: &[u8],
    found: &Found,
    entry: &Entry,
) -> Result<FileWriter> {
    dir.check_name(name)?;
    let failed = |e: Errno| fault("write in place", &dir.path_of(name), e);
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = dir.open_component(dir.open()?.as_fd(), name, flags).map_err(failed)?;
    flock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(failed)?;
    let stat = fstat(&fd).map_err(failed)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let identity = Identity::from(&stat);
    if !is_file || stat.st_nlink != 1 || identity != found.identity() {
        return Err(replaced(&dir.path_of(name)));
    }
    let handle = Handle::open(fd.as_fd());
    if !metadata::is_private_to_whom_it_is_for(dir.shared(), &handle, &stat, entry) {
        return Err(failed(Errno::PERM));
    }
    fchmod(&fd, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    Claim::discard_left_over(dir, name);
    let created = Created { dir: Arc::clone(dir), name: name.into(), identity };
    Ok(FileWriter { file: fd.into(), hold: Hold::Old(created), is_left_over: false })
}

impl FileWriter {
    /// Whether a run that was killed has begun it.
    pub fn is_left_over(&self) -> bool {
        self.is_left_over
    }

    /// Whether it is the file that was there before.
    pub fn is_in_place(&self) -> bool {
        matches!(self.hold, Hold::Old(_))
    }

    /// Fills `bytes` with what lies at `offset`; `false` when that cannot be read.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> bool {
        self.file.read_exact_at(bytes, offset).is_ok()
    }

    /// Writes `bytes` at `offset`; ranges of concurrent calls must be apart.
    ///
    /// # Errors
    /// [`crate::base::ErrorKind::Full`] when the disk is.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|e| self.failed("write", e))
    }

    /// The same file once more, for who puts it on the disk meanwhile.
    pub fn duplicate(&self) -> Option<File> {
        self.file.try_clone().ok()
    }

    /// Shares all content of `old`, where the file system can: nothing is copied then, and no space
    /// is taken. Says whether it can.
    pub fn clone_all(&self, old: &FileReader) -> bool {
        ioctl_ficlone(&self.file, old.file()).is_ok()
    }

    /// Copies `range` of `old` to the same place.
    ///
    /// # Errors
    /// [`crate::base::ErrorKind::Full`] when the disk is.
    pub fn copy_from(&self, old: &FileReader, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(COPY_LEN_MAX);
            let (mut from, mut to) = (at, at);
            let copied = match copy_file_range(
                old.file(),
                Some(&mut from),
                &self.file,
                Some(&mut to),
                len,
            ) {
                // Also what the system refuses to copy can be read and written.
                Ok(0) | Err(_) => {
                    let mut bytes = vec![0; len.min(PLAIN_COPY_LEN)];
                    let read = old.file().read_at(&mut bytes, at);
                    let len = read.map_err(|e| self.failed("copy the old content of", e))?;
                    if len == 0 {
                        let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                        return Err(self.failed("copy the old content of", error));
                    }
                    self.write_at(&bytes[..len], at)?;
                    len
                }
                Ok(len) => len,
            };
            at += copied as u64;
        }
        Ok(())
    }

    /// Makes a hole of `range`, which lies within the file.
    ///
    /// # Errors
    /// When neither a hole nor zeros can be written.
    pub fn clear(&self, range: Range<u64>) -> Result<()> {
        let len = range.end - range.start;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if fallocate(&self.file, flags, range.start, len).is_ok() {
            return Ok(());
        }
        let zeros = vec![0; PLAIN_COPY_LEN];
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(zeros.len());
            self.write_at(&zeros[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Sets the length: what was never written is a hole, which reads as zeros and takes no space.
    ///
    /// # Errors
    /// [`crate::base::ErrorKind::Unsupported`] when the file system has no files of this length.
    pub fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|e| self.failed("set the length of", e))
    }

    /// Applies the metadata of `entry`, then puts the file in place of what has its name.
    ///
    /// # Errors
    /// When the name cannot be taken. What could not be applied is in the result.
    pub fn finish(self, entry: &Entry) -> Result<Finished> {
        // Blocks that were there before may reach the disk after the time that calls them whole.
        if self.is_in_place() {
            self.file.sync_data().map_err(|e| self.failed("write", e))?;
        }
        let shared = self.hold.dir().shared();
        let handle = Handle::open(self.file.as_fd());
        let problems = metadata::apply(shared, &handle, entry, &|| self.hold.path());
        let created = match self.hold {
            Hold::New(claim) => claim.commit()?,
            Hold::Old(created) => created,
        };
        Ok(Finished { created, problems })
    }

    /// Leaves what is written for a run that goes on with it, where that is possible.
    pub fn leave(self) {
        if let Hold::New(claim) = self.hold {
            claim.leave();
        }
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        fault(doing, &self.hold.path(), error)
    }
}

impl Hold {
    fn dir(&self) -> &Arc<TargetDir> {
        match self {
            Self::New(claim) => claim.dir(),
            Self::Old(created) => &created.dir,
        }
    }

    fn path(&self) -> String {
        match self {
            Self::New(claim) => claim.path(),
            Self::Old(created) => created.dir.path_of(&created.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::base::ErrorKind;
    use crate::format::entry::EntryKind;
    use crate::target::testing::{
        ACCESS_ACL, Mount, World, entry, is_root, names, shared_with_1234,
    };
    use crate::target::{Options, Target};

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let world = World::new();
        let precious = world.outside().join("precious");
        fs::write(&precious, "precious").unwrap();
        symlink(&precious, world.path("f")).unwrap();
        symlink(world.outside().join("new"), world.path("g")).unwrap();
        for name in [b"f", b"g"] {
            let file = create_file(world.root(), name).unwrap();
            file.write_at(b"restored", 0).unwrap();
            assert!(file.finish(&entry(EntryKind::File, 0o644)).unwrap().problems.is_empty());
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert_eq!(names(&world.outside()), ["precious"]);
        assert_eq!(names(&world.path("")), ["f", "g"]);
        assert!(fs::symlink_metadata(world.path("f")).unwrap().is_file());
        assert_eq!(fs::read(world.path("g")).unwrap(), b"restored");
    }

    #[test]
    fn the_old_file_stays_until_the_new_one_is_whole() {
        let world = World::new();
        fs::write(world.path("f"), "old").unwrap();
        fs::hard_link(world.path("f"), world.path("other name")).unwrap();
        let file = create_file(world.root(), b"f").unwrap();
        file.write_at(b"new", 0).unwrap();
        assert_eq!(fs::read(world.path("f")).unwrap(), b"old");
        assert_eq!(names(&world.path("")).len(), 3);
        drop(file);
        assert_eq!(names(&world.path("")), ["f", "other name"]);
        let file = create_file(world.root(), b"f").unwrap();
        file.write_at(b"new", 0).unwrap();
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        assert_eq!(fs::read(world.path("f")).unwrap(), b"new");
        assert_eq!(fs::read(world.path("other name")).unwrap(), b"old");
        assert_eq!(names(&world.path("")), ["f", "other name"]);
    }

    #[test]
    fn in_place_only_the_file_itself_is_written_and_nobody_else_reads_it() {
        let world = World::new();
        let precious = world.outside().join("precious");
        fs::write(&precious, "precious").unwrap();
        fs::write(world.path("f"), "old content").unwrap();
        let open = |name: &[u8]| {
            let found = world.root().look_again(name).unwrap().unwrap();
            open_file_in_place(world.root(), name, &found, &entry(EntryKind::File, 0o644))
        };
        let file = open(b"f").unwrap();
        file.write_at(b"NEW", 0).unwrap();
        let during = fs::metadata(world.path("f")).unwrap();
        assert_eq!(during.mode() & 0o7777, 0o600);
        // Another restore at the same time.
        assert!(open(b"f").is_err());
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        let after = fs::metadata(world.path("f")).unwrap();
        assert_eq!((after.ino(), after.mode() & 0o7777), (during.ino(), 0o644));
        assert_eq!(fs::read(world.path("f")).unwrap(), b"NEW content");
        // Dropped, it stays.
        open(b"f").unwrap().write_at(b"half", 0).unwrap();
        assert_eq!(fs::read(world.path("f")).unwrap(), b"halfcontent");
        fs::hard_link(&precious, world.path("linked")).unwrap();
        assert!(open(b"linked").is_err());
        let about = entry(EntryKind::File, 0o644);
        let found = world.root().look_again(b"f").unwrap().unwrap();
        fs::remove_file(world.path("f")).unwrap();
        symlink(&precious, world.path("f")).unwrap();
        assert!(open_file_in_place(world.root(), b"f", &found, &about).is_err());
        fs::remove_file(world.path("f")).unwrap();
        fs::write(world.path("f"), "it").unwrap();
        let found = world.root().look_again(b"f").unwrap().unwrap();
        fs::write(world.path("other"), "another one").unwrap();
        fs::rename(world.path("other"), world.path("f")).unwrap();
        assert!(open_file_in_place(world.root(), b"f", &found, &about).is_err());
        assert_eq!(fs::read(world.path("f")).unwrap(), b"another one");
        if is_root("a file of somebody else is not written in place") {
            let found = |world: &World| world.root().look_again(b"f").unwrap().unwrap();
            std::os::unix::fs::chown(world.path("f"), Some(1234), None).unwrap();
            assert!(open_file_in_place(world.root(), b"f", &found(&world), &about).is_err());
            let mut theirs = about.clone();
            theirs.uid = 1234;
            assert!(open_file_in_place(world.root(), b"f", &found(&world), &theirs).is_ok());
            let unowned = Options { owner: false, ..Options::default() };
            let unowned = Target::open(&world.path(""), unowned).unwrap();
            let file = open_file_in_place(unowned.root(), b"f", &found(&world), &theirs);
            assert!(file.is_err());
        }
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }

    #[test]
    fn in_place_nobody_is_let_in_by_rules_that_stay() {
        let world = World::with(Options { xattrs: false, ..Options::default() });
        fs::write(world.path("f"), "old").unwrap();
        let found = world.root().look_again(b"f").unwrap().unwrap();
        let open =
            || open_file_in_place(world.root(), b"f", &found, &entry(EntryKind::File, 0o644));
        assert!(open().is_ok());
        xattr::set(world.path("f"), ACCESS_ACL, &shared_with_1234()).unwrap();
        assert!(open().is_err());
    }

    #[test]
    fn in_place_nothing_is_left_beside_of_a_run_that_was_killed() {
        let world = World::new();
        fs::write(world.path("f"), "old").unwrap();
        let target = Target::open(&world.path(""), Options::default()).unwrap();
        create_file_beside(target.root(), b"f").unwrap().leave();
        assert_eq!(names(&world.path("")).len(), 2);
        let found = target.root().look(b"f").unwrap().unwrap();
        let about = entry(EntryKind::File, 0o644);
        drop(open_file_in_place(target.root(), b"f", &found, &about).unwrap());
        assert_eq!(names(&world.path("")), ["f"]);
    }

    #[test]
    fn a_partial_file_is_removed_unless_its_name_means_something_else() {
        let world = World::new();
        let file = create_file(world.root(), b"f").unwrap();
        file.write_at(b"half", 0).unwrap();
        drop(file);
        assert_eq!(names(&world.path("")), Vec::<String>::new());
        let file = create_file(world.root(), b"f").unwrap();
        fs::remove_file(world.path("f")).unwrap();
        fs::write(world.path("f"), "somebody else's").unwrap();
        drop(file);
        assert_eq!(fs::read(world.path("f")).unwrap(), b"somebody else's");
    }

    #[test]
    fn what_a_killed_run_has_left_is_taken_up_unless_it_may_be_somebody_elses() {
        let world = World::new();
        let begin = || create_file_beside(world.root(), b"f").unwrap();
        let file = begin();
        assert!(!file.is_left_over());
        file.write_at(b"half", 0).unwrap();
        file.leave();
        let left = world.path(&names(&world.path("")).pop().unwrap());
        let file = begin();
        let mut bytes = [0; 4];
        assert!(file.is_left_over() && file.read_at(&mut bytes, 0));
        assert_eq!(&bytes, b"half");
        // Another run at the same time begins anew.
        assert!(!begin().is_left_over());
        file.leave();
        let other = world.outside().join("other");
        fs::hard_link(&left, &other).unwrap();
        assert!(!begin().is_left_over());
        fs::remove_file(&left).unwrap();
        symlink(&other, &left).unwrap();
        assert!(!begin().is_left_over());
        assert_eq!(fs::read(&other).unwrap(), b"half");
        fs::rename(&other, &left).unwrap();
        // In a directory to which others write, they may have put it there.
        fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        let target = Target::open(&world.path(""), Options::default()).unwrap();
        let file = create_file_beside(target.root(), b"f").unwrap();
        assert!(!file.is_left_over());
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        assert_eq!(fs::read(world.path("f")).unwrap(), b"");
        world.check_outside();
    }

    #[test]
    fn what_is_taken_from_the_old_file_is_the_same_with_and_without_shared_blocks() {
        let world = World::new();
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(world.path("f"), &content).unwrap();
        let target = Target::open(&world.path(""), Options::default()).unwrap();
        let old = target.root().open_file(b"f").unwrap();
        let file = create_file_beside(target.root(), b"f").unwrap();
        if !file.clone_all(&old) {
            file.copy_from(&old, 0..100_001).unwrap();
            file.copy_from(&old, 200_000..300_000).unwrap();
        }
        file.set_len(299_000).unwrap();
        file.clear(100_001..200_000).unwrap();
        assert!(file.copy_from(&old, 299_000..300_001).is_err(), "beyond the end");
        file.set_len(299_000).unwrap();
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        let mut expect = content;
        expect.truncate(299_000);
        expect[100_001..200_000].fill(0);
        assert!(fs::read(world.path("f")).unwrap() == expect);
    }

    #[test]
    fn only_an_empty_directory_gives_way() {
        let world = World::new();
        fs::create_dir(world.path("empty")).unwrap();
        fs::create_dir_all(world.path("full/below")).unwrap();
        let file = create_file(world.root(), b"empty").unwrap();
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        assert!(world.path("empty").is_file());
        let error = create_file(world.root(), b"full").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert!(error.message.contains("/target/full"));
        // A directory that appears while the file is written.
        fs::write(world.path("late"), "").unwrap();
        let file = create_file(world.root(), b"late").unwrap();
        fs::remove_file(world.path("late")).unwrap();
        fs::create_dir_all(world.path("late/below")).unwrap();
        let error = file.finish(&entry(EntryKind::File, 0o644)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        assert_eq!(names(&world.path("")), ["empty", "full", "late"]);
    }

    #[test]
    fn threads_write_one_file_and_what_they_leave_out_is_a_hole() {
        const PIECE_LEN: usize = 1 << 20;
        let world = World::new();
        let file = create_file(world.root(), b"f").unwrap();
        file.set_len(64 << 20).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let file = &file;
                scope.spawn(move || {
                    let offset = u64::from(thread) * (16 << 20);
                    file.write_at(&[thread + 1; PIECE_LEN], offset).unwrap();
                });
            }
        });
        file.finish(&entry(EntryKind::File, 0o644)).unwrap();
        let bytes = fs::read(world.path("f")).unwrap();
        assert_eq!(bytes.len(), 64 << 20);
        for (thread, part) in bytes.chunks(16 << 20).enumerate() {
            let (written, hole) = part.split_at(PIECE_LEN);
            assert!(written.iter().all(|b| usize::from(*b) == thread + 1));
            assert!(hole.iter().all(|b| *b == 0));
        }
        let stat = fs::metadata(world.path("f")).unwrap();
        assert!(stat.blocks() * 512 < 8 << 20, "{} blocks", stat.blocks());
    }

    #[test]
    fn a_length_beyond_the_file_system_concerns_this_file_only() {
        let world = World::new();
        let file = create_file(world.root(), b"f").unwrap();
        if let Err(error) = file.set_len(crate::format::entry::SIZE_MAX) {
            assert_eq!(error.kind, ErrorKind::Unsupported);
        }
        assert!(file.set_len(u64::MAX).is_err());
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        if !is_root("a_full_disk_is_told_from_other_failures") {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let Some(mount) = Mount::tmpfs(scratch.path()) else { return };
        let target = Target::open(scratch.path(), Options::default()).unwrap();
        assert!(target.available_bytes().unwrap() <= 1 << 20);
        let file = create_file(target.root(), b"f").unwrap();
        let error = file.write_at(&vec![1; 2 << 20], 0).unwrap_err();
        drop(file);
        assert_eq!(error.kind, ErrorKind::Full);
        assert!(error.message.ends_with("/f"), "{error}");
        assert_eq!(names(scratch.path()), Vec::<String>::new());
        assert!(target.available_bytes().unwrap() >= 1 << 19);
        drop(target);
        drop(mount);
    }
}
