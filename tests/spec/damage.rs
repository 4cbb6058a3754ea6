//! No damage of a byte leads astray.

use crate::check;
use crate::document::{self, Case};
use crate::replay;
use crate::vectors::DOCUMENT;

/// Longest seed of which every bit is flipped.
const SEED_LEN_MAX: usize = 1024;

/// Every shorter form of `bytes`, and every form with one bit flipped.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = (Vec<u8>, usize)> {
    let cut = (0..bytes.len()).map(|len| (bytes[..len].to_vec(), len));
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut altered = bytes.to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        (altered, bit / 8)
    });
    cut.chain(flipped)
}

/// A target panics when what it takes does not encode to the same bytes.
#[test]
fn a_damaged_record_is_refused_or_means_what_it_says() {
    for (name, target, seeds) in replay::corpora() {
        if name == "chunk_cut" {
            continue;
        }
        let mut tried = 0;
        for seed in seeds.iter().filter(|seed| seed.len() <= SEED_LEN_MAX) {
            for (bytes, _) in damaged(seed) {
                target(&bytes);
                tried += 1;
            }
        }
        assert!(tried > 0, "{name} has a short seed");
    }
}

fn cases() -> Vec<Case> {
    document::cases(DOCUMENT).into_iter().filter(|case| case.error().is_none()).collect()
}

/// Runs a case with other bytes.
fn run_with(case: &Case, bytes: &[u8]) -> bool {
    check::run(&case.with("bytes", hex::encode(bytes))).is_ok()
}

/// Refuses every damaged form, but for bytes in `free`, which nothing authenticates but the name.
fn check_sealed(case: &Case, free: std::ops::Range<usize>) {
    let bytes = case.bytes("bytes");
    assert!(run_with(case, &bytes), "{case}");
    for (altered, at) in damaged(&bytes) {
        if altered.len() == bytes.len() && free.contains(&at) {
            assert_ne!(blake3::hash(&altered), blake3::hash(&bytes), "{case}");
        } else {
            assert!(!run_with(case, &altered), "{case}: byte {at} of {}", altered.len());
        }
    }
}

#[test]
fn a_damaged_sealed_object_is_always_refused() {
    let mut count = 0;
    for case in cases() {
        let kind = case.maybe("type").unwrap_or("").to_owned();
        let free = match (case.section.as_str(), kind.as_str()) {
            // A try of argon2id for each bit would take minutes.
            ("slot", "slot") if case.maybe("passphrase").is_some() => continue,
            ("slot", "slot")
            | ("keys", "session")
            | ("envelope", "object")
            | ("frame", _)
            | ("segment", "whole") => 0..0,
            ("pack", "whole") => padding(&case),
            _ => continue,
        };
        check_sealed(&case, free);
        count += 1;
    }
    assert!(count >= 10, "the sealed vectors were found");
}

/// Where the padding of a pack is.
fn padding(case: &Case) -> std::ops::Range<usize> {
    let len = case.bytes("bytes").len();
    let trailer = case.bytes("trailer");
    let number = |at: usize| {
        trailer[at..at + 8].iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert_eq!(number(0), len, "{case}");
    number(8)..len - 64 - number(16)
}
