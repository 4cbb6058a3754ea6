//! A key slot: 1,024 bytes that give the root keys to who holds one secret.

use minicbor::{Decode, Encode};

use super::wire::{self, Cursor};
use super::{DecodeError, FORMAT_VERSION};
use crate::base::{RepositoryId, SlotId, Timestamp};

/// First bytes of a key slot.
pub const MAGIC: [u8; 4] = *b"PRDK";
/// Length of a key slot in bytes.
pub const SLOT_LEN: usize = 1024;
/// Length of the clear part in bytes, which is associated data of the bundle.
pub const CLEAR_LEN: usize = 192;
/// Length of the bundle inside the seal, in bytes.
pub const BUNDLE_LEN: usize = 512;
/// Length of the label inside the seal, in bytes.
pub const LABEL_LEN: usize = 256;
/// Most slots that a repository may have; each costs a try.
pub const SLOT_COUNT_MAX: usize = 64;

/// What opens a slot. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    /// A passphrase, by way of argon2id.
    Passphrase = 1,
    /// A random key in a file.
    KeyFile = 2,
    /// A random key on paper.
    RecoveryCode = 3,
}

/// Cost of argon2id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// What new slots cost: 256 MiB, three passes, four lanes.
    pub const STANDARD: Self = Self { memory_kib: 256 << 10, passes: 3, lanes: 4 };
    /// The least that is accepted: 64 MiB, one pass. A cheaper slot invites guessing.
    pub const FLOOR: Self = Self { memory_kib: 64 << 10, passes: 1, lanes: 1 };
    /// The most that is accepted: 4 GiB, 64 passes. A dearer slot is an attack on the client.
    pub const CAP: Self = Self { memory_kib: 4 << 20, passes: 64, lanes: 16 };
    /// Most memory times passes, in KiB: 16 GiB.
    pub const WORK_CAP: u64 = 16 << 20;

    /// Refuses costs below the floor or above the cap, before anything is allocated.
    ///
    /// # Errors
    /// [`DecodeError::Limit`].
    pub fn validate(self) -> Result<(), DecodeError> {
        let within = |v: u32, floor: u32, cap: u32| (floor..=cap).contains(&v);
        let sound = within(self.memory_kib, Self::FLOOR.memory_kib, Self::CAP.memory_kib)
            && within(self.passes, Self::FLOOR.passes, Self::CAP.passes)
            && within(self.lanes, Self::FLOOR.lanes, Self::CAP.lanes)
            && u64::from(self.memory_kib) * u64::from(self.passes) <= Self::WORK_CAP;
        if sound { Ok(()) } else { Err(DecodeError::Limit) }
    }
}

/// A key slot with its sealed parts still sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Its own id, which its name repeats.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// Cost of the derivation; present only for a passphrase.
    pub cost: Option<KdfCost>,
    /// Salt of the derivation.
    pub salt: [u8; 32],
    /// Tag that only the right secret gives; compared before anything is opened.
    pub commitment: [u8; 32],
    /// The sealed bundle with its tag.
    pub bundle: [u8; BUNDLE_LEN + 16],
    /// Salt of the label's key.
    pub label_salt: [u8; 32],
    /// The sealed label with its tag.
    pub label: [u8; LABEL_LEN + 16],
}

impl Slot {
    /// The clear part.
    pub fn encode_clear(&self) -> [u8; CLEAR_LEN] {
        let cost = self.cost.unwrap_or(KdfCost { memory_kib: 0, passes: 0, lanes: 0 });
        let mut bytes = [0; CLEAR_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[6] = self.kind as u8;
        bytes[8..40].copy_from_slice(self.repository.as_bytes());
        bytes[40..72].copy_from_slice(self.id.as_bytes());
        bytes[72..76].copy_from_slice(&cost.memory_kib.to_le_bytes());
        bytes[76..80].copy_from_slice(&cost.passes.to_le_bytes());
        bytes[80..84].copy_from_slice(&cost.lanes.to_le_bytes());
        bytes[88..120].copy_from_slice(&self.salt);
        bytes[120..152].copy_from_slice(&self.commitment);
        bytes
    }

    /// All 1,024 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_LEN);
        bytes.extend_from_slice(&self.encode_clear());
        bytes.extend_from_slice(&self.bundle);
        bytes.extend_from_slice(&self.label_salt);
        bytes.extend_from_slice(&self.label);
        assert_eq!(bytes.len(), SLOT_LEN, "the parts of a slot fill it");
        bytes
    }

