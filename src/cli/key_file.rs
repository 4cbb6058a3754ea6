//! Files that hold a random key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::secret_bytes::read_secret;
use crate::base::{Error, ErrorKind, Result};
use crate::seal::code::{self, CodeKind};
use crate::seal::keys::Key;

/// Longest key file in bytes.
const LEN_MAX: u64 = 4096;

/// Reads the key in a key file.
///
/// # Errors
/// Names the file.
pub(crate) fn read(path: &Path) -> Result<Key> {
    let shown = path.display();
    let cannot = |error| Error::io(format!("could not read the key file {shown}"), error);
    let file = File::open(path).map_err(cannot)?;
    let bytes = read_secret(file, LEN_MAX + 1).map_err(cannot)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    code::from_text(CodeKind::KeyFile, text).ok_or_else(|| {
        Error::new(ErrorKind::WrongKey, format!("{shown} is no key file, or it is damaged"))
            .hint("A key file is one line that starts with `pkf1`.")
    })
}

/// Writes a new random key to a file that must not exist, durable before it returns.
///
/// # Errors
/// [`ErrorKind::Exists`] when there is a file already, which is left alone.
pub(crate) fn write_new(path: &Path) -> Result<Key> {
    let shown = path.display();
    let cannot =
        |error: io::Error| Error::io(format!("could not write the key file {shown}"), error);
    let directory = directory_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
    let key = Key::random();
    let temporary = directory.join(format!(".key-{}", crate::base::SlotId::random().short()));
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(cannot)?;
    let text = code::to_text(CodeKind::KeyFile, &key);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .and_then(|()| {
            renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE).map_err(Into::into)
        })
        .and_then(|()| File::open(directory)?.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Err(Error::new(ErrorKind::Exists, format!("there is a file {shown} already"))
                .hint("Choose another name; a key file is never overwritten."));
        }
        return Err(cannot(error));
    }
    Ok(key)
}

/// The key in the file at `path`, which is made when there is none; whether it was made.
///
/// # Errors
/// As [`read`] and [`write_new`].
pub(crate) fn read_or_make(path: &Path) -> Result<(Key, bool)> {
    let is_there = fs::symlink_metadata(path).is_ok();
    if is_there {
        return Ok((read(path)?, false));
    }
    match write_new(path) {
        Ok(key) => Ok((key, true)),
        // Another process was faster.
        Err(error) if error.kind == ErrorKind::Exists => Ok((read(path)?, false)),
        Err(error) => Err(error),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("new/key");
        let (key, made) = read_or_make(&path).expect("it is made");
        assert!(made);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (again, made) = read_or_make(&path).expect("it is read");
        assert!(!made);
        assert_eq!(key.expose(), again.expose());
        assert_eq!(write_new(&path).err().map(|error| error.kind), Some(ErrorKind::Exists));
        assert_eq!(read(&path).expect("it is read").expose(), key.expose());
        assert_eq!(fs::read_dir(scratch.path().join("new")).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("key");
        fs::write(&path, "hunter2\n").expect("it is written");
        let error = read(&path).expect_err("it is none");
        assert_eq!(error.kind, ErrorKind::WrongKey);
        assert!(!error.to_string().contains("hunter2"));
    }
}
