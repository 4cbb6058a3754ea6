//! Which entries of the sources are read.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::child::Child;
use super::directory::{Directory, Listing};
use super::ignore_file::IgnoreFile;
use super::problem::Problem;
use super::tag::Tag;
use crate::base::pattern::{self, Case, Patterns};
use crate::base::text::escape;
use crate::format::entry::EntryKind;

/// Most notices of one run; more would bury what else there is to read.
const NOTICE_COUNT_MAX: usize = 20;

/// What a person wants to be left out.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Paths.
    pub exclude: Patterns,
    /// Paths, whatever their case.
    pub iexclude: Patterns,
    /// Directories with one of these hold nothing else that is read.
    pub tags: Vec<Tag>,
    /// Names of files that say what in their directory is left out.
    pub ignore_files: Vec<Vec<u8>>,
    /// Larger files, in bytes.
    pub larger_than: Option<u64>,
    /// Whatever is on other file systems than the sources.
    pub one_file_system: bool,
    /// Hears of what is left out.
    pub listener: Option<Listener>,
}

impl Default for Selection {
    /// Nothing is left out.
    fn default() -> Self {
        Self {
            exclude: Patterns::new(Case::Sensitive),
            iexclude: Patterns::new(Case::Insensitive),
            tags: Vec::new(),
            ignore_files: Vec::new(),
            larger_than: None,
            one_file_system: false,
            listener: None,
        }
    }
}

impl Selection {
    /// The same, of which nobody hears.
    #[must_use]
    pub fn unheard(&self) -> Self {
        Self { listener: None, ..self.clone() }
    }
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A pattern matches its path.
    Pattern,
    /// Its directory, or what is in it where a directory is told of, has a tag.
    Tag,
    /// It is larger than wanted.
    Size,
    /// What is in this directory is on another file system.
    FileSystem,
    /// An ignore file above it says so.
    IgnoreFile,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "a pattern matches it",
            Self::Tag => "its directory is tagged",
            Self::Size => "it is too large",
            Self::FileSystem => "it is on another file system",
            Self::IgnoreFile => "an ignore file says so",
        })
    }
}

/// A function of a path and of why it is left out.
type Hear = dyn Fn(&[u8], Why) + Send + Sync;

/// Hears of what is left out. A directory stands for all that is in it.
#[derive(Clone)]
pub struct Listener(pub Arc<Hear>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// Applies a selection to the directories of one run.
#[derive(Debug)]
pub struct Selector<'a> {
    selection: &'a Selection,
    /// File systems of the sources.
    devices: &'a [u64],
    notices: Mutex<Vec<String>>,
}

/// What a selection knows at an open directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    exclude: pattern::Level,
    iexclude: pattern::Level,
    /// Those of this directory and of the ones above it, up to the source; the innermost last.
    ignore_files: Vec<Arc<IgnoreFile>>,
}

impl<'a> Selector<'a> {
    /// A selector for sources on file systems `devices`.
    pub fn new(selection: &'a Selection, devices: &'a [u64]) -> Self {
        Self { selection, devices, notices: Mutex::default() }
    }