    /// Reads a slot and checks the cost it asks for.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return Err(DecodeError::Magic);
        }
        match cursor.u16()? {
            FORMAT_VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let kind = match cursor.u8()? {
            1 => SlotKind::Passphrase,
            2 => SlotKind::KeyFile,
            3 => SlotKind::RecoveryCode,
            _ => return Err(DecodeError::Unknown),
        };
        cursor.zeros(1)?;
        let repository = RepositoryId::new(cursor.array()?);
        let id = SlotId::new(cursor.array()?);
        let cost =
            KdfCost { memory_kib: cursor.u32()?, passes: cursor.u32()?, lanes: cursor.u32()? };
        cursor.zeros(4)?;
        let cost = if kind == SlotKind::Passphrase {
            cost.validate()?;
            Some(cost)
        } else if (cost.memory_kib, cost.passes, cost.lanes) == (0, 0, 0) {
            None
        } else {
            return Err(DecodeError::Reserved);
        };
        let salt = cursor.array()?;
        let commitment = cursor.array()?;
        cursor.zeros(CLEAR_LEN - 152)?;
        let slot = Self {
            repository,
            id,
            kind,
            cost,
            salt,
            commitment,
            bundle: cursor.array()?,
            label_salt: cursor.array()?,
            label: cursor.array()?,
        };
        cursor.finish()?;
        Ok(slot)
    }
}

/// What a person reads in `key list`; sealed, so that the backend learns no names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Label {
    /// When the slot was made.
    #[n(0)]
    pub created: Timestamp,
    /// Host it was made on, at most 64 bytes.
    #[n(1)]
    pub host: String,
    /// User who made it, at most 64 bytes.
    #[n(2)]
    pub user: String,
    /// Free text, at most 64 bytes.
    #[n(3)]
    pub text: String,
}

impl Label {
    /// Length field, canonical bytes, zeros: 256 bytes. Texts are cut to fit.
    pub fn encode(&self) -> [u8; LABEL_LEN] {
        let cut = |text: &str| {
            let mut end = text.len().min(64);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text[..end].to_owned()
        };
        let short = Self {
            created: self.created,
            host: cut(&self.host),
            user: cut(&self.user),
            text: cut(&self.text),
        };
        fixed(&wire::encode(&short))
    }

    /// Reads what [`Label::encode`] wrote.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let label: Self = wire::decode(unfixed(bytes, LABEL_LEN)?, LABEL_LEN)?;
        if [&label.host, &label.user, &label.text].iter().any(|text| text.len() > 64) {
            return Err(DecodeError::Limit);
        }
        Ok(label)
    }
}

/// Length field, `body`, zeros.
///
/// # Panics
/// When `body` does not fit: callers bound it.
pub fn fixed<const N: usize>(body: &[u8]) -> [u8; N] {
    assert!(body.len() + 2 <= N, "the body fits its fixed length");
    let mut bytes = [0; N];
    bytes[0..2].copy_from_slice(&(body.len() as u16).to_le_bytes());
    bytes[2..2 + body.len()].copy_from_slice(body);
    bytes
}

/// The body inside a fixed length.
///
/// # Errors
/// Says what is wrong.
pub fn unfixed(bytes: &[u8], len: usize) -> Result<&[u8], DecodeError> {
    if bytes.len() != len {
        return Err(DecodeError::Truncated);
    }
    let mut cursor = Cursor::new(bytes);
    let body_len = usize::from(cursor.u16()?);
    let body = cursor.take(body_len)?;
    cursor.zeros(cursor.rest().len())?;
    Ok(body)
}
