//! Fills entries with all that a restore needs beside the content.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use super::child::Child;
use super::directory::Directory;
use super::file::OpenFile;
use super::mounts::Mounts;
use super::open::proc_path;
use super::owners::Owners;
use super::problem::{Problem, READ, READ_ATTRIBUTES};
use super::xattrs::{self, Owner};
use crate::base::ErrorKind;
use crate::format::entry::{
    ENTRY_LEN_MAX, Entry, EntryKind, HOLE_COUNT_MAX, LinkGroup, TARGET_LEN_MAX, flags,
};

/// Most bytes of attributes in one entry: what is left beside the most holes in their longest
/// encoding (19 bytes each), and 64 KiB for all else.
const XATTR_BYTES_MAX: usize = ENTRY_LEN_MAX - 19 * HOLE_COUNT_MAX - (64 << 10);

/// Describes entries, with names of owners and numbers of file systems that one snapshot shares.
#[derive(Debug, Default)]
pub struct Describer {
    /// Names of owners.
    pub owners: Owners,
    /// Numbers of file systems.
    pub mounts: Mounts,
    /// One missing `/proc` is one problem, not one for each link.
    proc_is_missing: AtomicBool,
}

impl Describer {
    /// Describes a file as of its open. Size, holes and content are the reader's to set.
    pub fn file(&self, file: &OpenFile) -> (Entry, Vec<Problem>) {
        let mut entry = self.basics(file.child());
        let problems = self.add_xattrs(&mut entry, Owner::Open(file.as_fd()), || file.path_bytes());
        (entry, problems)
    }

    /// Describes an open directory; its tree is the caller's to set.
    pub fn directory(&self, directory: &Directory) -> (Entry, Vec<Problem>) {
        let mut entry = self.basics(directory.child());
        let path = || directory.path().to_bytes();
        let problems = if directory.is_passage() {
            let pinned = proc_path(directory.as_fd());
            let owner = Owner::Pinned(pinned.as_bytes());
            self.without_repeats(self.add_xattrs(&mut entry, owner, path))
        } else {
            self.add_xattrs(&mut entry, Owner::Open(directory.as_fd()), path)
        };
        (entry, problems)
    }

    /// Describes a directory on the way to a source. It has no times, so that what happens beside
    /// the sources does not change the tree.
    pub fn ancestor(&self, directory: &Directory) -> (Entry, Vec<Problem>) {
        let (mut entry, problems) = self.directory(directory);
        entry.mtime = None;
        (entry, problems)
    }

    /// Describes what is neither file nor directory; nothing is opened.
    ///
    /// # Errors
    /// Says why not, also where it is no longer what it was.
    pub fn other(
        &self,
        directory: &Directory,
        child: &Child,
    ) -> Result<(Entry, Vec<Problem>), Problem> {
        let path = || directory.path().bytes_of(&child.name);
        let mut entry = self.basics(child);
        if child.kind == EntryKind::Symlink {
            entry.target = Some(read_target(directory, child)?);
        }
        let mut name = proc_path(directory.as_fd()).into_bytes();
        name.push(b'/');
        name.extend_from_slice(&child.name);
        let problems = self.add_xattrs(&mut entry, Owner::Name(&name), path);
        if problems.iter().any(|p| p.kind == ErrorKind::NotFound) {
            // Something may have the name again by now.
            let has_proc = std::fs::exists(proc_path(directory.as_fd())).unwrap_or(false);
            if has_proc || directory.stat_child(&child.name)?.is_none() {
                return Err(Problem::io(path(), READ, Errno::NOENT));
            }
        }
        Ok((entry, self.without_repeats(problems)))
    }

    /// All that its stat tells.
    fn basics(&self, child: &Child) -> Entry {
        let mut entry = Entry::new(&child.name, child.kind);
        entry.mode = child.signature.mode & 0o7777;
        (entry.uid, entry.gid) = (child.uid, child.gid);
        entry.user = self.owners.user(child.uid);
        entry.group = self.owners.group(child.gid);
        entry.mtime = Some(child.signature.mtime);
        match child.kind {
            EntryKind::File => entry.size = Some(child.signature.size),
            EntryKind::CharDevice | EntryKind::BlockDevice => entry.device = Some(child.rdev),
            _ => {}
        }
        if child.nlink > 1 && child.kind != EntryKind::Directory {
            let mount = self.mounts.ordinal(child.device);
            entry.link = Some(LinkGroup { mount, inode: child.signature.inode });
        }
        entry
    }

