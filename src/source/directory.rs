//! An open directory, the only place to reach its children from.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use super::child::Child;
use super::open::{open, open_pinned};
use super::path::{DEPTH_MAX, SourcePath};
use super::problem::{Problem, READ};
use super::selection::Level;
use crate::base::ErrorKind;
use crate::format::entry::{EntryKind, NAME_LEN_MAX, validate_name};

/// Room for names of one `getdents64`. 32 KiB is what libc uses; twice that halves the calls in a
/// huge directory.
const NAMES_LEN: usize = 64 << 10;

/// A directory that is held open.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: SourcePath,
    child: Child,
    /// A passage may be stood on without permission to list it.
    is_passage: bool,
    /// What the selection of the run knows here.
    pub(super) level: Level,
    /// The position within the directory belongs to the descriptor: one listing at a time.
    position: Mutex<()>,
}

/// The names of a directory, sorted bytewise. A million names take about 50 MB.
#[derive(Debug, Default)]
pub struct Listing {
    bytes: Vec<u8>,
    names: Vec<Name>,
    /// Names that cannot be stored, or an error that ended the listing early.
    pub problems: Vec<Problem>,
    /// Names were left out on request.
    pub is_partial: bool,
    /// Only some names are wanted, whatever else may come.
    pub(super) is_closed: bool,
    /// Names that were left out.
    dropped: Vec<Name>,
    /// How often somebody looked for names that came since.
    look_count: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    inode: u64,
    start: usize,
    len: usize,
}

/// Children of a directory, sorted bytewise by name.
#[derive(Debug, Default)]
pub struct Scan {
    /// What was found.
    pub children: Vec<Child>,
    /// What was not. The tree is incomplete where there is any.
    pub problems: Vec<Problem>,
    /// Listed names that are gone: removed since, or renamed to what the listing does not have.
    pub gone_count: usize,
}

impl Directory {
    /// Opens a directory by its path, which may lead over symbolic links.
    ///
    /// # Errors
    /// Says why not.
    pub fn open_root(path: &Path) -> Result<Self, Problem> {
        let bytes = path.as_os_str().as_bytes();
        let path = SourcePath::new(bytes);
        let mut at = bytes.to_vec();
        if !at.is_empty() {
            // The slash makes the kernel follow a final link in spite of `O_NOFOLLOW`.
            at.push(b'/');
        }
        let fd = open(CWD, &at, OFlags::DIRECTORY);
        Self::from_open(fd, path, b"", false)
    }

    /// Opens `/` as the way to the sources. It cannot be listed.
    ///
    /// # Errors
    /// Says why not.
    pub fn open_top() -> Result<Self, Problem> {
        let fd = open_pinned(CWD, b"/", OFlags::DIRECTORY);
        Self::from_open(fd, SourcePath::new(b"/"), b"", true)
    }

    /// Opens the directory `name` as the way to the sources. It cannot be listed, and no
    /// permission to do so is needed.
    ///
    /// # Errors
    /// Says why not.
    pub fn open_passage(&self, name: &[u8]) -> Result<Self, Problem> {
        let path = self.path_below(name)?;
        let fd = open_pinned(self.as_fd(), name, OFlags::DIRECTORY);
        Self::from_open(fd, path, name, true)
    }

    /// Opens the directory `name` for listing. It may be another than at the time of the scan, and
    /// on another file system: compare [`Self::child`].
    ///
    /// # Errors
    /// Says why not, also where it is no longer a directory.
    pub fn open_child(&self, name: &[u8]) -> Result<Self, Problem> {
        let path = self.path_below(name)?;
        let fd = open(self.as_fd(), name, OFlags::DIRECTORY);
        Self::from_open(fd, path, name, false)
    }

    fn path_below(&self, name: &[u8]) -> Result<SourcePath, Problem> {
        if self.path.depth() >= DEPTH_MAX {
            let message = format!("it lies deeper than {DEPTH_MAX} directories");
            let path = self.path.bytes_of(name);
            return Err(Problem::new(path, READ, ErrorKind::Unsupported, message));
        }
        Ok(self.path.join(name))
    }

    fn from_open(
        fd: rustix::io::Result<OwnedFd>,
        path: SourcePath,
        name: &[u8],
        is_passage: bool,
    ) -> Result<Self, Problem> {
        let refuse = |errno| match errno {
            Errno::NOTDIR | Errno::LOOP => Problem::new(
                path.to_bytes(),
                READ,
                ErrorKind::NotFound,
                "it is no longer a directory",
            ),
            errno => Problem::io(path.to_bytes(), READ, errno),
        };
        let fd = fd.map_err(refuse)?;
        let stat = rustix::fs::fstat(&fd).map_err(refuse)?;
        let child = Child::new(name, &stat).ok_or_else(|| refuse(Errno::NOTDIR))?;
        let level = Level::default();
        Ok(Self { fd, path, child, is_passage, level, position: Mutex::new(()) })
    }

