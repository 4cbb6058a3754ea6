//! Reads whole packs and opens every frame, for what they are and for what is said of them.

use super::check::Class;
use crate::base::{Error, ErrorKind, PackId, Result};
use crate::format::{DecodeError, ObjectName};
use crate::index::PackRecord;
use crate::repo::Repository;
use crate::repo::reader::damaged_pack;
use crate::seal::{Sealed, frame, pack};

/// Times that a pack is read before it is called damaged.
const READ_COUNT_MAX: u32 = 3;

/// Why a pack is not as it was stored, or as is said of it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: Error,
    /// Where it went wrong, as far as one reading can tell.
    pub(super) class: Option<Class>,
}

impl Fault {
    /// Whether pack and what is said of it differ, and not its bytes from what was stored.
    pub(super) fn is_contradiction(&self) -> bool {
        let source = self.error.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<DecodeError>());
        source == Some(&DecodeError::Inconsistent)
    }

    /// Whether it may be gone when the pack is read again: it may have been on the way.
    fn is_doubtful(&self) -> bool {
        let is_answer = matches!(self.error.kind, ErrorKind::Offline | ErrorKind::NotFound);
        !is_answer && !self.is_contradiction()
    }
}

/// Reads a whole pack and opens every frame, again if that fails; how it was found, and how often it
/// was read. `record` is what the index says of it.
pub(super) fn read_whole(
    repository: &Repository,
    id: &PackId,
    record: Option<&PackRecord>,
) -> (std::result::Result<(), Fault>, u32) {
    let mut read = read_once(repository, id, record);
    let mut count = 1;
    while read.as_ref().is_err_and(Fault::is_doubtful) && count < READ_COUNT_MAX {
        read = read_once(repository, id, record);
        count += 1;
    }
    (read, count)
}

fn read_once(
    repository: &Repository,
    id: &PackId,
    record: Option<&PackRecord>,
) -> std::result::Result<(), Fault> {
    let sealed = repository.backend().get(&ObjectName::pack(*id));
    let sealed = sealed.map_err(|error| Fault { error: Error::from(error), class: None })?;
    open_pack(repository, id, record, &sealed).map_err(|error| {
        let is_as_stored = PackId::new(*blake3::hash(sealed.bytes()).as_bytes()) == *id;
        let mut fault = Fault { error, class: None };
        if !fault.is_contradiction() {
            fault.class = Some(if is_as_stored { Class::Memory } else { Class::AtRest });
        }
        fault
    })
}

/// Opens every frame of a pack.
fn open_pack(
    repository: &Repository,
    id: &PackId,
    record: Option<&PackRecord>,
    sealed: &Sealed,
) -> Result<()> {
    let keyring = repository.keyring();
    let refuse = |error| damaged_pack(id, error);
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
        frame::check(keyring, &shape, &bytes[offset..end], &record.chunks).map_err(refuse)?;
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
