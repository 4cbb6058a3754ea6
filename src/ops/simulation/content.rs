//! What files of a simulation hold: by its number alone it can be told from everything else.

/// The content of this number.
pub(super) fn of_number(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 150 + 61 * number as usize];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes[8..]);
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The number of a content, if it is one.
pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    let number = bytes.get(..8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number < 1000 && of_number(number) == bytes).then_some(number)
}
