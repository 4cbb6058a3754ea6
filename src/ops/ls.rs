//! Lists what a snapshot holds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::writer::miss_last;
use super::{Run, open_chunks, selection, subtree};
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::repo::Repository;
use crate::repo::reader::Reader;
use crate::repo::select::Selector;
use crate::repo::snapshots::Committed;
use crate::repo::tree::{DEPTH_MAX, Walk, check_count};

/// What to list.
#[derive(Clone, Debug)]
pub struct Options {
    /// What selects the snapshot.
    pub snapshot: Selector,
    /// Only these, and what is directly in those that are directories; everything when there is
    /// none.
    pub paths: Vec<Vec<u8>>,
    /// Whether to go into the directories below the paths.
    pub recursive: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
}

/// Told what is found, in the order of the bytes of the names.
pub trait Visit {
    /// The snapshot, before the first entry.
    ///
    /// # Errors
    /// End the listing.
    fn head(&mut self, snapshot: &Committed) -> Result<()> {
        let _ = snapshot;
        Ok(())
    }

    /// An entry and its absolute path.
    ///
    /// # Errors
    /// End the listing.
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<()>;
}

impl<F: FnMut(&[u8], &Entry) -> Result<()>> Visit for F {
    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        self(path, entry)
    }
}

/// Hands the entries of a snapshot to `visit`, each once.
///
/// # Errors
/// When the snapshot or a path does not exist; errors of `visit` end the listing. A directory that
/// cannot be read is a problem.
pub fn ls(
    repository: &Arc<Repository>,
    options: &Options,
    run: &Run<'_>,
    visit: &mut dyn Visit,
) -> Result<Committed> {
    let committed = selection::select(repository, &options.snapshot, run)?;
    let (chunks, _) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    if options.snapshot.is_latest() {
        miss_last(repository, &chunks, committed.id, run.problems)?;
    }
    let reader = Reader::new(repository, &chunks);
    let paths = wanted(&options.paths, options.recursive);
    let found = find(&reader, &committed, &paths)?;
    let roots = &committed.snapshot.components;
    let recursive = options.recursive || paths.is_empty();
    let tree_of = |component: usize, entry: Option<&Entry>| match entry {
        Some(entry) => entry.tree,
        None => roots[component].root,
    };
    for (component, _, entry) in found.iter().filter(|_| recursive) {
        check_count(tree_of(*component, entry.as_ref()).as_ref())
            .map_err(|error| error.hint("List a part of it: `parados ls SNAPSHOT PATH`."))?;
    }
    visit.head(&committed)?;
    for (component, path, entry) in found {
        let tree = tree_of(component, entry.as_ref());
        // Below a directory that is listed as well it was met there.
        if let Some(entry) = entry
            && !parent(&path).is_some_and(|parent| paths.contains(parent))
        {
            visit.entry(&path, &entry)?;
        }
        walk(&reader, tree, path, recursive, run, visit)?;
    }
    Ok(committed)
}

/// The paths in their one spelling, sorted, without those that others include; `/` is empty.
fn wanted(paths: &[Vec<u8>], recursive: bool) -> BTreeSet<Vec<u8>> {
    let spelled = paths.iter().map(|path| {
        let names = path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".");
        names.flat_map(|name| [b"/", name].concat()).collect::<Vec<u8>>()
    });
    let all: BTreeSet<Vec<u8>> = spelled.collect();
    if !recursive {
        return all;
    }
    let is_included = |path: &Vec<u8>| {
        let mut inner = &path[..];
        std::iter::from_fn(|| parent(inner).inspect(|outer| inner = outer)).any(|p| all.contains(p))
    };
    all.iter().filter(|path| !is_included(path)).cloned().collect()
}

/// The directory that a path in its one spelling is in.
fn parent(path: &[u8]) -> Option<&[u8]> {
    path.iter().rposition(|b| *b == b'/').map(|end| &path[..end])
}

/// A component by its place, a path in it, and the entry there; none for its root.
type Found = (usize, Vec<u8>, Option<Entry>);

/// Finds each path in every component that has it.
fn find(
    reader: &Reader<'_>,
    committed: &Committed,
    paths: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Found>> {
    let roots = || committed.snapshot.components.iter().map(|c| c.root).enumerate();
    if paths.is_empty() {
        return Ok(roots().map(|(place, _)| (place, Vec::new(), None)).collect());
    }
    let mut found = Vec::new();
    for path in paths {
        let mut missing = None;
        let before = found.len();
        for (place, root) in roots() {
            match subtree::find(reader, root, path) {
                Ok(entry) => found.push((place, path.clone(), entry)),
                Err(error) if error.kind == ErrorKind::NotFound => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(missing) = missing.filter(|_| found.len() == before) {
            return Err(missing);
        }
    }
    Ok(found)
}

fn walk(
    reader: &Reader<'_>,
    tree: Option<TreeRef>,
    mut path: Vec<u8>,
    recursive: bool,
    run: &Run<'_>,
    visit: &mut dyn Visit,
) -> Result<()> {
    // Each directory with the length of its path, of which the deepest one is kept.
    let mut levels = vec![(Walk::new(reader, tree.as_ref()), path.len())];
    while let Some((walk, len)) = levels.last_mut() {
        run.cancel.check()?;
        path.truncate(*len);
        let entry = match walk.next() {
            None => {
                levels.pop();
                continue;
            }
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                run.problems.push(incomplete(&path, error));
                continue;
            }
        };
        path.push(b'/');
        path.extend_from_slice(&entry.name);
        visit.entry(&path, &entry)?;
        if recursive && let Some(tree) = entry.tree {
            if levels.len() > DEPTH_MAX {
                let message = format!("it lies deeper than {DEPTH_MAX} directories");
                run.problems.push(incomplete(&path, Error::new(ErrorKind::Unsupported, message)));
                continue;
            }
            levels.push((Walk::new(reader, Some(&tree)), path.len()));
        }
    }
    Ok(())
}

fn incomplete(path: &[u8], error: Error) -> Error {
    let message = format!("could not list all of {}/", escape(path));
    Error::new(error.kind, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_path_includes_is_left_out() {
        let shown = |paths: &[&str], recursive| {
            let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
            let wanted = wanted(&paths, recursive);
            let texts = wanted.iter().map(|path| String::from_utf8_lossy(path).into_owned());
            texts.collect::<Vec<_>>()
        };
        let typed = ["/b//c/", "a/./b", "/a", "/ab", "/a/b"];
        assert_eq!(shown(&typed, false), ["/a", "/a/b", "/ab", "/b/c"]);
        assert_eq!(shown(&typed, true), ["/a", "/ab", "/b/c"]);
        assert_eq!(shown(&["/a/b", "/"], true), [""]);
        assert_eq!(shown(&["/a/b", "/"], false), ["", "/a/b"]);
    }
}
