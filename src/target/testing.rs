//! A target in a scratch directory, for the tests of this layer.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Options, Target, TargetDir};
use crate::base::testing::skip;
use crate::format::entry::{Device, Entry, EntryKind, Xattr};

/// A target, and a directory beside it in which nothing may ever appear.
pub(super) struct World {
    scratch: TempDir,
    pub(super) target: Target,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir(scratch.path().join("outside")).unwrap();
        let target = Target::open(&scratch.path().join("target"), options).unwrap();
        Self { scratch, target }
    }

    pub(super) fn root(&self) -> &Arc<TargetDir> {
        self.target.root()
    }

    /// A path below the target.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.scratch.path().join("target").join(below)
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.scratch.path().join("outside")
    }

    /// Ends the restore.
    pub(super) fn finish(self) {
        self.target.finish().unwrap();
    }

    /// Fails if anything appeared outside.
    pub(super) fn check_outside(&self) {
        assert_eq!(names(&self.outside()), Vec::<String>::new());
        assert_eq!(names(self.scratch.path()), ["outside", "target"]);
    }
}

/// A file system of 1 MiB, which goes with the value.
pub(super) struct Mount(PathBuf);

impl Mount {
    /// Mounts one, or says that the test has to be skipped.
    pub(super) fn tmpfs(at: &Path) -> Option<Self> {
        let arguments = ["-t", "tmpfs", "-o", "size=1m", "none"];
        let status = Command::new("mount").args(arguments).arg(at).status();
        if !status.is_ok_and(|status| status.success()) {
            skip("a restore over file systems", "this process may not mount one");
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: after a failed check, descriptors may still be open.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// The sorted names in a directory.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An entry that belongs to whoever runs the tests.
pub(super) fn entry(kind: EntryKind, mode: u32) -> Entry {
    let mut entry = Entry::new(b"x", kind);
    entry.mode = mode;
    entry.uid = rustix::process::geteuid().as_raw();
    entry.gid = rustix::process::getegid().as_raw();
    if kind == EntryKind::CharDevice {
        entry.device = Some(Device { major: 1, minor: 3 });
    }
    entry
}

/// Attributes of an entry.
pub(super) fn xattrs(pairs: &[(&str, &[u8])]) -> Option<Vec<Xattr>> {
    let pairs = pairs.iter();
    Some(pairs.map(|(n, v)| Xattr { name: n.as_bytes().to_vec(), value: v.to_vec() }).collect())
}

/// Whether the test runs as root; says so when it has to be skipped.
pub(super) fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(test, "it needs root");
    }
    is_root
}

/// The attribute that holds an ACL.
pub(super) const ACCESS_ACL: &str = "system.posix_acl_access";

/// An ACL as Linux stores it: version 2, then tag, rights and number of each rule.
pub(super) fn acl(rules: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, number) in rules {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// Owner rw, user 1234 rw, group r, mask rw, others nothing.
pub(super) fn shared_with_1234() -> Vec<u8> {
    let none = u32::MAX;
    acl(&[(1, 6, none), (2, 6, 1234), (4, 4, none), (16, 6, none), (32, 0, none)])
}
