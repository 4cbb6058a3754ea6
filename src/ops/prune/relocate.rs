//! Moves frames that are needed out of packs that mostly are not. They stay sealed as they are,
//! unless most of a frame is not needed either.

use std::collections::HashSet;
use std::ops::Range;

use super::usage::{is_mostly_dead, keeper, needed_of, pack_ids};
use crate::base::{ChunkId, ErrorKind, PackId, Result};
use crate::format::pack::{FrameRecord, Header, PREFIX_LEN};
use crate::format::{DecodeError, FrameKind};
use crate::ops::Run;
use crate::ops::marks::Marks;
use crate::ops::repack::{Repacking, SEGMENT_PACK_COUNT};
use crate::repo::Repository;
use crate::repo::adopt::read_header;
use crate::repo::chunks::Chunks;
use crate::repo::reader::{Reader, damaged_pack};
use crate::repo::session::Session;
use crate::seal::frame::{self, FrameShape, SealedFrame};

/// Moves frames of packs into new ones.
pub(super) struct Relocation<'a> {
    pub(super) repository: &'a Repository,
    pub(super) chunks: &'a Chunks,
    pub(super) reader: &'a Reader<'a>,
    pub(super) session: &'a Session<'a>,
}

/// What was moved.
#[derive(Default)]
pub(super) struct Moved {
    /// Packs of which everything that is needed has another copy now.
    pub(super) packs: HashSet<PackId>,
    /// Bytes of the frames.
    pub(super) bytes: u64,
}

/// A pack to be emptied, with the frames to be moved.
struct Emptied {
    id: PackId,
    header: Header,
    wanted: Vec<Wanted>,
}

/// A frame to be moved, with the places of those of its chunks that are needed.
struct Wanted {
    frame: usize,
    chunks: Vec<usize>,
}

/// What is taken out of a pack.
enum Taken {
    /// A frame as it is.
    Frame(SealedFrame),
    /// A chunk of a frame that is mostly not needed.
    Chunk(FrameKind, ChunkId, Vec<u8>),
}