    fn add_xattrs(
        &self,
        entry: &mut Entry,
        owner: Owner<'_>,
        path: impl Fn() -> Vec<u8>,
    ) -> Vec<Problem> {
        let found = xattrs::read(owner, XATTR_BYTES_MAX);
        entry.xattrs = (!found.xattrs.is_empty()).then_some(found.xattrs);
        let mut problems = Vec::new();
        if let Some(errno) = found.error {
            problems.push(Problem::io(path(), READ_ATTRIBUTES, errno));
        }
        if !found.surplus.is_empty() {
            let message = format!("{} of them find no room", found.surplus.len());
            let kind = ErrorKind::Unsupported;
            problems.push(Problem::new(path(), READ_ATTRIBUTES, kind, message));
        }
        if !problems.is_empty() {
            entry.set_flag(flags::INCOMPLETE);
        }
        problems
    }

    /// Something exists and its path below `/proc/self/fd` does not: `/proc` is not mounted. All
    /// entries concerned are flagged; the problem is reported once.
    fn without_repeats(&self, problems: Vec<Problem>) -> Vec<Problem> {
        let explain = |problem: Problem| {
            if problem.kind != ErrorKind::NotFound {
                return Some(problem);
            }
            let is_first = !self.proc_is_missing.swap(true, Ordering::Relaxed);
            let message = "/proc is not mounted, so all links and special files lack theirs";
            is_first
                .then(|| Problem::new(problem.path, problem.doing, ErrorKind::Unsupported, message))
        };
        problems.into_iter().filter_map(explain).collect()
    }
}

