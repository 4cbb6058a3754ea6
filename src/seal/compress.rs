//! Compression before sealing, into exactly the promised length after opening.
//!
//! Frames take planes where they hold numbers; other bodies are as they are or one zstd frame.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::planes;
use crate::format::{Codec, DecodeError};

/// Samples of a frame that the probe looks at, in bytes.
const PROBE_LEN: usize = 4096;
/// Number of such samples.
const PROBE_COUNT: usize = 4;
/// Entropy of the samples, in bits a byte, above which a frame is stored as it is.
///
/// Random bytes measure 7.99 over 16 KiB. A trial with a fast level would call bf16 weights
/// incompressible, which this does not: their exponents keep them below 7.7.
const PROBE_BITS_MAX: f64 = 7.97;

/// Length in bytes above which zstd's own choice for level 3 does not suit frames.
///
/// For inputs of 128 to 256 KiB, which nearly all frames are, zstd 1.5.7 looks for matches of four
/// bytes with a small table (`ZSTD_defaultCParameters`), and finds less than for inputs above that,
/// or for those below. By `zstd -b3 -B262144`, with and without `--zstd=hlog=17,clog=16,mml=5`, the
/// CSV, SQL, logs and sources of `benches/trees` lose 2 to 4 %.
const WIDE_LEN: usize = 128 << 10;
/// The level that it concerns, the default.
const WIDE_LEVEL: i32 = 3;
/// What it chooses for all inputs above 256 KiB.
const WIDE: [CParameter; 3] =
    [CParameter::MinMatch(5), CParameter::HashLog(17), CParameter::ChainLog(16)];

/// Share of places in the samples whose four bytes were met before, up to which nothing is gained by
/// looking for matches. Weights of models have up to 1.5 %; programs, tables, logs and texts 31 % and
/// more.
const REPEATED_SHARE_MAX: f64 = 0.05;
/// Level instead of the default one for these: what remains is to code bytes by how often they occur.
/// By `zstd -b1 -B262144` against those of [`WIDE`], five files of weights take 67 to 89 % of the
/// time, and the same length to one in 5,000.
const PLAIN_LEVEL: i32 = 1;
/// Places of which the last one with the same hash is remembered; more than there are in the samples,
/// so that few are forgotten.
const REPEAT_BITS: u32 = 15;

/// Bits a byte that elements of two or four bytes must save when their bytes are looked at by their places,
/// before they are taken apart; and that elements of four must save beyond those of two.
///
/// Of chance alone, samples of 16 KiB differ by less than 0.02 after the correction in [`entropy`]; weights in
/// bf16 save 0.9, in fp32 0.7, in fp16 0.6.
const PLANES_GAIN_MIN: f64 = 0.12;
const WIDER_GAIN_MIN: f64 = 0.06;
/// Matches of a plane that are worth looking for: none of less than seven bytes, in a table that stays in the
/// first cache. What is left is to code bytes by how often they occur, which level 1 does as well as any.
const PLANE: [CParameter; 2] = [CParameter::MinMatch(7), CParameter::HashLog(8)];

/// What a compressor is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A level of zstd.
    Level(i32),
    /// A level with [`WIDE`].
    Wide(i32),
    /// Level 1 with [`PLANE`].
    Plane,
}

