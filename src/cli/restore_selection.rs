//! Options of `restore` that say what of a snapshot is wanted.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::environment::Environment;
use super::exclude_args::ExcludeArgs;
use super::patterns::{self, Given};
use crate::base::pattern::{Case, Patterns};
use crate::base::{Error, ErrorKind, Result};
use crate::ops::restore::{Select, Selected};

/// What the options below mean, for the manual.
pub(crate) const MANUAL: &str = "\
## What a restore brings back

The patterns of `--include` and `--exclude` are those of `backup`, compared with the path below the
target: of `SNAPSHOT:PATH`, what stands behind PATH. Either sort may be given, not both. A directory
above something that is included is made only when there is something to put into it.

Without `--in-place` a file of the target is never written to: what differs is built beside it from what both have in
common and what has to be fetched, and takes its place in one step. Whoever stops or kills a restore
finds the old file or the new one, and the same restore again fetches only what is missing. What is
being built has a name that starts with `.parados-`; whoever does not restore again after a kill may
delete it. A file of which something is lost in the repository does not replace one that is there;
where there is none, the rest of it is restored, with zeros for what is lost.

`--delete` removes what is selected and not in the snapshot from the directories that the snapshot
holds as a whole: not from those above a backed-up path, not from one of which names could not be
read or were left out when it was backed up (by a pattern, a tag, `--one-file-system`, ...), not from
other file systems mounted there, and never the repository, the cache and the key file in use.

";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct RestoreSelectionArgs {
    /// Restore only what this pattern matches; may be given several times
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,

    /// As --include, and upper and lower case do not differ
    #[arg(long, value_name = "PATTERN")]
    iinclude: Vec<OsString>,

    /// Restore only what the patterns in this file match, one a line
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,

    /// As --include-file, and upper and lower case do not differ
    #[arg(long, value_name = "FILE")]
    iinclude_file: Vec<PathBuf>,

    #[command(flatten)]
    exclude: ExcludeArgs,
}

impl RestoreSelectionArgs {
    /// What all of it asks for; `None` is everything.
    ///
    /// # Errors
    /// Names what makes no sense, or the file that cannot be read.
    pub(crate) fn read(&self, environment: &Environment) -> Result<Option<Arc<Select>>> {
        let exact = Given {
            option: "--include",
            case: Case::Sensitive,
            typed: &self.include,
            files: &self.include_file,
        };
        let folded = Given {
            option: "--iinclude",
            case: Case::Insensitive,
            typed: &self.iinclude,
            files: &self.iinclude_file,
        };
        let include = [
            patterns::read(&exact, environment, |_| None)?,
            patterns::read(&folded, environment, |_| None)?,
        ];
        let exclude = self.exclude.read(environment, |_| None)?;
        let is_given = |patterns: &[Patterns]| patterns.iter().any(|one| !one.is_empty());
        match (is_given(&include), is_given(&exclude)) {
            (true, true) => {
                Err(Error::new(ErrorKind::Usage, "--include and --exclude exclude each other")
                    .hint("Include what you want, or exclude what you do not want."))
            }
            (true, false) => Ok(Some(Arc::new(move |path: &[u8], is_dir: bool| {
                including(&include, path, is_dir)
            }))),
            (false, true) => Ok(Some(Arc::new(move |path: &[u8], is_dir: bool| {
                let itself = !exclude.iter().any(|patterns| patterns.is_match_path(path));
                Selected { itself, below: itself && is_dir }
            }))),
            (false, false) => Ok(None),
        }
    }
}

fn including(include: &[Patterns], path: &[u8], is_dir: bool) -> Selected {
    let mut selected = Selected { itself: false, below: false };
    for patterns in include.iter().filter(|patterns| !patterns.is_empty()) {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let level = names.fold(patterns.top(), |level, name| patterns.enter(&level, name));
        selected.itself |= patterns.is_match_at(&level);
        selected.below |= is_dir && patterns.may_match_below(&level);
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(include: &[&str], exclude: &[&str]) -> Result<Option<Arc<Select>>> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect();
        let arguments = RestoreSelectionArgs {
            include: words(include),
            exclude: ExcludeArgs { exclude: words(exclude), ..ExcludeArgs::default() },
            ..RestoreSelectionArgs::default()
        };
        arguments.read(&Environment::of(&[]))
    }

    #[test]
    fn what_is_included_is_reached_and_nothing_else() {
        let select = select(&["/a/*.c", "/d"], &[]).unwrap().unwrap();
        let check = |path: &str, is_dir, itself, below| {
            assert_eq!(select(path.as_bytes(), is_dir), Selected { itself, below }, "{path}");
        };
        check("/a", true, false, true);
        check("/a/x.c", false, true, false);
        check("/a/x.h", false, false, false);
        check("/b", true, false, false);
        check("/d", true, true, true);
        check("/d/deep/file", false, true, false);
    }

    #[test]
    fn what_is_excluded_is_not_entered_and_both_sorts_are_too_much() {
        let excluding = select(&[], &["*.o", "/b"]).unwrap().unwrap();
        let itself = |path: &str| excluding(path.as_bytes(), true).itself;
        assert!(itself("/a/x.c") && !itself("/a/x.o") && !itself("/b") && !itself("/b/c"));
        assert!(!excluding(b"/b", true).below && excluding(b"/a", true).below);
        assert!(select(&[], &[]).unwrap().is_none());
        assert_eq!(select(&["a"], &["b"]).err().unwrap().kind, ErrorKind::Usage);
        assert_eq!(select(&["["], &[]).err().unwrap().kind, ErrorKind::Usage);
    }
}
