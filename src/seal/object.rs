//! Sealed objects other than packs, segments and key slots.

use super::keys::Keyring;
use super::{Sealed, aead, compress};
use crate::base::random;
use crate::format::envelope::{self, BODY_LEN_MAX, HEADER_LEN, Header, TAG_LEN};
use crate::format::{DecodeError, ObjectName, Suite};

/// Level for metadata objects: they are few, and stay.
const LEVEL: i32 = 3;

/// Seals `body` as the object `name`.
///
/// # Panics
/// When the keyring has no root key of `epoch`, or the body is longer than any reader accepts.
pub fn seal(keyring: &Keyring, suite: Suite, epoch: u32, name: &ObjectName, body: &[u8]) -> Sealed {
    let header = Header { kind: name.kind(), suite, epoch, salt: random() };
    let mut stored = Vec::new();
    let codec = compress::compress_into(body, LEVEL, &mut stored);
    let inner = envelope::pad(&stored, body.len(), codec, HEADER_LEN + TAG_LEN);
    let mut bytes = Vec::with_capacity(HEADER_LEN + inner.len() + TAG_LEN);
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(&inner);
    let key = keyring
        .object_key(header.kind, epoch, &header.salt)
        .expect("a writer seals with an epoch it has");
    let associated = associated(keyring, &header, name.as_str());
    aead::seal(suite, &key, 0, &associated, &mut bytes, HEADER_LEN);
    Sealed::new(bytes)
}

/// Opens the object `name` into its body.
///
/// # Errors
/// Says what is wrong.
pub fn open(keyring: &Keyring, name: &ObjectName, sealed: &Sealed) -> Result<Vec<u8>, DecodeError> {
    let bytes = sealed.bytes();
    if bytes.len() > 2 * BODY_LEN_MAX {
        return Err(DecodeError::Limit);
    }
    let header = Header::decode(bytes)?;
    if header.kind != name.kind() {
        return Err(DecodeError::Magic);
    }
    let key = keyring.object_key(header.kind, header.epoch, &header.salt)?;
    let associated = associated(keyring, &header, name.as_str());
    let inner = aead::open(header.suite, &key, 0, &associated, &bytes[HEADER_LEN..])?;
    let (codec, raw_len, stored) = envelope::unpad(&inner)?;
    compress::decompress(codec, stored.to_vec(), raw_len)
}

/// What an object means: repository, clear header, name.
pub(super) fn associated(keyring: &Keyring, header: &Header, name: &str) -> Vec<u8> {
    let mut bytes = keyring.repository().as_bytes().to_vec();
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RepositoryId, SessionId};
    use crate::seal::keys::Roots;
    use bytes::Bytes;

    #[test]
    fn an_object_opens_under_its_own_name_only() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let name = ObjectName::snapshot(SessionId::new([1; 32]));
        for suite in [Suite::ChaCha20Poly1305, Suite::Aes256Gcm] {
            let sealed = seal(&keyring, suite, 0, &name, b"body");
            assert_eq!(sealed.len(), 512);
            assert_eq!(open(&keyring, &name, &sealed).as_deref(), Ok(&b"body"[..]));
            let other = ObjectName::snapshot(SessionId::new([2; 32]));
            assert_eq!(open(&keyring, &other, &sealed), Err(DecodeError::Forged));
            let stranger = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
            assert_eq!(open(&stranger, &name, &sealed), Err(DecodeError::Forged));
        }
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let name = ObjectName::config(1);
        let sealed = seal(&keyring, Suite::Aes256Gcm, 0, &name, b"body");
        for bit in 0..sealed.bytes().len() * 8 {
            let mut bytes = sealed.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&keyring, &name, &Sealed::from_store(Bytes::from(bytes))).is_err());
        }
        for len in 0..sealed.bytes().len() {
            let bytes = sealed.bytes().slice(..len);
            assert!(open(&keyring, &name, &Sealed::from_store(bytes)).is_err());
        }
    }
}
