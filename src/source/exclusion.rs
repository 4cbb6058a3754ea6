//! What must never be backed up, whatever name it is met under.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::child::Child;

/// Files and directories known by device and inode, so that no other path, bind mount or hard link
/// leads to them: the repository itself, the cache, a key file.
#[derive(Clone, Debug, Default)]
pub struct Exclusion(HashSet<(u64, u64)>);

impl Exclusion {
    /// Adds what `path` leads to, over symbolic links. Returns whether there is such a thing.
    ///
    /// # Errors
    /// As the operating system says, except that the path does not exist.
    pub fn add(&mut self, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        match std::fs::metadata(path) {
            Ok(found) => {
                self.0.insert((found.dev(), found.ino()));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether `child` must be left out.
    pub fn is_excluded(&self, child: &Child) -> bool {
        self.0.contains(&(child.device, child.signature.inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Directory;

    #[test]
    fn another_name_leads_to_no_excluded_file() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir(at("repository")).unwrap();
        std::fs::write(at("key"), "secret").unwrap();
        std::fs::hard_link(at("key"), at("key too")).unwrap();
        std::fs::write(at("data"), "data").unwrap();
        std::os::unix::fs::symlink("repository", at("link")).unwrap();
        let mut exclusion = Exclusion::default();
        assert!(exclusion.add(&at("link")).unwrap());
        assert!(exclusion.add(&at("key")).unwrap());
        assert!(!exclusion.add(&at("nothing")).unwrap());
        assert!(exclusion.add(&at("data").join("x")).is_err());
        let scan = Directory::open_root(scratch.path()).unwrap().scan().unwrap();
        let kept: Vec<_> =
            scan.children.iter().filter(|c| !exclusion.is_excluded(c)).map(|c| &c.name).collect();
        assert_eq!(kept, [b"data", b"link"]);
    }
}
