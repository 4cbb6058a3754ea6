//! What the tests of this layer share.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::Scan;

/// Tells the second half of a test where the first half prepared its files.
const SCRATCH: &str = "PARADOS_TEST_SCRATCH";
/// What that half prints at its end, so that a filter that matches no test does not pass.
const DONE: &str = "second half done";

/// The names of a scan.
pub(super) fn names(scan: &Scan) -> Vec<&[u8]> {
    scan.children.iter().map(|child| &child.name[..]).collect()
}

/// Says loudly that something was not tested.
pub(super) fn skip(why: &str) {
    crate::base::testing::skip("reading sources", why);
}

/// Runs `check` in `scratch` without privileges. `test` is the full name of the calling test, which
/// is started once more, as another user; `prepare` runs before, with the rights of this process.
#[expect(clippy::print_stdout, reason = "the two halves are two processes")]
pub(super) fn as_nobody(test: &str, prepare: impl FnOnce(&Path), check: impl FnOnce(&Path)) {
    if let Some(scratch) = std::env::var_os(SCRATCH) {
        assert!(!rustix::process::geteuid().is_root());
        check(Path::new(&scratch));
        println!("{DONE}");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skip("only the superuser can become somebody else");
    }
    let scratch = tempfile::tempdir().unwrap();
    let open_to_all = || std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scratch.path(), open_to_all()).unwrap();
    // The directory of the build may be closed to others.
    let program = scratch.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, open_to_all()).unwrap();
    let files = scratch.path().join("files");
    std::fs::create_dir(&files).unwrap();
    prepare(&files);
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"])
        .arg(&program)
        .args(["--exact", test, "--nocapture"])
        .env(SCRATCH, &files)
        .output();
    let Ok(output) = output else { return skip("no program `setpriv`") };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(DONE), "{text}");
}