impl Relocation<'_> {
    /// Stores every frame of `packs` that holds a chunk for which its pack is the one to keep, and
    /// the segments that say where. A pack of which a frame is damaged is a problem and is left
    /// as it is: what was moved of it is a second copy.
    ///
    /// # Errors
    /// When nothing can be stored, or the index fails.
    pub(super) fn run(&self, packs: &[PackId], marks: &mut Marks, run: &Run<'_>) -> Result<Moved> {
        let mut repacking = Repacking::new(self.repository, self.chunks, self.session);
        let mut moved = Moved::default();
        // So many at a time that their chunk ids take little memory.
        for part in packs.chunks(SEGMENT_PACK_COUNT) {
            for pack in self.choose(part, marks, run)? {
                run.cancel.check()?;
                match self.read(&pack) {
                    Ok(taken) => {
                        for taken in taken {
                            moved.bytes += taken.len();
                            match taken {
                                Taken::Frame(frame) => repacking.push(frame)?,
                                Taken::Chunk(kind, id, raw) => {
                                    repacking.push_chunk(kind, id, &raw)?;
                                }
                            }
                        }
                        moved.packs.insert(pack.id);
                    }
                    Err(error) if error.kind == ErrorKind::Damaged => run.problems.push(error),
                    // Another prune has deleted it.
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        repacking.finish()?;
        Ok(moved)
    }

    /// Reads the headers of `packs`, and finds the frames that are needed.
    fn choose(&self, packs: &[PackId], marks: &mut Marks, run: &Run<'_>) -> Result<Vec<Emptied>> {
        let mut headers = Vec::new();
        let mut ids: Vec<ChunkId> = Vec::new();
        for id in packs {
            let Some(record) = self.chunks.pack(id)? else { continue };
            let header = run.unless_lost(read_header(self.repository, *id, record.len))?;
            let Some(header) = header else { continue };
            ids.extend(header.frames.iter().flat_map(|frame| &frame.chunks).map(|c| c.id));
            headers.push((*id, header));
        }
        ids.sort_unstable();
        ids.dedup();
        let needed: Vec<ChunkId> = needed_of(marks, &ids)?.into_iter().collect();
        // Which of them have here the copy that is kept, and in which frame.
        let kept: HashSet<(PackId, u32, ChunkId)> = self.chunks.ask_index(|index, alive| {
            let numbers = pack_ids(index, alive)?;
            let mut kept = HashSet::new();
            for (id, places) in needed.iter().zip(index.find(&needed)?) {
                if let Some(place) = keeper(&places, &numbers) {
                    kept.insert((numbers[&place.pack].0, place.frame, *id));
                }
            }
            Ok(kept)
        })?;
        let emptied = headers.into_iter().map(|(id, header)| {
            let wanted = |(frame, record): (usize, &FrameRecord)| {
                let chunks = record.chunks.iter().enumerate();
                let is_kept = |chunk: &ChunkId| kept.contains(&(id, frame as u32, *chunk));
                let chunks = chunks.filter(|(_, chunk)| is_kept(&chunk.id)).map(|(no, _)| no);
                Wanted { frame, chunks: chunks.collect() }
            };
            let frames = header.frames.iter().enumerate().map(wanted);
            let wanted = frames.filter(|wanted| !wanted.chunks.is_empty()).collect();
            Emptied { id, header, wanted }
        });
        Ok(emptied.collect())
    }

    /// What is wanted of a pack. Each frame is opened and its chunks are compared with their ids, so
    /// that damage is not carried on under the name of a sound pack.
    fn read(&self, pack: &Emptied) -> Result<Vec<Taken>> {
        let keyring = self.repository.keyring();
        let refuse = |error| damaged_pack(&pack.id, error);
        let mut end = PREFIX_LEN as u64;
        let places: Vec<Range<u64>> = pack
            .header
            .frames
            .iter()
            .map(|frame| {
                let start = end;
                end += u64::from(frame.sealed_len);
                start..end
            })
            .collect();
        let (Some(first), Some(last)) = (pack.wanted.first(), pack.wanted.last()) else {
            return Ok(Vec::new());
        };
        let start = places[first.frame].start;
        let sealed = self.reader.fetch_range(&pack.id, start..places[last.frame].end)?;
        let mut taken = Vec::with_capacity(pack.wanted.len());
        for wanted in &pack.wanted {
            let record = pack.header.frames[wanted.frame].clone();
            let place = &places[wanted.frame];
            let place = (place.start - start) as usize..(place.end - start) as usize;
            let bytes = &sealed.bytes()[place];
            let origin = pack.header.origins.get(record.origin as usize);
            let origin = origin.ok_or_else(|| refuse(DecodeError::Inconsistent))?;
            let (kind, codec, raw_len) = (record.kind, record.codec, record.raw_len);
            let shape = FrameShape { origin, kind, codec, raw_len };
            let raw = frame::open(keyring, &shape, bytes).map_err(refuse)?;
            let mut rest = &raw[..];
            let mut chunks = Vec::with_capacity(record.chunks.len());
            for chunk in &record.chunks {
                let split = rest.split_at_checked(chunk.len as usize);
                let (chunk_raw, tail) = split.ok_or_else(|| refuse(DecodeError::Inconsistent))?;
                frame::verify(keyring, kind, &chunk.id, chunk_raw).map_err(refuse)?;
                chunks.push((chunk.id, chunk_raw));
                rest = tail;
            }
            let needed = wanted.chunks.iter().map(|no| chunks[*no]);
            let needed_len = needed.clone().map(|(_, raw)| raw.len() as u64).sum();
            if is_mostly_dead(needed_len, raw_len) {
                taken.extend(needed.map(|(id, raw)| Taken::Chunk(kind, id, raw.to_vec())));
                continue;
            }
            let origin = keyring.session(origin).map_err(refuse)?;
            taken.push(Taken::Frame(SealedFrame { bytes: bytes.to_vec(), record, origin }));
        }
        Ok(taken)
    }
}

impl Taken {
    /// Bytes that it takes, about.
    fn len(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.bytes.len() as u64,
            Self::Chunk(_, _, raw) => raw.len() as u64,
        }
    }
}
