//! Authenticated encryption of one message with one key.
//!
//! Every key is derived for a single message (or, in a segment, for messages with distinct
//! numbers), so nonces are counters and can never repeat.

use std::time::{Duration, Instant};

use aws_lc_rs::aead as aws;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};

use super::keys::Key;
use crate::format::envelope::TAG_LEN;
use crate::format::{DecodeError, Suite};

/// Encrypts `buffer` from `start` on in place, then appends the tag.
///
/// `number` must differ between messages under one key.
pub fn seal(
    suite: Suite,
    key: &Key,
    number: u64,
    associated: &[u8],
    buffer: &mut Vec<u8>,
    start: usize,
) {
    let nonce = nonce(number);
    match suite {
        Suite::ChaCha20Poly1305 => {
            let cipher = ChaCha20Poly1305::new(key.expose().into());
            let tag = cipher
                .encrypt_inout_detached(&nonce.into(), associated, (&mut buffer[start..]).into())
                .expect("messages are shorter than the limit of the cipher");
            buffer.extend_from_slice(&tag);
        }
        Suite::Aes256Gcm => {
            let tag = aes(key)
                .seal_in_place_separate_tag(
                    aws::Nonce::assume_unique_for_key(nonce),
                    aws::Aad::from(associated),
                    &mut buffer[start..],
                )
                .expect("messages are shorter than the limit of the cipher");
            buffer.extend_from_slice(tag.as_ref());
        }
    }
}

/// Decrypts a message with its tag.
///
/// # Errors
/// [`DecodeError::Truncated`] when there is no room for a tag, [`DecodeError::Forged`] when it is
/// not that of key, number, associated data and message.
pub fn open(
    suite: Suite,
    key: &Key,
    number: u64,
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let mut raw = Vec::new();
    let len = open_into(suite, key, number, associated, sealed, &mut raw)?.len();
    raw.truncate(len);
    Ok(raw)
}

/// As [`open`], into a buffer that grows where it is too short; what was opened.
///
/// # Errors
/// As [`open`]; nothing in the buffer means anything then.
pub fn open_into<'b>(
    suite: Suite,
    key: &Key,
    number: u64,
    associated: &[u8],
    sealed: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], DecodeError> {
    let body_len = sealed.len().checked_sub(TAG_LEN).ok_or(DecodeError::Truncated)?;
    let (body, tag) = sealed.split_at(body_len);
    let nonce = nonce(number);
    if buffer.len() < body_len {
        buffer.resize(body_len, 0);
    }
    let raw = &mut buffer[..body_len];
    match suite {
        Suite::ChaCha20Poly1305 => {
            raw.copy_from_slice(body);
            let cipher = ChaCha20Poly1305::new(key.expose().into());
            let tag: [u8; TAG_LEN] = tag.try_into().expect("it was split at that length");
            cipher
                .decrypt_inout_detached(
                    &nonce.into(),
                    associated,
                    (&mut raw[..]).into(),
                    &tag.into(),
                )
                .map_err(|_| DecodeError::Forged)?;
        }
        Suite::Aes256Gcm => {
            aes(key)
                .open_separate_gather(
                    aws::Nonce::assume_unique_for_key(nonce),
                    aws::Aad::from(associated),
                    body,
                    tag,
                    raw,
                )
                .map_err(|_| DecodeError::Forged)?;
        }
    }
    Ok(raw)
}

/// The suite that seals faster on this machine, by a trial of a few milliseconds.
pub fn fastest_suite() -> Suite {
    let key = Key::random();
    let mut buffer = vec![0; 1 << 20];
    let mut time = |suite| {
        let mut best = Duration::MAX;
        for number in 0..4 {
            let start = Instant::now();
            seal(suite, &key, number, &[], &mut buffer, 0);
            best = best.min(start.elapsed());
            buffer.truncate(1 << 20);
        }
        best
    };
    if time(Suite::Aes256Gcm) < time(Suite::ChaCha20Poly1305) {
        Suite::Aes256Gcm
    } else {
        Suite::ChaCha20Poly1305
    }
}

fn aes(key: &Key) -> aws::LessSafeKey {
    let key = aws::UnboundKey::new(&aws::AES_256_GCM, key.expose())
        .expect("the key has the length of the cipher");
    aws::LessSafeKey::new(key)
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_suites_open_what_they_sealed_and_nothing_else() {
        for suite in [Suite::ChaCha20Poly1305, Suite::Aes256Gcm] {
            let key = Key::new([3; 32]);
            let mut buffer = b"head message".to_vec();
            seal(suite, &key, 5, b"meaning", &mut buffer, 5);
            assert_eq!(&buffer[..5], b"head ");
            let sealed = &buffer[5..];
            assert_eq!(open(suite, &key, 5, b"meaning", sealed).as_deref(), Ok(&b"message"[..]));
            assert_eq!(open(suite, &key, 6, b"meaning", sealed), Err(DecodeError::Forged));
            assert_eq!(open(suite, &key, 5, b"other", sealed), Err(DecodeError::Forged));
            for bit in 0..sealed.len() * 8 {
                let mut altered = sealed.to_vec();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(suite, &key, 5, b"meaning", &altered), Err(DecodeError::Forged));
            }
            assert_eq!(open(suite, &key, 5, b"meaning", &[0; 15]), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn the_reference_cipher_agrees_with_another_implementation() {
        let key = Key::new([9; 32]);
        let mut ours = vec![7; 1000];
        seal(Suite::ChaCha20Poly1305, &key, 1, b"aad", &mut ours, 0);
        let other = aws::LessSafeKey::new(
            aws::UnboundKey::new(&aws::CHACHA20_POLY1305, key.expose()).expect("32 bytes"),
        );
        let mut theirs = vec![7; 1000];
        other
            .seal_in_place_append_tag(
                aws::Nonce::assume_unique_for_key(nonce(1)),
                aws::Aad::from(b"aad"),
                &mut theirs,
            )
            .expect("it seals");
        assert_eq!(ours, theirs);
    }
}
