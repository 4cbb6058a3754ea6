//! Lists what a snapshot holds.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Run, open_chunks, subtree};
use crate::base::{Error, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::repo::Repository;
use crate::repo::reader::Reader;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::tree::Walk;

/// What to list.
#[derive(Clone, Debug)]
pub struct Options {
    /// The snapshot, as typed.
    pub snapshot: String,
    /// Only what is at or below this path.
    pub path: Option<Vec<u8>>,
    /// Whether to go into directories below the path.
    pub recursive: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
}

/// Called with each absolute path and its entry.
pub type Visit<'a> = dyn FnMut(&[u8], &Entry) -> Result<()> + 'a;

/// Hands the entries of a snapshot to `visit` in the order of their names.
///
/// # Errors
/// When the snapshot or path does not exist; errors of `visit` end the listing. A directory that
/// cannot be read is a problem.
pub fn ls(
    repository: &Arc<Repository>,
    options: &Options,
    run: &Run<'_>,
    visit: &mut Visit<'_>,
) -> Result<Committed> {
    let snapshots = Snapshots::read(repository)?;
    let resolved = snapshots.resolve(&options.snapshot).cloned();
    // Told first: it may be why there is no such snapshot, or why `latest` is an older one.
    run.problems.extend(snapshots.problems);
    let committed = resolved?;
    let (chunks, _) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let reader = Reader::new(repository, &chunks);
    for component in &committed.snapshot.components {
        let path = options.path.clone().unwrap_or_default();
        let found = subtree::find(&reader, component.root, &path)?;
        let prefix: Vec<u8> = path
            .split(|b| *b == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .flat_map(|name| [b"/", name].concat())
            .collect();
        match found {
            None => walk(&reader, component.root, Vec::new(), options.recursive, run, visit)?,
            Some(entry) => {
                visit(&prefix, &entry)?;
                walk(&reader, entry.tree, prefix, options.recursive, run, visit)?;
            }
        }
    }
    Ok(committed)
}

fn walk(
    reader: &Reader<'_>,
    tree: Option<TreeRef>,
    prefix: Vec<u8>,
    recursive: bool,
    run: &Run<'_>,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut levels = vec![(Walk::new(reader, tree.as_ref()), prefix)];
    while let Some((walk, prefix)) = levels.last_mut() {
        run.cancel.check()?;
        let entry = match walk.next() {
            None => {
                levels.pop();
                continue;
            }
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                let path = crate::base::text::escape(prefix);
                let message = format!("could not list all of {path}/");
                run.problems.push(Error::new(error.kind, message).because(error));
                continue;
            }
        };
        let mut path = prefix.clone();
        path.push(b'/');
        path.extend_from_slice(&entry.name);
        visit(&path, &entry)?;
        if recursive && let Some(tree) = entry.tree {
            levels.push((Walk::new(reader, Some(&tree)), path));
        }
    }
    Ok(())
}