thread_local! {
    /// One of each purpose that this thread has met; a run has four at most.
    static COMPRESSORS: RefCell<Vec<(Purpose, Compressor<'static>)>> =
        const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// As [`compress_into`], for a frame: what are numbers of several bytes is taken apart.
pub fn compress_frame_into(raw: &[u8], level: impl Into<Option<i32>>, out: &mut Vec<u8>) -> Codec {
    let level = level.into();
    let codec = level.and_then(|_| element(raw));
    if let Some(codec) = codec {
        let start = out.len();
        if planes::split_into(raw, width(codec), out, shrink_plane) {
            return codec;
        }
        out.truncate(start);
    }
    compress_into(raw, level, out)
}

/// Appends `raw` to `out` in the smallest form that `level` of zstd finds, or as it is without a
/// level, and says which form that is.
pub fn compress_into(raw: &[u8], level: impl Into<Option<i32>>, out: &mut Vec<u8>) -> Codec {
    let start = out.len();
    if let Some(level) = level.into().filter(|_| !raw.is_empty() && !looks_random(raw)) {
        let purpose = match level {
            WIDE_LEVEL if repeats_nothing(raw) => Purpose::Level(PLAIN_LEVEL),
            WIDE_LEVEL if raw.len() > WIDE_LEN => Purpose::Wide(level),
            _ => Purpose::Level(level),
        };
        if shrink(purpose, raw, out) {
            return Codec::Zstd;
        }
        out.truncate(start);
    }
    out.extend_from_slice(raw);
    Codec::Stored
}

fn shrink_plane(plane: &[u8], out: &mut Vec<u8>) -> bool {
    !looks_random(plane) && shrink(Purpose::Plane, plane, out)
}

/// Appends `raw` to `out` as a zstd frame that is shorter, or says that there is none.
fn shrink(purpose: Purpose, raw: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // Room for one byte less than the raw form: what does not get smaller is not wanted.
    out.resize(start + raw.len() - 1, 0);
    let written = COMPRESSORS.with_borrow_mut(|made| {
        let at = made.iter().position(|(of, _)| *of == purpose).unwrap_or_else(|| {
            made.push((purpose, compressor(purpose)));
            made.len() - 1
        });
        made[at].1.compress_to_buffer(raw, &mut out[start..])
    });
    let len = written.ok();
    out.truncate(start + len.unwrap_or(0));
    len.is_some()
}

fn compressor(purpose: Purpose) -> Compressor<'static> {
    let (level, parameters): (i32, &[CParameter]) = match purpose {
        Purpose::Level(level) => (level, &[]),
        Purpose::Wide(level) => (level, &WIDE),
        Purpose::Plane => (PLAIN_LEVEL, &PLANE),
    };
    let mut made = Compressor::new(level).expect("zstd allocates a context");
    for parameter in parameters {
        made.set_parameter(*parameter).expect("zstd knows its parameters");
    }
    made
}

/// Bytes of an element of a codec that takes elements apart.
fn width(codec: Codec) -> usize {
    if codec == Codec::Planes2 { 2 } else { 4 }
}

/// The raw bytes of `stored`, which must be exactly `raw_len`.
///
/// The buffer is made for `raw_len`, an authenticated and limited number, so that a bomb cannot
/// allocate more.
///
/// # Errors
/// [`DecodeError::Compression`].
pub fn decompress(codec: Codec, stored: Vec<u8>, raw_len: usize) -> Result<Vec<u8>, DecodeError> {
    match codec {
        Codec::Stored if stored.len() == raw_len => Ok(stored),
        Codec::Stored => Err(DecodeError::Compression),
        _ => {
            let mut raw = vec![0; raw_len];
            fill(codec, &stored, &mut raw)?;
            Ok(raw)
        }
    }
}

/// As [`decompress`], into a buffer that grows where it is too short, unless `stored` is raw already.
///
/// # Errors
/// As [`decompress`]; nothing in the buffer means anything then.
pub fn decompress_into<'b>(
    codec: Codec,
    stored: &'b [u8],
    raw_len: usize,
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], DecodeError> {
    match codec {
        Codec::Stored if stored.len() == raw_len => Ok(stored),
        Codec::Stored => Err(DecodeError::Compression),
        _ => {
            if buffer.len() < raw_len {
                buffer.resize(raw_len, 0);
            }
            let raw = &mut buffer[..raw_len];
            fill(codec, stored, raw)?;
            Ok(raw)
        }
    }
}

fn fill(codec: Codec, stored: &[u8], raw: &mut [u8]) -> Result<(), DecodeError> {
    match codec {
        Codec::Planes2 | Codec::Planes4 => planes::join(stored, width(codec), raw, decompress_zstd),
        Codec::Stored | Codec::Zstd => decompress_zstd(stored, raw),
    }
}

/// Fills `raw`, which must have the right length.
fn decompress_zstd(stored: &[u8], raw: &mut [u8]) -> Result<(), DecodeError> {
    // One frame and nothing else: zstd itself would go on with what follows it.
    if zstd::zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len()) {
        return Err(DecodeError::Compression);
    }
    let raw_len = raw.len();
    let written = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor =
            slot.get_or_insert_with(|| Decompressor::new().expect("zstd allocates a context"));
        decompressor.decompress_to_buffer(stored, raw)
    });
    match written {
        Ok(len) if len == raw_len => Ok(()),
        _ => Err(DecodeError::Compression),
    }
}

