//! Finds chunks in packs that no index segment names, by the headers of the packs themselves.
//!
//! A segment may be lost, or a run may have been killed before it wrote one. What is adopted into the
//! index of this host serves its readers only: a writer relies on a pack once a stored segment names it.

use super::Repository;
use super::parallel::ask_all;
use super::reader::damaged_pack;
use super::session::{Pack, gather};
use crate::base::{Error, PackId, Result, SegmentId};
use crate::format::pack::{Header, PREFIX_LEN, TRAILER_LEN};
use crate::format::{DecodeError, ObjectName};
use crate::index::Segment;
use crate::seal::pack::PackOpener;

/// A segment made from one pack, under an id that no stored segment has.
pub(super) type Adopted = (SegmentId, Segment);

/// Reads the headers of `packs`; one that cannot be read is an error in its place.
pub(super) fn adopt(repository: &Repository, packs: &[(PackId, u64)]) -> Vec<Result<Adopted>> {
    // Not on rayon: the caller holds a lock that its workers may wait for.
    ask_all(packs, &|(id, len)| adopt_one(repository, *id, *len))
}

fn adopt_one(repository: &Repository, id: PackId, len: u64) -> Result<Adopted> {
    let header = read_header(repository, id, len)?;
    let (fence, entries) = gather(std::iter::once(Pack { id, len, header }));
    Ok((segment_id(&id), Segment { fence, entries }))
}

/// The id of the segment that is made from a pack.
pub(super) fn segment_id(pack: &PackId) -> SegmentId {
    SegmentId::new(blake3::derive_key("parados 2026-11-23 v1 adopted pack", pack.as_bytes()))
}

/// Reads the header of a pack of `len` bytes by ranges.
///
/// # Errors
/// Names the pack.
pub fn read_header(repository: &Repository, id: PackId, len: u64) -> Result<Header> {
    let name = ObjectName::pack(id);
    let refuse = |error: DecodeError| -> Error { damaged_pack(&id, error) };
    let backend = repository.backend();
    if len < (PREFIX_LEN + TRAILER_LEN) as u64 {
        return Err(refuse(DecodeError::Truncated));
    }
    let prefix = backend.get_range(&name, 0..PREFIX_LEN as u64)?;
    let opener = PackOpener::new(repository.keyring(), prefix.bytes(), len).map_err(refuse)?;
    let trailer_start = len - TRAILER_LEN as u64;
    let sealed = backend.get_range(&name, trailer_start..len)?;
    let trailer = opener.trailer(sealed.bytes()).map_err(refuse)?;
    let header_start = trailer_start - trailer.header_len;
    let sealed = backend.get_range(&name, header_start..trailer_start)?;
    opener.header(&trailer, sealed.bytes()).map_err(refuse)
}