    /// Where it was found.
    pub fn path(&self) -> &SourcePath {
        &self.path
    }

    /// Its own stat, taken after it was opened.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Whether it was opened only as the way to the sources.
    pub(super) fn is_passage(&self) -> bool {
        self.is_passage
    }

    /// Reads the names.
    ///
    /// # Errors
    /// Fails when not even the first name could be read. A later error is a problem of the
    /// listing.
    pub fn list(&self) -> Result<Listing, Problem> {
        let guard = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let refuse = |errno| Problem::io(self.path.to_bytes(), READ, errno);
        rustix::fs::seek(&self.fd, SeekFrom::Start(0)).map_err(refuse)?;
        let mut listing = Listing::default();
        let mut buffer: Vec<u8> = Vec::with_capacity(NAMES_LEN);
        let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let mut names = RawDir::new(&self.fd, spare);
        while let Some(item) = names.next() {
            match item {
                Ok(item) => self.keep(&mut listing, item.file_name().to_bytes(), item.ino()),
                Err(Errno::INTR) => {}
                Err(errno) if listing.names.is_empty() => return Err(refuse(errno)),
                Err(errno) => {
                    listing.problems.push(refuse(errno));
                    break;
                }
            }
        }
        drop(guard);
        listing.sort();
        Ok(listing)
    }

    fn keep(&self, listing: &mut Listing, name: &[u8], inode: u64) {
        if name == b"." || name == b".." {
            return;
        }
        if validate_name(name).is_err() {
            // exFAT and SMB allow 255 UTF-16 units, which are up to 765 bytes.
            let message = if name.len() > NAME_LEN_MAX {
                format!("its name is longer than {NAME_LEN_MAX} bytes")
            } else {
                "its name cannot be stored".into()
            };
            let path = self.path.bytes_of(name);
            listing.problems.push(Problem::new(path, READ, ErrorKind::Unsupported, message));
            return;
        }
        listing.names.push(Name { inode, start: listing.bytes.len(), len: name.len() });
        listing.bytes.extend_from_slice(name);
    }

    /// Takes one stat of each of the names number `range` of a listing. Names that are gone by now
    /// are counted: what was there all the time may have another name by now.
    ///
    /// A directory of a million names is taken in batches, so that memory stays bounded.
    pub fn stat(&self, listing: &Listing, range: Range<usize>) -> Scan {
        let mut scan = Scan::default();
        let mut order: Vec<Name> = listing.names[range].to_vec();
        // A cold disk reads its inode tables in one sweep instead of in the order of a hash.
        order.sort_unstable_by_key(|name| name.inode);
        for name in order {
            match self.stat_child(listing.bytes_of(name)) {
                Ok(Some(child)) => scan.children.push(child),
                Ok(None) => scan.gone_count += 1,
                Err(problem) => scan.problems.push(problem),
            }
        }
        scan.children.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        scan.problems.sort_by(|a, b| a.path.cmp(&b.path));
        scan
    }

    /// Lists the directory with one stat of each name.
    ///
    /// # Errors
    /// Fails when not even the first name could be read.
    pub fn scan(&self) -> Result<Scan, Problem> {
        let listing = self.list()?;
        let mut scan = self.stat(&listing, 0..listing.len());
        scan.problems.splice(..0, listing.problems);
        Ok(scan)
    }

    /// Takes a stat of one name, which is `None` when there is no such name.
    ///
    /// # Errors
    /// Says why not.
    pub fn stat_child(&self, name: &[u8]) -> Result<Option<Child>, Problem> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = match rustix::io::retry_on_intr(|| rustix::fs::statat(&self.fd, name, flags)) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(Problem::io(self.path.bytes_of(name), READ, errno)),
        };
        let child = Child::new(name, &stat).ok_or_else(|| {
            let message = format!("files of mode {:o} are not known", stat.st_mode);
            Problem::new(self.path.bytes_of(name), READ, ErrorKind::Unsupported, message)
        })?;
        Ok(Some(child))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listing {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name number `index`.
    pub fn name(&self, index: usize) -> &[u8] {
        self.bytes_of(self.names[index])
    }

    /// Whether a name is among them.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.names.binary_search_by(|one| self.bytes_of(*one).cmp(name)).is_ok()
    }

    /// Drops the names that `keep` refuses.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        let Self { bytes, names, dropped, .. } = self;
        names.retain(|name| {
            let is_kept = keep(&bytes[name.start..name.start + name.len]);
            if !is_kept {
                dropped.push(*name);
            }
            is_kept
        });
        dropped.sort_unstable_by(|a, b| bytes_in(bytes, *a).cmp(bytes_in(bytes, *b)));
    }

    /// Counts one more look for names that came since; says how many there were.
    pub fn count_look(&self) -> usize {
        self.look_count.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a name was there, also if it was left out.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        let is_dropped =
            || self.dropped.binary_search_by(|one| self.bytes_of(*one).cmp(name)).is_ok();
        self.contains(name) || is_dropped()
    }

    /// The names in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| self.bytes_of(*name))
    }

    fn bytes_of(&self, name: Name) -> &[u8] {
        bytes_in(&self.bytes, name)
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let of = |name: &Name| &bytes[name.start..name.start + name.len];
        self.names.sort_unstable_by(|a, b| of(a).cmp(of(b)));
        // A directory that changes while it is listed may show a name twice; a tree may not.
        self.names.dedup_by(|a, b| of(a) == of(b));
    }
}

