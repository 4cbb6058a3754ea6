//! Key slots: a secret in, the root keys out.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::keys::{Key, Keyring, Roots, decode_bundle, encode_bundle};
use super::{Sealed, aead};
use crate::base::{RepositoryId, SlotId, random};
use crate::format::slot::{
    self, BUNDLE_LEN, CLEAR_LEN, KdfCost, LABEL_LEN, Label, Slot, SlotKind, fixed, unfixed,
};
use crate::format::{DecodeError, Suite};

const SECRET_CONTEXT: &str = "parados 2026-11-23 v1 slot secret";

/// What a person or a file gives to open a slot.
pub enum Secret {
    /// Bytes of a passphrase, as typed.
    Passphrase(Zeroizing<Vec<u8>>),
    /// The key in a key file.
    KeyFile(Key),
    /// The key in a recovery code.
    RecoveryCode(Key),
}

impl Secret {
    /// The kind of slot that it opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::RecoveryCode(_) => SlotKind::RecoveryCode,
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({:?})", self.kind())
    }
}

/// Makes a new slot that `secret` opens; a passphrase costs `cost`.
///
/// # Errors
/// [`DecodeError::Limit`] for a cost beyond the limits.
pub fn seal(
    keyring: &Keyring,
    secret: &Secret,
    cost: KdfCost,
    label: &Label,
) -> Result<(SlotId, Sealed), DecodeError> {
    let cost = (secret.kind() == SlotKind::Passphrase).then_some(cost);
    if let Some(cost) = cost {
        cost.validate()?;
    }
    let mut slot = Slot {
        repository: keyring.repository(),
        id: SlotId::random(),
        kind: secret.kind(),
        cost,
        salt: random(),
        commitment: [0; 32],
        bundle: [0; BUNDLE_LEN + 16],
        label_salt: random(),
        label: [0; LABEL_LEN + 16],
    };
    let (key, commitment) = stretch(secret, &slot)?;
    slot.commitment = commitment;
    let bundle = encode_bundle(keyring.repository(), keyring.roots());
    let raw = Zeroizing::new(fixed::<BUNDLE_LEN>(&bundle));
    let clear = slot.encode_clear();
    slot.bundle = seal_part(&key, &clear, &raw[..]);
    let label_key = keyring.label_key(&slot.label_salt);
    slot.label = seal_part(&label_key, &label_associated(&clear, &slot), &label.encode());
    Ok((slot.id, Sealed::new(slot.encode())))
}

/// Opens a slot with `secret`. The commitment is compared first, so that no slot can be made that
/// opens under two secrets.
///
/// # Errors
/// [`DecodeError::Forged`] when the secret does not belong to the slot; any other when it does,
/// and the slot is damaged.
pub fn open(slot: &Slot, secret: &Secret) -> Result<(RepositoryId, Roots), DecodeError> {
    if slot.kind != secret.kind() {
        return Err(DecodeError::Forged);
    }
    let (key, commitment) = stretch(secret, slot)?;
    if blake3::Hash::from(commitment) != blake3::Hash::from(slot.commitment) {
        return Err(DecodeError::Forged);
    }
    let clear = slot.encode_clear();
    let raw = aead::open(Suite::ChaCha20Poly1305, &key, 0, &clear, &slot.bundle)
        .map_err(|_| DecodeError::Inconsistent)?;
    let raw = Zeroizing::new(raw);
    let (repository, roots) = decode_bundle(unfixed(&raw, BUNDLE_LEN)?)?;
    if repository != slot.repository {
        return Err(DecodeError::Inconsistent);
    }
    Ok((repository, roots))
}

/// Reads the label of a slot of an opened repository.
///
/// # Errors
/// Says what is wrong.
pub fn label(keyring: &Keyring, slot: &Slot) -> Result<Label, DecodeError> {
    let key = keyring.label_key(&slot.label_salt);
    let associated = label_associated(&slot.encode_clear(), slot);
    let raw = aead::open(Suite::ChaCha20Poly1305, &key, 0, &associated, &slot.label)?;
    slot::Label::decode(&raw)
}

