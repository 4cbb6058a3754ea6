//! Gives what was made the metadata of its entry.

use rustix::fs::{FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::fault::{fault, left_out};
use super::handle::Handle;
use super::root::Shared;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Timestamp};
use crate::format::entry::Entry;

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
/// The number that `chown` takes for "leave it".
const NOBODY_AT_ALL: u32 = u32::MAX;
/// The attribute that lets a program act with rights of root.
const CAPABILITY: &[u8] = b"security.capability";
/// The attribute with rules of access for others than owner and group.
const ACCESS_RULES: &[u8] = b"system.posix_acl_access";

/// Applies the metadata of `entry`; returns what could not be applied.
///
/// The order is forced: changing the owner clears set-id bits and capabilities, changing the mode
/// changes the ACL and the other way round, and all of it must not touch the time.
pub(super) fn apply(
    shared: &Shared,
    handle: &Handle<'_>,
    entry: &Entry,
    path: &dyn Fn() -> String,
) -> Vec<Error> {
    let stat = match handle.stat() {
        Ok(stat) => stat,
        Err(e) => return vec![fault("read the metadata of", &path(), e)],
    };
    let mut work = Application { shared, handle, entry, path, stat, problems: Vec::new() };
    let owned = work.set_owner();
    // Attributes before the mode: whoever is not root needs the right to write for them.
    if shared.options.xattrs {
        work.set_xattrs(owned);
    }
    work.set_mode(owned);
    if let Some(mtime) = entry.mtime {
        work.set_mtime(mtime);
    }
    work.problems
}

/// Whether nobody else may read an existing thing, once only its owner can, than who is to own it as
/// `entry` says.
pub(super) fn is_private_to_whom_it_is_for(
    shared: &Shared,
    handle: &Handle<'_>,
    stat: &Stat,
    entry: &Entry,
) -> bool {
    let ours = geteuid().as_raw();
    let owner = if shared.options.owner { wanted_owner(shared, entry).0 } else { ours };
    // A later mode lets those in again whom its rules name, unless they are removed.
    let keeps_rules = !shared.options.xattrs
        && handle.xattr_names().is_ok_and(|names| names.iter().any(|name| name == ACCESS_RULES));
    (stat.st_uid == owner || stat.st_uid == ours) && !keeps_rules
}

/// The owner and group that `entry` is to have here.
fn wanted_owner(shared: &Shared, entry: &Entry) -> (u32, u32) {
    if shared.options.numeric_ids {
        return (entry.uid, entry.gid);
    }
    let owners = &shared.owners;
    (owners.uid(entry.user.as_deref(), entry.uid), owners.gid(entry.group.as_deref(), entry.gid))
}

/// Which parts of the ownership are as in the entry, on purpose.
#[derive(Clone, Copy, Debug)]
struct Owned {
    user: bool,
    group: bool,
}

struct Application<'a> {
    shared: &'a Shared,
    handle: &'a Handle<'a>,
    entry: &'a Entry,
    path: &'a dyn Fn() -> String,
    stat: Stat,
    problems: Vec<Error>,
}

