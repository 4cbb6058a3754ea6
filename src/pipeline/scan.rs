//! Scans directories: names, one stat each, compared with what the last run knew.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::flow::{Event, Finished, ScanReply, ScanRequest, Scanned, Watch, Window};
use super::parent_tree::ParentTree;
use super::proof::Proof;
use super::rows::{self, Row, RowChild};
use crate::base::{Clock, Error, ErrorKind, Problems, Timestamp};
use crate::format::entry::{EntryKind, flags};
use crate::format::tree::ends_node;
use crate::index::Rows;
use crate::repo::tree::EncodedEntry;
use crate::seal::keys::Keyring;
use crate::source::signature::SETTLE;
use crate::source::{
    Child, Comparison, Describer, Directory, Exclusion, Listing, Problem, Scan, Selector, Settled,
};

/// Times that a directory is listed again in which names come and go.
const LOOK_COUNT_MAX: usize = 3;

/// Times that one directory is listed again in all: each costs as much as the directory is large.
const DIRECTORY_LOOK_COUNT_MAX: usize = 64;

/// What the last run of the same sources left in the local cache.
pub struct LastRun<'a> {
    /// The rows.
    pub rows: &'a dyn Rows,
    /// Stands for host and sources.
    pub scope: [u8; 32],
    /// The rows that describe the parent.
    pub parent: Option<LeftRows>,
    /// Epochs of the rows of runs since then that were interrupted, the last one first.
    pub begun: Vec<u64>,
    /// Asks for what rows say that are no proof.
    pub proof: Option<&'a Proof<'a>>,
    /// What the parent says itself, where no rows describe it.
    pub tree: Option<&'a ParentTree<'a>>,
    /// How files are compared with them.
    pub comparison: Comparison,
}

impl LastRun<'_> {
    /// The epoch of rows that may be kept where they are still right, instead of written anew.
    pub(super) fn kept_epoch(&self) -> Option<u64> {
        self.parent.filter(|rows| rows.is_kept(&self.scope)).map(|rows| rows.epoch)
    }

    fn read(
        &self,
        scope: &[u8; 32],
        directory: &[u8],
        first: &[u8],
        epoch: u64,
    ) -> Option<Vec<RowChild>> {
        let key = rows::key(scope, directory, first);
        self.rows.get(&[key], epoch).pop().flatten().and_then(|bytes| rows::decode(&bytes))
    }
}

/// Rows that a run has left of which there is a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftRows {
    /// Stands for its host and sources.
    pub scope: [u8; 32],
    /// Rows of any other epoch are not used.
    pub epoch: u64,
    /// Whether what they say is stored, because a snapshot needs it that is whole.
    pub is_proven: bool,
}

impl LeftRows {
    /// The same, but each chunk must be asked for if `is_doubtful`.
    #[must_use]
    pub fn proven_unless(self, is_doubtful: bool) -> Self {
        Self { is_proven: self.is_proven && !is_doubtful, ..self }
    }

    fn is_kept(&self, scope: &[u8; 32]) -> bool {
        self.is_proven && self.scope == *scope
    }
}

/// Everything that scanning shares between threads.
pub struct Scanner<'a> {
    /// For the hash of names, at which windows end.
    pub keyring: &'a Keyring,
    /// Turns stats into entries.
    pub describer: &'a Describer,
    /// What to leave out.
    pub exclusion: &'a Exclusion,
    /// What else a person wants to be left out.
    pub selector: &'a Selector<'a>,
    /// What the last run left.
    pub last_run: &'a LastRun<'a>,
    /// For the start of a scan, against which times are settled.
    pub clock: &'a dyn Clock,
    /// Where faults go.
    pub problems: &'a Problems,
    /// Where paths go that were left out.
    pub excluded: &'a (dyn Fn(Vec<u8>) + Sync),
}

/// Runs until every sender of requests is gone; answers each request once.
pub(super) fn stage(
    scanner: &Scanner<'_>,
    requests: &Receiver<ScanRequest>,
    events: &Sender<Event>,
) {
    let _watch = Watch(events.clone());
    for request in requests {
        if events.send(Event::Scan(scanner.answer(request))).is_err() {
            return;
        }
    }
}

type Opened = (Arc<Directory>, Box<crate::format::entry::Entry>, Arc<Listing>);

