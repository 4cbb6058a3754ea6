//! Names for other names: symbolic and hard links.

use std::sync::Arc;

use rustix::fs::{AtFlags, Stat, linkat, statat, symlinkat};
use rustix::io::Errno;

use super::TargetDir;
use super::claim::{Claim, Created, Finished};
use super::directory::Identity;
use super::fault::{fault, replaced};
use super::place::place;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::Entry;

/// Creates the symbolic link `name` in `dir`. Where it leads is nobody's business here.
///
/// # Errors
/// [`ErrorKind::Exists`] when a directory with content has the name.
pub fn create_symlink(dir: &Arc<TargetDir>, name: &[u8], entry: &Entry) -> Result<Finished> {
    let Some(target) = &entry.target else {
        let message = format!("could not create {}: its link target is missing", dir.path_of(name));
        return Err(Error::new(ErrorKind::Damaged, message));
    };
    place(dir, name, entry, 0, |dir, name| symlinkat(target, dir, name))
}

/// Creates the hard link `name` in `dir`, to what `first` named when this run created it.
///
/// # Errors
/// [`ErrorKind::Busy`] when `first` names something else by now; nothing is linked then.
pub fn create_hard_link(first: &Created, dir: &Arc<TargetDir>, name: &[u8]) -> Result<()> {
    dir.check_name(name)?;
    let first_fd = first.dir.open()?;
    let moved = || replaced(&first.dir.path_of(&first.name));
    let failed = |e: Errno| fault("read the metadata of", &first.dir.path_of(&first.name), e);
    let is_first = |stat: &Stat| Identity::from(stat) == first.identity;
    let stat = statat(&first_fd, &*first.name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| match e {
        Errno::NOENT => moved(),
        e => failed(e),
    })?;
    if !is_first(&stat) {
        return Err(moved());
    }
    let dir_fd = dir.open()?;
    // Renaming one name of a file over another does nothing, and would leave the temporary one.
    if statat(&dir_fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_first(&stat)) {
        return Ok(());
    }
    let (stat, claim) = Claim::new(dir, name, |dir, name| {
        // Without flags a symbolic link is linked itself, not what it leads to.
        linkat(&first_fd, &*first.name, dir, name, AtFlags::empty())?;
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((stat, stat))
    })?;
    // `first` may have been replaced since we looked. The claim removes the new name again.
    if !is_first(&stat) {
        return Err(moved());
    }
    claim.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;
    use crate::base::Timestamp;
    use crate::format::entry::EntryKind;
    use crate::target::testing::{World, entry, is_root, names, xattrs};
    use crate::target::{create_file, create_special};

    fn link_to(target: &[u8]) -> Entry {
        let mut link = entry(EntryKind::Symlink, 0o777);
        link.target = Some(target.to_vec());
        link
    }

    #[test]
    fn a_link_has_its_own_metadata_and_leads_wherever_it_led() {
        let world = World::new();
        fs::write(world.outside().join("precious"), "").unwrap();
        let before = fs::metadata(world.outside().join("precious")).unwrap();
        let mut link = link_to(b"../outside/precious");
        link.mtime = Some(Timestamp::new(-86_400, 123_456_789));
        let root = is_root("the owner and attributes of links");
        if root {
            (link.uid, link.gid) = (1234, 5678);
            link.xattrs = xattrs(&[("trusted.note", b"on the link")]);
        }
        for _ in 0..2 {
            // The second time it replaces itself.
            let problems = create_symlink(world.root(), b"l", &link).unwrap().problems;
            assert!(problems.is_empty(), "{problems:?}");
        }
        let path = world.path("l");
        assert_eq!(fs::read_link(&path).unwrap().as_os_str(), "../outside/precious");
        let stat = fs::symlink_metadata(&path).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec()), (-86_400, 123_456_789));
        if root {
            assert_eq!((stat.uid(), stat.gid()), (1234, 5678));
            let value = xattr::get(&path, "trusted.note").unwrap();
            assert_eq!(value.as_deref(), Some(&b"on the link"[..]));
        }
        let after = fs::metadata(world.outside().join("precious")).unwrap();
        assert_eq!((after.ctime(), after.ctime_nsec()), (before.ctime(), before.ctime_nsec()));
        assert_eq!(names(&world.path("")), ["l"]);
    }

    #[test]
    fn a_link_replaces_files_and_links_but_no_directory_with_content() {
        let world = World::new();
        fs::write(world.path("file"), "old").unwrap();
        symlink(world.outside(), world.path("link")).unwrap();
        fs::create_dir(world.path("empty")).unwrap();
        fs::create_dir_all(world.path("full/below")).unwrap();
        for name in ["file", "link", "empty"] {
            create_symlink(world.root(), name.as_bytes(), &link_to(b"new")).unwrap();
            assert_eq!(fs::read_link(world.path(name)).unwrap().as_os_str(), "new");
        }
        let error = create_symlink(world.root(), b"full", &link_to(b"new")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Exists);
        world.check_outside();
    }

    #[test]
    fn names_of_one_file_are_one_file_again() {
        let world = World::new();
        let below = world.root().create_child_dir(b"d").unwrap();
        let file = create_file(world.root(), b"first").unwrap();
        file.write_at(b"shared", 0).unwrap();
        let mut about = entry(EntryKind::File, 0o640);
        about.mtime = Some(Timestamp::new(1, 2));
        let first = file.finish(&about).unwrap().created;
        fs::write(world.path("d/taken"), "old").unwrap();
        for name in [&b"second"[..], b"taken", b"taken"] {
            create_hard_link(&first, &below, name).unwrap();
        }
        assert_eq!(names(&world.path("d")), ["second", "taken"]);
        let stat = fs::metadata(world.path("d/taken")).unwrap();
        assert_eq!((stat.nlink(), stat.mtime(), stat.mtime_nsec()), (3, 1, 2));
        assert_eq!(stat.ino(), fs::metadata(world.path("first")).unwrap().ino());
    }

    #[test]
    fn links_and_pipes_may_have_several_names_too() {
        let world = World::new();
        let link = create_symlink(world.root(), b"l", &link_to(b"../outside")).unwrap().created;
        create_hard_link(&link, world.root(), b"l2").unwrap();
        assert_eq!(fs::read_link(world.path("l2")).unwrap().as_os_str(), "../outside");
        assert_eq!(fs::symlink_metadata(world.path("l2")).unwrap().nlink(), 2);
        let pipe = create_special(world.root(), b"p", &entry(EntryKind::Fifo, 0o600)).unwrap();
        create_hard_link(&pipe.created, world.root(), b"p2").unwrap();
        assert_eq!(fs::symlink_metadata(world.path("p2")).unwrap().nlink(), 2);
    }

    #[test]
    fn what_this_run_did_not_create_is_never_linked() {
        let world = World::new();
        let precious = world.outside().join("precious");
        fs::write(&precious, "precious").unwrap();
        let file = create_file(world.root(), b"f").unwrap();
        let first = file.finish(&entry(EntryKind::File, 0o644)).unwrap().created;
        let check = || {
            let error = create_hard_link(&first, world.root(), b"g").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Busy);
        };
        fs::rename(world.path("f"), world.path("moved")).unwrap();
        check();
        fs::hard_link(&precious, world.path("f")).unwrap();
        check();
        fs::remove_file(world.path("f")).unwrap();
        symlink(&precious, world.path("f")).unwrap();
        check();
        assert_eq!(names(&world.path("")), ["f", "moved"]);
        assert_eq!(fs::metadata(&precious).unwrap().nlink(), 1);
    }

    #[test]
    fn a_name_that_changes_while_it_is_linked_gives_no_wrong_link() {
        let world = World::new();
        let precious = world.outside().join("precious");
        fs::write(&precious, "precious").unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let file = create_file(world.root(), b"f").unwrap();
        let first = file.finish(&entry(EntryKind::File, 0o644)).unwrap().created;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (name, aside) = (world.path("f"), world.path("aside"));
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::rename(&name, &aside).unwrap();
                    fs::hard_link(&precious, &name).unwrap();
                    fs::rename(&aside, &name).unwrap();
                }
            });
            let started = std::time::Instant::now();
            let below = world.root().create_child_dir(b"d").unwrap();
            let mut name = 0u32;
            while started.elapsed().as_millis() < 300 {
                name += 1;
                create_hard_link(&first, &below, name.to_string().as_bytes()).ok();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let precious = fs::metadata(&precious).unwrap();
        for name in names(&world.path("d")) {
            let stat = fs::metadata(world.path("d").join(name)).unwrap();
            assert_ne!(stat.ino(), precious.ino());
        }
    }
}
