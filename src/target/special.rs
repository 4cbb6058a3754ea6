//! Entries without content: pipes, sockets and devices.

use std::sync::Arc;

use rustix::fs::{FileType, Mode, makedev, mknodat};

use super::TargetDir;
use super::claim::Finished;
use super::fault::left_out;
use super::place::place;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, EntryKind};

/// Creates the pipe, socket or device `name` in `dir`.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for devices unless the options ask for them;
/// [`ErrorKind::Exists`] when a directory with content has the name.
pub fn create_special(dir: &Arc<TargetDir>, name: &[u8], entry: &Entry) -> Result<Finished> {
    let kind = match entry.kind {
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice => FileType::CharacterDevice,
        EntryKind::BlockDevice => FileType::BlockDevice,
        EntryKind::File | EntryKind::Directory | EntryKind::Symlink => {
            let message = format!("could not create {} as a special file", dir.path_of(name));
            return Err(Error::new(ErrorKind::Bug, message));
        }
    };
    check_special(dir, name, entry)?;
    let device = match entry.device {
        Some(device) if is_device(entry) => makedev(device.major, device.minor),
        _ => 0,
    };
    place(dir, name, entry, device, |dir, name| {
        mknodat(dir, name, kind, Mode::RUSR | Mode::WUSR, device)
    })
}

/// Refuses a device that nobody asked for.
///
/// # Errors
/// [`ErrorKind::Unsupported`], as [`create_special`].
pub fn check_special(dir: &TargetDir, name: &[u8], entry: &Entry) -> Result<()> {
    if is_device(entry) && !dir.shared().options.special {
        return Err(left_out("the device", &dir.path_of(name)));
    }
    Ok(())
}

fn is_device(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use super::*;
    use crate::base::Timestamp;
    use crate::format::entry::Device;
    use crate::target::Options;
    use crate::target::testing::{World, entry, is_root, names};

    #[test]
    fn pipes_and_sockets_come_back_with_their_metadata() {
        let world = World::new();
        fs::write(world.path("p"), "replaced").unwrap();
        for (kind, name) in [(EntryKind::Fifo, "p"), (EntryKind::Socket, "s")] {
            let mut entry = entry(kind, 0o1623);
            entry.mtime = Some(Timestamp::new(1_000_000_000, 5));
            let problems = create_special(world.root(), name.as_bytes(), &entry).unwrap().problems;
            assert!(problems.is_empty(), "{problems:?}");
            let stat = fs::symlink_metadata(world.path(name)).unwrap();
            assert_eq!(stat.mode() & 0o7777, 0o1623);
            assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_000_000_000, 5));
        }
        assert!(fs::symlink_metadata(world.path("p")).unwrap().file_type().is_fifo());
        assert!(fs::symlink_metadata(world.path("s")).unwrap().file_type().is_socket());
    }

    #[test]
    fn devices_come_back_with_their_numbers() {
        if !is_root("devices_come_back_with_their_numbers") {
            return;
        }
        let world = World::with(Options { special: true, ..Options::default() });
        for (kind, name) in [(EntryKind::CharDevice, "c"), (EntryKind::BlockDevice, "b")] {
            let mut entry = entry(kind, 0o660);
            entry.device = Some(Device { major: 7, minor: 0x12345 });
            (entry.uid, entry.gid) = (12, 34);
            let problems = create_special(world.root(), name.as_bytes(), &entry).unwrap().problems;
            assert!(problems.is_empty(), "{problems:?}");
            let stat = fs::symlink_metadata(world.path(name)).unwrap();
            assert_eq!(stat.rdev(), makedev(7, 0x12345));
            assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o660, 12, 34));
        }
        let mut huge = entry(EntryKind::CharDevice, 0o600);
        huge.device = Some(Device { major: 5000, minor: 1 << 20 });
        let error = create_special(world.root(), b"huge", &huge).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(names(&world.path("")), ["b", "c"]);
    }

    #[test]
    fn devices_are_left_out_unless_asked_for() {
        let world = World::new();
        let device = entry(EntryKind::CharDevice, 0o666);
        let error = create_special(world.root(), b"null", &device).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let file = entry(EntryKind::File, 0o666);
        assert_eq!(create_special(world.root(), b"f", &file).unwrap_err().kind, ErrorKind::Bug);
        assert_eq!(names(&world.path("")), Vec::<String>::new());
    }
}