impl Application<'_> {
    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    fn report(&mut self, doing: &str, errno: Errno) {
        let problem = fault(doing, &(self.path)(), errno);
        self.problems.push(match problem.kind {
            // ext4 answers "no space" to an attribute that is too long for it, and a quota to a new
            // owner; other files may fit.
            ErrorKind::Full => Error { kind: ErrorKind::Unsupported, hint: None, ..problem },
            _ => problem,
        });
    }

    fn set_owner(&mut self) -> Owned {
        let Self { shared, entry, .. } = *self;
        if !shared.options.owner {
            return Owned { user: false, group: false };
        }
        let (uid, gid) = wanted_owner(shared, entry);
        let has = Owned { user: self.stat.st_uid == uid, group: self.stat.st_gid == gid };
        if has.user && has.group {
            return has;
        }
        let doing = format!("set owner {uid}:{gid} of");
        if uid == NOBODY_AT_ALL || gid == NOBODY_AT_ALL {
            self.report(&doing, Errno::INVAL);
            return has;
        }
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let Err(e) = self.handle.chown(Some(user), Some(group)) else {
            return Owned { user: true, group: true };
        };
        self.report(&doing, e);
        // Who is not root may still choose among the groups that they are a member of.
        let group = has.group || self.handle.chown(None, Some(group)).is_ok();
        Owned { user: has.user, group }
    }

    fn set_mode(&mut self, owned: Owned) {
        if self.kind() == FileType::Symlink {
            return;
        }
        let mut mode = self.entry.mode & 0o7777;
        // On a directory these bits say what is created in it, and grant nothing.
        if self.kind() != FileType::Directory {
            mode &= !self.withheld_bits(owned);
        }
        let bits_that_vanish = SET_USER_ID | SET_GROUP_ID;
        // An ACL that was just set has changed the mode as well.
        let is_plain = self.entry.xattrs.is_none();
        if mode & bits_that_vanish == 0 && is_plain && self.stat.st_mode & 0o7777 == mode {
            return;
        }
        if let Err(e) = self.handle.chmod(Mode::from_raw_mode(mode)) {
            self.report(&format!("set mode {mode:04o} of"), e);
            return;
        }
        // The system drops the bit without a word when we are no member of the group.
        if mode & bits_that_vanish != 0
            && self.handle.stat().is_ok_and(|stat| stat.st_mode & 0o7777 != mode)
        {
            self.report(&format!("set mode {mode:04o} of"), Errno::PERM);
        }
    }

    /// Bits of the entry that the thing does not get. Those that come without their owner would
    /// grant the rights of somebody else.
    fn withheld_bits(&mut self, owned: Owned) -> u32 {
        let mut withheld = 0;
        for (bit, is_owned, what) in [
            (SET_USER_ID, owned.user, "the set-user-ID bit of"),
            (SET_GROUP_ID, owned.group, "the set-group-ID bit of"),
        ] {
            if !is_owned {
                withheld |= bit;
            } else if self.entry.mode & bit != 0
                && !self.shared.options.special
                && !self.has_bit(bit)
            {
                withheld |= bit;
                self.problems.push(left_out(what, &(self.path)()));
            }
        }
        withheld
    }

    /// Whether it had a bit, and still has it: the system takes it with a new owner.
    fn has_bit(&self, bit: u32) -> bool {
        self.handle.stat().is_ok_and(|now| now.st_mode & self.stat.st_mode & bit != 0)
    }

    fn set_xattrs(&mut self, owned: Owned) {
        let entry = self.entry;
        let xattrs = entry.xattrs.as_deref().unwrap_or_default();
        if self.kind() != FileType::Symlink {
            self.remove_inherited();
        }
        for xattr in xattrs {
            if !self.may_set(&xattr.name, owned) {
                continue;
            }
            // Setting what is there would move the time of the status, and of a file that its owner
            // may not write it fails.
            if self.handle.has_xattr(&xattr.name, &xattr.value) {
                continue;
            }
            if xattr.name == CAPABILITY && !self.shared.options.special {
                self.problems.push(left_out("the capability of", &(self.path)()));
                continue;
            }
            let set = |this: &Self| this.handle.set_xattr(&xattr.name, &xattr.value);
            if let Err(e) = self.as_writer(set) {
                self.report(&format!("set attribute {} of", escape(&xattr.name)), e);
            }
        }
    }

    /// Does what needs the right to write, which an owner may give themselves; the mode is set last.
    fn as_writer(
        &mut self,
        act: impl Fn(&Self) -> rustix::io::Result<()>,
    ) -> rustix::io::Result<()> {
        const OWNER_WRITES: u32 = 0o200;
        match act(self) {
            Err(Errno::ACCESS) if self.stat.st_mode & OWNER_WRITES == 0 => {
                let mode = (self.stat.st_mode & 0o7777) | OWNER_WRITES;
                self.handle.chmod(Mode::from_raw_mode(mode))?;
                self.stat.st_mode |= OWNER_WRITES;
                act(self)
            }
            done => done,
        }
    }

    /// Attributes that grant rights, or that programs of root trust, come with their owner only.
    fn may_set(&self, name: &[u8], owned: Owned) -> bool {
        let privileged = self.shared.is_root && self.shared.options.owner;
        if name == CAPABILITY {
            return privileged && owned.user && owned.group;
        }
        privileged || !(name.starts_with(b"security.") || name.starts_with(b"trusted."))
    }

    /// Removes what the entry does not have: an ACL inherited from the directory, or attributes of
    /// a directory that existed. Labels of security modules stay: they follow the host's policy.
    fn remove_inherited(&mut self) {
        // A file system without attributes has none to remove.
        let Ok(names) = self.handle.xattr_names() else { return };
        let wanted = self.entry.xattrs.as_deref().unwrap_or_default();
        for name in names {
            let ours = name.starts_with(b"user.")
                || name.starts_with(b"system.posix_acl_")
                || name.starts_with(b"trusted.")
                || name == CAPABILITY;
            if !ours || wanted.binary_search_by(|xattr| xattr.name.cmp(&name)).is_ok() {
                continue;
            }
            if let Err(e) = self.as_writer(|this| this.handle.remove_xattr(&name))
                && e != Errno::NODATA
            {
                self.report(&format!("remove attribute {} of", escape(&name)), e);
            }
        }
    }

    fn set_mtime(&mut self, mtime: Timestamp) {
        let doing = "set the time of";
        // Numbers past this have a meaning of their own for the system call.
        if mtime.nanos >= 1_000_000_000 {
            return self.report(doing, Errno::INVAL);
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
        };
        if let Err(e) = self.handle.set_times(&times) {
            return self.report(doing, e);
        }
        // Older file systems hold 32 bits of seconds, and the system clamps without a word.
        let is_usual = (0..=i64::from(i32::MAX)).contains(&mtime.seconds);
        if !is_usual && self.handle.stat().is_ok_and(|stat| stat.st_mtime != mtime.seconds) {
            self.report(doing, Errno::OVERFLOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::format::entry::EntryKind;
    use crate::target::testing::{
        ACCESS_ACL, World, acl, entry, is_root, shared_with_1234, xattrs,
    };
    use crate::target::{Options, Target, create_file, create_special};

    const DEFAULT_ACL: &str = "system.posix_acl_default";

    fn make(world: &World, name: &str, entry: &Entry) -> (fs::Metadata, Vec<Error>) {
        let file = create_file(world.root(), name.as_bytes()).unwrap();
        file.write_at(b"content", 0).unwrap();
        let problems = file.finish(entry).unwrap().problems;
        (fs::symlink_metadata(world.path(name)).unwrap(), problems)
    }

    fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
        xattr::get(path, name).unwrap()
    }

    #[test]
    fn times_are_exact_to_the_nanosecond_whenever_they_were() {
        let world = World::new();
        let dir = world.root().create_child_dir(b"d").unwrap();
        let seconds = [0, 1, -1, -2_000_000_000, 1_700_000_000, i64::from(i32::MAX) + 10];
        for seconds in seconds {
            for nanos in [0, 1, 999_999_999] {
                let mtime = Some(Timestamp::new(seconds, nanos));
                let mut file = entry(EntryKind::File, 0o600);
                file.mtime = mtime;
                let (stat, problems) = make(&world, "f", &file);
                assert!(problems.is_empty(), "{problems:?}");
                assert_eq!((stat.mtime(), stat.mtime_nsec()), (seconds, nanos.into()));
                let mut about = entry(EntryKind::Directory, 0o700);
                about.mtime = mtime;
                assert!(dir.finish(&about).unwrap().is_empty());
                let stat = fs::metadata(world.path("d")).unwrap();
                assert_eq!((stat.mtime(), stat.mtime_nsec()), (seconds, nanos.into()));
            }
        }
    }

    #[test]
    fn times_that_cannot_be_held_are_reported() {
        let world = World::new();
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (5, 1_000_000_000), (5, u32::MAX)] {
            let mut file = entry(EntryKind::File, 0o600);
            file.mtime = Some(Timestamp::new(seconds, nanos));
            let (stat, problems) = make(&world, "f", &file);
            let is_held = stat.mtime() == seconds && stat.mtime_nsec() == i64::from(nanos);
            assert_eq!(problems.len(), usize::from(!is_held), "{seconds} {nanos}: {problems:?}");
        }
        // What "now" and "leave it" are for the system call.
        for nanos in [(1 << 30) - 1, (1 << 30) - 2] {
            let mut file = entry(EntryKind::File, 0o600);
            file.mtime = Some(Timestamp::new(0, nanos));
            assert_eq!(make(&world, "f", &file).1.len(), 1);
        }
    }

    #[test]
    fn a_directory_without_time_keeps_the_one_it_has() {
        let world = World::new();
        let mut about = entry(EntryKind::Directory, 0o711);
        about.mtime = Some(Timestamp::new(77, 88));
        world.root().finish(&about).unwrap();
        about.mtime = None;
        about.mode = 0o755;
        world.root().finish(&about).unwrap();
        let stat = fs::metadata(world.path("")).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec(), stat.mode() & 0o7777), (77, 88, 0o755));
    }

    #[test]
    fn set_id_bits_come_with_their_owner_only() {
        if !is_root("set_id_bits_come_with_their_owner_only") {
            return;
        }
        let mut program = entry(EntryKind::File, 0o6755);
        (program.uid, program.gid) = (1234, 5678);
        let world = World::with(Options { special: true, ..Options::default() });
        let (stat, problems) = make(&world, "f", &program);
        assert!(problems.is_empty());
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (1234, 5678, 0o6755));
        // Nobody asked for them now, but they are there.
        let again = Target::open(&world.path(""), Options::default()).unwrap();
        assert!(again.root().open_file(b"f").unwrap().keep(&program).problems.is_empty());
        assert_eq!(fs::metadata(world.path("f")).unwrap().mode() & 0o7777, 0o6755);
        let (stat, problems) = make(&World::new(), "f", &program);
        let told: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(told[0].starts_with("left out the set-user-ID bit of /"), "{told:?}");
        assert!(told[1].starts_with("left out the set-group-ID bit of /"), "{told:?}");
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (1234, 5678, 0o755));
        // A number that chown takes for "leave it".
        program.uid = u32::MAX;
        let (stat, problems) = make(&world, "f", &program);
        assert_eq!(problems.len(), 1);
        assert_eq!((stat.uid(), stat.mode() & 0o7777), (0, 0o755));
        let world = World::with(Options { owner: false, special: true, ..Options::default() });
        (program.uid, program.gid) = (0, 0);
        let (stat, problems) = make(&world, "f", &program);
        assert!(problems.is_empty());
        assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (0, 0, 0o755));
        let dir = world.root().create_child_dir(b"d").unwrap();
        assert!(dir.finish(&entry(EntryKind::Directory, 0o3775)).unwrap().is_empty());
        assert_eq!(fs::metadata(world.path("d")).unwrap().mode() & 0o7777, 0o3775);
    }

    #[test]
    fn owners_are_found_by_name_unless_numbers_are_wanted() {
        if !is_root("owners_are_found_by_name_unless_numbers_are_wanted") {
            return;
        }
        let mut file = entry(EntryKind::File, 0o600);
        (file.uid, file.gid) = (1234, 5678);
        (file.user, file.group) = (Some(b"root".to_vec()), Some(b"no such group".to_vec()));
        for (numeric_ids, uid) in [(false, 0), (true, 1234)] {
            let world = World::with(Options { numeric_ids, ..Options::default() });
            let stat = make(&world, "f", &file).0;
            assert_eq!((stat.uid(), stat.gid()), (uid, 5678));
        }
    }

    #[test]
    fn who_is_not_root_gets_their_own_files_without_a_word() {
        if rustix::process::geteuid().is_root() {
            let world = World::with(Options { owner: false, ..Options::default() });
            return check_not_owned(&world);
        }
        check_not_owned(&World::new());
        let world = World::with(Options { owner: true, ..Options::default() });
        let mut file = entry(EntryKind::File, 0o4755);
        file.uid += 1;
        let (stat, problems) = make(&world, "f", &file);
        assert_eq!((problems.len(), stat.mode() & 0o7777), (1, 0o755));
    }

    fn check_not_owned(world: &World) {
        let mut file = entry(EntryKind::File, 0o4755);
        file.uid += 1;
        file.xattrs = xattrs(&[("security.capability", b"x"), ("trusted.overlay.opaque", b"y")]);
        let (stat, problems) = make(world, "f", &file);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(stat.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(stat.mode() & 0o7777, 0o755);
        assert_eq!(get(&world.path("f"), "security.capability"), None);
        assert_eq!(get(&world.path("f"), "trusted.overlay.opaque"), None);
    }

    #[test]
    fn attributes_and_acls_come_back_and_only_those() {
        let world = World::new();
        let none = u32::MAX;
        let inherited =
            acl(&[(1, 7, none), (2, 7, 99), (4, 5, none), (16, 7, none), (32, 5, none)]);
        xattr::set(world.path(""), DEFAULT_ACL, &inherited).unwrap();
        let mut file = entry(EntryKind::File, 0o660);
        let value = shared_with_1234();
        file.xattrs = xattrs(&[(ACCESS_ACL, &value), ("user.empty", b""), ("user.k", b"\0\xff")]);
        let (stat, problems) = make(&world, "f", &file);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(stat.mode() & 0o7777, 0o660);
        assert_eq!(get(&world.path("f"), ACCESS_ACL), Some(value));
        assert_eq!(get(&world.path("f"), "user.empty"), Some(Vec::new()));
        assert_eq!(get(&world.path("f"), "user.k"), Some(b"\0\xff".to_vec()));

        let (stat, problems) = make(&world, "plain", &entry(EntryKind::File, 0o640));
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(get(&world.path("plain"), ACCESS_ACL), None);
        assert_eq!(stat.mode() & 0o7777, 0o640);
        let pipe = entry(EntryKind::Fifo, 0o640);
        assert!(create_special(world.root(), b"p", &pipe).unwrap().problems.is_empty());
        assert_eq!(get(&world.path("p"), ACCESS_ACL), None);

        let dir = world.root().create_child_dir(b"d").unwrap();
        xattr::set(world.path("d"), "user.old", b"x").unwrap();
        assert!(dir.finish(&entry(EntryKind::Directory, 0o750)).unwrap().is_empty());
        for name in [ACCESS_ACL, DEFAULT_ACL, "user.old"] {
            assert_eq!(get(&world.path("d"), name), None);
        }
        if is_root("labels of security modules stay") {
            xattr::set(world.path("d"), "security.label", b"of the host").unwrap();
            assert!(dir.finish(&entry(EntryKind::Directory, 0o750)).unwrap().is_empty());
            assert!(get(&world.path("d"), "security.label").is_some());
        }
        let world = World::with(Options { xattrs: false, ..Options::default() });
        assert!(make(&world, "f", &file).1.is_empty());
        assert_eq!(get(&world.path("f"), "user.k"), None);
    }

    #[test]
    fn attributes_that_cannot_be_set_are_reported() {
        let world = World::new();
        let mut file = entry(EntryKind::File, 0o600);
        let long = vec![b'x'; 70_000];
        file.xattrs = xattrs(&[("nonsense", b"x"), ("user.a", b"1"), ("user.long", &long)]);
        let (_, problems) = make(&world, "f", &file);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems.iter().all(|p| p.kind != ErrorKind::Full));
        assert!(problems[0].message.contains("nonsense") && problems[0].message.ends_with("/f"));
        assert_eq!(get(&world.path("f"), "user.a"), Some(b"1".to_vec()));
    }

    #[test]
    fn capabilities_survive_the_change_of_owner() {
        if !is_root("capabilities_survive_the_change_of_owner") {
            return;
        }
        // cap_net_bind_service+ep, version 2.
        let mut capability = vec![1, 0, 0, 2, 0, 4, 0, 0];
        capability.resize(20, 0);
        let mut file = entry(EntryKind::File, 0o755);
        (file.uid, file.gid) = (1234, 5678);
        file.xattrs = xattrs(&[("security.capability", &capability), ("trusted.t", b"t")]);
        let world = World::new();
        let (_, problems) = make(&world, "f", &file);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.starts_with("left out the capability of /"), "{problems:?}");
        assert_eq!(get(&world.path("f"), "security.capability"), None);
        assert_eq!(get(&world.path("f"), "trusted.t"), Some(b"t".to_vec()));
        let world = World::with(Options { special: true, ..Options::default() });
        let (_, problems) = make(&world, "f", &file);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(get(&world.path("f"), "security.capability"), Some(capability));
        assert_eq!(get(&world.path("f"), "trusted.t"), Some(b"t".to_vec()));
        file.uid = u32::MAX;
        assert_eq!(make(&world, "f", &file).1.len(), 1);
        assert_eq!(get(&world.path("f"), "security.capability"), None);
    }

    /// The umask belongs to the whole process, so the test runs itself again in another one.
    #[test]
    fn the_umask_does_not_matter() {
        const VARIABLE: &str = "PARADOS_TEST_UMASK_TARGET";
        if let Some(path) = std::env::var_os(VARIABLE) {
            let target = Target::open(&Path::new(&path).join("new/target"), Options::default());
            let target = target.unwrap();
            let dir = target.root().create_child_dir(b"d").unwrap();
            let below = dir.create_child_dir(b"below").unwrap();
            let file = create_file(&below, b"f").unwrap();
            file.write_at(b"x", 0).unwrap();
            assert!(file.finish(&entry(EntryKind::File, 0o666)).unwrap().problems.is_empty());
            let pipe = entry(EntryKind::Fifo, 0o622);
            assert!(create_special(&below, b"p", &pipe).unwrap().problems.is_empty());
            for dir in [below, dir] {
                assert!(dir.finish(&entry(EntryKind::Directory, 0o777)).unwrap().is_empty());
            }
            return target.finish().unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let again = Command::new("sh")
            .args(["-c", "umask 0777; exec \"$@\"", "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "target::metadata::tests::the_umask_does_not_matter"])
            .env(VARIABLE, scratch.path())
            .output()
            .unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
        let mode = |below: &str| {
            let path = scratch.path().join("new/target").join(below);
            fs::metadata(path).unwrap().mode() & 0o7777
        };
        assert_eq!((mode(""), mode("d"), mode("d/below")), (0o700, 0o777, 0o777));
        assert_eq!((mode("d/below/f"), mode("d/below/p")), (0o666, 0o622));
    }
}