/// Samples of `raw`, from the first bytes to the last; none where it is short. All start at the same byte of
/// elements.
fn samples(raw: &[u8]) -> Option<[&[u8]; PROBE_COUNT]> {
    let stride = raw.len().checked_sub(PROBE_LEN)? / (PROBE_COUNT - 1);
    let stride = stride - stride % planes::WIDTH_MAX;
    let sample = |number: usize| &raw[number * stride..][..PROBE_LEN];
    (stride >= PROBE_LEN).then(|| std::array::from_fn(sample))
}

/// Whether nearly nothing in samples of `raw` occurs twice.
fn repeats_nothing(raw: &[u8]) -> bool {
    let Some(samples) = samples(raw) else { return false };
    let mut last = vec![0; 1 << REPEAT_BITS];
    let (mut place_count, mut repeated_count) = (0, 0);
    for four in samples.into_iter().flat_map(|sample| sample.windows(4)) {
        let four = u32::from_le_bytes(four.try_into().expect("it has four bytes"));
        // Fibonacci hashing: the upper bits of a product with 2^32 by the golden ratio.
        let place = &mut last[(four.wrapping_mul(0x9E37_79B9) >> (32 - REPEAT_BITS)) as usize];
        repeated_count += u32::from(*place == four);
        place_count += 1;
        *place = four;
    }
    f64::from(repeated_count) <= f64::from(place_count) * REPEATED_SHARE_MAX
}

/// How often each byte occurs.
type Counts = [u32; 256];

/// Whether samples of `raw` have nothing left to gain.
fn looks_random(raw: &[u8]) -> bool {
    let Some(samples) = samples(raw) else { return false };
    let mut counts = [0; 256];
    for byte in samples.into_iter().flatten() {
        counts[usize::from(*byte)] += 1;
    }
    entropy(&counts) > PROBE_BITS_MAX
}

/// The codec that takes `raw` apart, if it consists of numbers that gain by it and repeats nothing.
fn element(raw: &[u8]) -> Option<Codec> {
    let samples = samples(raw)?;
    let mut counts = [[0; 256]; planes::WIDTH_MAX];
    for four in samples.into_iter().flat_map(|sample| sample.chunks_exact(planes::WIDTH_MAX)) {
        for (counts, byte) in counts.iter_mut().zip(four) {
            counts[usize::from(*byte)] += 1;
        }
    }
    let sum = |places: &[usize]| -> Counts {
        std::array::from_fn(|byte| places.iter().map(|place| counts[*place][byte]).sum())
    };
    let four = counts.iter().map(unbiased).sum::<f64>() / 4.0;
    let two = (unbiased(&sum(&[0, 2])) + unbiased(&sum(&[1, 3]))) / 2.0;
    let one = unbiased(&sum(&[0, 1, 2, 3]));
    let codec = if two - four >= WIDER_GAIN_MIN { Codec::Planes4 } else { Codec::Planes2 };
    (one - two.min(four) >= PLANES_GAIN_MIN && repeats_nothing(raw)).then_some(codec)
}

/// Bits that a byte takes which is coded by how often it occurs.
fn entropy(counts: &Counts) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    shares.map(|share| -share * share.log2()).sum()
}

