//! What tests of every layer use.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

/// Tells that `test` could not run; `.ci/run` repeats such lines at its end.
pub(crate) fn skip(test: &str, why: &str) {
    // Past the test runner, which keeps what a passing test prints.
    let line = format!("SKIPPED: {test}: {why}\n");
    // A closed standard error is no reason to fail a test.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// Bytes of a marker: more than what looking for one allocates, which could take its place.
const MARKER_LEN: usize = 200;
/// Bytes of a piece that is looked for: the end, and one near the start, as a buffer that grew leaves
/// the start behind. An allocator writes its own lists over the first 16 of what is freed.
const PIECE_LEN: usize = 24;
const FIRST_PIECE: usize = 16;
/// First byte of the pieces, which is nowhere else in a marker.
const PIECE_MARK: u8 = b'Z';
/// Lies over the bytes of a marker, so that it is not found where it is looked for.
const MASK: u8 = 0x80;
/// Bytes of memory that are looked at together.
const WINDOW_LEN: usize = 1 << 20;
/// Room for the map of a process with thousands of regions.
const MAPS_LEN: usize = 1 << 20;

/// Text that lies in the memory of this process only where somebody put it.
pub(crate) struct Marker(Vec<u8>);

impl Marker {
    /// Letters that no other test and no other run has.
    pub(crate) fn new() -> Self {
        let mut bytes = [0; MARKER_LEN];
        getrandom::fill(&mut bytes).expect("the operating system's random generator works");
        let mut bytes = bytes.map(|byte| (b'a' + byte % 16) | MASK);
        for start in [FIRST_PIECE, MARKER_LEN - PIECE_LEN] {
            bytes[start] = PIECE_MARK | MASK;
        }
        Self(bytes.to_vec())
    }

    /// One for text that is there already, of at least 40 bytes.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().map(|byte| byte ^ MASK).collect())
    }

    /// The text.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len()));
        text.extend(self.0.iter().map(|byte| char::from(byte ^ MASK)));
        text
    }

    /// Whether a piece of the text lies anywhere in the memory that this process may write, but for
    /// the stack of the caller, where what a library had in its hands stays for a while.
    pub(crate) fn is_in_memory(&self) -> bool {
        Self::in_memory([self]) == [true]
    }

    /// As [`Self::is_in_memory`], with one look for all.
    pub(crate) fn in_memory<const N: usize>(markers: [&Self; N]) -> [bool; N] {
        // One for all tests, wiped after each use: it is a copy of what others keep for a moment.
        // Neither is made anew, which would take the place of what was freed and is looked for.
        static BUFFERS: Mutex<(Vec<u8>, String)> = Mutex::new((Vec::new(), String::new()));
        let mut buffers = BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
        let (window, maps) = &mut *buffers;
        window.resize(WINDOW_LEN, 0);
        maps.clear();
        maps.reserve(MAPS_LEN);
        File::open("/proc/self/maps")
            .and_then(|mut file| file.read_to_string(maps))
            .expect("a process has a map");
        let mut found = [false; N];
        each_part_of_memory(maps, window, &mut |bytes, is_own| {
            for (found, marker) in found.iter_mut().zip(markers) {
                *found = *found || marker.is_in(bytes, is_own);
            }
        });
        window.fill(0);
        found
    }

    /// Whether a piece is in `bytes`, elsewhere than at places that do not count.
    fn is_in(&self, bytes: &[u8], is_own: &dyn Fn(usize) -> bool) -> bool {
        let pieces = [FIRST_PIECE, self.0.len() - PIECE_LEN].map(|at| &self.0[at..][..PIECE_LEN]);
        let is_piece = |at: usize| {
            let there = bytes.get(at..at + PIECE_LEN);
            let is = |piece: &[u8]| {
                there.is_some_and(|there| there.iter().zip(piece).all(|(a, b)| a ^ MASK == *b))
            };
            pieces.into_iter().any(is) && !is_own(at)
        };
        let firsts = [pieces[0][0] ^ MASK, pieces[1][0] ^ MASK];
        let count = if firsts[0] == firsts[1] { 1 } else { 2 };
        firsts[..count].iter().any(|first| {
            let mut rest = bytes;
            // The one search for a byte in the standard library that is fast and tells the place.
            while rest.skip_until(*first).expect("a slice is read") > 0 {
                if is_piece(bytes.len() - rest.len() - 1) {
                    return true;
                }
            }
            false
        })
    }
}

/// Takes a part of memory, and what tells whether a place in it does not count.
type EachPart<'a> = dyn FnMut(&[u8], &dyn Fn(usize) -> bool) + 'a;

/// Hands over all memory that this process may write, in parts that overlap by a piece, with what
/// tells whether a place of a part is the window itself.
fn each_part_of_memory(maps: &str, window: &mut [u8], each: &mut EachPart<'_>) {
    let memory = File::open("/proc/self/mem").expect("a process may read its own memory");
    let own = window.as_ptr_range();
    let own = own.start as u64..own.end as u64;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'))
            .expect("a line starts with a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address is hex");
        let (mut at, end) = (address(start), address(end));
        if (at..end).contains(&(&raw const own as u64)) {
            continue;
        }
        while at < end {
            let len = WINDOW_LEN.min((end - at) as usize);
            // A region may be gone by now; it holds nothing then.
            let len = memory.read_at(&mut window[..len], at).unwrap_or(0);
            if len == 0 {
                break;
            }
            each(&window[..len], &|place| own.contains(&(at + place as u64)));
            let is_last = at + len as u64 >= end;
            at += (if is_last { len } else { len.saturating_sub(PIECE_LEN).max(1) }) as u64;
        }
    }
}
