//! Files that say of their directory that nothing else in it is to be read.

use super::child::Child;
use super::directory::Directory;
use super::file::OpenFile;
use crate::format::entry::validate_name;

/// Longest beginning that a tag may have to have.
const HEADER_LEN_MAX: usize = 64 << 10;
/// Beginning of `CACHEDIR.TAG`, from the Cache Directory Tagging Specification.
const CACHE_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A file that marks its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    name: Vec<u8>,
    /// What it begins with; empty where being there is enough.
    header: Vec<u8>,
}

impl Tag {
    /// Reads `NAME` or `NAME:HEADER`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &[u8]) -> Result<Self, String> {
        let mut parts = text.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        let header = parts.next().unwrap_or_default();
        if validate_name(name).is_err() {
            return Err("it is no name of a file in a directory".into());
        }
        if header.len() > HEADER_LEN_MAX {
            return Err(format!("its header is longer than {HEADER_LEN_MAX} bytes"));
        }
        Ok(Self { name: name.to_vec(), header: header.to_vec() })
    }

    /// The tag of cache directories, `CACHEDIR.TAG` with its signature.
    pub fn cache() -> Self {
        Self { name: b"CACHEDIR.TAG".to_vec(), header: CACHE_HEADER.to_vec() }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether `directory`, in which the name exists, is tagged.
    ///
    /// A tag that cannot be read is none; whoever reads it for its content reports the fault.
    pub(super) fn is_valid_in(&self, directory: &Directory) -> bool {
        if self.header.is_empty() {
            return true;
        }
        let Ok(Some(child)) = directory.stat_child(&self.name) else { return false };
        self.has_header(directory, &child).unwrap_or(false)
    }

    fn has_header(&self, directory: &Directory, child: &Child) -> std::io::Result<bool> {
        let file = OpenFile::open(directory, child).map_err(std::io::Error::other)?;
        let mut found = vec![0; self.header.len()];
        let mut len = 0;
        while len < found.len() {
            match file.read_at(&mut found[len..], len as u64)? {
                0 => return Ok(false),
                read => len += read,
            }
        }
        Ok(found == self.header)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_tag_is_a_name_with_an_optional_header() {
        let tag = |text: &str| Tag::new(text.as_bytes());
        let named = |name: &str, header: &str| Tag { name: name.into(), header: header.into() };
        assert_eq!(tag(".nobackup"), Ok(named(".nobackup", "")));
        assert_eq!(tag("a:b:c"), Ok(named("a", "b:c")));
        assert_eq!(tag("a:"), Ok(named("a", "")));
        for text in ["", ":header", "a/b", ".", ".."] {
            assert!(tag(text).is_err(), "{text:?}");
        }
        assert!(Tag::new(&[&b"a:"[..], &b"x".repeat(HEADER_LEN_MAX + 1)].concat()).is_err());
    }

    #[test]
    fn a_header_must_be_what_the_file_begins_with() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::open_root(scratch.path()).unwrap();
        let write = |text: &[u8]| std::fs::write(scratch.path().join("CACHEDIR.TAG"), text);
        let is_cache = || Tag::cache().is_valid_in(&directory);
        assert!(!is_cache());
        write(CACHE_HEADER).unwrap();
        assert!(is_cache());
        write(&[CACHE_HEADER, b"\n# made by a test\n"].concat()).unwrap();
        assert!(is_cache());
        write(&CACHE_HEADER[1..]).unwrap();
        assert!(!is_cache());
        write(b"Signature: 8a477f597d28d172789f06886806bc56").unwrap();
        assert!(!is_cache());
        assert!(Tag::new(b"CACHEDIR.TAG").unwrap().is_valid_in(&directory));
        std::fs::rename(scratch.path().join("CACHEDIR.TAG"), scratch.path().join("x")).unwrap();
        write(CACHE_HEADER).unwrap();
        std::fs::remove_file(scratch.path().join("CACHEDIR.TAG")).unwrap();
        symlink(Path::new("x"), scratch.path().join("CACHEDIR.TAG")).unwrap();
        assert!(!is_cache(), "the specification wants a regular file");
    }
}