/// The same of what a sample is taken from: a small one seems to have less in it (Miller, 1955, and Madow).
fn unbiased(counts: &Counts) -> f64 {
    let total: f64 = counts.iter().copied().map(f64::from).sum();
    let value_count = counts.iter().filter(|count| **count > 0).count() as f64;
    entropy(counts) + (value_count - 1.0) / (2.0 * total * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_form_is_kept() {
        let mut random = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        for (raw, codec) in [
            (vec![], Codec::Stored),
            (vec![1], Codec::Stored),
            (vec![7; 100_000], Codec::Zstd),
            (random, Codec::Stored),
        ] {
            let mut stored = b"head".to_vec();
            assert_eq!(compress_into(&raw, 1, &mut stored), codec);
            let stored = stored.split_off(4);
            assert!(stored.len() <= raw.len());
            assert_eq!(decompress(codec, stored, raw.len()), Ok(raw));
        }
    }

    #[test]
    fn without_a_level_nothing_is_compressed() {
        let mut stored = Vec::new();
        assert_eq!(compress_into(&[7; 1000], None, &mut stored), Codec::Stored);
        assert_eq!(stored, [7; 1000]);
    }

    #[test]
    fn a_frame_takes_less_than_by_the_choice_of_zstd() {
        let line = |n: u64| {
            let id = blake3::hash(&n.to_le_bytes()).to_hex();
            let place = ["berlin", "lisbon", "oslo"][n as usize % 3];
            format!("{n},2026-11-{:02},{place},{},EUR,{}.50\n", n % 30, &id[..6], n * 17 % 4000)
        };
        let rows: String = (0..10_000).map(line).collect();
        let raw = &rows.as_bytes()[..250_000];
        let mut stored = Vec::new();
        assert_eq!(compress_into(raw, 3, &mut stored), Codec::Zstd);
        let by_zstd = zstd::bulk::compress(raw, 3).expect("zstd compresses rows");
        assert!(stored.len() * 100 < by_zstd.len() * 97, "{} {}", stored.len(), by_zstd.len());
        assert_eq!(decompress(Codec::Zstd, stored, raw.len()).as_deref(), Ok(raw));
    }

    #[test]
    fn no_matches_are_sought_where_there_are_none() {
        let numbers = halves(125_000);
        assert!(repeats_nothing(&numbers));
        let text = std::fs::read(file!()).expect("this file is there").repeat(2);
        assert!(text.len() > 1 << 14 && !repeats_nothing(&text));
        assert!(!repeats_nothing(&vec![0; 250_000]));
        let mut stored = Vec::new();
        assert_eq!(compress_into(&numbers, 3, &mut stored), Codec::Zstd);
        let by_zstd = zstd::bulk::compress(&numbers, 3).expect("zstd compresses numbers");
        assert!(stored.len() * 1000 < by_zstd.len() * 1003, "{} {}", stored.len(), by_zstd.len());
        assert_eq!(decompress(Codec::Zstd, stored, numbers.len()), Ok(numbers));
    }

    /// The bytes of sums of eight random numbers each, about normally distributed around zero.
    fn numbers<const N: usize>(count: usize, to_bytes: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
        let mut random = vec![0; count * 16];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        let number = |eight: &[u8]| {
            let parts = eight.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
            let sum: f32 = parts.map(|part| f32::from(part) / 65_536.0 - 0.5).sum();
            to_bytes(sum / 40.0)
        };
        random.chunks_exact(16).flat_map(number).collect()
    }

    /// The same in bfloat16, the upper half of a single.
    fn halves(count: usize) -> Vec<u8> {
        numbers(count, |number| ((number.to_bits() >> 16) as u16).to_le_bytes())
    }

    #[test]
    fn numbers_are_taken_apart_and_take_less() {
        let halves = halves(125_000);
        let singles = numbers(60_000, f32::to_le_bytes);
        for (raw, codec, most) in [(halves, Codec::Planes2, 90), (singles, Codec::Planes4, 93)] {
            for raw in [&raw[..], &raw[1..], &raw[..raw.len() - 3]] {
                let (mut stored, mut by_zstd) = (Vec::new(), Vec::new());
                assert_eq!(compress_frame_into(raw, 3, &mut stored), codec);
                compress_into(raw, 3, &mut by_zstd);
                assert!(
                    stored.len() * 100 < by_zstd.len() * most,
                    "{} {}",
                    stored.len(),
                    by_zstd.len()
                );
                assert_eq!(decompress(codec, stored, raw.len()).as_deref(), Ok(raw));
            }
        }
    }

    #[test]
    fn other_bytes_are_not_taken_apart() {
        let text = std::fs::read(file!()).expect("this file is there").repeat(4);
        let mut random = vec![0; 200_000];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        for (raw, codec) in [
            (text, Codec::Zstd),
            (random, Codec::Stored),
            (vec![7; 100_000], Codec::Zstd),
            (vec![1, 2, 3], Codec::Stored),
        ] {
            let mut stored = Vec::new();
            assert_eq!(compress_frame_into(&raw, 3, &mut stored), codec);
            assert_eq!(decompress(codec, stored, raw.len()), Ok(raw));
        }
        let halves = halves(125_000);
        let mut stored = Vec::new();
        assert_eq!(compress_frame_into(&halves, None, &mut stored), Codec::Stored);
    }

    #[test]
    fn a_bomb_gives_an_error_instead_of_memory() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).expect("zstd compresses zeros");
        assert!(bomb.len() < 10_000);
        assert_eq!(decompress(Codec::Zstd, bomb.clone(), 1000), Err(DecodeError::Compression));
        assert_eq!(decompress(Codec::Zstd, bomb, (64 << 20) + 1), Err(DecodeError::Compression));
    }
}
