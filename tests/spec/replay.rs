//! The corpora of the fuzz targets run over the same functions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::document;
use crate::vectors::DOCUMENT;

#[path = "../../fuzz/targets.rs"]
mod targets;

use targets::Target;

/// Bytes that all corpora may take together.
const CORPORA_LEN_MAX: usize = 100 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Each target with its seeds.
pub(crate) fn corpora() -> Vec<(&'static str, Target, Vec<Vec<u8>>)> {
    targets::ALL
        .iter()
        .map(|(name, target)| {
            let folder = fuzz().join("corpus").join(name);
            let entries = fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let seeds = paths.iter().map(|path| fs::read(path).unwrap()).collect();
            (*name, *target, seeds)
        })
        .collect()
}

#[test]
fn every_seed_passes() {
    let mut total = 0;
    for (name, target, seeds) in corpora() {
        assert!(!seeds.is_empty(), "{name} has a seed");
        target(&[]);
        for seed in seeds {
            target(&seed);
            total += seed.len();
        }
    }
    assert!(total <= CORPORA_LEN_MAX, "the corpora take {total} bytes");
}

#[test]
fn every_decoder_has_a_target_with_seeds() {
    let known: BTreeSet<_> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let listed: BTreeSet<_> =
        document::decoders(DOCUMENT).into_iter().map(|[.., target]| target).collect();
    assert!(listed.is_subset(&known), "{listed:?}");
    let names = |folder: &str| -> BTreeSet<String> {
        fs::read_dir(fuzz().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("fuzz_targets"), known);
    assert_eq!(names("corpus"), known);
}
