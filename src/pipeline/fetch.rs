//! Writes what the frames of many files hold, fetched in the order of packs.

use std::collections::HashMap;
use std::sync::Arc;

use super::compare::take_what_is_there;
use super::file_place::FilePlace;
use super::how::Reports;
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result};
use crate::format::FrameKind;
use crate::format::list::Piece;
use crate::index::PackRecord;
use crate::repo::chunks::Located;
use crate::repo::reader::{Reader, frame_of, slice};
use crate::seal::frame;

/// Bytes between two frames that are rather read than skipped: a request costs more.
const GAP_LEN_MAX: u64 = 128 << 10;

/// A chunk of a file and where it goes.
pub struct Part {
    /// The file.
    pub file: Arc<FilePlace>,
    /// First byte within the content of the file, holes left out.
    pub content: u64,
    /// The chunk.
    pub piece: Piece,
}

/// One frame with what is wanted of it.
struct Wanted {
    frame: u32,
    uses: Vec<(Located, Part)>,
}

/// Wanted frames of one pack, by their number.
type WantedFrames = HashMap<u32, Vec<(Located, Part)>>;

/// Frames of one pack that are read together.
struct Read {
    pack: Arc<PackRecord>,
    frames: Vec<Wanted>,
}

impl Read {
    /// Bytes that it takes: all of it sealed, and one frame at a time opened.
    fn cost(&self) -> usize {
        let places = || self.frames.iter().filter_map(|w| self.pack.frames.get(w.frame as usize));
        let end =
            places().next_back().map_or(0, |place| place.offset + u64::from(place.sealed_len));
        let sealed = end - places().next().map_or(0, |place| place.offset);
        let raw = places().map(|place| place.raw_len).max().unwrap_or(0);
        sealed as usize + raw as usize
    }
}

/// Fetches and writes what the target does not have of all parts. What cannot be read is reported
/// by file and range.
///
/// # Errors
/// When the index fails.
pub fn fetch(reader: &Reader<'_>, parts: Vec<Part>, reports: &Reports<'_>) -> Result<()> {
    let parts = take_what_is_there(parts, reports);
    let reads = plan(reader, parts, reports)?;
    rayon::in_place_scope(|workers| {
        for read in reads {
            // Not in a worker: one that waits may be the last that could make room.
            let grant = reports.flight.take(read.cost());
            workers.spawn(move |_| {
                run_unless_over(reader, read, reports);
                drop(grant);
            });
        }
    });
    Ok(())
}

/// Looks all chunks up and sorts them by pack and frame.
fn plan(reader: &Reader<'_>, parts: Vec<Part>, reports: &Reports<'_>) -> Result<Vec<Read>> {
    let ids: Vec<ChunkId> = parts.iter().map(|part| part.piece.id).collect();
    let mut located = reader.chunks().locate(&ids)?;
    if located.iter().any(Vec::is_empty) {
        reader.chunks().search_again(&ids)?;
        located = reader.chunks().locate(&ids)?;
    }
    let mut packs: HashMap<PackId, (Arc<PackRecord>, WantedFrames)> = HashMap::new();
    for (mut copies, part) in located.into_iter().zip(parts) {
        if copies.len() > 1 {
            copies.sort_by_key(|copy| reader.is_missing(&copy.pack.id));
        }
        // A copy in a frame that is wanted anyway costs nothing.
        let chosen = copies
            .iter()
            .position(|copy| {
                !reader.is_missing(&copy.pack.id)
                    && packs
                        .get(&copy.pack.id)
                        .is_some_and(|(_, f)| f.contains_key(&copy.place.frame))
            })
            .unwrap_or(0);
        let Some(copy) = copies.into_iter().nth(chosen) else {
            give_up(&part, &crate::repo::reader::lost(&part.piece.id), reports);
            part.file.release(reports);
            continue;
        };
        let (_, frames) =
            packs.entry(copy.pack.id).or_insert_with(|| (Arc::clone(&copy.pack), HashMap::new()));
        frames.entry(copy.place.frame).or_default().push((copy, part));
    }
    let mut reads = Vec::new();
    let mut packs: Vec<_> = packs.into_values().collect();
    packs.sort_by_key(|(pack, _)| pack.id);
    for (pack, frames) in packs {
        let mut frames: Vec<Wanted> =
            frames.into_iter().map(|(frame, uses)| Wanted { frame, uses }).collect();
        frames.sort_by_key(|wanted| wanted.frame);
        coalesce(&pack, frames, reports.plan.read_len_max, &mut reads);
    }
    Ok(reads)
}

