//! What grants rights comes back to root only when asked for.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, makedev, mknodat, setxattr};

use crate::world::{World, is_root, problems, skip};

/// `cap_net_bind_service+ep`, version 2.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn what_grants_rights_comes_when_it_is_asked_for() {
    let test = "what_grants_rights_comes_when_it_is_asked_for";
    if !is_root() {
        return skip(test, "only root makes such things");
    }
    let world = World::with_repository();
    let source = world.at("source");
    world.write("source/program", "x");
    world.write("source/capable", "y");
    fs::create_dir(source.join("shared")).unwrap();
    let mode = |path: &str, mode| {
        fs::set_permissions(world.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("source/program", 0o6755);
    mode("source/shared", 0o2775);
    let device = mknodat(
        CWD,
        source.join("null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        makedev(1, 3),
    );
    let name = "security.capability";
    let capable = setxattr(source.join("capable"), name, &CAPABILITY, XattrFlags::empty());
    if let Err(errno) = device.and(capable) {
        return skip(test, &format!("devices or capabilities cannot be made here: {errno}"));
    }
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", source.display());
    let found = || {
        let capability = getxattr(world.at("back/capable"), name, &mut [0; 64]).is_ok();
        let device = fs::symlink_metadata(world.at("back/null"));
        let mode = |path| fs::metadata(world.at(path)).unwrap().mode() & 0o7777;
        (mode("back/program"), mode("back/shared"), capability, device.is_ok())
    };

    let foretold = world.expect(3, &["restore", &part, "-t", "back", "-n", "--json"]);
    assert_eq!(problems(&foretold), ["left out the device back/null"]);
    let without = world.expect(3, &["restore", &part, "-t", "back", "--json"]);
    let mut told = problems(&without);
    told.sort();
    insta::assert_snapshot!(told.join("\n"), @r"
    left out the capability of back/capable
    left out the device back/null
    left out the set-group-ID bit of back/program
    left out the set-user-ID bit of back/program
    ");
    assert_eq!(found(), (0o755, 0o2775, false, false));
    let plainly = world.expect(3, &["restore", &part, "-t", "back"]);
    assert!(plainly.err.contains("as root with `--special`"), "{}", plainly.err);

    let with = world.ok(&["restore", &part, "-t", "back", "--special", "--json"]);
    assert_eq!(with.json().pop().unwrap()["bytes_restored"], 0);
    assert_eq!(found(), (0o6755, 0o2775, true, true));
    let device = fs::symlink_metadata(world.at("back/null")).unwrap();
    assert!(device.file_type().is_char_device() && device.rdev() == makedev(1, 3));

    // What is there is not taken away, and not missed.
    world.ok(&["restore", &part, "-t", "back"]);
    assert_eq!(found(), (0o6755, 0o2775, true, true));
    // To somebody else it would be given without its owner.
    fs::remove_dir_all(world.at("back")).unwrap();
    world.ok(&["restore", &part, "-t", "back", "--special", "--no-owner", "--exclude", "null"]);
    assert_eq!(found(), (0o755, 0o2775, false, false));
}
