//! Counts what there is to read, so that a first backup can say how much time is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::Progress;
use crate::format::entry::EntryKind;
use crate::source::{Branch, Directory, Exclusion, Roots, Selector};

/// Names between two looks at whether the count is still wanted.
const BATCH_COUNT: usize = 1024;

/// Counts in a thread of its own; says nothing before it has counted everything.
pub(super) struct Count<'a> {
    /// What is read.
    pub roots: &'a Roots,
    /// What is left out.
    pub exclusion: &'a Exclusion,
    /// What else a person wants to be left out.
    pub selector: &'a Selector<'a>,
    /// Where the totals go.
    pub progress: &'a Progress,
    /// Raised when nobody wants to know any more.
    pub is_over: &'a AtomicBool,
}

/// Files, and the sum of their sizes.
#[derive(Default)]
struct Totals {
    files: u64,
    bytes: u64,
}

/// What is to be counted still.
enum Step<'a> {
    /// Names on the way to the sources.
    Passage(Box<Directory>, &'a Branch),
    /// A source, or a directory below one, by its name in its parent.
    Below(Arc<Directory>, Vec<u8>),
}

impl Count<'_> {
    /// Counts. Faults are passed over in silence: who reads meets them again.
    pub(super) fn run(&self) {
        let mut totals = Totals::default();
        if self.count(&mut totals).is_some() {
            self.progress.files_total.set(totals.files);
            self.progress.bytes_total.set(totals.bytes);
        }
    }

    /// `None` when it ended early.
    fn count(&self, totals: &mut Totals) -> Option<()> {
        let mut steps = Vec::new();
        if self.roots.top.is_source() {
            let mut open = Directory::open_root(std::path::Path::new("/")).ok()?;
            self.selector.start(&mut open);
            self.directory(open, &mut steps, totals)?;
        } else {
            let mut open = Directory::open_top().ok()?;
            self.selector.start(&mut open);
            steps.push(Step::Passage(Box::new(open), &self.roots.top));
        }
        // The last step first: what is open is bounded by the depth of the tree.
        while let Some(step) = steps.pop() {
            match step {
                Step::Passage(open, branch) => self.passage(*open, branch, &mut steps, totals)?,
                Step::Below(parent, name) => {
                    if let Ok(mut open) = parent.open_child(&name) {
                        self.selector.enter(&parent, &mut open);
                        drop(parent);
                        self.directory(open, &mut steps, totals)?;
                    }
                }
            }
        }
        Some(())
    }

    fn passage<'a>(
        &self,
        open: Directory,
        branch: &'a Branch,
        steps: &mut Vec<Step<'a>>,
        totals: &mut Totals,
    ) -> Option<()> {
        let open = Arc::new(open);
        for below in &branch.below {
            if !below.is_source() {
                if let Ok(mut passage) = open.open_passage(&below.name) {
                    self.selector.enter(&open, &mut passage);
                    steps.push(Step::Passage(Box::new(passage), below));
                }
            } else if let Ok(Some(child)) = open.stat_child(&below.name)
                && !self.selector.excludes_source(&open, &child)
            {
                self.take(&open, &child, steps, totals);
            }
        }
        self.is_wanted()
    }

    fn directory<'a>(
        &self,
        mut open: Directory,
        steps: &mut Vec<Step<'a>>,
        totals: &mut Totals,
    ) -> Option<()> {
        let Ok(listing) = self.selector.list(&mut open) else { return Some(()) };
        let open = Arc::new(open);
        for start in (0..listing.len()).step_by(BATCH_COUNT) {
            self.is_wanted()?;
            let end = listing.len().min(start + BATCH_COUNT);
            for child in open.stat(&listing, start..end).children {
                if !self.selector.excludes(&open, &child) {
                    self.take(&open, &child, steps, totals);
                }
            }
        }
        Some(())
    }

    fn take<'a>(
        &self,
        open: &Arc<Directory>,
        child: &crate::source::Child,
        steps: &mut Vec<Step<'a>>,
        totals: &mut Totals,
    ) {
        if self.exclusion.is_excluded(child) {
            return;
        }
        match child.kind {
            EntryKind::File => {
                totals.files += 1;
                totals.bytes = totals.bytes.saturating_add(child.signature.size);
            }
            EntryKind::Directory => {
                steps.push(Step::Below(Arc::clone(open), child.name.clone()));
            }
            _ => {}
        }
    }

    fn is_wanted(&self) -> Option<()> {
        (!self.is_over.load(Ordering::Relaxed)).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Selection;

    fn count(roots: &Roots, exclusion: &Exclusion, is_over: bool) -> (u64, u64) {
        count_selected(roots, exclusion, &Selection::default(), is_over)
    }

    fn count_selected(
        roots: &Roots,
        exclusion: &Exclusion,
        selection: &Selection,
        is_over: bool,
    ) -> (u64, u64) {
        let progress = Progress::default();
        let is_over = AtomicBool::new(is_over);
        let selector = &Selector::new(selection, &roots.devices);
        Count { roots, exclusion, selector, progress: &progress, is_over: &is_over }.run();
        (progress.files_total.get(), progress.bytes_total.get())
    }

    #[test]
    fn files_below_all_sources_are_counted_once_and_excluded_ones_not_at_all() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(at("a/b/c")).unwrap();
        std::fs::create_dir_all(at("repository")).unwrap();
        for name in 0..2000 {
            std::fs::write(at(&format!("a/b/{name}")), "0123456789").unwrap();
        }
        for name in ["a/b/c/x", "other", "not a source", "repository/pack"] {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("x", at("a/b/link")).unwrap();
        let sources = ["a", "a/b", "other", "repository"].map(Into::into);
        let roots = Roots::find(&sources, scratch.path()).unwrap();
        let mut exclusion = Exclusion::default();
        assert_eq!(count(&roots, &exclusion, false), (2003, 20_003));
        exclusion.add(&at("repository")).unwrap();
        assert_eq!(count(&roots, &exclusion, false), (2002, 20_002));
        assert_eq!(count(&roots, &exclusion, true), (0, 0), "half a count is no total");
        let selection = Selection { larger_than: Some(9), ..Selection::default() };
        assert_eq!(count_selected(&roots, &exclusion, &selection, false), (2, 2));
    }
}
