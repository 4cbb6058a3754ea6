//! Reads every byte of every pack, for what it is and for what is said of it.

use std::collections::HashMap;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::base::{Error, ErrorKind, PackId, Result, SegmentId};
use crate::format::name::Parsed;
use crate::format::{DecodeError, ObjectKind, ObjectName};
use crate::index::PackRecord;
use crate::ops::Run;
use crate::pipeline::budget::Budget;
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::chunks::Chunks;
use crate::repo::reader::damaged_pack;
use crate::repo::trust::{Judge, Verdict};
use crate::seal::{frame, pack};

/// What reading all packs came to.
#[derive(Default)]
pub(super) struct ReadPacks {
    /// Packs that are not as they were stored, or as is said of them.
    pub(super) damaged: Vec<(PackId, Error)>,
    /// Bytes that were read.
    pub(super) bytes: u64,
}

/// Reads packs of known lengths, as many at a time as memory has room for.
pub(super) fn read_packs(
    repository: &Repository,
    chunks: &Chunks,
    packs: Vec<(PackId, u64)>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<ReadPacks> {
    run.progress.bytes_total.set(packs.iter().map(|(_, len)| len).sum());
    let gathered = Mutex::new(ReadPacks::default());
    packs.par_iter().try_for_each(|(id, len)| {
        run.cancel.check()?;
        let _grant = budget.take(*len as usize);
        let record = chunks.pack(id)?;
        let read = match read_pack(repository, id, record.as_deref()) {
            // That is no damage.
            Err(error) if error.kind == ErrorKind::Offline => return Err(error),
            read => read,
        };
        run.progress.bytes_done.add(*len);
        let mut gathered = gathered.lock().expect("no thread panics while it holds the lock");
        gathered.bytes += len;
        gathered.damaged.extend(read.err().map(|error| (*id, error)));
        Ok::<(), Error>(())
    })?;
    let mut read = gathered.into_inner().expect("no thread panics while it holds the lock");
    read.damaged.sort_by_key(|(id, _)| *id);
    Ok(read)
}

/// Reads a whole pack and opens every frame.
fn read_pack(repository: &Repository, id: &PackId, record: Option<&PackRecord>) -> Result<()> {
    let keyring = repository.keyring();
    let refuse = |error| damaged_pack(id, error);
    let sealed = repository.backend().get(&ObjectName::pack(*id))?;
    let bytes = sealed.bytes();
    let header = pack::open_header(keyring, bytes).map_err(refuse)?;
    let mut offset = crate::format::pack::PREFIX_LEN;
    for record in &header.frames {
        let end = offset + record.sealed_len as usize;
        let shape = frame::FrameShape {
            origin: &header.origins[record.origin as usize],
            kind: record.kind,
            codec: record.codec,
            raw_len: record.raw_len,
        };
        let raw = frame::open(keyring, &shape, &bytes[offset..end]).map_err(refuse)?;
        let mut start = 0;
        for chunk in &record.chunks {
            let end = start + chunk.len as usize;
            frame::verify(keyring, record.kind, &chunk.id, &raw[start..end]).map_err(refuse)?;
            start = end;
        }
        offset = end;
    }
    // Before what it says is compared: another pack in its place is no witness against a segment.
    if PackId::new(*blake3::hash(bytes).as_bytes()) != *id {
        return Err(refuse(DecodeError::Id));
    }
    let agrees = record.is_none_or(|record| {
        record.frames.len() == header.frames.len()
            && record.frames.iter().zip(&header.frames).all(|(indexed, found)| {
                (indexed.sealed_len, indexed.raw_len) == (found.sealed_len, found.raw_len)
            })
    });
    if !agrees {
        return Err(refuse(DecodeError::Inconsistent));
    }
    Ok(())
}

/// Whether an error says that a pack and what is said of it differ, not that its bytes do.
pub(super) fn is_contradiction(error: &Error) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<DecodeError>());
    source == Some(&DecodeError::Inconsistent)
}

/// Memory that comparing a segment takes, as a multiple of its sealed length: opened, and as packs
/// say it.
const COMPARED_FACTOR: usize = 4;

/// Finds index segments that say of packs what is not true.
pub(super) fn find_false_segments(
    repository: &Repository,
    lens: &HashMap<PackId, u64>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<Vec<(ObjectName, SegmentId, Vec<PackId>)>> {
    let listed = list(&**repository.backend(), ObjectKind::Index)?;
    let judge = Judge::of_many(repository, lens);
    let compared = listed.par_iter().map(|object| {
        run.cancel.check()?;
        let Parsed::Index(session, sequence, id) = object.name.parsed() else { return Ok(None) };
        let _grant = budget.take((object.len as usize).saturating_mul(COMPARED_FACTOR));
        Ok(match judge.verdict(&object.name, (session, sequence))? {
            Verdict::False(packs) => Some((object.name.clone(), id, packs)),
            Verdict::True | Verdict::Unknown => None,
        })
    });
    compared.filter_map(Result::transpose).collect()
}
