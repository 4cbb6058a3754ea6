//! One directory out of several: what the components of a snapshot have at the same path.

use std::iter::Peekable;

use crate::base::{Error, Result};
use crate::format::entry::{Entry, EntryKind, TreeRef};
use crate::repo::reader::Reader;
use crate::repo::tree::Walk;

/// Number of a component within its snapshot.
pub type ComponentNo = u32;

/// An entry, with all that is below it.
#[derive(Debug)]
pub struct Merged {
    /// The entry.
    pub entry: Entry,
    /// Where it comes from.
    pub component: ComponentNo,
    /// Content of a directory, in each component that has it.
    pub trees: Vec<(ComponentNo, TreeRef)>,
    /// Another component has something else of this name, which gives way.
    pub hides_another: bool,
}

/// Walks a directory of several components in the order of names.
pub struct Merge<'a> {
    walks: Vec<(ComponentNo, Peekable<Entries<'a>>)>,
}

type Entries<'a> = Box<dyn Iterator<Item = Result<Entry>> + 'a>;

impl<'a> Merge<'a> {
    /// Walks what is in `trees`.
    pub fn new(reader: &'a Reader<'a>, trees: &[(ComponentNo, TreeRef)]) -> Self {
        let walk = |(component, tree): &(ComponentNo, TreeRef)| {
            let entries: Entries<'a> = Box::new(Walk::new(reader, Some(tree)));
            (*component, entries.peekable())
        };
        Self { walks: trees.iter().map(walk).collect() }
    }

    /// Walks single entries, one of each component.
    pub fn of_entries(entries: Vec<(ComponentNo, Entry)>) -> Self {
        let walk = |(component, entry)| {
            let entries: Entries<'a> = Box::new(std::iter::once(Ok(entry)));
            (component, entries.peekable())
        };
        Self { walks: entries.into_iter().map(walk).collect() }
    }

    fn error(&mut self) -> Option<Error> {
        self.walks.iter_mut().find_map(|(_, walk)| walk.next_if(Result::is_err)?.err())
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Merged>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.error() {
            return Some(Err(error));
        }
        // Mostly there is one component.
        let name = match self.walks.as_mut_slice() {
            [(component, walk)] => {
                let entry = walk.next()?.ok()?;
                return Some(Ok(Merged::of(*component, entry)));
            }
            walks => {
                let mut names = Vec::with_capacity(walks.len());
                for (_, walk) in walks {
                    names.extend(walk.peek().and_then(|next| next.as_ref().ok()).map(|e| &e.name));
                }
                names.into_iter().min()?.clone()
            }
        };
        let is_next = |next: &Result<Entry>| next.as_ref().is_ok_and(|entry| entry.name == name);
        let mut merged: Option<Merged> = None;
        for (component, walk) in &mut self.walks {
            if let Some(Ok(entry)) = walk.next_if(is_next) {
                let next = Merged::of(*component, entry);
                merged = Some(match merged {
                    Some(merged) => merged.and(next),
                    None => next,
                });
            }
        }
        merged.map(Ok)
    }
}

impl Merged {
    fn of(component: ComponentNo, entry: Entry) -> Self {
        let trees = entry.tree.map(|tree| (component, tree)).into_iter().collect();
        Self { entry, component, trees, hides_another: false }
    }

    /// Two directories become one. Of anything else the later component's stays.
    fn and(mut self, later: Self) -> Self {
        let kinds = (self.entry.kind, later.entry.kind);
        if kinds != (EntryKind::Directory, EntryKind::Directory) {
            let hides_another = self.hides_another || !is_same(&self.entry, &later.entry);
            return Self { hides_another, ..later };
        }
        self.trees.extend(later.trees);
        if later.entry.mtime.is_some() {
            self.component = later.component;
        }
        self.entry = merge_directories(self.entry, later.entry);
        self.hides_another |= later.hides_another;
        self
    }
}

/// The metadata of a directory that two components have: of the later one, unless that only leads to
/// what was backed up, and has no time. Names that either one lacks are lacking.
pub fn merge_directories(one: Entry, later: Entry) -> Entry {
    let flags = one.flags.unwrap_or(0) | later.flags.unwrap_or(0);
    let mut entry = if later.mtime.is_some() { later } else { one };
    if flags != 0 {
        entry.set_flag(flags);
    }
    entry
}

/// Whether two entries restore the same.
fn is_same(one: &Entry, other: &Entry) -> bool {
    Entry { link: None, ..one.clone() } == Entry { link: None, ..other.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChunkId, Timestamp};

    fn merge(lists: &[&[Entry]]) -> Vec<Merged> {
        let walks = lists.iter().zip(0..).map(|(list, component)| {
            let entries: Entries<'_> = Box::new(list.iter().cloned().map(Ok));
            (component, entries.peekable())
        });
        Merge { walks: walks.collect() }.map(|merged| merged.unwrap()).collect()
    }

    fn dir(name: &str, mtime: Option<i64>) -> Entry {
        let mut entry = Entry::new(name.as_bytes(), EntryKind::Directory);
        entry.mtime = mtime.map(|seconds| Timestamp::new(seconds, 0));
        let id = ChunkId::new([mtime.unwrap_or(0) as u8; 32]);
        entry.tree = Some(TreeRef { id, level: 0, entry_count: 1, content_bytes: 0 });
        entry
    }

    #[test]
    fn directories_of_one_name_become_one_and_names_stay_in_order() {
        let file = |name: &str| Entry::new(name.as_bytes(), EntryKind::File);
        let lists: [&[Entry]; 3] = [
            &[file("a"), dir("home", Some(7)), file("z")],
            &[dir("home", None), file("x")],
            &[file("b")],
        ];
        let merged = merge(&lists);
        let names: Vec<_> = merged.iter().map(|m| m.entry.name.as_slice()).collect();
        assert_eq!(names, [&b"a"[..], b"b", b"home", b"x", b"z"]);
        let home = &merged[2];
        assert_eq!(home.trees.iter().map(|(no, _)| *no).collect::<Vec<_>>(), [0, 1]);
        assert_eq!((home.entry.mtime, home.component), (dir("", Some(7)).mtime, 0));
        assert!(merged.iter().all(|m| !m.hides_another));
    }

    #[test]
    fn what_gives_way_to_a_later_component_is_told_unless_it_is_the_same() {
        let mut new = Entry::new(b"f", EntryKind::File);
        new.mode = 0o600;
        let old = Entry::new(b"f", EntryKind::File);
        for (lists, hides_another) in [
            ([old.clone(), new.clone()], true),
            ([dir("f", Some(1)), new.clone()], true),
            ([new.clone(), new.clone()], false),
        ] {
            let merged = merge(&[&lists[..1], &lists[1..]]);
            assert_eq!((merged.len(), merged[0].hides_another), (1, hides_another));
            assert_eq!((merged[0].entry.mode, merged[0].component), (0o600, 1));
            assert!(merged[0].trees.is_empty());
        }
    }
}
