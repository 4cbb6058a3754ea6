//! Turns the paths that a person gave into one tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::path::DEPTH_MAX;
use super::problem::{Problem, READ};
use crate::base::{Error, ErrorKind, Result};

/// The way from `/` to all sources.
#[derive(Debug, PartialEq, Eq)]
pub struct Roots {
    /// Stands for `/`; its name is empty.
    pub top: Branch,
    /// Absolute paths of the sources that exist, as raw bytes, sorted, each once. Those inside
    /// others are among them.
    pub paths: Vec<Vec<u8>>,
    /// File systems of these, in their order, each once. A backup that stays on one file system
    /// stays on these.
    pub devices: Vec<u64>,
    /// Sources that do not exist or cannot be reached.
    pub problems: Vec<Problem>,
}

/// A component on the way to the sources, or a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Raw bytes of the component.
    pub name: Vec<u8>,
    /// What lies below on the way, sorted by name. Empty for a source, which is wanted whole.
    pub below: Vec<Branch>,
}

impl Branch {
    /// Whether it is wanted whole.
    pub fn is_source(&self) -> bool {
        self.below.is_empty()
    }
}

/// A source that exists.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    components: Vec<Vec<u8>>,
    device: u64,
}

impl Roots {
    /// Finds where the sources lie. Relative paths start at `cwd`.
    ///
    /// `.` and `..` are taken as text. Symbolic links on the way are replaced by what they lead
    /// to, so that a restore in place never meets its own link where a directory should be; a
    /// source that is a link itself is stored as a link, unless its path ends in a slash. Sources
    /// inside others are merged into them.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for no source; the kind of the first fault when none can be read.
    pub fn find(sources: &[PathBuf], cwd: &Path) -> Result<Self> {
        if sources.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "no source was given")
                .hint("Name the files and directories to back up."));
        }
        let mut finder = Finder::default();
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for source in sources {
            match finder.find(source, cwd) {
                Ok(one) => found.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        if found.is_empty() {
            return Err(refuse(&problems));
        }
        found.sort_by(|a, b| a.components.cmp(&b.components));
        found.dedup_by(|a, b| a.components == b.components);
        Ok(Self::from_found(&found, problems))
    }

    fn from_found(found: &[Found], problems: Vec<Problem>) -> Self {
        let mut devices = Vec::new();
        let mut top = Branch::default();
        let mut last: Option<&Found> = None;
        for one in found {
            if !devices.contains(&one.device) {
                devices.push(one.device);
            }
            // Components are real directories up to the last, so that beginning with another
            // source is lying inside it.
            let is_inside = last.is_some_and(|outer| one.components.starts_with(&outer.components));
            if !is_inside {
                insert(&mut top, &one.components);
                last = Some(one);
            }
        }
        let paths = found.iter().map(|one| join(&one.components)).collect();
        Self { top, paths, devices, problems }
    }
}

/// Adds a path that is greater than all others, and inside none of them.
fn insert(top: &mut Branch, components: &[Vec<u8>]) {
    let mut branch = top;
    for name in components {
        if branch.below.last().is_none_or(|last| last.name != *name) {
            branch.below.push(Branch { name: name.clone(), below: Vec::new() });
        }
        branch = branch.below.last_mut().expect("one was just pushed, or found");
    }
}

fn join(components: &[Vec<u8>]) -> Vec<u8> {
    if components.is_empty() {
        return b"/".to_vec();
    }
    components.iter().flat_map(|name| [b"/", &name[..]].concat()).collect()
}

fn refuse(problems: &[Problem]) -> Error {
    let kind = problems.first().map_or(ErrorKind::NotFound, |problem| problem.kind);
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Error::new(kind, text.join("; ")).hint("None of the sources can be backed up; check the paths.")
}

/// Resolves paths; thousands of sources from a list mostly share their directories.
#[derive(Default)]
struct Finder {
    resolved: HashMap<PathBuf, std::result::Result<PathBuf, (io::ErrorKind, Option<i32>)>>,
}