    /// What it applies.
    pub fn selection(&self) -> &'a Selection {
        self.selection
    }

    /// Prepares the root directory.
    pub fn start(&self, top: &mut Directory) {
        let Selection { exclude, iexclude, .. } = self.selection;
        top.level =
            Level { exclude: exclude.top(), iexclude: iexclude.top(), ignore_files: Vec::new() };
    }

    /// Prepares a directory that was opened as a child of `parent`.
    pub fn enter(&self, parent: &Directory, directory: &mut Directory) {
        let Selection { exclude, iexclude, .. } = self.selection;
        let name = directory.path().name();
        directory.level = Level {
            exclude: exclude.enter(&parent.level.exclude, name),
            iexclude: iexclude.enter(&parent.level.iexclude, name),
            ignore_files: parent.level.ignore_files.clone(),
        };
    }

    /// Lists a directory without what names alone tell to leave out, so that it costs no stat.
    ///
    /// # Errors
    /// When not even the first name could be read.
    pub fn list(&self, directory: &mut Directory) -> Result<Listing, Problem> {
        if self.selection.one_file_system && !self.devices.contains(&directory.child().device) {
            // A mount point is kept as the empty directory that a restore needs for it.
            self.tell(&directory.path().to_bytes(), Why::FileSystem);
            let mut listing = Listing::default();
            (listing.is_partial, listing.is_closed) = (true, true);
            return Ok(listing);
        }
        let mut listing = directory.list()?;
        let tags = self.tags_in(directory, |name| listing.contains(name));
        if !tags.is_empty() {
            self.tell(&directory.path().to_bytes(), Why::Tag);
            listing.retain(|name| tags.iter().any(|tag| tag.name() == name));
            (listing.is_partial, listing.is_closed) = (true, true);
        }
        self.read_ignore_files(directory, &listing);
        self.apply_patterns(directory, &mut listing);
        Ok(listing)
    }

    /// Names in a directory that came since it was listed, as far as names alone tell that they are
    /// wanted.
    ///
    /// # Errors
    /// When not even the first name could be read.
    pub fn newcomers(
        &self,
        directory: &Directory,
        listing: &Listing,
    ) -> Result<Vec<Vec<u8>>, Problem> {
        if listing.is_closed {
            return Ok(Vec::new());
        }
        let now = directory.list()?;
        let came =
            now.iter().filter(|name| !listing.knows(name) && !self.is_match(directory, name));
        Ok(came.map(<[u8]>::to_vec).collect())
    }

    fn apply_patterns(&self, directory: &Directory, listing: &mut Listing) {
        if self.selection.exclude.is_empty() && self.selection.iexclude.is_empty() {
            return;
        }
        let own_path = directory.path().to_bytes();
        // A name that cannot be stored is no fault where nobody wants it.
        listing.problems.retain(|problem| {
            let name = problem.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            problem.path == own_path || !self.is_match(directory, name)
        });
        let count = listing.len();
        listing.retain(|name| {
            let is_match = self.is_match(directory, name);
            if is_match {
                self.tell(&directory.path().bytes_of(name), Why::Pattern);
            }
            !is_match
        });
        listing.is_partial |= listing.len() < count;
    }

    /// Whether a child that [`Self::list`] named is left out for what its stat says.
    pub fn excludes(&self, directory: &Directory, child: &Child) -> bool {
        let is_file = child.kind == EntryKind::File;
        let why = if is_file && self.selection.larger_than.is_some_and(|l| child.signature.size > l)
        {
            Why::Size
        } else if is_ignored(directory, child) {
            Why::IgnoreFile
        } else {
            return false;
        };
        self.tell(&directory.path().bytes_of(&child.name), why);
        true
    }

    /// Whether a source that a person named is left out, which `passage` leads to. As with restic,
    /// naming it does not protect it, except from ignore files, which only count inside of it.
    pub fn excludes_source(&self, passage: &Directory, child: &Child) -> bool {
        let is_there = |name: &[u8]| matches!(passage.stat_child(name), Ok(Some(_)));
        let tags = self.tags_in(passage, is_there);
        let why = if self.is_match(passage, &child.name) {
            Why::Pattern
        } else if !tags.is_empty() && !tags.iter().any(|tag| tag.name() == child.name) {
            Why::Tag
        } else {
            return self.excludes(passage, child);
        };
        let path = passage.path().bytes_of(&child.name);
        self.tell(&path, why);
        self.notice(format!("left out {}, which was named: {why}", escape(&path)));
        true
    }

    /// What a person may want to know.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_match(&self, directory: &Directory, name: &[u8]) -> bool {
        let Selection { exclude, iexclude, .. } = self.selection;
        exclude.is_match(&directory.level.exclude, name)
            || iexclude.is_match(&directory.level.iexclude, name)
    }

    fn tags_in(&self, directory: &Directory, is_there: impl Fn(&[u8]) -> bool) -> Vec<&'a Tag> {
        let tags = self.selection.tags.iter();
        tags.filter(|tag| is_there(tag.name()) && tag.is_valid_in(directory)).collect()
    }

    fn read_ignore_files(&self, directory: &mut Directory, listing: &Listing) {
        for name in &self.selection.ignore_files {
            if !listing.contains(name) {
                continue;
            }
            match IgnoreFile::read(directory, name) {
                Ok((file, faults)) => {
                    directory.level.ignore_files.push(Arc::new(file));
                    faults.into_iter().for_each(|fault| self.notice(fault));
                }
                Err(fault) => self.notice(fault),
            }
        }
    }

    fn tell(&self, path: &[u8], why: Why) {
        if let Some(Listener(listener)) = &self.selection.listener {
            listener(path, why);
        }
    }

    fn notice(&self, text: String) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if notices.len() < NOTICE_COUNT_MAX {
            notices.push(text);
        }
    }
}

/// What the innermost ignore file says that says anything.
fn is_ignored(directory: &Directory, child: &Child) -> bool {
    let files = &directory.level.ignore_files;
    if files.is_empty() {
        return false;
    }
    let path = directory.path().bytes_of(&child.name);
    let is_directory = child.kind == EntryKind::Directory;
    files.iter().rev().find_map(|file| file.excludes(&path, is_directory)).unwrap_or(false)
}
