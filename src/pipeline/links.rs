//! Hard links that wait until the first name of their file exists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::place::{DirectoryPlace, Reports};
use crate::base::{Error, ErrorKind};
use crate::format::entry::LinkGroup;
use crate::target::{Created, create_hard_link};

/// The link groups of one restore.
#[derive(Default)]
pub struct Links {
    groups: Mutex<HashMap<LinkGroup, Option<Created>>>,
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    group: LinkGroup,
    parent: Arc<DirectoryPlace>,
    name: Vec<u8>,
}

impl Links {
    /// Whether this is the first name of its group, which the caller must then restore.
    pub fn is_first(&self, group: LinkGroup) -> bool {
        let mut groups = self.groups.lock().expect("no thread panics while it holds the lock");
        let mut is_first = false;
        groups.entry(group).or_insert_with(|| {
            is_first = true;
            None
        });
        is_first
    }

    /// Notes a further name, to be made at the end.
    pub fn wait(&self, group: LinkGroup, parent: Arc<DirectoryPlace>, name: Vec<u8>) {
        let mut waiting = self.waiting.lock().expect("no thread panics while it holds the lock");
        waiting.push(Waiting { group, parent, name });
    }

    /// Tells that the first name exists.
    pub fn created(&self, group: LinkGroup, created: Created) {
        let mut groups = self.groups.lock().expect("no thread panics while it holds the lock");
        groups.insert(group, Some(created));
    }

    /// Makes all further names, once everything else is done.
    pub fn finish(&self, reports: &Reports<'_>) {
        let waiting = std::mem::take(
            &mut *self.waiting.lock().expect("no thread panics while it holds the lock"),
        );
        let groups = self.groups.lock().expect("no thread panics while it holds the lock");
        for Waiting { group, parent, name } in waiting {
            // Not worth a problem each when the run failed.
            if reports.failure.is_raised() {
                parent.release(reports);
                continue;
            }
            let result = match groups.get(&group) {
                Some(Some(first)) => create_hard_link(first, &parent.dir, &name),
                _ => Err(Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "could not restore {}: the first name of this file was not restored",
                        parent.dir.path_of(&name)
                    ),
                )),
            };
            match result {
                Ok(()) => reports.progress.files_done.add(1),
                Err(error) => reports.report(error),
            }
            parent.release(reports);
        }
    }
}