impl Finder {
    fn find(&mut self, source: &Path, cwd: &Path) -> std::result::Result<Found, Problem> {
        let given = source.as_os_str().as_bytes();
        let path = normalize(&cwd.join(source));
        let refuse = |error| Problem::io(path.as_os_str().as_bytes().to_vec(), READ, error);
        if given.is_empty() {
            let message = "a source without a name";
            return Err(Problem::new(Vec::new(), READ, ErrorKind::Usage, message));
        }
        let is_followed = given.ends_with(b"/") || given.ends_with(b"/.") || given == b".";
        let real = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if !is_followed => {
                self.resolve(parent).map_err(refuse)?.join(name)
            }
            _ => self.resolve(&path).map_err(refuse)?,
        };
        let stat = std::fs::symlink_metadata(&real).map_err(refuse)?;
        let components: Vec<Vec<u8>> = components(&real).map(|c| c.as_bytes().to_vec()).collect();
        if components.len() > DEPTH_MAX {
            let message = format!("it lies deeper than {DEPTH_MAX} directories");
            let path = path.as_os_str().as_bytes().to_vec();
            return Err(Problem::new(path, READ, ErrorKind::Unsupported, message));
        }
        Ok(Found { components, device: stat.dev() })
    }

    fn resolve(&mut self, path: &Path) -> io::Result<PathBuf> {
        let result = match self.resolved.entry(path.to_path_buf()) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(
                std::fs::canonicalize(path).map_err(|error| (error.kind(), error.raw_os_error())),
            ),
        };
        match result {
            Ok(real) => Ok(real.clone()),
            Err((_, Some(code))) => Err(io::Error::from_raw_os_error(*code)),
            Err((kind, None)) => Err((*kind).into()),
        }
    }
}

/// Takes `.` and `..` out of an absolute path, as text.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Normal(name) => normal.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

