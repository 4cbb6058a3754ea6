//! A regular file that is read while others may write it.
//!
//! Live files are never mapped: one that shrinks would kill the process (SIGBUS).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Advice, OFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use super::child::Child;
use super::directory::Directory;
use super::layout::{HOLE_LEN_MIN, Layout};
use super::open::{open, open_leased};
use super::path::SourcePath;
use super::problem::{Problem, READ};
use super::signature::Signature;
use crate::base::ErrorKind;
use crate::format::entry::{EntryKind, HOLE_COUNT_MAX};

/// Smallest file that is worth two calls of advice.
const ADVICE_LEN_MIN: u64 = 1 << 20;
/// Most that is read of a file without a size. `/proc/self/pagemap` would go on for 256 GiB.
const UNSIZED_LEN_MAX: u64 = 16 << 20;
/// File systems that give every file the length of a page: `sysfs`, `configfs`.
const FORMAL_LENGTHS: [u64; 2] = [0x6265_6572, 0x6265_6570];

/// A regular file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    directory: SourcePath,
    child: Child,
    /// Where reading ends at the latest.
    len_max: u64,
    is_made_up: bool,
}

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEnd {
    /// Whether it was written, cut or otherwise changed since it was opened; losing a name is no
    /// such change. What was read may never have existed at one moment, and its signature proves
    /// nothing.
    pub changed: bool,
    /// Its stat by now.
    pub signature: Signature,
}

impl OpenFile {
    /// Opens a child that was a regular file.
    ///
    /// It may be another regular file by now, as editors replace theirs; [`Self::child`] tells.
    ///
    /// # Errors
    /// Says why not, also where it is no longer a regular file.
    pub fn open(directory: &Directory, child: &Child) -> Result<Self, Problem> {
        let path = || directory.path().bytes_of(&child.name);
        #[cfg(test)]
        let answer = super::meddler::opens(&path());
        // A fifo that took the name since the scan would block a plain open until it has a writer.
        let fd = match open(directory.as_fd(), &child.name, OFlags::NONBLOCK) {
            Err(Errno::AGAIN) => open_leased(directory.as_fd(), &child.name),
            result => result,
        };
        #[cfg(test)]
        let fd = answer.and(fd);
        let fd = fd.map_err(|errno| match errno {
            // A symbolic link; a socket, or a device without a driver.
            Errno::LOOP | Errno::NXIO | Errno::NODEV => replaced(path()),
            errno => Problem::io(path(), READ, errno),
        })?;
        let file = Self::from_open(fd, directory.path().clone(), &child.name)?;
        if file.len_max >= ADVICE_LEN_MIN {
            // Read ahead twice as far, and do not push what others use out of the page cache for
            // pages that are read once. Advice that is not taken costs only speed.
            for advice in [Advice::Sequential, Advice::NoReuse] {
                let _ = rustix::fs::fadvise(&file.fd, 0, None, advice);
            }
        }
        Ok(file)
    }

    /// Starts over: takes its stat anew. It is the same file, whatever became of its name.
    ///
    /// # Errors
    /// Says why it cannot be read any more.
    pub fn renew(self) -> Result<Self, Problem> {
        Self::from_open(self.fd, self.directory, &self.child.name)
    }

    fn from_open(fd: OwnedFd, directory: SourcePath, name: &[u8]) -> Result<Self, Problem> {
        let path = || directory.bytes_of(name);
        let stat = rustix::fs::fstat(&fd).map_err(|errno| Problem::io(path(), READ, errno))?;
        let child = Child::new(name, &stat)
            .filter(|child| child.kind == EntryKind::File)
            .ok_or_else(|| replaced(path()))?;
        let size = child.signature.size;
        let is_made_up = match size {
            0 => !is_empty(&fd),
            _ => child.blocks == 0 && has_formal_length(&fd),
        };
        let len_max = if is_made_up && size == 0 { UNSIZED_LEN_MAX } else { size };
        Ok(Self { fd, directory, child, len_max, is_made_up })
    }

    /// Its stat, taken after it was opened.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Most bytes that [`Self::read_at`] yields: its size, unless it has none.
    pub fn len_max(&self) -> u64 {
        self.len_max
    }

    /// Whether neither its size nor its times tell of its content, because the kernel makes that
    /// up whenever it is read: a file of size zero that has some, as in `/proc`; one of a page that
    /// ends earlier, as in `/sys`.
    pub fn is_made_up(&self) -> bool {
        self.is_made_up
    }

    /// Raw bytes of its path, for messages.
    pub fn path_bytes(&self) -> Vec<u8> {
        self.directory.bytes_of(&self.child.name)
    }