fn read_target(directory: &Directory, child: &Child) -> Result<Vec<u8>, Problem> {
    let path = || directory.path().bytes_of(&child.name);
    let room = Vec::with_capacity(256);
    let target = rustix::fs::readlinkat(directory, &child.name, room).map_err(|errno| {
        if errno == Errno::INVAL {
            let message = "it is no longer a symbolic link";
            return Problem::new(path(), READ, ErrorKind::NotFound, message);
        }
        Problem::io(path(), READ, errno)
    })?;
    let target = target.into_bytes();
    if target.is_empty() || target.len() > TARGET_LEN_MAX {
        let message = format!("a link target of {} bytes cannot be stored", target.len());
        return Err(Problem::new(path(), READ, ErrorKind::Unsupported, message));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use rustix::fs::{
        CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mkfifoat, mknodat, setxattr,
    };

    use super::*;
    use crate::base::Timestamp;
    use crate::format::entry::{Device, Xattr};
    use crate::source::testing::{as_nobody, names, skip};

    /// Describes whatever `name` is, and holds it against what the standard library says.
    fn describe(describer: &Describer, scratch: &Path, name: &str) -> Entry {
        let directory = Directory::open_root(scratch).unwrap();
        let child = directory.stat_child(name.as_bytes()).unwrap().unwrap();
        let (entry, problems) = match child.kind {
            EntryKind::File => describer.file(&OpenFile::open(&directory, &child).unwrap()),
            EntryKind::Directory => {
                describer.directory(&directory.open_child(&child.name).unwrap())
            }
            _ => describer.other(&directory, &child).unwrap(),
        };
        assert_eq!(problems, []);
        let expected = std::fs::symlink_metadata(scratch.join(name)).unwrap();
        assert_eq!(entry.name, name.as_bytes());
        assert_eq!((entry.uid, entry.gid), (expected.uid(), expected.gid()));
        assert_eq!(entry.mode, expected.mode() & 0o7777);
        let mtime = Timestamp::new(expected.mtime(), expected.mtime_nsec() as u32);
        assert_eq!(entry.mtime, Some(mtime));
        let mut complete = entry.clone();
        complete.size = entry.size.map(|_| 0);
        assert_eq!(Entry::decode(&complete.encode()), Ok(complete), "what a reader accepts");
        entry
    }

    fn user_xattrs(entry: &Entry) -> Vec<Xattr> {
        let all = entry.xattrs.iter().flatten();
        all.filter(|x| !x.name.starts_with(b"security.")).cloned().collect()
    }

    #[test]
    fn every_kind_of_entry_is_described() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "content").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        let sticky = std::os::unix::fs::PermissionsExt::from_mode(0o3755);
        std::fs::set_permissions(at("directory"), sticky).unwrap();
        std::os::unix::fs::symlink("no/such\n\u{fffd}", at("link")).unwrap();
        std::os::unix::fs::symlink("t".repeat(TARGET_LEN_MAX), at("long link")).unwrap();
        mkfifoat(CWD, at("fifo"), Mode::RUSR).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        drop(listener);
        let describer = Describer::default();
        let one = |name| describe(&describer, scratch.path(), name);
        let file = one("file");
        assert_eq!((file.size, file.link), (Some(7), None));
        assert_eq!(one("directory").mode, 0o3755);
        assert_eq!(one("link").target.unwrap(), "no/such\n\u{fffd}".as_bytes());
        assert_eq!(one("long link").target.unwrap().len(), TARGET_LEN_MAX);
        assert_eq!(one("fifo").kind, EntryKind::Fifo);
        assert_eq!(one("socket").kind, EntryKind::Socket);
        assert_eq!(file.user, describer.owners.user(file.uid));
    }

    #[test]
    fn devices_keep_their_numbers() {
        let scratch = tempfile::tempdir().unwrap();
        let make = |name, kind, major, minor| {
            mknodat(CWD, scratch.path().join(name), kind, Mode::RUSR, makedev(major, minor))
        };
        if let Err(errno) = make("char", FileType::CharacterDevice, 1, 3) {
            return skip(&format!("devices cannot be made: {errno}"));
        }
        make("block", FileType::BlockDevice, 4000, 1_000_000).unwrap();
        let describer = Describer::default();
        let block = describe(&describer, scratch.path(), "block");
        assert_eq!(block.kind, EntryKind::BlockDevice);
        assert_eq!(block.device, Some(Device { major: 4000, minor: 1_000_000 }));
        let character = describe(&describer, scratch.path(), "char");
        assert_eq!(character.kind, EntryKind::CharDevice);
        assert_eq!(character.device, Some(Device { major: 1, minor: 3 }));
    }

    #[test]
    fn names_of_one_file_share_a_group() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("a"), "x").unwrap();
        std::fs::hard_link(at("a"), at("b")).unwrap();
        std::os::unix::fs::symlink("x", at("l")).unwrap();
        std::fs::hard_link(at("l"), at("m")).unwrap();
        std::fs::create_dir_all(at("d/e/f")).unwrap();
        let describer = Describer::default();
        let one = |name| describe(&describer, scratch.path(), name).link;
        let inode = std::fs::metadata(at("a")).unwrap().ino();
        assert_eq!(one("a"), Some(LinkGroup { mount: 0, inode }));
        assert_eq!(one("a"), one("b"));
        assert_eq!(one("l"), one("m"));
        assert_ne!(one("a"), one("l"));
        assert_eq!(one("d"), None, "the names `..` of its children do not count");
    }

    /// An ACL as the kernel stores it: version 2, then tag, permissions and id of each line.
    fn acl() -> Vec<u8> {
        let none = u32::MAX;
        let lines = [(1, 6, none), (2, 4, 1000), (4, 4, none), (16, 4, none), (32, 4, none)];
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in lines {
            bytes.extend_from_slice(&u16::to_le_bytes(tag));
            bytes.extend_from_slice(&u16::to_le_bytes(permissions));
            bytes.extend_from_slice(&u32::to_le_bytes(id));
        }
        bytes
    }

    #[test]
    fn attributes_come_sorted_with_acls_among_them() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        let set = |path, name, value: &[u8]| setxattr(path, name, value, XattrFlags::empty());
        if let Err(errno) = set(at("file"), "user.z", b"\0\xff") {
            return skip(&format!("no user attributes on the file system of the tests: {errno}"));
        }
        set(at("file"), "user.empty", b"").unwrap();
        set(at("directory"), "user.d", b"1").unwrap();
        let has_acl = set(at("file"), "system.posix_acl_access", &acl()).is_ok();
        let describer = Describer::default();
        let found = user_xattrs(&describe(&describer, scratch.path(), "file"));
        let of = |name: &str, value: &[u8]| Xattr { name: name.into(), value: value.to_vec() };
        let mut expected = vec![of("user.empty", b""), of("user.z", b"\0\xff")];
        if has_acl {
            set(at("directory"), "system.posix_acl_default", &acl()).unwrap();
            expected.insert(0, of("system.posix_acl_access", &acl()));
            let found = user_xattrs(&describe(&describer, scratch.path(), "directory"));
            assert_eq!(found, [of("system.posix_acl_default", &acl()), of("user.d", b"1")]);
        } else {
            skip("no ACLs on the file system of the tests");
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn links_and_fifos_have_attributes_of_their_own() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        mkfifoat(CWD, at("fifo"), Mode::RUSR).unwrap();
        let set =
            |name, value: &[u8]| lsetxattr(at(name), "trusted.parados", value, XattrFlags::empty());
        if let Err(errno) = set("link", b"of the link") {
            return skip(&format!("no trusted attributes: {errno}"));
        }
        set("file", b"of the file").unwrap();
        set("fifo", b"of the fifo").unwrap();
        let describer = Describer::default();
        for name in ["file", "link", "fifo"] {
            let found = user_xattrs(&describe(&describer, scratch.path(), name));
            let value = format!("of the {name}").into_bytes();
            assert_eq!(found, [Xattr { name: b"trusted.parados".to_vec(), value }]);
        }
    }

    #[test]
    fn attributes_that_are_hidden_are_no_problem() {
        let prepare = |scratch: &Path| {
            std::fs::write(scratch.join("file"), "x").unwrap();
            let hide = |name| {
                if setxattr(scratch.join("file"), name, b"1", XattrFlags::empty()).is_err() {
                    skip(name);
                }
            };
            hide("trusted.parados");
            hide("security.parados");
        };
        let test = "source::metadata::tests::attributes_that_are_hidden_are_no_problem";
        as_nobody(test, prepare, |scratch| {
            let entry = describe(&Describer::default(), scratch, "file");
            assert_eq!((user_xattrs(&entry), entry.flags), (vec![], None));
        });
    }

    #[test]
    fn an_ancestor_has_no_times() {
        let describer = Describer::default();
        let top = Directory::open_top().unwrap();
        let (entry, problems) = describer.ancestor(&top);
        assert_eq!((entry.mtime, problems), (None, vec![]));
        let passage = top.open_passage(b"usr").unwrap();
        let (entry, _) = describer.ancestor(&passage);
        assert_eq!((&entry.name[..], entry.mtime), (&b"usr"[..], None));
        assert!(passage.list().is_err());
        let scan = Directory::open_root(Path::new("/usr")).unwrap().scan().unwrap();
        assert!(names(&scan).contains(&&b"bin"[..]));
    }

    #[test]
    fn what_vanished_is_not_described() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("f");
        mkfifoat(CWD, &path, Mode::RUSR).unwrap();
        let directory = Directory::open_root(scratch.path()).unwrap();
        let child = directory.stat_child(b"f").unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let describer = Describer::default();
        let problem = describer.other(&directory, &child).unwrap_err();
        assert_eq!(problem.kind, ErrorKind::NotFound);
        std::os::unix::fs::symlink("x", &path).unwrap();
        let child = directory.stat_child(b"f").unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "now a file").unwrap();
        let problem = describer.other(&directory, &child).unwrap_err();
        assert_eq!(problem.message, "it is no longer a symbolic link");
    }

    #[test]
    fn a_missing_proc_is_reported_once() {
        let describer = Describer::default();
        let missing = || vec![Problem::io(b"/l".to_vec(), READ_ATTRIBUTES, Errno::NOENT)];
        let first = describer.without_repeats(missing());
        assert_eq!(first[0].kind, ErrorKind::Unsupported);
        assert_eq!(describer.without_repeats(missing()), []);
    }
}