fn bytes_in(bytes: &[u8], name: Name) -> &[u8] {
    &bytes[name.start..name.start + name.len]
}

impl Scan {
    /// The children that are directories.
    pub fn directories(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().filter(|child| child.kind == EntryKind::Directory)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::{Duration, SystemTime};

    use rustix::fs::{Mode, XattrFlags, mkdirat, setxattr};

    use super::*;
    use crate::source::testing::{as_nobody, names, skip};
    use crate::source::{Describer, OpenFile};

    #[test]
    fn names_are_raw_bytes_in_bytewise_order() {
        let scratch = tempfile::tempdir().unwrap();
        let long = [b'n'; 255];
        let mut odd: Vec<&[u8]> = vec![
            b"\xff\xfe",
            b"a\nb",
            b"\x1b[31m",
            b"...",
            b"-rf",
            b" ",
            b"A",
            b"a",
            b"a b",
            &long,
        ];
        for name in &odd {
            std::fs::write(scratch.path().join(std::ffi::OsStr::from_bytes(name)), b"x").unwrap();
        }
        let directory = Directory::open_root(scratch.path()).unwrap();
        odd.sort_unstable();
        for _ in 0..2 {
            let scan = directory.scan().unwrap();
            assert_eq!(names(&scan), odd, "also when listed again");
            assert_eq!(scan.problems, []);
        }
    }

    #[test]
    fn a_large_directory_is_taken_in_batches() {
        const COUNT: usize = 10_000;
        let scratch = tempfile::tempdir().unwrap();
        for i in 0..COUNT {
            File::create(scratch.path().join(format!("{i:05}"))).unwrap();
        }
        let directory = Directory::open_root(scratch.path()).unwrap();
        let listing = directory.list().unwrap();
        assert_eq!(listing.len(), COUNT);
        assert_eq!(listing.name(COUNT - 1), b"09999");
        let mut met = 0;
        for start in (0..COUNT).step_by(999) {
            let scan = directory.stat(&listing, start..COUNT.min(start + 999));
            for child in scan.children {
                assert_eq!(child.name, listing.name(met));
                met += 1;
            }
        }
        assert_eq!(met, COUNT);
    }

    #[test]
    fn a_name_that_vanishes_after_the_listing_is_counted() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(scratch.path().join(name), name).unwrap();
        }
        let directory = Directory::open_root(scratch.path()).unwrap();
        let listing = directory.list().unwrap();
        std::fs::remove_file(scratch.path().join("b")).unwrap();
        let scan = directory.stat(&listing, 0..3);
        assert_eq!(names(&scan), [b"a", b"c"]);
        assert_eq!((scan.problems, scan.gone_count), (vec![], 1));
    }

    #[test]
    fn a_directory_that_became_a_link_is_not_followed() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        let top = Directory::open_root(scratch.path()).unwrap();
        let scan = top.scan().unwrap();
        assert_eq!(scan.directories().count(), 1);
        std::fs::remove_dir(scratch.path().join("d")).unwrap();
        std::os::unix::fs::symlink("/etc", scratch.path().join("d")).unwrap();
        for result in [top.open_child(b"d"), top.open_passage(b"d")] {
            let problem = result.unwrap_err();
            assert!(problem.to_string().ends_with("/d: it is no longer a directory"), "{problem}");
        }
        assert!(top.open_child(b"gone").is_err_and(|p| p.kind == ErrorKind::NotFound));
        let through_link = Directory::open_root(&scratch.path().join("d")).unwrap();
        assert!(through_link.stat_child(b"passwd").unwrap().is_some());
        assert!(Directory::open_root(Path::new("")).is_err());
    }

    #[test]
    fn paths_longer_than_the_kernel_takes_are_read() {
        let scratch = tempfile::tempdir().unwrap();
        let name = [b'd'; 200];
        let mut directory = Directory::open_root(scratch.path()).unwrap();
        for _ in 0..25 {
            mkdirat(&directory, &name[..], Mode::RWXU).unwrap();
            let scan = directory.scan().unwrap();
            assert_eq!(names(&scan), [name]);
            directory = directory.open_child(&scan.children[0].name).unwrap();
        }
        assert!(directory.path().to_bytes().len() > 5000);
        rustix::fs::symlinkat("target", &directory, "link").unwrap();
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let fd = rustix::fs::openat(&directory, "file", flags, Mode::RUSR).unwrap();
        rustix::io::write(fd, b"deep").unwrap();
        let scan = directory.scan().unwrap();
        assert_eq!(names(&scan), [&b"file"[..], b"link"]);
        let mut buffer = [0; 9];
        let file = OpenFile::open(&directory, &scan.children[0]).unwrap();
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 4);
        let (entry, problems) = Describer::default().other(&directory, &scan.children[1]).unwrap();
        assert_eq!((entry.target.as_deref(), problems.len()), (Some(&b"target"[..]), 0));
    }

    #[test]
    fn a_descent_ends_at_the_depth_that_a_restore_can_reach() {
        let scratch = tempfile::tempdir().unwrap();
        let mut directory = Directory::open_root(scratch.path()).unwrap();
        for _ in 0..DEPTH_MAX {
            mkdirat(&directory, "d", Mode::RWXU).unwrap();
            directory = directory.open_child(b"d").unwrap();
        }
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        let problem = directory.open_child(b"d").unwrap_err();
        assert_eq!(problem.kind, ErrorKind::Unsupported);
    }

    #[test]
    fn reading_leaves_no_access_time_behind() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("d")).unwrap();
        std::fs::write(scratch.path().join("f"), "x").unwrap();
        // Older than a day, which `relatime` would renew at the next read.
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for name in ["d", "f"] {
            let times = FileTimes::new().set_accessed(old);
            File::open(scratch.path().join(name)).unwrap().set_times(times).unwrap();
        }
        let top = Directory::open_root(scratch.path()).unwrap();
        let scan = top.scan().unwrap();
        assert_eq!(top.open_child(b"d").unwrap().scan().unwrap().children, []);
        let file = OpenFile::open(&top, &scan.children[1]).unwrap();
        assert_eq!(file.read_at(&mut [0; 8], 0).unwrap(), 1);
        for name in ["d", "f"] {
            let found = std::fs::metadata(scratch.path().join(name)).unwrap();
            assert_eq!(found.accessed().unwrap(), old, "{name}");
        }
    }

    #[test]
    fn what_may_not_be_read_is_a_problem() {
        let prepare = |scratch: &Path| {
            for (name, mode) in [("unlisted", 0o711), ("names_only", 0o744), ("closed", 0o700)] {
                let directory = scratch.join(name);
                std::fs::create_dir(&directory).unwrap();
                std::fs::write(directory.join("file"), "x").unwrap();
                if setxattr(&directory, "user.x", b"1", XattrFlags::empty()).is_err() {
                    skip("no user attributes on the file system of the tests");
                }
                std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).unwrap();
            }
        };
        let test = "source::directory::tests::what_may_not_be_read_is_a_problem";
        as_nobody(test, prepare, |scratch| {
            let top = Directory::open_root(scratch).unwrap();
            assert_eq!(top.scan().unwrap().children.len(), 3);
            for name in ["unlisted", "closed"] {
                let problem = top.open_child(name.as_bytes()).unwrap_err();
                assert_eq!(problem.kind, ErrorKind::Access);
                let text = format!("{name}: permission denied");
                assert!(problem.to_string().ends_with(&text), "{problem}");
            }
            let scan = top.open_child(b"names_only").unwrap().scan().unwrap();
            assert_eq!(scan.children, []);
            assert!(scan.problems[0].to_string().ends_with("names_only/file: permission denied"));
            let passage = top.open_passage(b"unlisted").unwrap();
            let child = passage.stat_child(b"file").unwrap().unwrap();
            assert_eq!(child.uid, 0);
            // A file of somebody else is read without `O_NOATIME`.
            assert!(OpenFile::open(&passage, &child).is_ok());
            // Its attributes may not be read either, which is nobody's fault.
            let (entry, problems) = Describer::default().ancestor(&passage);
            assert_eq!((entry.mode, entry.flags, problems), (0o711, None, vec![]));
            assert!(top.open_passage(b"closed").unwrap().stat_child(b"file").is_err());
        });
    }

    #[test]
    fn the_stat_of_an_open_directory_is_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::open_root(scratch.path()).unwrap();
        let expected = std::fs::metadata(scratch.path()).unwrap();
        let child = directory.child();
        assert_eq!(child.kind, EntryKind::Directory);
        assert_eq!((child.signature.inode, child.device), (expected.ino(), expected.dev()));
        assert_eq!(child.signature.mode, expected.mode());
    }
}