/// Key and commitment from a secret: 64 bytes of argon2id, or of BLAKE3 for a random key.
fn stretch(secret: &Secret, slot: &Slot) -> Result<(Key, [u8; 32]), DecodeError> {
    let mut bytes = Zeroizing::new([0; 64]);
    match secret {
        Secret::Passphrase(passphrase) => {
            let cost = slot.cost.ok_or(DecodeError::Inconsistent)?;
            cost.validate()?;
            let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(64))
                .map_err(|_| DecodeError::Limit)?;
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(passphrase, &slot.salt, &mut bytes[..])
                .map_err(|_| DecodeError::Limit)?;
        }
        Secret::KeyFile(key) | Secret::RecoveryCode(key) => {
            let mut hasher = blake3::Hasher::new_derive_key(SECRET_CONTEXT);
            hasher.update(&[slot.kind as u8]);
            hasher.update(key.expose());
            hasher.update(&slot.salt);
            hasher.finalize_xof().fill(&mut bytes[..]);
            zeroize::Zeroize::zeroize(&mut hasher);
        }
    }
    let (key, commitment) = bytes.split_at(32);
    let key = Zeroizing::new(<[u8; 32]>::try_from(key).expect("it was split at that length"));
    Ok((Key::new(*key), commitment.try_into().expect("the other half")))
}

fn seal_part<const N: usize>(key: &Key, associated: &[u8], raw: &[u8]) -> [u8; N] {
    let mut bytes = Zeroizing::new(raw.to_vec());
    bytes.reserve_exact(16);
    aead::seal(Suite::ChaCha20Poly1305, key, 0, associated, &mut bytes, 0);
    bytes[..].try_into().expect("a sealed part is its raw part and a tag")
}

fn label_associated(clear: &[u8; CLEAR_LEN], slot: &Slot) -> Vec<u8> {
    [&clear[..], &slot.bundle[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: KdfCost = KdfCost { memory_kib: 64 << 10, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Secret {
        Secret::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn each_kind_of_secret_opens_its_own_slot() {
        let keyring = Keyring::new(RepositoryId::random(), Roots::random());
        let label = Label { host: "h".repeat(100), ..Label::default() };
        let secrets = [
            passphrase("correct horse"),
            Secret::KeyFile(Key::new([1; 32])),
            Secret::RecoveryCode(Key::new([1; 32])),
        ];
        let slots: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let (id, sealed) = seal(&keyring, secret, CHEAP, &label).expect("it seals");
                let slot = Slot::decode(sealed.bytes()).expect("it decodes");
                assert_eq!(slot.id, id);
                assert_eq!(super::label(&keyring, &slot).expect("it opens").host, "h".repeat(64));
                slot
            })
            .collect();
        for (i, secret) in secrets.iter().enumerate() {
            for (j, slot) in slots.iter().enumerate() {
                assert_eq!(open(slot, secret).is_ok(), i == j, "secret {i}, slot {j}");
            }
        }
        assert_eq!(open(&slots[0], &passphrase("wrong")).err(), Some(DecodeError::Forged));
    }

    #[test]
    fn absurd_costs_are_refused_before_anything_is_allocated() {
        let keyring = Keyring::new(RepositoryId::random(), Roots::random());
        let (_, sealed) =
            seal(&keyring, &passphrase("x"), CHEAP, &Label::default()).expect("it seals");
        let cases: [(usize, u32); 6] =
            [(72, 8), (72, 1 << 30), (76, 0), (76, 65), (80, 0), (80, 17)];
        for (offset, value) in cases {
            let mut bytes = sealed.bytes().to_vec();
            bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            assert_eq!(Slot::decode(&bytes), Err(DecodeError::Limit), "{value} at {offset}");
        }
    }
}