    /// Finds its holes. Costs nothing unless it takes less space than its size needs.
    ///
    /// A file system that cannot tell says that all is data.
    pub fn layout(&self) -> Layout {
        let size = self.child.signature.size;
        let mut layout = Layout::dense(self.len_max);
        if size < HOLE_LEN_MIN || !self.child.is_sparse() {
            return layout;
        }
        let mut at = 0;
        while at < size && layout.holes.len() < HOLE_COUNT_MAX {
            let data = match rustix::fs::seek(&self.fd, SeekFrom::Data(at)) {
                Ok(data) => data.clamp(at, size),
                // No data up to the end.
                Err(Errno::NXIO) => size,
                Err(_) => break,
            };
            if data > at {
                layout.add_hole(at, data);
            }
            if data == size {
                break;
            }
            match rustix::fs::seek(&self.fd, SeekFrom::Hole(data)) {
                // Going back or standing still would never end; it is data then.
                Ok(hole) if hole > data => at = hole,
                _ => break,
            }
        }
        layout
    }

    /// Reads from `offset` into `buffer`, never past the size at the time of the open (or past
    /// [`Self::len_max`], where it has none); 0 at the end, which comes earlier where the file
    /// shrank.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.len_max.saturating_sub(offset);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        if len == 0 {
            return Ok(0);
        }
        let buffer = &mut buffer[..len];
        #[cfg(test)]
        super::meddler::reads(&self.path_bytes(), offset, len)?;
        Ok(retry_on_intr(|| rustix::io::pread(&self.fd, &mut *buffer, offset))?)
    }

    /// Tells whether it changed since it was opened.
    ///
    /// Two writes within one tick of the clock leave one time; [`Signature::settled`] is what
    /// protects from that.
    pub fn finish(&self) -> FileEnd {
        match rustix::fs::fstat(&self.fd).ok().and_then(|stat| Child::new(b"", &stat)) {
            Some(now) => {
                FileEnd { changed: has_changed(&self.child, &now), signature: now.signature }
            }
            // No answer (the server is gone) is no proof.
            None => FileEnd { changed: true, signature: self.child.signature },
        }
    }
}

fn replaced(path: Vec<u8>) -> Problem {
    Problem::new(path, READ, ErrorKind::NotFound, "it is no longer a regular file")
}

/// Whether a file was written between two stats. The time of its status moves with its content, and
/// nobody can set it back; but it also moves when the file loses a name, as one does that is
/// replaced as a whole, and that writes nothing.
fn has_changed(before: &Child, now: &Child) -> bool {
    let (a, b) = (before.signature, now.signature);
    let lost_a_name = now.nlink < before.nlink;
    (a.size, a.mtime, a.inode) != (b.size, b.mtime, b.inode) || (a.ctime != b.ctime && !lost_a_name)
}

/// Whether there is nothing to read. An error is for the reader to meet, who can name it.
fn is_empty(fd: &OwnedFd) -> bool {
    retry_on_intr(|| rustix::io::pread(fd, &mut [0; 1], 0)) == Ok(0)
}

