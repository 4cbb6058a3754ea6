//! Where the content of a file lies between its holes.

use std::ops::Range;

use crate::format::entry::Entry;

/// A run of content between two holes.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// First byte within the content.
    content: u64,
    /// First byte within the file.
    offset: u64,
    /// Number of bytes.
    len: u64,
}

/// Leads from a byte of the content to its place in the file.
#[derive(Debug)]
pub struct Layout {
    /// None for a file without holes.
    runs: Vec<Run>,
}

impl Layout {
    /// The layout of a file.
    pub fn new(entry: &Entry) -> Self {
        let Some(holes) = &entry.holes else { return Self { runs: Vec::new() } };
        let size = entry.size.unwrap_or(0);
        let ends = holes.iter().map(|hole| hole.offset).chain([size]);
        let starts = [0].into_iter().chain(holes.iter().map(|hole| hole.offset + hole.len));
        let mut content = 0;
        let runs = starts
            .zip(ends)
            .filter(|(start, end)| start < end)
            .map(|(offset, end)| {
                let run = Run { content, offset, len: end - offset };
                content += run.len;
                run
            })
            .collect();
        Self { runs }
    }

    /// Where a byte of the content lies in the file, with the number of bytes before the next hole.
    pub fn place_of(&self, content: u64) -> (u64, u64) {
        let after = self.runs.partition_point(|run| run.content <= content);
        match after.checked_sub(1).map(|index| self.runs[index]) {
            Some(run) if content < run.content + run.len => {
                let inside = content - run.content;
                (run.offset + inside, run.len - inside)
            }
            _ => (content, u64::MAX),
        }
    }

    /// The ranges of the file that hold a range of the content, in order.
    pub fn ranges(&self, content: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut at = content.start;
        std::iter::from_fn(move || {
            (at < content.end).then(|| {
                let (offset, room) = self.place_of(at);
                let len = room.min(content.end - at);
                at += len;
                offset..offset + len
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{self, EntryKind};

    #[test]
    fn content_lies_around_the_holes() {
        let mut entry = Entry::new(b"f", EntryKind::File);
        entry.size = Some(100);
        let ranges = |layout: &Layout, content| layout.ranges(content).collect::<Vec<_>>();
        assert_eq!(ranges(&Layout::new(&entry), 5..20), std::slice::from_ref(&(5..20)));
        let hole = |offset, len| entry::Range { offset, len };
        entry.holes = Some(vec![hole(0, 10), hole(20, 30), hole(90, 10)]);
        let layout = Layout::new(&entry);
        assert_eq!(ranges(&layout, 0..50), [10..20, 50..90]);
        assert_eq!(ranges(&layout, 9..11), [19..20, 50..51]);
        assert_eq!(ranges(&layout, 7..7), []);
        assert_eq!(layout.place_of(10), (50, 40));
    }
}