impl Scanner<'_> {
    /// Scans what is asked for.
    pub(super) fn answer(&self, request: ScanRequest) -> ScanReply {
        match request {
            ScanRequest::Open { place, parent, child } => match self.open(&parent, &child) {
                Ok((open, entry, listing)) => {
                    let window = self.window(&open, &listing, 0);
                    ScanReply::Opened { place, open, entry, listing, window }
                }
                Err(problem) => {
                    self.problems.push(problem.into());
                    ScanReply::Closed { place }
                }
            },
            ScanRequest::Window { directory, open, listing, start } => {
                let window = self.window(&open, &listing, start);
                ScanReply::Window { directory, window }
            }
        }
    }

    fn open(&self, parent: &Directory, child: &Child) -> Result<Opened, Problem> {
        let mut open = parent.open_child(&child.name)?;
        self.selector.enter(parent, &mut open);
        self.describe(open)
    }

    /// Describes an open directory and lists those of its names that are selected.
    ///
    /// # Errors
    /// When not even its names can be read.
    pub fn describe(&self, mut open: Directory) -> Result<Opened, Problem> {
        let (mut entry, problems) = self.describer.directory(&open);
        self.report(problems);
        let mut listing = self.selector.list(&mut open)?;
        let lost = std::mem::take(&mut listing.problems);
        if !lost.is_empty() {
            entry.set_flag(flags::INCOMPLETE);
            self.report(lost);
        }
        if listing.is_partial {
            entry.set_flag(flags::PARTIAL);
        }
        Ok((Arc::new(open), Box::new(entry), Arc::new(listing)))
    }

    /// Scans names from `start` to where a tree node may end, so that an insertion moves one
    /// window only.
    pub fn window(&self, open: &Directory, listing: &Listing, start: usize) -> Window {
        let mut end = start;
        while end < listing.len() {
            end += 1;
            let hash = self.keyring.name_hash(listing.name(end - 1));
            if ends_node(0, hash, end - start, 0) {
                break;
            }
        }
        let first: &[u8] = if start == 0 { b"" } else { listing.name(start) };
        let path = open.path().to_bytes();
        let row_key = rows::key(&self.last_run.scope, &path, first);
        let last = end.checked_sub(1).filter(|last| *last >= start);
        let row = self.row(&path, first, last.map(|last| listing.name(last)));
        let started = self.clock.now();
        let mut scan = open.stat(listing, start..end);
        if scan.gone_count > 0 {
            self.find_renamed(open, listing, start..end, &mut scan);
        }
        let mut marks = if scan.problems.is_empty() { 0 } else { flags::INCOMPLETE };
        self.report(scan.problems);
        let Row { children, is_proven, is_kept, begun } = row;
        let mut row_is_current = is_kept;
        let mut known = children.iter().peekable();
        let mut names = Vec::with_capacity(scan.children.len());
        for child in scan.children {
            if self.exclusion.is_excluded(&child) {
                (self.excluded)(open.path().bytes_of(&child.name));
                marks |= flags::PARTIAL;
                continue;
            }
            if self.selector.excludes(open, &child) {
                marks |= flags::PARTIAL;
                continue;
            }
            while known.next_if(|row| row.name < child.name).is_some() {
                row_is_current = false;
            }
            let before = known.next_if(|row| row.name == child.name);
            let scanned = self.classify(open, child, before, is_proven, started);
            let is_taken_over = before.is_some()
                && matches!(&scanned, Some(Scanned::Ready(f)) if f.settled > Settled::Nothing);
            let is_directory = matches!(scanned, Some(Scanned::Directory(_)));
            row_is_current &= is_taken_over || (is_directory && before.is_none());
            let scanned = scanned.map(|scanned| self.with_begun(open, scanned, &begun, started));
            if scanned.is_none() {
                marks |= flags::INCOMPLETE;
            }
            names.extend(scanned);
        }
        row_is_current &= known.next().is_none();
        Window { start, end, row_key, row_is_current, flags: marks, names }
    }

    /// Adds what came to a directory while it was looked at. A name that is gone may have become
    /// another one, which the listing does not have: what was there all the time must not be missed.
    /// Those that no longer fit into the window are a problem.
    fn find_renamed(
        &self,
        open: &Directory,
        listing: &Listing,
        window: Range<usize>,
        scan: &mut Scan,
    ) {
        let is_earlier = |name: &[u8]| window.start > 0 && *name < *listing.name(window.start);
        let is_later =
            |name: &[u8]| window.end < listing.len() && *name >= *listing.name(window.end);
        let mut missed_count = 0;
        for _ in 0..LOOK_COUNT_MAX {
            match listing.count_look() {
                ..DIRECTORY_LOOK_COUNT_MAX => {}
                // Told once; the directory is marked by it.
                DIRECTORY_LOOK_COUNT_MAX => {
                    let message = "names in it come and go too fast to follow";
                    let path = open.path().to_bytes();
                    scan.problems.push(Problem::new(path, "list", ErrorKind::Busy, message));
                    return;
                }
                _ => return,
            }
            let known: HashSet<Vec<u8>> = scan.children.iter().map(|c| c.name.clone()).collect();
            let came = match self.selector.newcomers(open, listing) {
                Ok(came) => came,
                Err(problem) => return scan.problems.push(problem),
            };
            missed_count = 0;
            let mut gone_count = 0;
            for name in came.iter().filter(|name| !known.contains(*name)) {
                if is_earlier(name) || is_later(name) {
                    missed_count += 1;
                    continue;
                }
                match open.stat_child(name) {
                    Ok(Some(child)) => scan.children.push(child),
                    Ok(None) => gone_count += 1,
                    Err(problem) => scan.problems.push(problem),
                }
            }
            scan.children.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            if gone_count == 0 {
                break;
            }
            missed_count += gone_count;
        }
        if missed_count > 0 {
            let message = "names came to it meanwhile, and are in the next snapshot";
            let path = open.path().to_bytes();
            scan.problems.push(Problem::new(path, "list", ErrorKind::Busy, message));
        }
    }

    fn classify(
        &self,
        open: &Directory,
        child: Child,
        before: Option<&RowChild>,
        is_proven: bool,
        started: Timestamp,
    ) -> Option<Scanned> {
        if child.kind == EntryKind::Directory {
            return Some(Scanned::Directory(child));
        }
        let signature = child.signature;
        let is_stored =
            |row: &RowChild| is_proven || self.last_run.proof.is_some_and(|p| p.is_stored(row));
        // Where something is ignored, content is taken over also after the file was opened.
        let is_default = self.last_run.comparison == Comparison::default();
        let before = before.filter(|row| !row.is_part && (is_default || is_stored(row)));
        if let Some(row) = before
            && row.signature == signature
            && self.last_run.comparison.is_same(&row.signature, row.settled, &signature)
            && is_stored(row)
            && let Some(entry) = self.take_over(row, &child)
        {
            let settled = row.settled;
            return Some(Scanned::Ready(Box::new(Finished { entry, signature, settled })));
        }
        if child.kind == EntryKind::File {
            return Some(Scanned::File {
                child,
                before: before.cloned().map(Box::new),
                begun: None,
            });
        }
        match self.describer.other(open, &child) {
            Ok((entry, problems)) => {
                let settled = match problems.is_empty() {
                    true => signature.settled(started, SETTLE),
                    false => Settled::Nothing,
                };
                self.report(problems);
                let entry = EncodedEntry::new(&entry);
                Some(Scanned::Ready(Box::new(Finished { entry, signature, settled })))
            }
            Err(problem) => {
                self.problems.push(problem.into());
                None
            }
        }
    }

    /// The same, with what an interrupted run has read of it since the parent was made.
    fn with_begun(
        &self,
        open: &Directory,
        scanned: Scanned,
        begun: &[RowChild],
        started: Timestamp,
    ) -> Scanned {
        let Scanned::File { child, before, .. } = scanned else { return scanned };
        let found = begun.binary_search_by(|row| row.name.cmp(&child.name));
        let Ok(row) = found.map(|place| &begun[place]) else {
            return Scanned::File { child, before, begun: None };
        };
        if !row.is_part
            && let Some(Scanned::Ready(finished)) =
                self.classify(open, child.clone(), Some(row), false, started)
        {
            return Scanned::Resumed(finished, before);
        }
        let comparison = self.last_run.comparison;
        let is_same = comparison.is_same(&row.signature, row.settled, &child.signature);
        Scanned::File { child, before, begun: is_same.then(|| Box::new(row.clone())) }
    }

    /// What the last run knew of the files that a person named in a directory. It has no other row:
    /// what only leads to sources is not scanned.
    pub fn named_files(&self, passage: &Directory) -> Row {
        self.row(&passage.path().to_bytes(), b"", None)
    }

    /// Key of the row with these.
    pub fn row_key(&self, passage: &Directory) -> [u8; 32] {
        rows::key(&self.last_run.scope, &passage.path().to_bytes(), b"")
    }

    /// Classifies a source that a person named, with what the last run knew of it.
    pub fn classify_source(&self, open: &Directory, child: Child, known: &Row) -> Option<Scanned> {
        if self.exclusion.is_excluded(&child) {
            (self.excluded)(open.path().bytes_of(&child.name));
            return None;
        }
        if self.selector.excludes_source(open, &child) {
            return None;
        }
        let before = known.children.iter().find(|row| row.name == child.name);
        let started = self.clock.now();
        let scanned = self.classify(open, child, before, known.is_proven, started)?;
        Some(self.with_begun(open, scanned, &known.begun, started))
    }

    fn take_over(&self, row: &RowChild, child: &Child) -> Option<EncodedEntry> {
        if child.nlink > 1 {
            return rows::renumber(row, || self.describer.mounts.ordinal(child.device));
        }
        Some(row.to_entry())
    }

    /// What is known of a directory, from the name `first` to `last`.
    fn row(&self, directory: &[u8], first: &[u8], last: Option<&[u8]>) -> Row {
        let last_run = self.last_run;
        let mut of_begun = last_run.begun.iter();
        let begun = of_begun
            .find_map(|epoch| last_run.read(&last_run.scope, directory, first, *epoch))
            .unwrap_or_default();
        if let Some(parent) = &last_run.parent
            && let Some(children) = last_run.read(&parent.scope, directory, first, parent.epoch)
        {
            let is_kept = parent.is_kept(&last_run.scope);
            return Row { children, is_proven: parent.is_proven, is_kept, begun };
        }
        // They prove nothing of a file, so that none is taken over.
        let tree = last_run.tree.map(|tree| tree.window(directory, first, last));
        Row { children: tree.unwrap_or_default(), is_proven: true, is_kept: false, begun }
    }

    fn report(&self, problems: Vec<Problem>) {
        self.problems.extend(problems.into_iter().map(Error::from));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::base::{RepositoryId, SystemClock};
    use crate::index::NoRows;
    use crate::seal::keys::Roots;
    use crate::source::Selection;

    /// Lists a directory of these names, changes it, then scans its windows: the names that were
    /// found, the flags, and the problems.
    fn scan(
        names: &[String],
        change: impl Fn(&std::path::Path),
    ) -> (Vec<String>, u32, Vec<String>) {
        let scratch = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let selection = Selection::default();
        let problems = Problems::default();
        let comparison = Comparison::default();
        let rows = &NoRows;
        let scanner = Scanner {
            keyring: &keyring,
            describer: &Describer::default(),
            exclusion: &Exclusion::default(),
            selector: &Selector::new(&selection, &[]),
            last_run: &LastRun {
                rows,
                scope: [0; 32],
                parent: None,
                begun: Vec::new(),
                proof: None,
                tree: None,
                comparison,
            },
            clock: &SystemClock,
            problems: &problems,
            excluded: &|_| (),
        };
        let open = Directory::open_root(scratch.path()).unwrap();
        let (open, _, listing) = scanner.describe(open).unwrap();
        change(scratch.path());
        let (mut found, mut marks, mut start) = (Vec::new(), 0, 0);
        while start < listing.len() {
            let window = scanner.window(&open, &listing, start);
            start = window.end;
            marks |= window.flags;
            found.extend(window.names.into_iter().map(|name| match name {
                Scanned::File { child, .. } => String::from_utf8(child.name).unwrap(),
                other => panic!("{other:?}"),
            }));
        }
        (found, marks, problems.take().iter().map(ToString::to_string).collect())
    }

    fn words(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_file_that_is_renamed_after_the_listing_is_found_under_its_new_name() {
        let rename = |from: &'static str, to: &'static str| {
            move |top: &std::path::Path| fs::rename(top.join(from), top.join(to)).unwrap()
        };
        let names = words(&["b", "d", "f"]);
        for (change, expect) in [
            (rename("d", "a"), ["a", "b", "f"]),
            (rename("d", "e"), ["b", "e", "f"]),
            (rename("b", "g"), ["d", "f", "g"]),
        ] {
            assert_eq!(scan(&names, change), (words(&expect), 0, Vec::new()));
        }
        // What is removed is missed by nobody, and what only came is the next backup's.
        let removed = scan(&names, |top| fs::remove_file(top.join("d")).unwrap());
        assert_eq!(removed, (words(&["b", "f"]), 0, Vec::new()));
        let came = scan(&names, |top| fs::write(top.join("c"), "").unwrap());
        assert_eq!(came, (names.clone(), 0, Vec::new()));
    }

    #[test]
    fn a_name_that_no_window_can_take_any_more_is_told() {
        let names: Vec<String> = (0..10_000).map(|n| format!("{n:05}")).collect();
        let (found, marks, told) =
            scan(&names, |top| fs::rename(top.join("09999"), top.join("00000a")).unwrap());
        assert_eq!((found.len(), marks), (9_999, flags::INCOMPLETE));
        assert!(told.len() == 1 && told[0].contains("names came to it meanwhile"), "{told:?}");
    }
}