fn has_formal_length(fd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|found| FORMAL_LENGTHS.contains(&(found.f_type as u64)))
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use rustix::fs::Mode;

    use super::*;
    use crate::format::entry::Range;
    use crate::source::testing::{as_nobody, skip};

    fn child_of(scratch: &Path, name: &str) -> (Directory, Child) {
        let directory = Directory::open_root(scratch).unwrap();
        let child = directory.stat_child(name.as_bytes()).unwrap().unwrap();
        (directory, child)
    }

    fn open_one(scratch: &Path, name: &str) -> OpenFile {
        let (directory, child) = child_of(scratch, name);
        OpenFile::open(&directory, &child).unwrap()
    }

    fn read_all(file: &OpenFile) -> Vec<u8> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match file.read_at(&mut buffer, bytes.len() as u64).unwrap() {
                0 => return bytes,
                len => bytes.extend_from_slice(&buffer[..len]),
            }
        }
    }

    #[test]
    fn what_took_the_place_of_a_file_is_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("f");
        let replacements: [(&str, &dyn Fn()); 4] = [
            ("fifo", &|| {
                rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::RWXU).unwrap();
            }),
            ("link", &|| std::os::unix::fs::symlink("/etc/passwd", &path).unwrap()),
            ("directory", &|| std::fs::create_dir(&path).unwrap()),
            ("socket", &|| {
                drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            }),
        ];
        for (what, replace) in replacements {
            std::fs::write(&path, "before").unwrap();
            let (directory, child) = child_of(scratch.path(), "f");
            std::fs::remove_file(&path).unwrap();
            let problem = OpenFile::open(&directory, &child).unwrap_err();
            assert!(problem.to_string().ends_with("/f: no such file or directory"), "{problem}");
            replace();
            let problem = OpenFile::open(&directory, &child).unwrap_err();
            assert_eq!(problem.message, "it is no longer a regular file", "{what}");
            assert_eq!(problem.kind, ErrorKind::NotFound);
            std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
        }
    }

    #[test]
    fn a_file_that_replaced_another_is_described_as_itself() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("f"), "before").unwrap();
        let (directory, child) = child_of(scratch.path(), "f");
        std::fs::write(scratch.path().join("new"), "after it").unwrap();
        std::fs::rename(scratch.path().join("new"), scratch.path().join("f")).unwrap();
        let file = OpenFile::open(&directory, &child).unwrap();
        assert_ne!(file.child().signature.inode, child.signature.inode);
        assert_eq!((file.child().signature.size, read_all(&file)), (8, b"after it".to_vec()));
    }

    #[test]
    fn a_growing_file_is_read_up_to_its_size_at_the_open() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        std::fs::write(&path, vec![b'a'; 5000]).unwrap();
        let file = open_one(scratch.path(), "log");
        File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
        assert_eq!(read_all(&file), vec![b'a'; 5000]);
        assert_eq!(file.read_at(&mut [0; 4], u64::MAX).unwrap(), 0);
        let end = file.finish();
        assert!(end.changed);
        assert_eq!(end.signature.size, 5004);
    }

    #[test]
    fn a_shrinking_file_ends_early() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("f");
        std::fs::write(&path, vec![b'a'; 5000]).unwrap();
        let file = open_one(scratch.path(), "f");
        assert_eq!(file.read_at(&mut [0; 1000], 0).unwrap(), 1000);
        File::options().write(true).open(&path).unwrap().set_len(1700).unwrap();
        assert_eq!(read_all(&file).len(), 1700);
        assert!(file.finish().changed);
    }

    #[test]
    fn an_untouched_file_did_not_change_and_a_written_one_did() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("f");
        std::fs::write(&path, "same").unwrap();
        let file = open_one(scratch.path(), "f");
        assert_eq!(read_all(&file), b"same");
        assert!(!file.finish().changed);
        let file = open_one(scratch.path(), "f");
        // The clock of the file system ticks every 4 to 10 ms.
        std::thread::sleep(std::time::Duration::from_millis(30));
        std::fs::write(&path, "sAme").unwrap();
        assert!(file.finish().changed);
    }

    #[test]
    fn a_file_that_only_lost_a_name_did_not_change() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for name in ["lost", "replaced", "closed"] {
            std::fs::write(at(name), "content").unwrap();
        }
        let files = ["lost", "replaced", "closed"].map(|name| open_one(scratch.path(), name));
        std::thread::sleep(std::time::Duration::from_millis(30));
        std::fs::remove_file(at("lost")).unwrap();
        std::fs::write(at("new"), "another").unwrap();
        std::fs::rename(at("new"), at("replaced")).unwrap();
        std::fs::set_permissions(at("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o0))
            .unwrap();
        let changed = files.map(|file| {
            assert_eq!(read_all(&file), b"content");
            file.finish().changed
        });
        assert_eq!(changed, [false, false, true]);
    }

    #[test]
    fn what_the_kernel_makes_up_is_read_to_its_end() {
        let open = |path: &str| {
            let (parent, name) = path.rsplit_once('/').unwrap();
            (Path::new(path).exists()).then(|| open_one(Path::new(parent), name))
        };
        for path in ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"] {
            let Some(file) = open(path) else {
                skip(path);
                continue;
            };
            let plain = std::fs::read(path).unwrap();
            assert_ne!(plain.len() as u64, file.child().signature.size);
            assert_eq!((read_all(&file), file.is_made_up()), (plain, true));
            assert!(!file.finish().changed);
        }
        if let Some(memory) = open("/proc/self/mem") {
            assert!(memory.is_made_up());
            let error = memory.read_at(&mut [0; 8], 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
        }
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("empty"), "").unwrap();
        let empty = open_one(scratch.path(), "empty");
        assert_eq!((empty.len_max(), empty.is_made_up()), (0, false));
    }

    /// Writes runs of data, and compares the layout with what is there.
    fn check_layout(scratch: &Path, size: u64, runs: &[(u64, u64)]) {
        let path = scratch.join("sparse");
        let sparse = File::create(&path).unwrap();
        sparse.set_len(size).unwrap();
        let mut expected = vec![0; size as usize];
        for (offset, len) in runs {
            let data = vec![0xda; *len as usize];
            sparse.write_all_at(&data, *offset).unwrap();
            expected[*offset as usize..][..*len as usize].copy_from_slice(&data);
        }
        let file = open_one(scratch, "sparse");
        let layout = file.layout();
        let mut end = None;
        for hole in &layout.holes {
            assert!(hole.len >= HOLE_LEN_MIN, "{hole:?}");
            assert!(end.is_none_or(|end| hole.offset > end), "{:?}", layout.holes);
            end = hole.end();
        }
        assert!(end.is_none_or(|end| end <= size));
        let mut rebuilt = vec![0; size as usize];
        for Range { offset, len } in layout.data_ranges() {
            let run = &mut rebuilt[offset as usize..][..len as usize];
            assert_eq!(file.read_at(run, offset).unwrap() as u64, len);
        }
        assert!(rebuilt == expected, "{size} {runs:?} {:?}", layout.holes);
        if file.child().blocks < size / 512 / 2 && runs.len() < 2 && size >= 4 * HOLE_LEN_MIN {
            assert_ne!(layout.holes, [], "{size} {runs:?}");
        }
        assert!(!file.finish().changed);
    }

    #[test]
    fn holes_are_found_wherever_they_start() {
        let scratch = tempfile::tempdir().unwrap();
        let k = HOLE_LEN_MIN;
        for size in [0, 1, k - 1, k, k + 1, 4 * k, 10 * k + 77] {
            check_layout(scratch.path(), size, &[]);
            for offset in [0, 1, 4095, 4096, k - 1, k, k + 1, 2 * k + 4096, 9 * k, 10 * k] {
                for len in [1, 4096, k] {
                    if offset + len <= size {
                        check_layout(scratch.path(), size, &[(offset, len)]);
                    }
                }
            }
        }
        check_layout(scratch.path(), 8 * k, &[(0, 10), (k / 2, 10), (k + 4096, 10), (7 * k, k)]);
        check_layout(scratch.path(), 8 * k, &[(4096, 10), (k + 8192, 10), (2 * k + 8192, 10)]);
    }

    #[test]
    fn a_dense_file_has_no_holes() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("f"), vec![0; 3 << 20]).unwrap();
        let file = open_one(scratch.path(), "f");
        assert_eq!(file.layout(), Layout::dense(3 << 20));
    }

    #[test]
    fn a_file_may_end_within_its_last_hole() {
        let scratch = tempfile::tempdir().unwrap();
        let sparse = File::create(scratch.path().join("f")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        sparse.write_all_at(b"data", 1 << 39).unwrap();
        let file = open_one(scratch.path(), "f");
        let mut layout = file.layout();
        assert_eq!(layout.holes.len(), 2, "{layout:?}");
        assert!(layout.data_bytes() <= HOLE_LEN_MIN);
        sparse.set_len(1000).unwrap();
        assert_eq!(file.layout().size, 1 << 40);
        layout.truncate(1000);
        assert_eq!((layout.data_bytes(), layout.holes.len()), (0, 1));
        assert!(file.finish().changed);
    }

    #[test]
    fn files_that_may_not_be_read_are_problems() {
        let prepare = |scratch: &Path| {
            std::fs::write(scratch.join("closed"), "x").unwrap();
            let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(scratch.join("closed"), closed).unwrap();
        };
        let test = "source::file::tests::files_that_may_not_be_read_are_problems";
        as_nobody(test, prepare, |scratch| {
            let (directory, child) = child_of(scratch, "closed");
            let problem = OpenFile::open(&directory, &child).unwrap_err();
            assert_eq!(problem.kind, ErrorKind::Access);
            assert_eq!(problem.path, scratch.join("closed").as_os_str().as_encoded_bytes());
        });
    }

    #[test]
    fn a_leased_file_is_read_once_its_holder_gives_it_up() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("leased");
        std::fs::write(&path, "oplock").unwrap();
        // The signal that asks for the lease ends the holder, which gives it up.
        let program = "import fcntl, sys, time
f = open(sys.argv[1], 'r+')
fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('held', flush=True)
time.sleep(60)";
        let holder = Command::new("python3")
            .args(["-c", program])
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut holder) = holder else { return skip("no program `python3`") };
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "held\n" {
            holder.wait().unwrap();
            return skip("no leases on the file system of the tests");
        }
        let file = open_one(scratch.path(), "leased");
        assert_eq!(read_all(&file), b"oplock");
        holder.wait().unwrap();
    }

    #[test]
    fn advice_does_not_keep_a_large_file_from_being_read() {
        let scratch = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..2_000_003u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(scratch.path().join("f"), &bytes).unwrap();
        let file = open_one(scratch.path(), "f");
        assert!(read_all(&file) == bytes);
        let mut plain = Vec::new();
        File::open(scratch.path().join("f")).unwrap().read_to_end(&mut plain).unwrap();
        assert!(plain == bytes);
    }
}
