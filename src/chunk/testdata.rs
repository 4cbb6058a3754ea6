//! Deterministic bytes for the tests of this layer.

use super::Params;

/// The chunker key of the vectors: 0, 1, 2, … 31.
pub(super) const KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut i = 0;
    while i < key.len() {
        key[i] = i as u8;
        i += 1;
    }
    key
};

/// The shortest lengths there are, which meet every kind of end often.
pub(super) const SMALL: Params = match Params::new(64, 256, 1024) {
    Ok(params) => params,
    Err(_) => panic!("these lengths are the least ones allowed"),
};

/// The stream of the vectors: the first `len` bytes of the BLAKE3 output (neither keyed nor in
/// derivation mode) of the ASCII text `parados split vector 1`.
pub(super) fn stream(len: usize) -> Vec<u8> {
    seeded("parados split vector 1", len)
}

/// The first `len` bytes of the BLAKE3 output of `seed`.
pub(super) fn seeded(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// What data may look like to a rolling hash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Class {
    /// No structure.
    Random,
    /// One byte again and again: the hash settles, and either cuts always or never.
    Constant(u8),
    /// Lines of words from a small alphabet.
    Text,
    /// A short run of random bytes again and again.
    Period(usize),
    /// Random bytes between runs of zeros.
    Sparse,
}

impl Class {
    /// One of each.
    pub(super) const ALL: [Self; 9] = [
        Self::Random,
        Self::Constant(0),
        Self::Constant(0xff),
        Self::Text,
        Self::Period(2),
        Self::Period(3),
        Self::Period(64),
        Self::Period(257),
        Self::Sparse,
    ];

    /// `len` bytes of this class.
    pub(super) fn bytes(self, seed: &str, len: usize) -> Vec<u8> {
        const WORDS: [&str; 8] =
            ["insert ", "into ", "ledger ", "values ", "(42, ", "'paid');\n", "null, ", "2026-11 "];
        let random = seeded(seed, len);
        match self {
            Self::Random => random,
            Self::Constant(byte) => vec![byte; len],
            Self::Text => random
                .iter()
                .flat_map(|byte| WORDS[usize::from(byte % 8)].bytes())
                .take(len)
                .collect(),
            Self::Period(period) => {
                (0..len).map(|i| random[i % period.min(random.len())]).collect()
            }
            Self::Sparse => {
                (0..len).map(|i| if i / 700 % 2 == 0 { random[i] } else { 0 }).collect()
            }
        }
    }
}
