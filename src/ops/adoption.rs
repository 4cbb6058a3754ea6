//! Reads what packs say themselves that no index segment names.

use super::Run;
use super::repack::SEGMENT_PACK_COUNT;
use crate::base::{Error, PackId, Result};
use crate::pipeline::SEGMENT_CHUNK_COUNT;
use crate::repo::session::{Pack, Session, Stored};

/// Headers that are read at a time.
const READ_COUNT: usize = 16;

/// Hands over `listed` packs in parts that one segment describes. What is wrong with a pack that does
/// not say what it holds goes to `failed`, which says whether to go on.
///
/// # Errors
/// Those of `each`, and a cancellation.
pub(super) fn adopt(
    session: &Session<'_>,
    listed: &[(PackId, u64)],
    run: &Run<'_>,
    failed: &mut dyn FnMut(Error) -> bool,
    each: &mut dyn FnMut(Vec<Stored<Pack>>) -> Result<()>,
) -> Result<()> {
    let mut waiting: Vec<Stored<Pack>> = Vec::new();
    let mut chunk_count = 0;
    let mut goes_on = true;
    for part in listed.chunks(READ_COUNT) {
        run.cancel.check()?;
        for pack in session.adopt(part) {
            match pack {
                Ok(pack) => {
                    let frames = &pack.get().header.frames;
                    chunk_count += frames.iter().map(|frame| frame.chunks.len()).sum::<usize>();
                    waiting.push(pack);
                }
                Err(error) => goes_on &= failed(error),
            }
        }
        let is_full = waiting.len() + READ_COUNT > SEGMENT_PACK_COUNT;
        if !waiting.is_empty() && (is_full || chunk_count >= SEGMENT_CHUNK_COUNT) {
            chunk_count = 0;
            each(std::mem::take(&mut waiting))?;
        }
        if !goes_on {
            break;
        }
    }
    if waiting.is_empty() { Ok(()) } else { each(waiting) }
}
