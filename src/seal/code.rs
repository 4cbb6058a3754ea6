//! Keys as text: recovery codes and the content of key files, with a checksum against slips.

use bech32::{Bech32m, Hrp};
use zeroize::Zeroizing;

use super::keys::Key;

/// Start of a recovery code.
const RECOVERY: &str = "prc";
/// Start of a key file's only line.
const KEY_FILE: &str = "pkf";

/// Room for the text of a key in bytes, so that it is never moved while it grows.
const CODE_LEN_MAX: usize = 128;

/// What a code is for; the two never open each other's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// Printed once, kept on paper.
    Recovery,
    /// Kept in a file that only its owner reads.
    KeyFile,
}

/// The text of a key: Bech32m (BIP 350), which finds any four wrong letters. A recovery code is
/// broken into groups of four for people.
pub fn to_text(kind: CodeKind, key: &Key) -> Zeroizing<String> {
    let hrp = Hrp::parse(match kind {
        CodeKind::Recovery => RECOVERY,
        CodeKind::KeyFile => KEY_FILE,
    })
    .expect("the prefix is valid");
    let mut plain = Zeroizing::new(String::with_capacity(CODE_LEN_MAX));
    bech32::encode_to_fmt::<Bech32m, _>(&mut *plain, hrp, key.expose())
        .expect("32 bytes are within the limit");
    if kind == CodeKind::KeyFile {
        return plain;
    }
    let mut grouped = Zeroizing::new(String::with_capacity(CODE_LEN_MAX));
    for (index, letter) in plain.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            grouped.push('-');
        }
        grouped.push(letter);
    }
    grouped
}

/// The key of a text, ignoring case, dashes and white space; `None` when it is mistyped.
pub fn from_text(kind: CodeKind, text: &str) -> Option<Key> {
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    for letter in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        plain.push(letter.to_ascii_lowercase());
    }
    let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(&plain).ok()?;
    let expected = match kind {
        CodeKind::Recovery => RECOVERY,
        CodeKind::KeyFile => KEY_FILE,
    };
    if checked.hrp().as_str() != expected {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    if checked.byte_iter().len() != bytes.len() {
        return None;
    }
    bytes.iter_mut().zip(checked.byte_iter()).for_each(|(to, byte)| *to = byte);
    let key = Key::new(*bytes);
    // The last letter has four bits too many, which must be zero.
    let again = to_text(kind, &key);
    plain.chars().eq(again.chars().filter(|c| *c != '-')).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::Marker;

    #[test]
    fn neither_a_code_nor_its_key_stays_in_memory() {
        let marker = Marker::new();
        let key = Key::new(marker.text().as_bytes()[168..].try_into().expect("32 bytes"));
        let typed = to_text(CodeKind::Recovery, &key);
        let code = Marker::of(&typed);
        assert_eq!(Marker::in_memory([&marker, &code]), [true; 2]);
        let again = from_text(CodeKind::Recovery, &typed).expect("it is right");
        assert_eq!(again.expose(), key.expose());
        drop((key, typed, again));
        assert_eq!(Marker::in_memory([&marker, &code]), [false; 2]);
    }

    #[test]
    fn a_code_survives_typing_but_not_a_wrong_letter() {
        let key = Key::new([0xc4; 32]);
        let code = to_text(CodeKind::Recovery, &key);
        let typed = code.to_uppercase().replace('-', " ");
        let read = from_text(CodeKind::Recovery, &typed).expect("it is right");
        assert_eq!(read.expose(), key.expose());
        assert!(from_text(CodeKind::KeyFile, &code).is_none());
        for (index, letter) in code.char_indices().filter(|(_, c)| *c != '-') {
            let other = if letter == 'q' { 'p' } else { 'q' };
            let mut wrong = code.to_string();
            wrong.replace_range(index..=index, &other.to_string());
            assert!(from_text(CodeKind::Recovery, &wrong).is_none(), "{wrong}");
        }
    }
}
