//! Compares what an index segment says about packs with what the packs say themselves.
//!
//! A segment is authentic when somebody with the keys wrote it, which does not make it true. A
//! writer that believes a false entry stores nothing for the chunk, and nobody can restore it.

use std::collections::{HashMap, HashSet};

use super::adopt::read_header;
use super::session::{Pack, gather};
use super::{Repository, damaged, is_missing};
use crate::backend::BackendError;
use crate::base::{Error, PackId, Result, SessionId};
use crate::format::segment::{Fence, SegmentEntry, SegmentFrame};
use crate::format::{DecodeError, ObjectName};
use crate::seal::segment;

/// A segment that contradicts packs.
#[derive(Debug)]
pub struct FalseSegment {
    /// Names the segment.
    pub error: Error,
    /// The packs.
    pub packs: Vec<PackId>,
}

/// What an entry says, in the words of one pack: frame, offset, length.
type Place = (u32, u32, u32);

/// Compares the segment `name` with the packs of `listed` that it names; `None` when all is true.
/// A pack whose header cannot be read contradicts nothing here.
///
/// # Errors
/// When the segment cannot be fetched. One that does not open is no matter of this comparison.
pub fn contradicted(
    repository: &Repository,
    name: &ObjectName,
    origin: (SessionId, u32),
    listed: &HashMap<PackId, u64>,
) -> Result<Option<FalseSegment>> {
    let sealed = match repository.backend().get(name) {
        Ok(sealed) => sealed,
        Err(error) if is_missing(&error) => return Ok(None),
        // Whoever fills the index tells of it.
        Err(BackendError::Damaged { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok((fence, entries)) = segment::open(repository.keyring(), origin, sealed.bytes()) else {
        return Ok(None);
    };
    let mut packs = Vec::new();
    for (index, pack) in fence.packs.iter().enumerate() {
        let Some(len) = listed.get(&pack.id).copied() else { continue };
        let Ok(header) = read_header(repository, pack.id, len) else { continue };
        let truth = gather(std::iter::once(Pack { id: pack.id, len, header }));
        if !agrees(&fence, &entries, index as u32, &truth) {
            packs.push(pack.id);
        }
    }
    if packs.is_empty() {
        return Ok(None);
    }
    Ok(Some(FalseSegment { error: damaged(name, DecodeError::Inconsistent), packs }))
}

/// Whether frames and entries of one pack are those of its header. A segment may say less: places
/// that no block has room for are left out.
fn agrees(
    fence: &Fence,
    entries: &[SegmentEntry],
    index: u32,
    (true_fence, true_entries): &(Fence, Vec<SegmentEntry>),
) -> bool {
    let (pack, true_pack) = (&fence.packs[index as usize], &true_fence.packs[0]);
    let same_frames = pack.len == true_pack.len
        && pack.frames.len() == true_pack.frames.len()
        && pack.frames.iter().zip(&true_pack.frames).all(|(said, found)| {
            let sealed = |f: &SegmentFrame| (f.sealed_len, f.raw_len, f.codec, f.kind);
            let origin = &fence.origins[said.origin as usize];
            sealed(said) == sealed(found) && *origin == true_fence.origins[found.origin as usize]
        });
    let place = |entry: &SegmentEntry| -> Place { (entry.frame, entry.offset, entry.len) };
    let found: HashSet<_> = true_entries.iter().map(|entry| (entry.id, place(entry))).collect();
    let mut of_pack = entries.iter().filter(|entry| entry.pack == index);
    same_frames && of_pack.all(|entry| found.contains(&(entry.id, place(entry))))
}
