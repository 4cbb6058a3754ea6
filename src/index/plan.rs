//! Decides what applying segments changes: which packs get a number, which segments are refused.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::record::Table;
use super::{PackNo, Place, Refused, Segment};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId};
use crate::format::segment::SegmentEntry;

/// Packs looked up at once; bounds the pack records held in memory to about a mebibyte.
const LOOKUP_COUNT: usize = 1024;

/// Number and stored table of a pack.
pub(super) type KnownPack = (PackNo, Vec<u8>);

/// What is known before the segments are applied.
pub(super) trait Known {
    /// Whether a segment was applied.
    fn is_applied(&self, id: &SegmentId) -> Result<bool>;
    /// What is known of each pack.
    fn tables(&self, ids: &[PackId]) -> Result<Vec<Option<KnownPack>>>;
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Segments to apply.
    pub(super) segments: Vec<Numbered<'a>>,
    /// Packs that get a number, ascending by it.
    pub(super) fresh: Vec<(PackNo, Table)>,
    /// Segments left out.
    pub(super) refused: Vec<Refused>,
}

/// Why a segment is refused, with the pack that another one describes otherwise.
type Refusal = (String, Option<PackId>);

/// A segment whose packs have numbers.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    pub(super) id: SegmentId,
    pub(super) packs: Vec<PackNo>,
    entries: &'a [SegmentEntry],
}

impl<'a> Plan<'a> {
    /// Checks and numbers `segments`; new packs are numbered from `next`.
    ///
    /// The first segment that describes a pack wins. Another description of the same pack cannot
    /// be right as well, since a pack is named by its content.
    pub(super) fn new(
        segments: &[(SegmentId, &'a Segment)],
        known: &dyn Known,
        next: u32,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let mut fresh: HashMap<PackId, usize> = HashMap::new();
        let mut seen = HashSet::new();
        for &(id, segment) in segments {
            if !seen.insert(id) || known.is_applied(&id)? {
                continue;
            }
            match plan.number(segment, known, next, &mut fresh)? {
                Ok(packs) => plan.segments.push(Numbered { id, packs, entries: &segment.entries }),
                Err((reason, contested)) => {
                    let message = format!("could not use index segment {id}: {reason}");
                    let error = Error::new(ErrorKind::Damaged, message);
                    plan.refused.push(Refused { segment: id, error, contested });
                }
            }
        }
        Ok(plan)
    }

    /// The numbers of a segment's packs, or why it is refused. Adds nothing when it is refused.
    fn number(
        &mut self,
        segment: &Segment,
        known: &dyn Known,
        next: u32,
        fresh: &mut HashMap<PackId, usize>,
    ) -> Result<std::result::Result<Vec<PackNo>, Refusal>> {
        if let Some(reason) = flaw(segment) {
            return Ok(Err((reason.to_owned(), None)));
        }
        let fresh_count = self.fresh.len();
        let mut numbers = Vec::with_capacity(segment.fence.packs.len());
        let mut refusal = None;
        'packs: for group in segment.fence.packs.chunks(LOOKUP_COUNT) {
            let ids: Vec<PackId> = group.iter().map(|pack| pack.id).collect();
            for (pack, known) in group.iter().zip(known.tables(&ids)?) {
                let Ok(table) = Table::new(&segment.fence, pack) else {
                    let reason = format!("its frames of pack {} contradict it", pack.id);
                    refusal = Some((reason, None));
                    break 'packs;
                };
                let known = known.or_else(|| {
                    let (no, table) = &self.fresh[*fresh.get(&pack.id)?];
                    Some((*no, table.bytes.clone()))
                });
                match known {
                    Some((no, bytes)) if bytes == table.bytes => numbers.push(no),
                    Some(_) => {
                        let reason =
                            format!("it describes pack {} otherwise than another segment", pack.id);
                        refusal = Some((reason, Some(pack.id)));
                        break 'packs;
                    }
                    None => {
                        let no = u32::try_from(self.fresh.len())
                            .ok()
                            .and_then(|count| next.checked_add(count))
                            .ok_or_else(|| {
                                Error::new(ErrorKind::Unsupported, "the index has too many packs")
                            })?;
                        fresh.insert(pack.id, self.fresh.len());
                        self.fresh.push((PackNo(no), table));
                        numbers.push(PackNo(no));
                    }
                }
            }
        }
        if let Some(reason) = refusal {
            for (_, table) in self.fresh.drain(fresh_count..) {
                fresh.remove(&table.id);
            }
            return Ok(Err(reason));
        }
        Ok(Ok(numbers))
    }

    /// Entries of all segments to apply.
    pub(super) fn entry_count(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries.len()).sum()
    }

    /// The first number that is not taken.
    #[cfg(feature = "rocksdb")]
    pub(super) fn next(&self, next: u32) -> u32 {
        self.fresh.last().map_or(next, |(no, _)| no.0.saturating_add(1))
    }

    /// Reports each chunk once, ascending, with its places in these segments, each once.
    pub(super) fn each_chunk(
        &self,
        visit: &mut dyn FnMut(&ChunkId, &[Place]) -> Result<()>,
    ) -> Result<()> {
        let mut heads: BinaryHeap<Reverse<(ChunkId, usize, usize)>> = self
            .segments
            .iter()
            .enumerate()
            .filter_map(|(n, segment)| Some(Reverse((segment.entries.first()?.id, n, 0))))
            .collect();
        let mut current: Option<ChunkId> = None;
        let mut places: Vec<Place> = Vec::new();
        while let Some(mut head) = heads.peek_mut() {
            let Reverse((id, n, position)) = *head;
            let segment = &self.segments[n];
            // Replacing the head keeps the heap in order, as popping and pushing would.
            match segment.entries.get(position + 1) {
                Some(entry) => *head = Reverse((entry.id, n, position + 1)),
                None => drop(std::collections::binary_heap::PeekMut::pop(head)),
            }
            if current != Some(id) {
                flush(current.as_ref(), &mut places, visit)?;
                current = Some(id);
            }
            let entry = &segment.entries[position];
            places.push(Place {
                pack: segment.packs[entry.pack as usize],
                frame: entry.frame,
                offset: entry.offset,
                len: entry.len,
            });
        }
        flush(current.as_ref(), &mut places, visit)
    }
}

/// Hands over the places collected for one chunk.
fn flush(
    id: Option<&ChunkId>,
    places: &mut Vec<Place>,
    visit: &mut dyn FnMut(&ChunkId, &[Place]) -> Result<()>,
) -> Result<()> {
    let Some(id) = id else { return Ok(()) };
    if places.len() > 1 {
        places.sort_unstable();
        places.dedup();
    }
    visit(id, places)?;
    places.clear();
    Ok(())
}

/// What is wrong with a segment on its own. Its decoder checks the same; a wrong place here would
/// be an index out of bounds somewhere else.
fn flaw(segment: &Segment) -> Option<&'static str> {
    if segment.entries.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Some("its entries are not in order");
    }
    let framed = |entry: &SegmentEntry| {
        let pack = segment.fence.packs.get(entry.pack as usize)?;
        pack.frames.get(entry.frame as usize)
    };
    if segment.entries.iter().any(|entry| framed(entry).is_none()) {
        return Some("an entry names no frame");
    }
    None
}