/// Joins neighbors as long as a read is no longer than `len_max`.
fn coalesce(pack: &Arc<PackRecord>, frames: Vec<Wanted>, len_max: u64, reads: &mut Vec<Read>) {
    let mut start = 0;
    let mut end = 0;
    let mut open: Option<Read> = None;
    for wanted in frames {
        // A frame that the index does not have is met again, and reported, when it is read.
        let (first, len) = match pack.frames.get(wanted.frame as usize) {
            Some(place) => (place.offset, u64::from(place.sealed_len)),
            None => (end, 0),
        };
        let joins = open.is_some() && first - end <= GAP_LEN_MAX && first + len - start <= len_max;
        if !joins {
            reads.extend(open.take());
            start = first;
        }
        end = first + len;
        open.get_or_insert_with(|| Read { pack: Arc::clone(pack), frames: Vec::new() })
            .frames
            .push(wanted);
    }
    reads.extend(open);
}

fn run_unless_over(reader: &Reader<'_>, read: Read, reports: &Reports<'_>) {
    if let Err(error) = reports.cancel.check() {
        reports.failure.raise(error);
    }
    if reports.failure.is_raised() {
        read.frames.into_iter().flat_map(|f| f.uses).for_each(|(_, p)| p.file.release(reports));
        return;
    }
    run(reader, read, reports);
}

fn run(reader: &Reader<'_>, read: Read, reports: &Reports<'_>) {
    let pack = &read.pack;
    let places: Result<Vec<_>> = read.frames.iter().map(|w| frame_of(pack, w.frame)).collect();
    let fetched = places.and_then(|places| {
        let start = places.first().map_or(0, |place| place.offset);
        let end = places.last().map_or(0, |p| p.offset + u64::from(p.sealed_len));
        let sealed = reader.fetch_range(&pack.id, start..end)?;
        Ok((start, sealed))
    });
    let is_offline = fetched.as_ref().is_err_and(|error| error.kind == ErrorKind::Offline);
    for wanted in read.frames {
        let raw = fetched.as_ref().ok().and_then(|(start, sealed)| {
            let place = frame_of(pack, wanted.frame).ok()?;
            let first = (place.offset - start) as usize;
            let bytes = &sealed.bytes()[first..first + place.sealed_len as usize];
            reader.open_frame(pack, place, bytes).ok()
        });
        for (copy, part) in wanted.uses {
            // One patient try for all of it is enough: the others would wait as long each.
            if let Err(error) = &fetched
                && (is_offline || reports.failure.is_raised())
            {
                if is_offline && !reports.failure.is_raised() {
                    give_up(&part, error, reports);
                }
                part.file.release(reports);
                continue;
            }
            let good = raw.as_ref().and_then(|raw| {
                let bytes = slice(raw, &copy).ok()?;
                let keyring = reader.repository().keyring();
                frame::verify(keyring, FrameKind::Data, &part.piece.id, bytes).ok()?;
                Some(bytes)
            });
            match good {
                Some(bytes) => write(&part, bytes, reports),
                None => rescue(reader, &part, reports),
            }
            part.file.release(reports);
        }
    }
}

fn write(part: &Part, bytes: &[u8], reports: &Reports<'_>) {
    if bytes.len() as u64 == part.piece.len {
        part.file.write(bytes, part.content, reports);
    } else {
        let error = crate::repo::reader::damaged_chunk(
            &part.piece.id,
            crate::format::DecodeError::Inconsistent,
        );
        give_up(part, &error, reports);
    }
}

/// Tries every copy of a chunk, one of which has failed.
fn rescue(reader: &Reader<'_>, part: &Part, reports: &Reports<'_>) {
    match reader.chunk(FrameKind::Data, &part.piece.id) {
        Ok(raw) => write(part, &raw, reports),
        Err(error) => give_up(part, &error, reports),
    }
}

fn give_up(part: &Part, cause: &Error, reports: &Reports<'_>) {
    if cause.kind == ErrorKind::Offline {
        // Nothing is lost: the next run gets it.
        let message = format!("could not restore {}: {cause}", part.file.path());
        let error = Error::new(cause.kind, message);
        reports.report(error.hint("Restore again when the repository can be reached."));
        return;
    }
    part.file.lose(part.content..part.content + part.piece.len, cause, reports);
}
