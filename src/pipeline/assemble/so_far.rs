//! What is captured so far: noted in the local cache and stored now and then, for the run after this one.

use std::collections::HashMap;
use std::time::Instant;

use super::{Assembler, Slot, row_child};
use crate::base::Result;
use crate::format::entry::{TreeRef, flags};
use crate::pipeline::flow::{DirectoryNo, Place};
use crate::pipeline::rows::{self, RowChild};
use crate::repo::tree::EncodedEntry;

impl Assembler<'_> {
    /// Takes in what was read of a file that goes on, or while the run was ending.
    pub(super) fn note_late(&mut self, place: Place, read: Slot) {
        let assembly = self.directories.get_mut(&place.directory);
        if let Some(slot) = assembly.and_then(|assembly| assembly.window.get_mut(place.slot)) {
            *slot = read;
        }
    }

    /// Notes what is known of windows that are not complete, for the run after this one if it is killed.
    pub(super) fn note_open_windows(&mut self) {
        self.noted = Instant::now();
        for assembly in self.directories.values() {
            let Some((key, false)) = assembly.row else { continue };
            let known = assembly.window.iter().filter_map(|slot| match slot {
                Slot::Other(finished) => Some(row_child(finished, false)),
                Slot::Part(finished) => Some(row_child(finished, true)),
                Slot::Waiting(begun) => begun.as_deref().cloned(),
                Slot::Absent | Slot::Lost | Slot::Directory(_) => None,
            });
            let children: Vec<RowChild> = known.collect();
            if !children.is_empty() {
                self.new_rows.push((key, rows::encode(&children)));
            }
        }
    }

    /// Stores a snapshot of what is captured so far, if there is something new.
    pub(super) fn save(&mut self) -> Result<()> {
        let Some(saving) = self.saving else { return Ok(()) };
        self.saved = Instant::now();
        if self.unsaved_bytes() == 0 {
            return Ok(());
        }
        if let Some(tree) = self.tree_so_far()? {
            self.sealer.so_far(Box::new((saving.snapshot)(tree)))?;
            if let Some(store) = self.store {
                store();
            }
        }
        // The trees of this are nothing new.
        self.saved_bytes += self.unsaved_bytes();
        Ok(())
    }

    /// New bytes of the run since it last saved.
    pub(super) fn unsaved_bytes(&self) -> u64 {
        let progress = self.progress;
        let new_bytes = progress.new_data_bytes.get() + progress.new_metadata_bytes.get();
        new_bytes - self.saved_bytes
    }

    /// The tree as it would be if nothing more came. Directories that are open are marked as incomplete.
    fn tree_so_far(&self) -> Result<Option<TreeRef>> {
        // A directory is opened after the one that it is in, so that its number is larger.
        let mut open: Vec<DirectoryNo> = self.directories.keys().copied().collect();
        open.sort_unstable_by(|a, b| b.cmp(a));
        let mut put = |raw| self.sealer.metadata(raw);
        let mut below: HashMap<(DirectoryNo, usize), EncodedEntry> = HashMap::new();
        for no in open {
            let assembly = &self.directories[&no];
            let mut builder = assembly.builder.clone();
            for (number, slot) in assembly.window.iter().enumerate() {
                match slot {
                    Slot::Directory(entry) => builder.push(entry, &mut put)?,
                    Slot::Other(read) | Slot::Part(read) => builder.push(&read.entry, &mut put)?,
                    Slot::Waiting(_) => {
                        if let Some(entry) = below.remove(&(no, number)) {
                            builder.push(&entry, &mut put)?;
                        }
                    }
                    Slot::Absent | Slot::Lost => {}
                }
            }
            let tree = builder.finish(&mut put)?;
            let Some(place) = assembly.parent else { return Ok(tree) };
            let mut entry = (*assembly.entry).clone();
            entry.tree = tree;
            entry.set_flag(flags::INCOMPLETE);
            below.insert((place.directory, place.slot), EncodedEntry::new(&entry));
        }
        Ok(None)
    }
}