fn components(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::source::Directory;
    use crate::source::testing::as_nobody;

    /// A scratch directory by its real path, with `a/b/c`, `a/f`, `d` and links.
    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        std::fs::create_dir_all(path.join("a/b/c")).unwrap();
        std::fs::create_dir(path.join("d")).unwrap();
        std::fs::write(path.join("a/f"), "x").unwrap();
        symlink("a/b", path.join("link")).unwrap();
        symlink("nowhere", path.join("dangling")).unwrap();
        (scratch, path)
    }

    /// The sources that the tree of `given` leads to, below `path`.
    fn find(path: &Path, given: &[&str]) -> Vec<String> {
        let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
        let roots = Roots::find(&given, path).unwrap();
        assert_eq!(roots.problems, []);
        let mut sources = Vec::new();
        let mut open = vec![(PathBuf::new(), &roots.top)];
        while let Some((at, branch)) = open.pop() {
            let at = at.join(OsStr::from_bytes(&branch.name));
            if branch.is_source() {
                let whole = Path::new("/").join(&at);
                let short = whole.strip_prefix(path).unwrap_or(&whole);
                sources.push(short.to_str().unwrap().to_owned());
            }
            open.extend(branch.below.iter().map(|below| (at.clone(), below)));
        }
        sources.sort();
        sources
    }

    #[test]
    fn paths_are_taken_as_people_write_them() {
        let (_guard, path) = scratch();
        let absolute = path.join("a/f");
        for given in ["a/f", "./a//f", "a/b/../f", "../../../..", absolute.to_str().unwrap()] {
            let expected = if given.ends_with("..") { "/" } else { "a/f" };
            assert_eq!(find(&path, &[given]), [expected], "{given}");
        }
        assert_eq!(find(&path.join("a/b"), &["."]), [""]);
        assert_eq!(find(&path.join("a"), &[".."]), [path.to_str().unwrap()]);
        assert_eq!(find(&path, &["/"]), ["/"]);
    }

    #[test]
    fn a_link_is_stored_as_a_link_unless_a_slash_follows() {
        let (_guard, path) = scratch();
        assert_eq!(find(&path, &["link"]), ["link"]);
        assert_eq!(find(&path, &["dangling"]), ["dangling"]);
        assert_eq!(find(&path, &["link/"]), ["a/b"]);
        assert_eq!(find(&path, &["link/."]), ["a/b"]);
        assert_eq!(find(&path, &["link/c"]), ["a/b/c"], "links on the way are resolved");
    }

    #[test]
    fn sources_inside_others_are_merged() {
        let (_guard, path) = scratch();
        assert_eq!(find(&path, &["a/b", "a", "a/b/c", "a/", "a/f", "d"]), ["a", "d"]);
        assert_eq!(find(&path, &["a/b", "a/f", "a/b"]), ["a/b", "a/f"]);
        assert_eq!(find(&path, &["link/c", "a"]), ["a"]);
        assert_eq!(find(&path, &["a", "/", "d"]), ["/"]);
        // `a-` sorts between `a` and `a/b` as text, not as components.
        std::fs::create_dir(path.join("a-")).unwrap();
        assert_eq!(find(&path, &["a/b", "a-", "a"]), ["a", "a-"]);
        let given = ["a/b".into(), "a".into(), "a".into()];
        let roots = Roots::find(&given, &path).unwrap();
        let all: Vec<Vec<u8>> =
            ["a", "a/b"].iter().map(|p| path.join(p).as_os_str().as_bytes().to_vec()).collect();
        assert_eq!(roots.paths, all, "all that was asked for is recorded");
        assert_eq!(roots.devices.len(), 1);
    }

    #[test]
    fn missing_sources_are_problems_until_all_are_missing() {
        let (_guard, path) = scratch();
        let given = ["a".into(), "gone/x".into(), "".into(), "a/f/x".into()];
        let roots = Roots::find(&given, &path).unwrap();
        assert_eq!(roots.paths.len(), 1);
        let text: Vec<String> = roots.problems.iter().map(ToString::to_string).collect();
        let gone = format!("could not read {}/gone/x: no such file or directory", path.display());
        assert_eq!(text.len(), 3, "{text:?}");
        assert_eq!(text[0], gone);
        let error = Roots::find(&["gone/x".into()], &path).unwrap_err();
        assert_eq!((error.kind, error.to_string()), (ErrorKind::NotFound, gone));
        assert_eq!(Roots::find(&[], &path).unwrap_err().kind, ErrorKind::Usage);
    }

    #[test]
    fn the_tree_leads_to_the_sources() {
        let (_guard, path) = scratch();
        let roots = Roots::find(&["a/b".into(), "link".into()], &path).unwrap();
        let mut directory = Directory::open_top().unwrap();
        let mut branch = &roots.top;
        while let [only] = &branch.below[..] {
            directory = directory.open_passage(&only.name).unwrap();
            branch = only;
        }
        assert_eq!(directory.path().to_bytes(), path.as_os_str().as_bytes());
        let names: Vec<&[u8]> = branch.below.iter().map(|b| &b.name[..]).collect();
        assert_eq!(names, [&b"a"[..], b"link"]);
        assert!(!branch.below[0].is_source() && branch.below[1].is_source());
        let passage = directory.open_passage(b"a").unwrap();
        assert_eq!(passage.open_child(b"b").unwrap().scan().unwrap().children.len(), 1);
    }

    #[test]
    fn a_source_behind_directories_that_may_not_be_listed_is_found() {
        let prepare = |scratch: &Path| {
            std::fs::create_dir_all(scratch.join("home/me")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
            std::fs::set_permissions(scratch.join("home"), mode).unwrap();
            std::fs::create_dir_all(scratch.join("closed/me")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(scratch.join("closed"), mode).unwrap();
        };
        let test =
            "source::roots::tests::a_source_behind_directories_that_may_not_be_listed_is_found";
        as_nobody(test, prepare, |scratch| {
            let given = ["home/me".into(), "closed/me".into()];
            let roots = Roots::find(&given, scratch).unwrap();
            assert_eq!(roots.paths.len(), 1);
            assert_eq!(roots.problems[0].kind, ErrorKind::Access);
            let error = Roots::find(&["closed/me".into()], scratch).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Access);
        });
    }
}
