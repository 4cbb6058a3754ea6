//! Finds the paths that a path with wildcards stands for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::pattern::{NamePattern, PatternError};

/// Most paths that one pattern may stand for, which bounds memory.
const PATH_COUNT_MAX: usize = 1 << 20;

/// The paths that exist for `pattern`, sorted, with the rules of Go's `filepath.Glob`: what a shell
/// does, but names that start with a dot are like others, and what cannot be listed holds nothing.
/// Relative patterns start at `cwd` and yield relative paths.
///
/// # Errors
/// Says what is wrong with the pattern.
pub fn expand(pattern: &[u8], cwd: &Path) -> Result<Vec<PathBuf>, PatternError> {
    let start = if pattern.starts_with(b"/") { "/" } else { "" };
    let mut paths = vec![PathBuf::from(start)];
    for component in pattern.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if !NamePattern::is_wild(component) {
            paths.iter_mut().for_each(|path| path.push(OsStr::from_bytes(component)));
            continue;
        }
        let component = NamePattern::new(component)?;
        let mut found = Vec::new();
        for path in &paths {
            for name in names_in(&cwd.join(path)) {
                if component.is_match(name.as_bytes()) {
                    found.push(path.join(name));
                }
            }
            if found.len() > PATH_COUNT_MAX {
                return Err(PatternError::TooMany);
            }
        }
        paths = found;
    }
    if pattern.ends_with(b"/") {
        // The slash asks for what a link leads to.
        paths.iter_mut().for_each(|path| path.push(""));
    }
    paths.retain(|path| cwd.join(path).symlink_metadata().is_ok());
    paths.sort();
    Ok(paths)
}

fn names_in(directory: &Path) -> Vec<std::ffi::OsString> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_stand_for_what_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let cwd = scratch.path();
        for directory in ["a/x", "a/.y", "b/x", "b[1]"] {
            fs::create_dir_all(cwd.join(directory)).unwrap();
        }
        fs::write(cwd.join("a/x/f.c"), "").unwrap();
        fs::write(cwd.join("b/x/f.h"), "").unwrap();
        std::os::unix::fs::symlink("a", cwd.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", cwd.join("dangling")).unwrap();
        let rows: &[(&str, &[&str])] = &[
            ("*/x", &["a/x", "b/x", "link/x"]),
            ("?/*", &["a/.y", "a/x", "b/x"]),
            ("*/*/*.[ch]", &["a/x/f.c", "b/x/f.h", "link/x/f.c"]),
            ("**/x", &["a/x", "b/x", "link/x"]),
            ("b\\[1\\]", &["b[1]"]),
            ("l*/", &["link/"]),
            ("f*", &[]),
            ("a/x/f.c/*", &[]),
            ("d*", &["dangling"]),
            ("d*/", &[]),
            ("a", &["a"]),
            ("../*/a/./x/*", &[&format!("../{}/a/./x/f.c", file_name(cwd))]),
        ];
        for (pattern, expect) in rows {
            let found = expand(pattern.as_bytes(), cwd).unwrap();
            let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(found, *expect, "{pattern}");
        }
        let absolute = cwd.join("a/*").into_os_string();
        assert_eq!(expand(absolute.as_bytes(), Path::new("/")).unwrap().len(), 2);
        assert_eq!(expand(b"a/[", cwd), Err(PatternError::OpenClass));
    }

    fn file_name(path: &Path) -> &str {
        path.file_name().unwrap().to_str().unwrap()
    }
}
