//! Moves frames that are needed out of packs that mostly are not. They stay sealed as they are.

use std::collections::HashSet;
use std::ops::Range;

use super::usage::{keeper, needed_of, pack_ids};
use crate::base::{ChunkId, ErrorKind, PackId, Result};
use crate::format::DecodeError;
use crate::format::pack::{FrameRecord, Header, PREFIX_LEN};
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
    wanted: Vec<usize>,
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
                    Ok(frames) => {
                        for frame in frames {
                            moved.bytes += frame.bytes.len() as u64;
                            repacking.push(frame)?;
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
            let header = match read_header(self.repository, *id, record.len) {
                Ok(header) => header,
                Err(error) if error.kind == ErrorKind::Damaged => {
                    run.problems.push(error);
                    continue;
                }
                Err(error) if error.kind == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            ids.extend(header.frames.iter().flat_map(|frame| &frame.chunks).map(|c| c.id));
            headers.push((*id, header));
        }
        ids.sort_unstable();
        ids.dedup();
        let needed: Vec<ChunkId> = needed_of(marks, &ids)?.into_iter().collect();
        // Which of them have here the copy that is kept.
        let kept: HashSet<(PackId, ChunkId)> = self.chunks.ask_index(|index, alive| {
            let numbers = pack_ids(index, alive)?;
            let mut kept = HashSet::new();
            for (id, places) in needed.iter().zip(index.find(&needed)?) {
                if let Some(place) = keeper(&places, &numbers) {
                    kept.insert((numbers[&place.pack].0, *id));
                }
            }
            Ok(kept)
        })?;
        let emptied = headers.into_iter().map(|(id, header)| {
            let is_wanted = |frame: &FrameRecord| {
                frame.chunks.iter().any(|chunk| kept.contains(&(id, chunk.id)))
            };
            let frames = header.frames.iter().enumerate();
            let wanted = frames.filter(|(_, frame)| is_wanted(frame)).map(|(no, _)| no).collect();
            Emptied { id, header, wanted }
        });
        Ok(emptied.collect())
    }

    /// The frames of a pack that are wanted. Each is opened and its chunks are compared with their
    /// ids, so that damage is not carried on under the name of a sound pack.
    fn read(&self, pack: &Emptied) -> Result<Vec<SealedFrame>> {
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
        let start = places[*first].start;
        let sealed = self.reader.fetch_range(&pack.id, start..places[*last].end)?;
        let mut frames = Vec::with_capacity(pack.wanted.len());
        for no in &pack.wanted {
            let record = pack.header.frames[*no].clone();
            let place = (places[*no].start - start) as usize..(places[*no].end - start) as usize;
            let bytes = &sealed.bytes()[place];
            let origin = pack.header.origins.get(record.origin as usize);
            let origin = origin.ok_or_else(|| refuse(DecodeError::Inconsistent))?;
            let (kind, codec, raw_len) = (record.kind, record.codec, record.raw_len);
            let shape = FrameShape { origin, kind, codec, raw_len };
            let raw = frame::open(keyring, &shape, bytes).map_err(refuse)?;
            let mut rest = &raw[..];
            for chunk in &record.chunks {
                let split = rest.split_at_checked(chunk.len as usize);
                let (chunk_raw, tail) = split.ok_or_else(|| refuse(DecodeError::Inconsistent))?;
                frame::verify(keyring, kind, &chunk.id, chunk_raw).map_err(refuse)?;
                rest = tail;
            }
            let origin = keyring.session(origin).map_err(refuse)?;
            frames.push(SealedFrame { bytes: bytes.to_vec(), record, origin });
        }
        Ok(frames)
    }
}
